//! Words and numbers as people type them: sizes, durations, and the name that was probably meant.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

/// Reads a duration such as `250ms`, `30s`, `5m`, `2h`, `90d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let wrong = || "a number and ms, s, m, h or d was expected, such as 30s".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => return Err(wrong()),
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| "longer than can be counted".to_owned())
}

/// Reads a number of bytes such as `4194304`, `64KiB`, `512MiB`, `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let wrong = || "a number of bytes was expected, or one with KiB, MiB or GiB, such as 512MiB".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(|| "more than can be counted".to_owned())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A word of a line of shell that is this text, whatever is in it.
pub(crate) fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Options of a command that somebody can paste into a shell.
#[derive(Clone, Default, Debug)]
pub(crate) struct Options(String);

impl Options {
    /// Adds one with its value, if it has one.
    pub(crate) fn add(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        // A value that looks like an option is taken for a value only so.
        let separator = if value.starts_with('-') { '=' } else { ' ' };
        write!(self.0, " {name}{separator}{}", shell_word(value)).unwrap_or_default();
    }

    /// Adds one whose value is a path.
    pub(crate) fn add_path(&mut self, name: &str, value: Option<&Path>) {
        self.add(name, value.map(Path::to_string_lossy).as_deref());
    }

    /// Adds one without a value.
    pub(crate) fn add_flag(&mut self, name: &str, is_set: bool) {
        if is_set {
            write!(self.0, " {name}").unwrap_or_default();
        }
    }
}

impl Display for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The candidate that a mistyped word is nearest to, if one is near at all.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 4).max(2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// A name and who vouches for it.
pub(crate) fn subject_and_issuer(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((subject, issuer)) if !subject.is_empty() && !issuer.is_empty() => {
            Ok((subject.to_owned(), issuer.to_owned()))
        }
        _ => {
            Err("SUBJECT=ISSUER was expected, such as alice@example.org=https://accounts.example.org"
                .to_owned())
        }
    }
}

/// Adds a line of a report: a name, and what is said of it.
pub(crate) fn line(text: &mut String, name: &str, value: impl Display) {
    // Writing to a string cannot fail.
    writeln!(text, "{name:<11} {value}").unwrap_or_default();
}

/// What strangers wrote, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// How many characters must be added, dropped or changed.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(duration("90d"), Ok(Duration::from_hours(90 * 24)));
        assert!(duration("30").is_err(), "a bare number could be anything");
        assert!(duration("99999999999999999999h").is_err());
        assert!(duration("18446744073709551615h").is_err());
        assert_eq!(bytes("4194304"), Ok(4 << 20));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert!(bytes("1GB").is_err());
        assert!(bytes("18446744073709551615KiB").is_err());
    }

    #[test]
    fn a_shell_word_is_one_word() {
        assert_eq!(shell_word("/var/lib/bulla-1.0"), "/var/lib/bulla-1.0");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("a b'c"), r"'a b'\''c'");
        assert_eq!(shell_word("$(id)`;\"\\"), "'$(id)`;\"\\'");
        assert_eq!(shell_word(""), "''");
        let mut options = Options::default();
        options.add("--name", Some("a b"));
        options.add("--other", None);
        options.add("--dash", Some("-x"));
        options.add_flag("--not", false);
        options.add_flag("--flag", true);
        assert_eq!(options.to_string(), " --name 'a b' --dash=-x --flag");
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["data", "http", "grpc", "witness-policy"];
        assert_eq!(nearest("htpp", names.into_iter()), Some("http"));
        assert_eq!(nearest("witness-polcy", names.into_iter()), Some("witness-policy"));
        assert_eq!(nearest("colour", names.into_iter()), None);
    }
}
