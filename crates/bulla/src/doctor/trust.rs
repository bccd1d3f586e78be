//! The files that say whom to believe and where to sign, judged without asking anybody.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_authority::ca::Facts;
use bulla_claims::judge::TrustedRoot;
use bulla_tlog::note::Verifier;
use bulla_tlog::{Hash, sha256};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::mend::{anew, configured, home};
use super::seen::{Document, Seen};
use super::{Check, Said};

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "trusted-root",
        why: "nothing can be verified by a trusted root that clients cannot read",
        look: readable,
    },
    Check {
        name: "validity-start",
        why: "clients refuse keys without the time from which they hold, or believe nothing that they signed",
        look: starts,
    },
    Check {
        name: "validity",
        why: "what is signed now is believed only by keys and certificates that are in force now",
        look: validity,
    },
    Check {
        name: "log-id",
        why: "an entry names its log by the ID: under another ID its key is not found, and the entry counts for nothing",
        look: log_ids,
    },
    Check {
        name: "base-url",
        why: "the host in the URL of a log is the name that its checkpoints must be signed under",
        look: base_urls,
    },
    Check {
        name: "authority-chain",
        why: "several clients pass over a timestamp authority whose chain has one certificate, and need all four lists",
        look: chains,
    },
    Check {
        name: "certificates-end",
        why: "after the end nothing new is believed, and clients need the certificate that follows before that",
        look: certificates_end,
    },
    Check {
        name: "trust-up-to-date",
        why: "whoever has an old trusted root refuses what the keys sign that came later",
        look: up_to_date,
    },
    Check {
        name: "signing-config",
        why: "clients refuse to sign where no service of a kind is listed that they can use now",
        look: signing_config,
    },
];

