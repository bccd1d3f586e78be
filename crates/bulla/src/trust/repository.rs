//! What a trust repository says: whom to believe, and where to sign. It is asked when it was not asked for an hour; if it does
//! not answer, what it said last counts until that ends. Metadata that has ended counts for nothing: who keeps an old list in
//! force would keep a stolen key in force.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tough::error::Error;
use tough::schema::RoleType;
use tough::{IntoVec as _, Limits, RepositoryLoader, TargetName, TransportErrorKind};

use super::Pinned;
use super::fetch::{Fetch, NoAnswer, TIMESTAMP};
use super::pinned::LARGEST_ROOT;
use crate::command::Failure;
use crate::known::{lock, replace};

/// The target that says whom to believe.
pub(crate) const TRUSTED_ROOT: &str = "trusted_root.json";
/// The target that says where to sign.
pub(crate) const SIGNING_CONFIG: &str = "signing_config.v0.2.json";

/// Whether a repository may be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Network {
    /// If what is cached is older than an hour.
    IfNeeded,
    /// In any case.
    Always,
    /// No socket is opened.
    Never,
}

/// What a repository says.
#[derive(Debug)]
pub(crate) struct Found {
    /// The target that was asked for.
    pub(crate) bytes: Vec<u8>,
    /// Versions of its root, and of its list of targets.
    pub(crate) versions: (u64, u64),
    /// When the first part of it ends.
    pub(crate) expires: Timestamp,
    /// What should be known: that it was not asked.
    pub(crate) note: Option<String>,
}

/// Why it says nothing that counts.
#[derive(Debug)]
enum Problem {
    /// Nobody answers.
    Silent(String),
    /// A file is not there.
    Absent(String),
    /// A part of it has ended.
    Ended(RoleType),
    /// It is not signed as it must be, or older than what was seen.
    Wrong(String),
}

