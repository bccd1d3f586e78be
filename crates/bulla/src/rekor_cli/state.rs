//! `$HOME/.rekor/state.json`: the heads that were seen, by tree and by server, as rekor-cli keeps them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use crate::known::replace;
use crate::target::read_small;

type Heads = BTreeMap<String, String>;

/// The signed head that was kept under a name. A state that cannot be read is none.
pub(super) fn load(name: &str) -> Option<String> {
    heads().remove(name)
}

/// Keeps a signed head under each of these names.
pub(super) fn keep(names: &[&str], note: &str) -> Result<(), String> {
    let path = path().ok_or_else(|| "HOME is not set".to_owned())?;
    let mut heads = heads();
    heads.extend(names.iter().map(|name| ((*name).to_owned(), note.to_owned())));
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(&path);
        fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        replace(&path, serde_json::to_string(&heads)?.as_bytes())
    };
    write().map_err(|error| format!("{}: {error}", path.display()))
}

fn heads() -> Heads {
    let bytes = path().and_then(|path| read_small(&path, LARGEST).ok()).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn path() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(".rekor/state.json"))
}

const LARGEST: u64 = 16 << 20;