/// Whether a `validFor` holds at that time; one that cannot be read is for another check.
pub(super) fn in_force(validity: &Value, now: Timestamp) -> bool {
    let at = |name: &str| validity[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    at("start").is_none_or(|start| start <= now) && at("end").is_none_or(|end| now <= end)
}

/// The keys of logs that can be read: the place in the list, the host if there is one, and the key.
pub(super) fn log_keys(root: &Document) -> impl Iterator<Item = (usize, Option<String>, Vec<u8>)> {
    root.list("tlogs").iter().enumerate().filter_map(|(at, log)| {
        let host = log["baseUrl"].as_str().and_then(host);
        Some((at, host, STANDARD.decode(log["publicKey"]["rawBytes"].as_str()?).ok()?))
    })
}

fn host(url: &str) -> Option<String> {
    reqwest::Url::parse(url).ok()?.host_str().map(str::to_owned)
}

fn readable(seen: &Seen) -> Vec<Said> {
    let Some(root) = &seen.root else { return Vec::new() };
    let name = &root.name;
    let bytes = match &root.bytes {
        Ok(bytes) => bytes,
        Err(problem) => return vec![Said::problem(problem.as_str(), anew(seen))],
    };
    // What lacks a time is said by the check of times.
    let mut whole = root.value.clone();
    for (list, member) in [
        ("tlogs", "/publicKey"),
        ("ctlogs", "/publicKey"),
        ("certificateAuthorities", ""),
        ("timestampAuthorities", ""),
    ] {
        for one in whole[list].as_array_mut().into_iter().flatten() {
            let Some(one) = one.pointer_mut(member).filter(|one| one.is_object()) else { continue };
            if !one["validFor"]["start"].is_string() {
                one["validFor"]["start"] = json!("1970-01-01T00:00:00Z");
            }
        }
    }
    // And what lacks a root or a whole list, by the check of chains.
    for list in LISTS.iter().filter(|_| root.value.is_object()) {
        if whole[*list].is_null() {
            whole[*list] = json!([]);
        }
    }
    if let Some(authorities) = whole["timestampAuthorities"].as_array_mut() {
        authorities.retain(|one| held(one) >= 2);
    }
    let text = if whole == root.value { bytes.clone() } else { whole.to_string().into_bytes() };
    match TrustedRoot::parse(&text) {
        Ok(_) => {
            let count = |list: &str| root.list(list).len();
            let (logs, cas) = (count("tlogs"), count("certificateAuthorities"));
            let tsas = count("timestampAuthorities");
            vec![Said::well(format!(
                "{name}: keys of logs {logs}, authorities for certificates {cas}, for timestamps {tsas}"
            ))]
        }
        Err(error) => vec![Said::problem(format!("{name}: {error}"), anew(seen))],
    }
}

/// Everything in a root that has a validity: where, whose, and the validity itself.
fn validities(root: &Document) -> impl Iterator<Item = (String, &Value)> {
    let keys = ["tlogs", "ctlogs"].into_iter().flat_map(|list| {
        root.list(list).iter().enumerate().map(move |(at, log)| {
            let place = format!("{list}[{at}] ({})", log["baseUrl"].as_str().unwrap_or("without baseUrl"));
            (format!("{place}: publicKey.validFor"), &log["publicKey"]["validFor"])
        })
    });
    let authorities = ["certificateAuthorities", "timestampAuthorities"].into_iter().flat_map(|list| {
        root.list(list).iter().enumerate().map(move |(at, authority)| {
            let place = format!("{list}[{at}] ({})", authority["uri"].as_str().unwrap_or("without uri"));
            (format!("{place}: validFor"), &authority["validFor"])
        })
    });
    keys.chain(authorities)
}

fn starts(seen: &Seen) -> Vec<Said> {
    let Some(root) = seen.root.as_ref().filter(|root| root.value.is_object()) else { return Vec::new() };
    let lacking =
        validities(root).filter(|(_, validity)| validity["start"].as_str().is_none_or(str::is_empty));
    let said = lacking
        .map(|(place, _)| Said::problem(format!("{}: {place}.start is missing", root.name), anew(seen)));
    Said::or_well(said.collect(), || {
        format!("{}: every key and authority says from when it holds", root.name)
    })
}

fn validity(seen: &Seen) -> Vec<Said> {
    let Some(root) = seen.root.as_ref().filter(|root| root.value.is_object()) else { return Vec::new() };
    let (name, now) = (&root.name, seen.now);
    let mut said = Vec::new();
    for (place, validity) in validities(root) {
        let start = validity["start"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if let Some(start) = start.filter(|start| *start > now) {
            let fix = "set the clock of this machine, or wait: timedatectl set-ntp true";
            said.push(Said::problem(format!("{name}: {place}.start is {start}, which is to come"), fix));
        }
    }
    for list in ["tlogs", "certificateAuthorities", "timestampAuthorities"] {
        let members = root.list(list);
        let holds = |member: &Value| {
            let validity =
                if list == "tlogs" { &member["publicKey"]["validFor"] } else { &member["validFor"] };
            in_force(validity, now)
        };
        if !members.is_empty() && said.is_empty() && !members.iter().any(holds) {
            said.push(Said::problem(format!("{name}: none of {list} is in force now, {now}"), anew(seen)));
        }
    }
    Said::or_well(said, || format!("{name}: a key of each kind is in force"))
}

fn log_ids(seen: &Seen) -> Vec<Said> {
    let Some(root) = seen.root.as_ref().filter(|root| root.value.is_object()) else { return Vec::new() };
    let mut said = Vec::new();
    for list in ["tlogs", "ctlogs"] {
        for (at, log) in root.list(list).iter().enumerate() {
            let Some(spki) =
                log["publicKey"]["rawBytes"].as_str().and_then(|text| STANDARD.decode(text).ok())
            else {
                continue;
            };
            // By the hash of the key, or with the name in it: which, the key of a log does not tell.
            let Hash(by_key) = sha256(&spki);
            let Some(host) = log["baseUrl"].as_str().and_then(host) else { continue };
            let named = Verifier::from_spki(&host, &spki).ok();
            let named = named.map(|key| STANDARD.encode(key.log_id().0));
            let allowed = [Some(STANDARD.encode(by_key)), named.filter(|_| list == "tlogs")];
            for member in ["logId", "checkpointKeyId"] {
                let id = log[member]["keyId"].as_str();
                if member == "checkpointKeyId" && id.is_none()
                    || allowed.iter().flatten().any(|one| Some(one.as_str()) == id)
                {
                    continue;
                }
                let expected: Vec<_> = allowed.iter().flatten().map(String::as_str).collect();
                let (id, expected) = (id.unwrap_or("missing"), expected.join(" or "));
                let seen_here = format!(
                    "{}: {list}[{at}].{member}.keyId is {id}, its key and host give {expected}",
                    root.name
                );
                said.push(Said::problem(seen_here, anew(seen)));
            }
        }
    }
    Said::or_well(said, || format!("{}: the ID of every log is that of its key", root.name))
}

fn base_urls(seen: &Seen) -> Vec<Said> {
    let Some(root) = seen.root.as_ref().filter(|root| !root.list("tlogs").is_empty()) else {
        return Vec::new();
    };
    let wrong = root
        .list("tlogs")
        .iter()
        .enumerate()
        .filter(|(_, log)| log["baseUrl"].as_str().and_then(host).is_none());
    let said = wrong.map(|(at, log)| {
        let seen_here = format!(
            "{}: tlogs[{at}].baseUrl is {}, a URL with scheme and host was expected",
            root.name, log["baseUrl"]
        );
        Said::problem(seen_here, anew(seen))
    });
    Said::or_well(said.collect(), || format!("{}: the URL of every log has a scheme and a host", root.name))
}

fn chains(seen: &Seen) -> Vec<Said> {
    let Some(root) = seen.root.as_ref().filter(|root| root.value.is_object()) else { return Vec::new() };
    let mut said = Vec::new();
    for list in LISTS {
        if !root.value[list].is_array() {
            let fix = format!("add {list:?}: [] to {}", root.name);
            said.push(Said::problem(format!("{}: {list} is missing", root.name), fix));
        }
    }
    for (at, authority) in root.list("timestampAuthorities").iter().enumerate() {
        let held = held(authority);
        if held < 2 {
            let seen_here = format!(
                "{}: timestampAuthorities[{at}].certChain has {held} certificates, 2 are needed",
                root.name
            );
            said.push(Said::problem(seen_here, anew(seen)));
        }
    }
    Said::or_well(said, || format!("{}: all lists are there, and chains lead to a root", root.name))
}

/// How many certificates an authority's chain has.
fn held(authority: &Value) -> usize {
    authority["certChain"]["certificates"].as_array().map_or(0, Vec::len)
}

fn certificates_end(seen: &Seen) -> Vec<Said> {
    let Some(root) = &seen.root else { return Vec::new() };
    let (name, now) = (&root.name, seen.now);
    let mut said = Vec::new();
    let mut earliest: Option<Timestamp> = None;
    for (list, whose) in [("certificateAuthorities", "ca"), ("timestampAuthorities", "tsa")] {
        let in_force = root.list(list).iter().filter(|authority| in_force(&authority["validFor"], now));
        let ends = in_force.filter_map(|authority| {
            let chain = authority["certChain"]["certificates"].as_array()?;
            let ders = chain.iter().filter_map(|one| STANDARD.decode(one["rawBytes"].as_str()?).ok());
            ders.filter_map(|der| Facts::of(&der).ok()).min_by_key(|facts| facts.ends)
        });
        // The one that lasts longest is the one that others will have to follow.
        let Some(last) = ends.max_by_key(|facts| facts.ends) else { continue };
        earliest = Some(earliest.map_or(last.ends, |earliest| earliest.min(last.ends)));
        if last.ends.duration_since(now) < SOON {
            let verb = if last.ends < now { "ended" } else { "ends" };
            let seen_here =
                format!("{name}: {list}: {} {verb} {}, and none follows it", last.subject, last.ends);
            let fix = match home(seen) {
                Some(home) => format!("bulla trust rotate {whose} --data {home}"),
                None => format!("where the server is: bulla trust rotate {whose} --data DIR"),
            };
            said.push(Said::problem(seen_here, fix));
        }
    }
    let Some(earliest) = earliest else { return said };
    Said::or_well(said, || format!("{name}: the first certificate that none follows ends {earliest}"))
}

fn up_to_date(seen: &Seen) -> Vec<Said> {
    let (Some(root), Some(served)) = (&seen.root, &seen.handed_out) else { return Vec::new() };
    if root.name == served.name || !root.value.is_object() || !served.value.is_object() {
        return Vec::new();
    }
    let mut lacking = Vec::new();
    for (list, pointer) in [
        ("tlogs", "/publicKey/rawBytes"),
        ("ctlogs", "/publicKey/rawBytes"),
        ("certificateAuthorities", "/certChain/certificates/0/rawBytes"),
        ("timestampAuthorities", "/certChain/certificates/0/rawBytes"),
    ] {
        let keys = |document: &Document| -> BTreeSet<String> {
            let members = document.list(list).iter();
            members.filter_map(|member| member.pointer(pointer)?.as_str().map(str::to_owned)).collect()
        };
        let missing = keys(served).difference(&keys(root)).count();
        if missing > 0 {
            lacking.push(format!("{missing} of {list}"));
        }
    }
    if lacking.is_empty() {
        return vec![Said::well(format!("{} has every key that {} has", root.name, served.name))];
    }
    vec![Said::problem(
        format!("{} lacks {}, which {} has", root.name, lacking.join(", "), served.name),
        anew(seen),
    )]
}

fn signing_config(seen: &Seen) -> Vec<Said> {
    let Some(config) = &seen.config else { return Vec::new() };
    let name = &config.name;
    let printed = configured(seen);
    let media_type = config.value["mediaType"].as_str().unwrap_or_default();
    if let Err(problem) = &config.bytes {
        return vec![Said::problem(problem.as_str(), printed)];
    }
    if media_type != SIGNING_CONFIG {
        return vec![Said::problem(
            format!("{name}: mediaType is {media_type:?}, {SIGNING_CONFIG:?} was expected"),
            printed,
        )];
    }
    let mut said = Vec::new();
    let usable = |list: &str, versions: &[u64]| {
        config.list(list).iter().any(|service| {
            let version = service["majorApiVersion"].as_u64().unwrap_or_default();
            versions.contains(&version) && in_force(&service["validFor"], seen.now)
        })
    };
    for (list, versions) in
        [("caUrls", &[1][..]), ("oidcUrls", &[1]), ("rekorTlogUrls", &[1, 2]), ("tsaUrls", &[1])]
    {
        if !config.list(list).is_empty() && !usable(list, versions) {
            let seen_here = format!(
                "{name}: none of {list} is in force now, {}, with a version that clients know",
                seen.now
            );
            said.push(Said::problem(seen_here, printed.clone()));
        }
    }
    if usable("rekorTlogUrls", &[2]) && !usable("tsaUrls", &[1]) && usable("caUrls", &[1]) {
        let seen_here = format!(
            "{name}: the log is spoken with in version 2, whose entries have no time, and there is no timestamp authority"
        );
        said.push(Said::problem(
            seen_here,
            "run the timestamp authority too (bulla up), or list the log with majorApiVersion 1 alone",
        ));
    }
    Said::or_well(said, || format!("{name}: every kind of service that it lists can be used now"))
}

const LISTS: [&str; 4] = ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"];
const SIGNING_CONFIG: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
/// As long before the end as a server warns of it.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