impl Pinned {
    /// A target of it, as the repository says now or, if it need not or cannot be asked, as it said last.
    pub(crate) async fn target(
        &self,
        name: &str,
        network: Network,
        now: Timestamp,
    ) -> Result<Found, Failure> {
        let cache = self.cache()?;
        let asked = fs::read_to_string(cache.join(ASKED)).ok().and_then(|text| text.trim().parse().ok());
        let is_fresh = |asked: Timestamp| asked <= now && now.duration_since(asked) < FRESH;
        if network == Network::Never || (network == Network::IfNeeded && asked.is_some_and(is_fresh)) {
            let fetch = Fetch::cache(&self.url, &cache);
            match self.load(&fetch, None, name).await {
                Ok(found) => return Ok(found),
                Err(problem) if network == Network::Never => return Err(self.cached(&problem, &fetch)),
                Err(_) => {}
            }
        }
        let fetch = Fetch::server(&self.url).map_err(Failure::unavailable)?;
        let locked = |error: std::io::Error| Failure::file(&cache, &error);
        let seen = cache.join("seen");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&seen).map_err(locked)?;
        let _lock = lock(&cache.join("lock")).map_err(locked)?;
        let problem = match self.load(&fetch, Some(&seen), name).await {
            Ok(found) => {
                fetch.keep(&cache).map_err(locked)?;
                replace(&cache.join(ASKED), now.to_string().as_bytes()).map_err(locked)?;
                return Ok(found);
            }
            Err(problem) => problem,
        };
        if let Problem::Silent(silent) = &problem
            && network == Network::IfNeeded
            && let Ok(found) = self.load(&Fetch::cache(&self.url, &cache), None, name).await
        {
            let asked = asked.map_or_else(String::new, |asked| format!(" of {asked}"));
            let note = format!("{silent}: what it said last{asked} counts until {}", found.expires);
            return Ok(Found { note: Some(note), ..found });
        }
        Err(self.asked(problem, &fetch))
    }

    async fn load(&self, fetch: &Fetch, seen: Option<&Path>, name: &str) -> Result<Found, Problem> {
        let targets = self.url.join("targets/").map_err(|error| Problem::Wrong(error.to_string()))?;
        let limits =
            Limits { max_root_size: LARGEST_ROOT, max_root_updates: MOST_ROOTS, ..Limits::default() };
        let mut loader = RepositoryLoader::new(&self.root, self.url.clone(), targets)
            .transport(fetch.clone())
            .limits(limits);
        if let Some(seen) = seen {
            loader = loader.datastore(seen);
        }
        let repository = loader.load().await.map_err(problem)?;
        let mut wanted = None;
        // All of them, so that the other is in the cache too.
        for target in [TRUSTED_ROOT, SIGNING_CONFIG] {
            let read = read(&repository, target).await;
            if target == name {
                wanted = Some(read?);
            }
        }
        let wanted = wanted.flatten().ok_or_else(|| Problem::Absent(format!("target {name}")))?;
        let (root, targets) = (&repository.root().signed, &repository.targets().signed);
        let ends = [root.expires, targets.expires, repository.snapshot().signed.expires];
        let expires = ends.into_iter().fold(repository.timestamp().signed.expires, Timestamp::min);
        Ok(Found {
            bytes: wanted,
            versions: (root.version.get(), targets.version.get()),
            expires,
            note: None,
        })
    }

    /// Why what is cached does not count.
    fn cached(&self, problem: &Problem, fetch: &Fetch) -> Failure {
        let url = &self.url;
        match problem {
            Problem::Absent(_) if fetch.file(TIMESTAMP).is_none() => Failure::unavailable(format!(
                "{url}: nothing of it is cached and with --offline it is not asked: run `bulla trust refresh` where there \
                 is a network, or name a trusted root with --trusted-root FILE"
            )),
            Problem::Ended(role) => Failure::unavailable(format!(
                "{url}: {} in the cache: run `bulla trust refresh` where there is a network, or name a trusted root that you \
                 answer for with --trusted-root FILE",
                ended(*role, fetch)
            )),
            Problem::Silent(said) | Problem::Absent(said) | Problem::Wrong(said) => Failure::check(format!(
                "{url}: what is cached is not believed: {said}: run `bulla trust refresh` where there is a network"
            )),
        }
    }

    /// Why what the server says does not count.
    fn asked(&self, problem: Problem, fetch: &Fetch) -> Failure {
        let url = &self.url;
        match problem {
            Problem::Silent(said) => Failure::unavailable(format!("{said}, and nothing in the cache counts")),
            Problem::Ended(role) => Failure::unavailable(format!(
                "{url}: {}: its owner must renew it; until then name a trusted root that you answer for with \
                 --trusted-root FILE",
                ended(role, fetch)
            )),
            Problem::Absent(said) => Failure::usage(format!(
                "{url}: {said} is not there: is that the address at which timestamp.json is?"
            )),
            Problem::Wrong(said) => Failure::check(format!("{url}: what it says is not believed: {said}")),
        }
    }
}

/// A target's bytes. None if the list has no such target.
async fn read(repository: &tough::Repository, name: &str) -> Result<Option<Vec<u8>>, Problem> {
    let name = TargetName::new(name).map_err(problem)?;
    match repository.read_target(&name).await.map_err(problem)? {
        Some(stream) => stream.into_vec().await.map(Some).map_err(problem),
        None => Ok(None),
    }
}

fn problem(error: Error) -> Problem {
    match error {
        Error::ExpiredMetadata { role, .. } => Problem::Ended(role),
        Error::Transport { url, source, .. } if source.kind() == TransportErrorKind::FileNotFound => {
            Problem::Absent(
                url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default().to_owned(),
            )
        }
        Error::Transport { url, source, .. } => match std::error::Error::source(&source) {
            Some(cause) if cause.is::<NoAnswer>() => Problem::Silent(format!("{url}: {cause}")),
            cause => Problem::Wrong(cause.map_or_else(|| source.to_string(), ToString::to_string)),
        },
        other => Problem::Wrong(other.to_string()),
    }
}

/// Which part has ended, and when.
fn ended(role: RoleType, fetch: &Fetch) -> String {
    let end = |bytes: Bytes| {
        let file: Value = serde_json::from_slice(&bytes).ok()?;
        file["signed"]["expires"].as_str()?.parse::<Timestamp>().ok()
    };
    let when = match role {
        RoleType::Timestamp => fetch.file(TIMESTAMP).and_then(end),
        _ => None,
    };
    let when = when.map_or_else(String::new, |when| format!(" at {when}"));
    format!("its {role} has expired{when}")
}

/// When it was last asked.
const ASKED: &str = "asked";
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// From the root that was given to the newest.
const MOST_ROOTS: u64 = 1024;
