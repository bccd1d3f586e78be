//! The time here, and what the servers say.

use jiff::SignedDuration;

use super::seen::Seen;
use super::{Check, Said};

pub(super) const CHECKS: &[Check] = &[Check {
    name: "clock",
    why: "certificates hold for ten minutes and tokens begin when they are issued: clocks that differ refuse both",
    look: clocks,
}];

fn clocks(seen: &Seen) -> Vec<Said> {
    let mut said = Vec::new();
    let (mut most, mut all) = (SignedDuration::ZERO, 0);
    let mut hosts = Vec::new();
    let host = |url: &str| reqwest::Url::parse(url).map(|url| url.authority().to_owned()).unwrap_or_default();
    let headers = seen.probes().filter_map(|probe| {
        Some((host(&probe.url), probe.result.as_ref().ok().and_then(|answer| answer.clocks)?))
    });
    // The authority's own, which need not be that of what stands before it.
    let stamps = seen.tsas.iter().filter_map(|tsa| {
        Some((format!("the timestamp authority {}", host(&tsa.url)), *tsa.stamped.as_ref().ok()?.as_ref()?))
    });
    for (host, (there, here)) in headers.chain(stamps) {
        if hosts.contains(&host) {
            continue;
        }
        hosts.push(host.clone());
        all += 1;
        let skew = there.duration_since(here);
        if skew.abs() > most.abs() {
            most = skew;
        }
        if skew.abs() > ALLOWED {
            let which = if skew.is_positive() { "ahead of" } else { "behind" };
            let seconds = skew.abs().as_secs();
            let seen_here =
                format!("the clock of {host} is {seconds} s {which} ours ({there:.0} there, {here:.0} here)");
            said.push(Said::problem(
                seen_here,
                "timedatectl set-ntp true # on the machine whose clock is wrong",
            ));
        }
    }
    if all == 0 {
        return said;
    }
    let most = most.abs().as_secs();
    Said::or_well(said, || {
        format!("clocks here and at {} differ by less than {} s", hosts.join(", "), most + 1)
    })
}

/// The header has seconds, and an answer takes its time.
const ALLOWED: SignedDuration = SignedDuration::from_secs(30);
