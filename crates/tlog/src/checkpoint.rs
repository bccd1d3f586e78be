//! Checkpoints: a tree head with an origin, as the text of a signed note (C2SP tlog-checkpoint).

use std::fmt::Write as _;

use crate::hash::Hash;
use crate::note::{MAX_NOTE, Note, NoteError, SignError, Signature, Signer, Verifier};

/// The head of a named log's tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log, on the first line.
    pub origin: String,
    /// How many leaves its tree has.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// Further lines, none of them empty.
    pub extensions: Vec<String>,
}

/// Text that is not a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a checkpoint: {problem}")]
pub struct CheckpointError {
    /// Which line is wrong, and what was expected.
    pub problem: &'static str,
}

/// Why a note was not accepted as a log's checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// It is no note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It bears no good signature of the log's key.
    #[error("checkpoint is not signed by {vkey}")]
    Unsigned {
        /// The key that was expected.
        vkey: String,
    },
    /// The text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The key signed the checkpoint of another log.
    #[error("checkpoint is of log {origin:?}, {expected:?} was expected")]
    Origin {
        /// The origin it has.
        origin: String,
        /// The key's name.
        expected: String,
    },
}

impl Checkpoint {
    /// The bytes that are signed: three lines and the extension lines.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads exactly what [`Checkpoint::text`] writes.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let refused = |problem| CheckpointError { problem };
        if text.len() > MAX_NOTE {
            return Err(refused("it is over 1 MiB"));
        }
        if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(refused("it has a control character"));
        }
        let lines = text.strip_suffix('\n').ok_or_else(|| refused("it does not end in a newline"))?;
        let mut lines = lines.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty());
        let origin = origin.ok_or_else(|| refused("line 1 is empty, an origin was expected"))?;
        let size = lines.next().and_then(decimal);
        let size = size.ok_or_else(|| refused("line 2 is not a decimal tree size"))?;
        let root = lines.next().and_then(Hash::from_base64);
        let root = root.ok_or_else(|| refused("line 3 is not a root hash in base64"))?;
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(refused("an extension line is empty"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// The checkpoint as a note with one signature.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Note, SignError> {
        let text = self.text();
        // A newline smuggled into a field would be signed as another checkpoint than this one.
        if Self::parse(&text).as_ref() != Ok(self) {
            return Err(SignError::new("a line of the checkpoint is empty, or has a control character"));
        }
        let bytes = signer.sign(text.as_bytes())?;
        let signature = Signature { name: signer.name().to_owned(), key_id: signer.key_id(), bytes };
        Ok(Note { text, signatures: vec![signature] })
    }

    /// Reads a note and accepts it as a checkpoint of the log whose key that is.
    ///
    /// The origin is the key's name, or, as in v1 logs, the key's name, ` - ` and a tree ID.
    pub fn open(note: &str, verifier: &Verifier) -> Result<(Self, Note), OpenError> {
        let note = Note::parse(note)?;
        if !note.verified_by(verifier) {
            return Err(OpenError::Unsigned { vkey: verifier.vkey() });
        }
        let checkpoint = Self::parse(&note.text)?;
        let after = checkpoint.origin.strip_prefix(verifier.name());
        if !after.is_some_and(|after| after.is_empty() || after.starts_with(" - ")) {
            let expected = verifier.name().to_owned();
            return Err(OpenError::Origin { origin: checkpoint.origin, expected });
        }
        Ok((checkpoint, note))
    }

    /// Whether it says that the log has ended.
    pub fn is_frozen(&self) -> bool {
        self.extensions.iter().any(|line| line.starts_with(FROZEN))
    }

    /// The same head with the line that ends the log; the one it has, if it is frozen already.
    #[must_use]
    pub fn freeze(&self, unix_seconds: u64) -> Self {
        let mut frozen = self.clone();
        if !self.is_frozen() {
            frozen.extensions.push(format!("{FROZEN}{}", unix_date(unix_seconds)));
        }
        frozen
    }
}

