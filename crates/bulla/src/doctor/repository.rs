//! The repository that hands out trust files (TUF), and what this machine remembers of one.

use bulla_tlog::sha256;
use jiff::Timestamp;
use serde_json::Value;

use super::mend::{anew, home};
use super::probe::Probe;
use super::seen::Seen;
use super::{Check, Said, Standing};
use crate::text::hex;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "tuf",
        why: "cosign and sigstore-python fetch whom to believe from there at every run",
        look: reachable,
    },
    Check {
        name: "tuf-fresh",
        why: "clients refuse a repository whose metadata is past its end, and then neither sign nor verify",
        look: fresh,
    },
    Check {
        name: "tuf-cache",
        why: "cosign believes the repository that it was initialized with, and refuses to go back to older files",
        look: cache,
    },
    Check {
        name: "tuf-targets",
        why: "clients of the repository believe what lies there, not the file that you look at",
        look: targets,
    },
];

/// What cosign goes by on this machine, once it was initialized.
fn cache(seen: &Seen) -> Vec<Said> {
    let Some(repository) = seen.repository.as_ref().filter(|it| signed(&it.timestamp).is_some()) else {
        return Vec::new();
    };
    let Some(remembered) = &repository.remembered else { return Vec::new() };
    let (dir, base) = (remembered.dir.display(), &repository.base);
    let again = format!("cosign initialize --mirror {base} --root {base}/1.root.json");
    if remembered.mirror != *base {
        let seen_here = format!("{dir}: cosign asks {}, the repository here is {base}", remembered.mirror);
        return vec![Said::problem(seen_here, again)];
    }
    let served = signed(&repository.timestamp).and_then(|document| document["version"].as_u64());
    if let (Some(served), Some(seen_before)) = (served, remembered.version)
        && served < seen_before
    {
        let url = &repository.timestamp.url;
        let seen_here = format!(
            "{url} has version {served}, {dir} has seen version {seen_before}: an old copy is served"
        );
        return vec![Said::problem(
            seen_here,
            format!("serve the newest copy; or, if the repository was made anew: {again}"),
        )];
    }
    vec![Said::well(format!("{dir}: cosign asks this repository"))]
}

fn reachable(seen: &Seen) -> Vec<Said> {
    let Some(repository) = &seen.repository else { return Vec::new() };
    let speechless = seen.server.as_ref().is_some_and(|said| said.standing != Standing::Well);
    let lacking = repository.timestamp.result.as_ref().map_or(true, |answer| answer.status == 404);
    if !repository.named && (speechless || lacking) {
        // A log alone has none; and of a server that does not answer another check speaks.
        return Vec::new();
    }
    vec![repository.timestamp.judged("trust repository", &[200])]
}

fn signed(probe: &Probe) -> Option<Value> {
    Some(probe.json()?["signed"].clone()).filter(Value::is_object)
}

fn fresh(seen: &Seen) -> Vec<Said> {
    let Some(repository) = &seen.repository else { return Vec::new() };
    let mut said = Vec::new();
    let mut first: Option<Timestamp> = None;
    for probe in std::iter::once(&repository.timestamp).chain(&repository.below) {
        let Some(document) = signed(probe) else { continue };
        let role = document["_type"].as_str().unwrap_or("file").to_owned();
        let Some(ends) = document["expires"].as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
            continue;
        };
        first = Some(first.map_or(ends, |first| first.min(ends)));
        if ends > seen.now {
            continue;
        }
        let fix = match (role.as_str(), home(seen)) {
            ("root", Some(home)) => format!("bulla trust rotate tuf --data {home}"),
            ("root", None) => "where the server is: bulla trust rotate tuf --data DIR".to_owned(),
            (_, home) => format!(
                "start the server, which signs it anew by itself: bulla up --data {}; where a copy is served, copy it again",
                home.as_deref().unwrap_or("DIR")
            ),
        };
        said.push(Said::problem(format!("{}: the {role} was good until {ends}", probe.url), fix));
    }
    let Some(first) = first else { return said };
    Said::or_well(said, || {
        format!("{}: the first file to be signed anew is good until {first}", repository.timestamp.url)
    })
}

fn targets(seen: &Seen) -> Vec<Said> {
    let (Some(repository), Some(root)) = (&seen.repository, &seen.root) else { return Vec::new() };
    let listed = repository.below.iter().filter_map(signed).find(|document| document["_type"] == "targets");
    let (Some(listed), Ok(bytes)) = (listed, &root.bytes) else { return Vec::new() };
    let target = &listed["targets"]["trusted_root.json"]["hashes"]["sha256"];
    let Some(expected) = target.as_str() else {
        let seen_here = format!("{}: trusted_root.json is not among the targets", repository.timestamp.url);
        return vec![Said::problem(
            seen_here,
            "add the target trusted_root.json to the repository, as bulla up does",
        )];
    };
    let own = hex(&sha256(bytes).0);
    if own == expected {
        return vec![Said::well(format!("{} is the file that the repository hands out", root.name))];
    }
    // An own file may say more; what the server itself says must not differ.
    let from_server = seen.handed_out.as_ref().is_some_and(|served| served.name == root.name);
    if !from_server {
        return Vec::new();
    }
    let seen_here = format!("{}: its SHA-256 is {own}, the repository hands out {expected}", root.name);
    let fix = match home(seen) {
        Some(home) => format!(
            "bulla up --data {home} # at its start it puts the file that it serves into the repository"
        ),
        None => anew(seen),
    };
    vec![Said::problem(seen_here, fix)]
}
