//! `$XDG_CONFIG_HOME/bulla/config.toml`, or `~/.config/bulla/config.toml`: whom commands believe that are told nothing else.
//!
//! ```toml
//! [verify]
//! trusted-root = "trusted_root.json"     # a path from this file on; or
//! instance = "https://trust.example.org" # a repository that was added
//!
//! [sign]
//! instance = "https://trust.example.org"
//! ```

use std::path::PathBuf;

use serde::Deserialize;

use super::{Purpose, configuration};
use crate::command::Failure;
use crate::target::read_small;

/// What the file says for one purpose.
#[derive(Default)]
pub(super) struct Configured {
    pub(super) trusted_root: Option<PathBuf>,
    pub(super) instance: Option<String>,
    /// Where it says so.
    pub(super) file: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    verify: Verify,
    sign: Sign,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Verify {
    trusted_root: Option<PathBuf>,
    instance: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sign {
    instance: Option<String>,
}

impl Configured {
    /// Reads the file, if there is one.
    pub(super) fn read(purpose: Purpose) -> Result<Self, Failure> {
        let Ok(dir) = configuration() else { return Ok(Self::default()) };
        let file = dir.join("config.toml");
        if !file.exists() {
            return Ok(Self::default());
        }
        let refused = |problem: String| Failure::usage(format!("{}: {problem}", file.display()));
        let bytes = read_small(&file, LARGEST)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| refused(error.to_string()))?;
        let said: File = toml::from_str(text).map_err(|error| refused(error.to_string()))?;
        if purpose == Purpose::Sign {
            return Ok(Self { trusted_root: None, instance: said.sign.instance, file });
        }
        let Verify { trusted_root, instance } = said.verify;
        if trusted_root.is_some() && instance.is_some() {
            return Err(refused("verify has trusted-root and instance, one was expected".to_owned()));
        }
        Ok(Self { trusted_root: trusted_root.map(|path| dir.join(path)), instance, file })
    }
}

const LARGEST: u64 = 1 << 20;
