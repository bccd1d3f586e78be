//! Authorities for certificates and timestamps, and issuers of tokens, beside each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::pki::pem;
use serde_json::Value;

use super::mend::another_server;
use super::probe::{Probe, passing, sent_on};
use super::seen::{Document, Issuer, Seen, Tsa, Unstamped};
use super::{Check, Said};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "ca", why: "without it nobody signs but with a key", look: ca_reachable },
    Check {
        name: "ca-trust",
        why: "certificates are believed only under a root that clients have",
        look: ca_trust,
    },
    Check {
        name: "tsa",
        why: "without a time, what is signed with a certificate cannot be verified after ten minutes",
        look: tsa_reachable,
    },
    Check {
        name: "tsa-trust",
        why: "timestamps are believed only under a root that clients have",
        look: tsa_trust,
    },
    Check {
        name: "oidc",
        why: "people sign in there, and the certificate authority fetches its keys",
        look: issuer_reachable,
    },
    Check {
        name: "oidc-issuer",
        why: "issuers are compared byte by byte, a slash at the end makes another",
        look: issuer_name,
    },
];

fn ca_reachable(seen: &Seen) -> Vec<Said> {
    seen.cas.iter().map(|ca| ca.bundle.judged("certificate authority", &[200])).collect()
}

fn tsa_reachable(seen: &Seen) -> Vec<Said> {
    let judged = |tsa: &Tsa| {
        // Where the chain is, and whether it is handed out at all, is everybody's own affair.
        let said = tsa.chain.judged("timestamp authority", &[200, 404, 405]);
        let passing = tsa.chain.result.as_ref().map_or(true, |answer| passing(answer.status));
        match &tsa.stamped {
            // Of a server that cannot be reached, more is known than that there is no timestamp.
            Err(_) if passing => said,
            Err(Unstamped::Passing(problem)) => {
                Said::unknown(problem.as_str(), "look at what the server logs, and ask again")
            }
            Err(Unstamped::Moved(status, to)) => Said::problem(
                sent_on("timestamp authority", &tsa.url, *status, to),
                format!("use that URL: write {to} in tsaUrls, as clients need not follow"),
            ),
            Err(Unstamped::Never(problem)) => {
                let fix = "name the whole URL that requests are posted to, such as https://HOST/api/v1/timestamp, in tsaUrls";
                Said::problem(problem.as_str(), fix)
            }
            Ok(_) => Said::well(format!("timestamp authority {} gives timestamps", tsa.url)),
        }
    };
    seen.tsas.iter().map(judged).collect()
}

fn issuer_reachable(seen: &Seen) -> Vec<Said> {
    let judged = |issuer: &Issuer| {
        let said = vec![issuer.discovery.judged("issuer", &[200])];
        match &issuer.keys {
            Some(keys) if keys.body().is_none() => vec![keys.judged("keys of the issuer", &[200])],
            _ => said,
        }
    };
    seen.issuers.iter().flat_map(judged).collect()
}

/// The certificates of all members of a list, DER.
fn believed(root: &Document, list: &str) -> Vec<Vec<u8>> {
    let members = root.list(list).iter();
    let chains = members.filter_map(|authority| authority["certChain"]["certificates"].as_array()).flatten();
    chains.filter_map(|one| STANDARD.decode(one["rawBytes"].as_str()?).ok()).collect()
}

/// Certificates in PEM, DER.
fn in_pem(text: &str) -> Vec<Vec<u8>> {
    let blocks = pem::read(text.as_bytes(), MOST_CERTIFICATES).unwrap_or_default();
    blocks.into_iter().filter(|block| block.label == "CERTIFICATE").map(|block| block.der).collect()
}