/// A number without sign or leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// The form of `date` in UTC: `Tue Nov 14 22:13:20 UTC 2023`, the day padded with a space.
fn unix_date(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400;
    // Years begin in March here, so that a leap day is the last day of its year; 719,468 days from 0000-03-01 to 1970.
    let since = days + 719_468;
    let (era, day_of_era) = (since / 146_097, since % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    let time = unix_seconds % 86_400;
    let mut date = format!("{} {} {day:>2} ", WEEKDAYS[(days % 7) as usize], MONTHS[month as usize]);
    let _ = write!(date, "{:02}:{:02}:{:02} UTC {year}", time / 3600, time / 60 % 60, time % 60);
    date
}

const FROZEN: &str = "Log frozen \u{2014} ";
/// From the weekday of 1970-01-01.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::Ed25519KeyPair;

    use super::*;
    use crate::hash::empty_root;
    use crate::note::Ed25519Signer;

    fn signer(name: &str) -> Ed25519Signer {
        Ed25519Signer::new(name, Ed25519KeyPair::generate().unwrap()).unwrap()
    }

    fn empty(origin: &str) -> Checkpoint {
        Checkpoint { origin: origin.to_owned(), size: 0, root: empty_root(), extensions: vec![] }
    }

    #[test]
    fn texts_that_are_refused() {
        let root = empty_root().to_base64();
        let whole = format!("o\n0\n{root}\n");
        assert_eq!(Checkpoint::parse(&whole), Ok(empty("o")));
        let extended = Checkpoint::parse(&format!("{whole}a\nb c\n")).unwrap();
        assert_eq!(extended.extensions, ["a", "b c"]);
        assert_eq!(extended.text(), format!("{whole}a\nb c\n"));
        for (text, problem) in [
            (String::new(), "it does not end in a newline"),
            (whole.trim_end().to_owned(), "it does not end in a newline"),
            (format!("o\t\n0\n{root}\n"), "it has a control character"),
            (format!("\n0\n{root}\n"), "line 1 is empty, an origin was expected"),
            ("o\n".to_owned(), "line 2 is not a decimal tree size"),
            (format!("o\n00\n{root}\n"), "line 2 is not a decimal tree size"),
            (format!("o\n+1\n{root}\n"), "line 2 is not a decimal tree size"),
            (format!("o\n\n{root}\n"), "line 2 is not a decimal tree size"),
            (format!("o\n18446744073709551616\n{root}\n"), "line 2 is not a decimal tree size"),
            ("o\n0\n".to_owned(), "line 3 is not a root hash in base64"),
            (format!("o\n0\n{root}=\n"), "line 3 is not a root hash in base64"),
            (format!("{whole}\n"), "an extension line is empty"),
            (format!("{whole}a\n\nb\n"), "an extension line is empty"),
            ("x".repeat(MAX_NOTE + 1), "it is over 1 MiB"),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(CheckpointError { problem }), "{text:.99}");
        }
    }

    #[test]
    fn only_the_logs_own_checkpoint_is_opened() {
        let key = signer("log");
        for origin in ["log", "log - 1193050959916656506"] {
            let note = empty(origin).sign(&key).unwrap().to_string();
            assert_eq!(Checkpoint::open(&note, key.verifier()).unwrap().0, empty(origin));
            let other = signer("log").verifier().clone();
            let refused = Checkpoint::open(&note, &other).unwrap_err();
            assert_eq!(refused.to_string(), format!("checkpoint is not signed by {}", other.vkey()));
        }
        for origin in ["logs", "log -1", "log/2", "other"] {
            let note = empty(origin).sign(&key).unwrap().to_string();
            let refused = Checkpoint::open(&note, key.verifier()).unwrap_err();
            assert_eq!(refused.to_string(), format!("checkpoint is of log {origin:?}, \"log\" was expected"));
        }
        assert!(matches!(Checkpoint::open("", key.verifier()), Err(OpenError::Note(NoteError::NoBlankLine))));
    }

    #[test]
    fn a_line_within_a_line_is_not_signed() {
        let key = signer("log");
        for origin in ["", "log\n1", "log\r"] {
            assert_eq!(
                empty(origin).sign(&key).unwrap_err().to_string(),
                "cannot sign: a line of the checkpoint is empty, or has a control character"
            );
        }
        let extensions = vec!["a\n".to_owned()];
        assert!(Checkpoint { extensions, ..empty("log") }.sign(&key).is_err());
    }

    #[test]
    fn freezing_keeps_what_was_said() {
        let live = Checkpoint { extensions: vec!["first".to_owned()], ..empty("log") };
        assert!(!live.is_frozen());
        let frozen = live.freeze(1_700_000_000);
        assert!(frozen.is_frozen());
        assert_eq!(frozen.extensions, ["first", "Log frozen — Tue Nov 14 22:13:20 UTC 2023"]);
        assert_eq!(frozen.freeze(1), frozen);
        assert_eq!(Checkpoint::parse(&frozen.text()), Ok(frozen));
    }

    #[test]
    fn dates() {
        for (seconds, date) in [
            (0, "Thu Jan  1 00:00:00 UTC 1970"),
            (951_782_399, "Mon Feb 28 23:59:59 UTC 2000"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (951_868_800, "Wed Mar  1 00:00:00 UTC 2000"),
            (1_767_225_599, "Wed Dec 31 23:59:59 UTC 2025"),
            (1_767_225_600, "Thu Jan  1 00:00:00 UTC 2026"),
            (4_107_542_400, "Mon Mar  1 00:00:00 UTC 2100"),
        ] {
            assert_eq!(unix_date(seconds), date);
        }
        assert!(unix_date(u64::MAX).len() < 64);
    }
}
