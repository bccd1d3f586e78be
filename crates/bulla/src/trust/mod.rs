//! Whom to believe, where that is not a file that was named: trust repositories (The Update Framework,
//! <https://theupdateframework.github.io/specification/latest/>), each by a root that was given once, and what the
//! configuration of this user says.
//!
//! | file | what it knows |
//! |---|---|
//! | `configured` | `$XDG_CONFIG_HOME/bulla/config.toml` |
//! | `pinned` | `$XDG_CONFIG_HOME/bulla/trust/`: the repositories that were added, and their first roots |
//! | `root` | whether a file is a root to begin with |
//! | `repository` | what a repository says now, or said when it was last asked |
//! | `fetch` | its files, from its server or from `$XDG_CACHE_HOME/bulla/trust/` |

mod configured;
mod fetch;
mod pinned;
mod repository;
mod root;

use std::path::{Path, PathBuf};

pub(crate) use pinned::Pinned;
pub(crate) use repository::{Found, Network, SIGNING_CONFIG, TRUSTED_ROOT};

use crate::command::Failure;
use crate::known::own_directory;
use configured::Configured;

/// Who says whom to believe.
#[derive(Debug)]
pub(crate) enum Whom {
    /// A trusted root in a file.
    File(PathBuf),
    /// A trust repository.
    Repository(Pinned),
}

/// For what that is asked: each has a table of its own in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Verify,
    Sign,
}

/// Whom to believe: what was typed, else what is configured, else the one repository that was added. None if nothing is.
pub(crate) fn whom(
    purpose: Purpose,
    trusted_root: Option<&Path>,
    instance: Option<&str>,
) -> Result<Option<Whom>, Failure> {
    if let Some(file) = trusted_root {
        return Ok(Some(Whom::File(file.to_owned())));
    }
    if let Some(url) = instance {
        return Pinned::of(url).map(|pinned| Some(Whom::Repository(pinned)));
    }
    match Configured::read(purpose)? {
        Configured { trusted_root: Some(file), .. } => return Ok(Some(Whom::File(file))),
        Configured { instance: Some(url), file, .. } => {
            let pinned = Pinned::of(&url).map_err(|failure| {
                Failure::with_code(failure.code(), format!("{}: {failure}", file.display()))
            });
            return pinned.map(|pinned| Some(Whom::Repository(pinned)));
        }
        Configured { .. } => {}
    }
    let mut all = Pinned::all()?;
    match (all.pop(), all.len()) {
        (None, _) => Ok(None),
        (Some(only), 0) => Ok(Some(Whom::Repository(only))),
        (Some(_), more) => {
            let len = more + 1;
            Err(Failure::usage(format!(
                "{len} trust repositories were added: name one with --instance URL; `bulla trust list` lists them"
            )))
        }
    }
}

/// A directory of this user's: what the variable names, or the place below the home directory.
fn directory(variable: &str, below_home: &str) -> Result<PathBuf, Failure> {
    own_directory(variable, below_home).ok_or_else(|| {
        Failure::usage(format!("there is no place for trust: set HOME, or {variable} to a directory"))
    })
}

/// Where configuration is.
fn configuration() -> Result<PathBuf, Failure> {
    directory("XDG_CONFIG_HOME", ".config")
}
