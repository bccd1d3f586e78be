//! What mends a file that says whom to believe: a line of shell that shows what differs and asks before it replaces the file, or
//! words where only the owner of a server can know which of two is right.

use super::seen::{Document, Seen};
use super::trust::log_keys;
use crate::text::shell_word;

/// The line that has the trusted root made anew, or the words for it. A file that knows none of a server's keys is not replaced by
/// what that server says of itself: that they differ may be what the file is for.
pub(super) fn anew(seen: &Seen) -> String {
    if let (Some(root), Some(served), Some(url)) = (pinned(seen), &seen.handed_out, &seen.url) {
        let served: Vec<_> = log_keys(served).map(|(.., spki)| spki).collect();
        let known: Vec<_> = log_keys(root).map(|(.., spki)| spki).collect();
        if !known.is_empty() && !known.iter().any(|key| served.contains(key)) {
            return ask_first(root, url);
        }
    }
    let file = pinned(seen).map_or(TRUSTED_ROOT, |root| root.name.as_str());
    match (home(seen), &seen.url) {
        (Some(home), _) => printed(&format!("bulla trust root --data {home}"), file),
        (None, Some(url)) => fetched(&format!("{url}/{TRUSTED_ROOT}"), file),
        (None, None) => {
            "have the trusted root printed where the server is: bulla trust root --data DIR".to_owned()
        }
    }
}

/// The same for the signing configuration.
pub(super) fn configured(seen: &Seen) -> String {
    match (home(seen), &seen.url) {
        (Some(home), _) => printed(&format!("bulla trust signing-config --data {home}"), SIGNING_CONFIG),
        (None, Some(url)) => fetched(&format!("{url}/{SIGNING_CONFIG}"), SIGNING_CONFIG),
        (None, None) => {
            "have it printed where the server is: bulla trust signing-config --data DIR".to_owned()
        }
    }
}

/// What mends that the server at an address is none that the trusted root has: never a command, as the next one who reads it may
/// stand before the very server that the file is there to refuse.
pub(super) fn another_server(seen: &Seen, url: &str) -> String {
    match (pinned(seen), &seen.root) {
        (Some(root), _) => ask_first(root, url),
        (None, Some(root)) => format!(
            "either another server answers at {url}, or {} is not up to date: ask its owner which of them is meant",
            root.name
        ),
        (None, None) => format!("ask its owner whether the server at {url} is the one that is meant"),
    }
}

fn ask_first(root: &Document, url: &str) -> String {
    format!(
        "either another server answers at {url}, or its keys changed: ask its owner before {} is replaced",
        root.name
    )
}

/// The trusted root, if it is a file here and not what the server itself says.
fn pinned(seen: &Seen) -> Option<&Document> {
    seen.root.as_ref().filter(|root| !root.name.contains("://"))
}

/// The directory of a server as a word of shell, if it holds a log that this program can read.
pub(super) fn home(seen: &Seen) -> Option<String> {
    let data = seen.data.as_ref().filter(|data| data.holds_log())?;
    Some(shell_word(&data.dir.display().to_string()).into_owned())
}

/// The line that puts what a command prints into a file, once it is whole, compared, and agreed to.
fn printed(command: &str, file: &str) -> String {
    let new = format!("{file}.new");
    let (new, file) = (shell_word(&new), shell_word(file));
    format!("{command} > {new} && {{ diff {file} {new} || mv -i {new} {file}; }}")
}

fn fetched(url: &str, file: &str) -> String {
    printed(&format!("curl -fsS {}", shell_word(url)), file)
}

const TRUSTED_ROOT: &str = "trusted_root.json";
const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