fn ca_trust(seen: &Seen) -> Vec<Said> {
    let Some(root) = seen.root.as_ref().filter(|root| root.value.is_object()) else { return Vec::new() };
    let known = believed(root, "certificateAuthorities");
    let judged = |bundle: &Probe| {
        let document = bundle.json()?;
        let chains = document["chains"].as_array()?;
        let certificates = |chain: &Value| chain["certificates"].as_array().cloned().unwrap_or_default();
        let own: Vec<_> =
            chains.iter().flat_map(certificates).filter_map(|one| in_pem(one.as_str()?).pop()).collect();
        Some(trusted(seen, root, &bundle.url, &own, &known, "certificateAuthorities"))
    };
    seen.cas.iter().filter_map(|ca| judged(&ca.bundle)).collect()
}

fn tsa_trust(seen: &Seen) -> Vec<Said> {
    let Some(root) = seen.root.as_ref().filter(|root| root.value.is_object()) else { return Vec::new() };
    let known = believed(root, "timestampAuthorities");
    let judged = |tsa: &Tsa| {
        let own = in_pem(tsa.chain.text()?);
        Some(trusted(seen, root, &tsa.chain.url, &own, &known, "timestampAuthorities"))
    };
    seen.tsas.iter().filter_map(judged).collect()
}

fn trusted(seen: &Seen, root: &Document, url: &str, own: &[Vec<u8>], known: &[Vec<u8>], list: &str) -> Said {
    if own.iter().any(|certificate| known.contains(certificate)) {
        return Said::well(format!("{url} is under {list} of {}", root.name));
    }
    Said::problem(
        format!("{url}: none of its {} certificates is among {list} of {}", own.len(), root.name),
        another_server(seen, url),
    )
}

/// What the certificate authorities say of issuers.
pub(super) fn accepted(seen: &Seen) -> Vec<Value> {
    let lists = seen.cas.iter().filter_map(|ca| ca.configuration.json());
    lists.filter_map(|list| list["issuers"].as_array().cloned()).flatten().collect()
}

/// The entry that an issuer's tokens are judged by.
pub(super) fn entry_of<'a>(accepted: &'a [Value], issuer: &str) -> Option<&'a Value> {
    accepted.iter().find(|entry| {
        let wildcard = entry["wildcardIssuerUrl"].as_str().is_some_and(|pattern| {
            pattern
                .split_once('*')
                .is_some_and(|(before, after)| issuer.starts_with(before) && issuer.ends_with(after))
        });
        entry["issuerUrl"].as_str() == Some(issuer) || wildcard
    })
}

fn issuer_name(seen: &Seen) -> Vec<Said> {
    let accepted = accepted(seen);
    let judged = |issuer: &Issuer| {
        let document = issuer.discovery.json()?;
        let said = document["issuer"].as_str()?;
        let named = &issuer.url;
        let slash = if said.trim_end_matches('/') == named.trim_end_matches('/') {
            ": only the slash at the end differs"
        } else {
            ""
        };
        if said != named {
            let file =
                seen.config.as_ref().map_or("the signing configuration", |config| config.name.as_str());
            let seen_here =
                format!("{file} names the issuer {named:?}, it says of itself that it is {said:?}{slash}");
            return Some(Said::problem(
                seen_here,
                format!(
                    "write {said:?} in oidcUrls of {file}, and start the server with --oidc-issuer {said}"
                ),
            ));
        }
        if accepted.is_empty() || entry_of(&accepted, said).is_some() {
            return Some(Said::well(format!(
                "the issuer is {said} to itself, to clients and to the certificate authority"
            )));
        }
        let known: Vec<_> = accepted.iter().filter_map(|entry| entry["issuerUrl"].as_str()).collect();
        let same = known.iter().any(|known| known.trim_end_matches('/') == said.trim_end_matches('/'));
        let slash = if same { ": only the slash at the end differs" } else { "" };
        let seen_here = format!(
            "the issuer says of itself that it is {said:?}, the certificate authority accepts {}{slash}",
            known.join(", ")
        );
        Some(Said::problem(seen_here, format!("start the certificate authority with --oidc-issuer {said}")))
    };
    seen.issuers.iter().filter_map(judged).collect()
}

/// In one chain.
const MOST_CERTIFICATES: usize = 16;
