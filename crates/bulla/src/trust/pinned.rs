//! The trust repositories that were added, each with the root by which it is believed first:
//! `$XDG_CONFIG_HOME/bulla/trust/HASH/{url,root.json}`. Everything later is signed by what an earlier root names.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use bulla_tlog::sha256;
use url::Url;

use super::{configuration, directory, root};
use crate::command::Failure;
use crate::known::replace;
use crate::target::read_small;

/// A repository that is believed by its root.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    /// Where it is, with a slash at its end.
    pub(crate) url: Url,
    /// The root that was given.
    pub(crate) root: Vec<u8>,
}

impl Pinned {
    /// One that is to be added, by the root in a file.
    pub(crate) fn new(url: &str, file: &Path) -> Result<Self, Failure> {
        let url = base(url)?;
        let root = read_small(file, LARGEST_ROOT).map_err(|failure| {
            failure.and(": --root is the root.json that the repository's owner gave you")
        })?;
        root::check(&root).map_err(|problem| Failure::usage(format!("{}: {problem}", file.display())))?;
        Ok(Self { url, root })
    }

    /// The one at that address, which was added.
    pub(crate) fn of(url: &str) -> Result<Self, Failure> {
        let url = base(url)?;
        let dir = place(&url)?;
        if !dir.join(ROOT).exists() {
            return Err(Failure::usage(format!(
                "{url} was never added: `bulla trust add {url} --root FILE` once, with the root.json that its owner gives \
                 you"
            )));
        }
        let root = read_small(&dir.join(ROOT), LARGEST_ROOT)?;
        Ok(Self { url, root })
    }

    /// All that were added, by their addresses.
    pub(crate) fn all() -> Result<Vec<Self>, Failure> {
        let Ok(dir) = configuration() else { return Ok(Vec::new()) };
        let dir = dir.join("trust");
        if !dir.exists() {
            return Ok(Vec::new());
        }
        let failed = |error: std::io::Error| Failure::file(&dir, &error);
        let mut all = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path().join(URL);
            if path.exists() {
                let url = read_small(&path, LARGEST_URL)?;
                all.push(Self::of(String::from_utf8_lossy(&url).trim())?);
            }
        }
        all.sort_by(|a, b| a.url.cmp(&b.url));
        Ok(all)
    }

    /// Keeps it. A root that was given before is replaced: whoever runs the command has decided.
    pub(crate) fn keep(&self) -> Result<(), Failure> {
        let dir = place(&self.url)?;
        let failed = |error: std::io::Error| Failure::file(&dir, &error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        replace(&dir.join(ROOT), &self.root).map_err(failed)?;
        replace(&dir.join(URL), self.url.as_str().as_bytes()).map_err(failed)
    }

    /// Believes it no longer, and forgets what it said.
    pub(crate) fn forget(&self) -> Result<(), Failure> {
        for dir in [place(&self.url)?, self.cache()?] {
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::file(&dir, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where what it said is cached.
    pub(crate) fn cache(&self) -> Result<PathBuf, Failure> {
        Ok(directory("XDG_CACHE_HOME", ".cache")?.join("trust").join(name(&self.url)))
    }
}

fn place(url: &Url) -> Result<PathBuf, Failure> {
    Ok(configuration()?.join("trust").join(name(url)))
}

fn name(url: &Url) -> String {
    sha256(url.as_str().as_bytes()).to_string()[..16].to_owned()
}

/// An address in its one spelling.
fn base(text: &str) -> Result<Url, Failure> {
    let refused = |problem: &str| Failure::usage(format!("instance {text:?}: {problem}"));
    let mut url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused("a URL such as https://trust.example.org was expected"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(refused("a URL without user, query and fragment was expected"));
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

const ROOT: &str = "root.json";
const URL: &str = "url";
const LARGEST_URL: u64 = 4 << 10;
/// The longest root, in bytes.
pub(super) const LARGEST_ROOT: u64 = 1 << 20;
