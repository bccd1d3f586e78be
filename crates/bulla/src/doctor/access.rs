//! Whether this user may look into a directory at all; if not, what keeps them out, and who may.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What keeps this user out.
pub(super) struct Closed {
    /// The outermost file or directory that is closed; and whether it is a directory.
    place: PathBuf,
    is_dir: bool,
    /// Its owner.
    uid: u32,
    /// What the owner is called, if anything.
    name: Option<String>,
    mode: u32,
}

impl Closed {
    /// None if the directory and the named file in it can be read, or are not there.
    pub(super) fn look(dir: &Path, file: &str) -> Option<Self> {
        let refused = |error: &std::io::Error| error.kind() == ErrorKind::PermissionDenied;
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let file = dir.join(file);
        let listed = fs::read_dir(&dir).map(drop);
        let innermost = if listed.as_ref().is_err_and(refused) {
            dir.as_path()
        } else if fs::File::open(&file).is_err_and(|error| refused(&error)) {
            file.as_path()
        } else {
            return None;
        };
        // What can be seen itself, but not what is in it.
        let (place, metadata) =
            innermost.ancestors().find_map(|place| Some((place.to_owned(), fs::metadata(place).ok()?)))?;
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let (uid, mode) = (metadata.uid(), metadata.mode() & 0o777);
        Some(Self { place, is_dir: metadata.is_dir(), uid, name: user(&users, uid), mode })
    }

    /// What was seen.
    pub(super) fn seen(&self, dir: &Path) -> String {
        let (place, mode) = (self.place.display(), self.mode);
        format!(
            "{} cannot be read by this user: {place} is of {}, with the permissions {mode:o}",
            dir.display(),
            self.owner()
        )
    }

    /// What helps, in words: who they are is for them to know.
    pub(super) fn fix(&self) -> String {
        let owner = self.owner();
        let (needed, change) = if self.is_dir { (0o500, "u+rx") } else { (0o400, "u+r") };
        if self.mode & needed != needed && self.uid != 0 {
            let place = crate::text::shell_word(&self.place.to_string_lossy()).into_owned();
            return format!("ask again as root, or have {owner} allow it first: chmod {change} {place}");
        }
        let word = self.name.clone().unwrap_or_else(|| format!("'#{}'", self.uid));
        format!("ask again as {owner}, who may read it: sudo -u {word}")
    }

    fn owner(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("user {}", self.uid))
    }
}

/// The name of a user in a file such as `/etc/passwd`.
fn user(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut members = line.split(':');
        let (name, id) = (members.next()?, members.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nodd\nbulla:x:998:997::/var/lib/bulla:/bin/false\n";

    #[test]
    fn who_may_read_is_said() {
        let closed = |uid, mode, is_dir| {
            let place = PathBuf::from("/var/lib/bulla");
            Closed { place, is_dir, uid, name: user(USERS, uid), mode }
        };
        for (uid, mode, is_dir, expected) in [
            (998, 0o700, true, "ask again as bulla, who may read it: sudo -u bulla"),
            (0, 0o000, true, "ask again as root, who may read it: sudo -u root"),
            (1234, 0o750, true, "ask again as user 1234, who may read it: sudo -u '#1234'"),
            (998, 0o300, true, "ask again as root, or have bulla allow it first: chmod u+rx /var/lib/bulla"),
            (998, 0o040, false, "ask again as root, or have bulla allow it first: chmod u+r /var/lib/bulla"),
            (998, 0o400, false, "ask again as bulla, who may read it: sudo -u bulla"),
        ] {
            assert_eq!(closed(uid, mode, is_dir).fix(), expected);
        }
        assert_eq!(
            closed(998, 0o700, true).seen(Path::new("data/log")),
            "data/log cannot be read by this user: /var/lib/bulla is of bulla, with the permissions 700"
        );
    }

    #[test]
    fn what_is_open_or_not_there_keeps_nobody_out() {
        let folder = tempfile::tempdir().expect("a directory");
        assert!(Closed::look(folder.path(), "format").is_none());
        assert!(Closed::look(&folder.path().join("none"), "format").is_none());
        fs::write(folder.path().join("format"), "").expect("is written");
        assert!(Closed::look(folder.path(), "format").is_none());
    }
}
