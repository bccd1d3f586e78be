//! Logs beside the trusted root: whether they answer, sign under the expected name, and with a key that clients have.

use bulla_claims::keys::public_key_pem;
use bulla_rekor::client::v1::LogKey;
use bulla_tlog::checkpoint::Checkpoint;
use bulla_tlog::note::{Note, Verifier};
use bulla_tlog::sha256;
use serde_json::Value;

use super::mend::{anew, another_server};
use super::seen::{Log, Seen};
use super::trust::log_keys;
use super::{Check, Said};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "server", why: "clients fetch from it whom to believe and where to sign", look: server },
    Check {
        name: "log",
        why: "without its log nobody signs; what is signed can still be verified",
        look: reachable,
    },
    Check {
        name: "log-name",
        why: "clients look for the host in the log's baseUrl in its checkpoints: under another name they are nobody's",
        look: name,
    },
    Check {
        name: "log-key",
        why: "what the log signs is believed only by the key in the trusted root",
        look: key,
    },
];

fn server(seen: &Seen) -> Vec<Said> {
    seen.server.iter().cloned().collect()
}

fn reachable(seen: &Seen) -> Vec<Said> {
    let judged = |log: &Log| {
        let said = log.head.judged("log", &[200]);
        let talks = log.head.body().is_none() || text_of(log).is_some();
        if talks {
            return said;
        }
        let seen_here = format!("log: {} answers what is no checkpoint", log.head.url);
        Said::problem(
            seen_here,
            "name the base URL of the log, without a path such as /api, and the right port",
        )
    };
    seen.logs.iter().map(judged).collect()
}

/// The signed head.
fn text_of(log: &Log) -> Option<String> {
    let text = match log.api {
        1 => log.head.json()?["signedTreeHead"].as_str()?.to_owned(),
        _ => log.head.text()?.to_owned(),
    };
    Note::parse(&text).is_ok().then_some(text)
}

/// What a log calls itself in its first line, and under its signatures.
fn names(text: &str) -> Option<(String, Vec<String>)> {
    let note = Note::parse(text).ok()?;
    let origin = note.text.lines().next()?.to_owned();
    Some((origin, note.signatures.iter().map(|line| line.name.clone()).collect()))
}

/// Whether a key signed the head of a log, under whatever name.
fn signed_by(log: &Log, text: &str, signers: &[String], spki: &[u8]) -> bool {
    match log.api {
        1 => LogKey::from_pem(&public_key_pem(spki)).is_ok_and(|key| key.open(text).is_ok()),
        _ => signers.iter().any(|name| {
            Verifier::from_spki(name, spki).is_ok_and(|key| Checkpoint::open(text, &key).is_ok())
        }),
    }
}

fn name(seen: &Seen) -> Vec<Said> {
    let Some(root) = &seen.root else { return Vec::new() };
    let keys: Vec<_> = log_keys(root).collect();
    let judged = |log: &Log| {
        let text = text_of(log)?;
        let (origin, signers) = names(&text)?;
        let tree =
            origin.rsplit_once(" - ").filter(|(_, tree)| tree.bytes().all(|digit| digit.is_ascii_digit()));
        let expected = if log.api == 1 { "\"HOST - TREEID\"" } else { "a host name" };
        let host = match (log.api, tree) {
            (1, Some((host, _))) => host,
            (2, None) => origin.as_str(),
            _ => {
                let seen_here =
                    format!("{}: the first line is {origin:?}, clients expect {expected}", log.head.url);
                return Some(Said::problem(
                    seen_here,
                    "start the log under the host name of its URL: bulla serve --origin HOST",
                ));
            }
        };
        // That of the log whose key it is; if it is nobody's, which another check says, any.
        let whose = keys.iter().find(|(.., spki)| signed_by(log, &text, &signers, spki));
        let hosts: Vec<_> = match whose {
            Some((_, host, _)) => host.iter().map(String::as_str).collect(),
            None => keys.iter().filter_map(|(_, host, _)| host.as_deref()).collect(),
        };
        if hosts.is_empty() || hosts.contains(&host) {
            return Some(Said::well(format!("{} signs as {host}", log.url)));
        }
        let seen_here = format!(
            "{} signs as {host:?}, in {} its baseUrl has the host {}",
            log.url,
            root.name,
            hosts.join(", ")
        );
        Some(Said::problem(seen_here, anew(seen)))
    };
    seen.logs.iter().filter_map(judged).collect()
}

fn key(seen: &Seen) -> Vec<Said> {
    let Some(root) = seen.root.as_ref().filter(|root| root.value["tlogs"].is_array()) else {
        return Vec::new();
    };
    let keys: Vec<_> = log_keys(root).collect();
    let judged = |log: &Log| {
        let text = text_of(log)?;
        let (_, signers) = names(&text)?;
        let place = &log.head.url;
        if let Some((at, ..)) = keys.iter().find(|(.., spki)| signed_by(log, &text, &signers, spki)) {
            return Some(Said::well(format!("{place} is signed by the key of tlogs[{at}]")));
        }
        let ids: Vec<_> = keys.iter().map(|(.., spki)| sha256(spki).to_string()).collect();
        let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        let own = own_key(seen, log).map(|own| format!("; the server hands out {own}")).unwrap_or_default();
        let seen_here =
            format!("{place} is signed by none of the keys in {} (by their SHA-256: {ids}){own}", root.name);
        Some(Said::problem(seen_here, another_server(seen, &log.url)))
    };
    seen.logs.iter().filter_map(judged).collect()
}

/// What the server hands out for this log, which need not be true.
fn own_key(seen: &Seen, log: &Log) -> Option<String> {
    let served = seen.handed_out.as_ref().filter(|_| seen.url.as_deref() == Some(&log.url))?;
    let keys: Vec<_> = log_keys(served).map(|(.., spki)| sha256(&spki).to_string()).collect();
    (served.value != Value::Null && !keys.is_empty()).then(|| keys.join(", "))
}
