//! Variables that Sigstore's clients read, where they contradict each other, or name what is not there.

use std::path::Path;

use super::seen::Seen;
use super::{Check, Said};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "environment",
        why: "one client follows one variable and the next another: they sign and look in different places",
        look: contradictions,
    },
    Check {
        name: "environment-files",
        why: "a client that is sent to a file that is not there ends, or believes the public Sigstore",
        look: files,
    },
];

/// Variables that name the same service.
const SAME: &[(&str, &[&str])] = &[
    ("log", &["COSIGN_REKOR_URL", "REKOR_REKOR_SERVER"]),
    ("identity token", &["SIGSTORE_ID_TOKEN", "COSIGN_IDENTITY_TOKEN"]),
    ("trusted root", &["COSIGN_TRUSTED_ROOT", "SIGSTORE_TRUSTED_ROOT"]),
];
/// The parts of a private deployment, one by one.
const URLS: &[&str] =
    &["COSIGN_REKOR_URL", "COSIGN_FULCIO_URL", "COSIGN_OIDC_ISSUER", "COSIGN_TIMESTAMP_SERVER_URL"];
/// Keys in place of a trusted root.
const KEYS: &[&str] = &[
    "SIGSTORE_ROOT_FILE",
    "SIGSTORE_REKOR_PUBLIC_KEY",
    "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
    "SIGSTORE_TSA_CERTIFICATE_FILE",
];
const FILES: &[&str] =
    &["TUF_ROOT_JSON", "COSIGN_TRUSTED_ROOT", "COSIGN_SIGNING_CONFIG", "REGISTRY_AUTH_FILE"];

fn contradictions(seen: &Seen) -> Vec<Said> {
    let set = |name: &str| seen.variable(name);
    let all_set =
        |names: &[&'static str]| names.iter().copied().filter(|name| set(name).is_some()).collect::<Vec<_>>();
    let mut said = Vec::new();
    for (what, names) in SAME {
        let given = all_set(names);
        // One may name a file that has what the other is.
        let token =
            |name: &str| seen.tokens.iter().find(|token| token.variable == name)?.text.as_deref().ok();
        let plain = |name: &str| {
            token(name).or_else(|| set(name)).unwrap_or_default().trim_end_matches('/').to_owned()
        };
        if let [first, others @ ..] = given.as_slice()
            && others.iter().any(|other| plain(other) != plain(first))
        {
            let seen_here = format!("{} name the {what} differently", given.join(" and "));
            said.push(Said::problem(seen_here, format!("unset {}", others.join(" "))));
        }
    }
    let urls = all_set(URLS);
    if set("COSIGN_SIGNING_CONFIG").is_some()
        && !urls.is_empty()
        && set("COSIGN_USE_SIGNING_CONFIG") != Some("false")
    {
        let seen_here = format!(
            "COSIGN_SIGNING_CONFIG and {} are set: cosign 3 refuses to take services from both",
            urls.join(", ")
        );
        said.push(Said::problem(seen_here, format!("unset {}", urls.join(" "))));
    }
    let keys = all_set(KEYS);
    let roots = all_set(&["COSIGN_TRUSTED_ROOT", "TUF_MIRROR"]);
    if !keys.is_empty() && !roots.is_empty() {
        let seen_here = format!(
            "{} and {} are set: with the former cosign fetches no trusted root, and cannot verify bundles",
            keys.join(", "),
            roots.join(", ")
        );
        said.push(Said::problem(seen_here, format!("unset {}", keys.join(" "))));
    }
    if set("TUF_MIRROR").is_some() && set("TUF_ROOT_JSON").is_none() && set("TUF_ROOT").is_none() {
        let seen_here = "TUF_MIRROR is set without TUF_ROOT_JSON: a client begins with the root of the public Sigstore, which has not signed this repository";
        said.push(Said::problem(
            seen_here,
            "export TUF_ROOT_JSON=FILE # the first root.json of the repository",
        ));
    }
    if set("COSIGN_KEY").is_some()
        && (set("COSIGN_CERTIFICATE_IDENTITY").is_some()
            || set("COSIGN_CERTIFICATE_IDENTITY_REGEXP").is_some())
    {
        let seen_here =
            "COSIGN_KEY and COSIGN_CERTIFICATE_IDENTITY are set: who is verified by a key has no identity";
        said.push(Said::problem(seen_here, "unset COSIGN_CERTIFICATE_IDENTITY COSIGN_CERTIFICATE_IDENTITY_REGEXP COSIGN_CERTIFICATE_OIDC_ISSUER"));
    }
    if let Some(repository) = set("COSIGN_REPOSITORY") {
        let seen_here = format!(
            "COSIGN_REPOSITORY is {repository}: cosign stores signatures there, everybody else looks beside the image"
        );
        said.push(Said::problem(seen_here, "unset COSIGN_REPOSITORY"));
    }
    if let (Some(named), Some(root)) = (set("COSIGN_REKOR_URL"), &seen.root) {
        let host =
            |url: &str| reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let hosts: Vec<_> = super::trust::log_keys(root).filter_map(|(_, host, _)| host).collect();
        // Only the host is shown: an address may have a password in it.
        let named = host(named).unwrap_or_else(|| "no URL".to_owned());
        if !hosts.is_empty() && !hosts.contains(&named) {
            let seen_here = format!(
                "COSIGN_REKOR_URL names {named}, in {} the logs are at {}",
                root.name,
                hosts.join(", ")
            );
            said.push(Said::problem(seen_here, "unset COSIGN_REKOR_URL"));
        }
    }
    Said::or_well(said, || "no variable contradicts another".to_owned())
}

fn files(seen: &Seen) -> Vec<Said> {
    let given = KEYS.iter().chain(FILES).filter_map(|name| Some((*name, seen.variable(name)?)));
    let mut any = false;
    let lacking = given.inspect(|_| any = true).filter(|(_, path)| !Path::new(path).is_file());
    let said = lacking.map(|(name, path)| {
        Said::problem(format!("{name} is {path:?}, and no such file is there"), format!("unset {name}"))
    });
    let said: Vec<_> = said.collect();
    if any { Said::or_well(said, || "every file that a variable names is there".to_owned()) } else { said }
}
