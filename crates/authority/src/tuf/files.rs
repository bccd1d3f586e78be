//! The files of a repository: which names there are, and how one comes to be without ever being half there.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::repository::RepositoryError;

/// Whether a repository can have a file of that name: `timestamp.json`, `root.json`, `7.root.json`, and the same of
/// `snapshot` and `targets`; `targets/NAME`, where a name has letters, digits, `-`, `_` and dots inside.
pub fn is_name(name: &str) -> bool {
    if let Some(target) = name.strip_prefix("targets/") {
        return is_target_name(target);
    }
    match name.strip_suffix(".json").map(|role| role.split_once('.').unwrap_or(("", role))) {
        Some(("", role)) => matches!(role, "root" | "snapshot" | "targets" | "timestamp"),
        Some((version, "root" | "snapshot" | "targets")) => {
            version.len() <= MAX_VERSION_DIGITS
                && !version.starts_with('0')
                && version.bytes().all(|digit| digit.is_ascii_digit())
        }
        _ => false,
    }
}

/// Whether a target can have that name.
pub(super) fn is_target_name(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= MAX_NAME_BYTES
        && name.bytes().all(inside)
        && name.bytes().next().is_some_and(|first| first != b'.')
        && !name.contains("..")
}

/// The bytes of a file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, RepositoryError> {
    let failed = |error: std::io::Error| RepositoryError::Read(path.to_owned(), error.to_string());
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_FILE_BYTES {
        let problem = format!("it has more than {MAX_FILE_BYTES} bytes");
        return Err(RepositoryError::Read(path.to_owned(), problem));
    }
    Ok(Some(bytes))
}

/// What a file of metadata says; `None` if there is none.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RepositoryError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|error| RepositoryError::Read(path.to_owned(), error.to_string()))
}

/// Metadata as it is written: indented, every object in the order of its names.
pub(super) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, RepositoryError> {
    let failed = |error: serde_json::Error| RepositoryError::Write(error.to_string());
    let ordered = serde_json::to_value(value).map_err(failed)?;
    let mut bytes = serde_json::to_vec_pretty(&ordered).map_err(failed)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes a file whole: beside its place, to the disk, and then into its place. One that has these bytes is left alone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), RepositoryError> {
    if read(path).is_ok_and(|there| there.is_some_and(|there| there == bytes)) {
        return Ok(());
    }
    let failed = |error: std::io::Error| RepositoryError::Write(format!("{}: {error}", path.display()));
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    // Named so that it is never served.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.new"));
    let mut file = File::create(&beside).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// The most bytes of a file: trusted roots of many years are a hundred thousand.
pub(crate) const MAX_FILE_BYTES: usize = 4 << 20;
const MAX_NAME_BYTES: usize = 160;
const MAX_VERSION_DIGITS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_of_few_shapes() {
        for name in [
            "root.json",
            "1.root.json",
            "12.snapshot.json",
            "timestamp.json",
            "targets/a.json",
            "targets/0f.a_b-c",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "/",
            "root",
            "0.root.json",
            "1.timestamp.json",
            "x.root.json",
            "1.2.root.json",
            "1234567890.root.json",
            ".root.json.new",
            "targets/",
            "targets/.a.new",
            "targets/../root.json",
            "targets/a/b",
            "targets/a..b",
            "targets/%2e",
            "../root.json",
            "targets/a\0",
            "targets",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
