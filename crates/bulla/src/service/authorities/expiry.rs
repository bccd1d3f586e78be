//! When the certificates that clients believe end: a gauge for each, a warning while there is time to act, an error after that.

use std::path::Path;
use std::time::{Duration, Instant};

use bulla_authority::ca::Facts;
use bulla_authority::tuf::ceremony;
use jiff::{SignedDuration, Timestamp};

use super::files::{self, CA, TSA};
use super::staged::CHAIN;
use crate::command::Failure;

/// When an authority can no longer be believed unless somebody does something.
pub(super) struct Expiry {
    /// `ca`, `tsa`, `root` or `tuf-root`.
    pub(super) authority: &'static str,
    /// When the first of its certificates ends.
    pub(super) ends: Timestamp,
    /// Whose certificate that is.
    first: &'static str,
}

/// How it stands with an authority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Good,
    Soon,
    Over,
}

/// Long enough to find whoever holds a root's key.
pub(super) const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How often the certificates are looked at.
const EVERY: Duration = Duration::from_mins(10);
/// How often the same is said.
const REPEATED: Duration = Duration::from_hours(24);

/// Those in a data directory, as far as they are there.
pub(super) fn all(data: &Path) -> Result<Vec<Expiry>, Failure> {
    let mut all = Vec::new();
    for (authority, path) in [
        ("ca", data.join(CA.dir).join(CHAIN)),
        ("tsa", data.join(TSA.dir).join(CHAIN)),
        ("root", data.join("root.pem")),
    ] {
        if path.exists() {
            let failed = |problem: String| Failure::usage(format!("{}: {problem}", path.display()));
            let mut chain = Vec::new();
            for certificate in files::certificates(&path)? {
                chain.push(Facts::of(&certificate).map_err(failed)?.ends);
            }
            let root = chain.pop().unwrap_or(Timestamp::MAX);
            let below = chain.into_iter().min().filter(|ends| *ends < root);
            let first = if below.is_some() { authority } else { "root" };
            all.push(Expiry { authority, ends: below.unwrap_or(root), first });
        }
    }
    let root = ceremony::current(&data.join("tuf/repository")).map_err(Failure::usage)?;
    all.extend(root.map(|root| Expiry { authority: "tuf-root", ends: root.expires, first: "tuf-root" }));
    Ok(all)
}

/// Looks at them as long as the task runs, from now on.
pub(super) async fn watch(data: &Path) {
    let mut looks = tokio::time::interval(EVERY);
    let mut said: Option<Instant> = None;
    loop {
        looks.tick().await;
        let is_time = said.is_none_or(|said| said.elapsed() >= REPEATED);
        look(data, is_time);
        if is_time {
            said = Some(Instant::now());
        }
    }
}

/// Measures them, and says what is to be said if it is time for that.
pub(super) fn look(data: &Path, say: bool) {
    let now = Timestamp::now();
    let all = match all(data) {
        Ok(all) => all,
        Err(failure) => return tracing::warn!(%failure, "cannot see when the certificates end"),
    };
    for Expiry { authority, ends, first } in all {
        let left = ends.duration_since(now).as_secs_f64();
        metrics::gauge!("bulla_authority_expires_seconds", "authority" => authority).set(left);
        let mend = mend(first);
        match standing(ends, now) {
            Standing::Soon if say => tracing::warn!(authority, %ends, "expires soon: {mend}"),
            Standing::Over if say => tracing::error!(authority, %ends, "has expired: {mend}"),
            _ => {}
        }
    }
}

fn standing(ends: Timestamp, now: Timestamp) -> Standing {
    match ends.duration_since(now) {
        left if left <= SignedDuration::ZERO => Standing::Over,
        left if left < SOON => Standing::Soon,
        _ => Standing::Good,
    }
}

/// What to do about it.
fn mend(authority: &str) -> &'static str {
    match authority {
        "ca" => "make a new one with `bulla trust rotate ca`",
        "tsa" => "make a new one with `bulla trust rotate tsa`",
        "root" => "make a new one with `bulla trust rotate root`",
        _ => "sign a new root of the trust repository, beginning with `bulla trust init`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_not_soon_over() {
        let now: Timestamp = "2026-01-31T00:00:00Z".parse().expect("a time");
        for (ends, expected) in [
            ("2026-03-02T00:00:00Z", Standing::Good),
            ("2026-03-01T23:59:59Z", Standing::Soon),
            ("2026-01-31T00:00:01Z", Standing::Soon),
            ("2026-01-31T00:00:00Z", Standing::Over),
            ("2025-01-31T00:00:00Z", Standing::Over),
        ] {
            assert_eq!(standing(ends.parse().expect("a time"), now), expected, "{ends}");
        }
    }
}
