//! The files of a trust repository, from its server or from the cache, for the client that judges them. What came from the
//! server is kept in memory until all of it was found good; only then it is cached, the timestamp last, since it is by the
//! timestamp that the others count.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulla_web::is_loopback;
use bytes::Bytes;
use futures_util::stream::iter;
use reqwest::{Client, StatusCode};
use tough::{Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

use crate::cause::innermost;
use crate::known::replace;

/// Files by their names from the repository's address on.
type Files = BTreeMap<String, Bytes>;

/// Where files are from.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    base: Url,
    from: From,
}

#[derive(Clone, Debug)]
enum From {
    Server(Client, Arc<Mutex<Files>>),
    Cache(PathBuf),
}

/// Why a server gave no answer; what is wrong with an answer is said by who judges it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoAnswer(String);

impl Fetch {
    /// From its server.
    pub(super) fn server(base: &Url) -> Result<Self, String> {
        let client = bulla_web::client();
        // No proxy leads to this machine.
        let is_here = base.host_str().is_some_and(is_loopback);
        let client = if is_here { client.no_proxy() } else { client };
        let client = client
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { base: base.clone(), from: From::Server(client, Arc::default()) })
    }

    /// From what is cached.
    pub(super) fn cache(base: &Url, dir: &Path) -> Self {
        Self { base: base.clone(), from: From::Cache(dir.to_owned()) }
    }

    /// What came so far, whether it is good or not.
    pub(super) fn file(&self, name: &str) -> Option<Bytes> {
        match &self.from {
            From::Server(_, files) => files.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned(),
            From::Cache(dir) => fs::read(dir.join(name)).ok().map(Bytes::from),
        }
    }

    /// Caches what came, all of which was found good.
    pub(super) fn keep(&self, dir: &Path) -> io::Result<()> {
        let From::Server(_, files) = &self.from else { return Ok(()) };
        let files = files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join("targets"))?;
        let (last, first): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| *name == TIMESTAMP);
        for (name, bytes) in first.into_iter().chain(last) {
            let path = dir.join(name);
            // What has its version or hash in its name is the same already.
            if fs::read(&path).is_ok_and(|there| there == *bytes) {
                continue;
            }
            replace(&path, bytes)?;
        }
        forget(dir, &files)
    }

    async fn bytes(&self, url: &Url) -> Result<Bytes, TransportError> {
        let name = url.as_str().strip_prefix(self.base.as_str()).filter(|name| is_plain(name));
        let absent = || TransportError::new(TransportErrorKind::FileNotFound, url);
        let name = name.ok_or_else(absent)?;
        match &self.from {
            From::Cache(dir) => match tokio::fs::read(dir.join(name)).await {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent()),
                Err(error) => Err(TransportError::new_with_cause(TransportErrorKind::Other, url, error)),
            },
            From::Server(client, files) => {
                let bytes = download(client, url).await?;
                files.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bytes.clone());
                Ok(bytes)
            }
        }
    }
}

impl Transport for Fetch {
    fn fetch<'s, 'f>(
        &'s self,
        url: Url,
    ) -> Pin<Box<dyn Future<Output = Result<TransportStream, TransportError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let bytes = self.bytes(&url).await?;
            let stream: TransportStream = Box::pin(iter([Ok(bytes)]));
            Ok(stream)
        })
    }
}

async fn download(client: &Client, url: &Url) -> Result<Bytes, TransportError> {
    let other =
        |cause: String| TransportError::new_with_cause(TransportErrorKind::Other, url, NoAnswer(cause));
    let mut response = client.get(url.clone()).send().await.map_err(|error| other(innermost(&error)))?;
    match response.status() {
        StatusCode::OK => {}
        // Buckets answer so where nothing is.
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => {
            return Err(TransportError::new(TransportErrorKind::FileNotFound, url));
        }
        status => return Err(other(format!("answered {status}"))),
    }
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| other(innermost(&error)))? {
        if bytes.len() + piece.len() > LARGEST {
            return Err(other(format!("has more than {LARGEST} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// Whether a name is one in the directory, or in `targets/`.
fn is_plain(name: &str) -> bool {
    let name = name.strip_prefix("targets/").unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte);
    !name.is_empty()
        && name.len() <= 200
        && name.bytes().all(plain)
        && !name.starts_with('.')
        && !name.contains("..")
}

/// Removes what is of no use any more once there is much of it. Roots stay: they lead from the first to the last.
fn forget(dir: &Path, used: &Files) -> io::Result<()> {
    for (place, prefix) in [(dir.to_owned(), ""), (dir.join("targets"), "targets/")] {
        let all: Vec<_> = fs::read_dir(&place)?.collect::<Result<_, _>>()?;
        for file in all.iter().filter(|_| all.len() > MANY) {
            let name = format!("{prefix}{}", file.file_name().to_string_lossy());
            if is_plain(&name)
                && name.contains(".json")
                && !name.ends_with("root.json")
                && !used.contains_key(&name)
            {
                fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}

pub(super) const TIMESTAMP: &str = "timestamp.json";
/// The longest file: metadata, and the targets that are asked for.
const LARGEST: usize = 10 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 5;
/// Files in a cached directory before old ones are looked for.
const MANY: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_cache() {
        for name in
            ["timestamp.json", "7.root.json", "targets/ab12.trusted_root.json", "5.registry.npmjs.org.json"]
        {
            assert!(is_plain(name), "{name}");
        }
        for name in
            ["", "targets/", ".hidden", "../x", "targets/../x", "a/b", "targets/targets/a", "a?b", "a..b"]
        {
            assert!(!is_plain(name), "{name}");
        }
    }
}
