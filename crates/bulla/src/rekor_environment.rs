//! The environment that a well-known tutorial sets for a Rekor server of the first version, read as options of ours, so
//! that its compose files start this log too. Names that configure Rekor's client (`REKOR_REKOR_SERVER`, `REKOR_FORMAT`, …)
//! are none of our business; of those about the database each must be known, since a wrong place would be a wrong log.

use std::ffi::OsString;
use std::path::Path;

/// An option's value that a variable stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Setting {
    /// The variable.
    pub(crate) variable: &'static str,
    /// What it does, for a person.
    pub(crate) meaning: String,
    /// Long name and value of each option that it sets.
    pub(crate) options: Vec<(&'static str, String)>,
    /// Whether it stands over the file of options, or is a default under it.
    pub(crate) over_file: bool,
}

const DRIVER: &str = "REKOR_DB_DRIVER";
const FILE: &str = "REKOR_DB_FILE";
const RETENTION: &str = "REKOR_DB_RETENTION_DAYS";
const LOG_TYPE: &str = "REKOR_LOG_TYPE";
const DEV_MODE: &str = "REKOR_DEV_MODE";
/// A hundred years.
const MAX_DAYS: u32 = 36_500;

/// Reads it. What is wrong is said with the fix. `is_file` tells whether a regular file is there already.
pub(crate) fn read(
    variables: impl Iterator<Item = (OsString, OsString)>,
    is_file: impl Fn(&Path) -> bool,
) -> Result<Vec<Setting>, String> {
    let mut named = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("REKOR_")) else { continue };
        let known = [DRIVER, FILE, RETENTION, LOG_TYPE, DEV_MODE].into_iter().find(|known| *known == name);
        match known {
            // As if it were not set; compose files pass on what nobody gave.
            _ if value.is_empty() => {}
            Some(known) => {
                let value = value
                    .into_string()
                    .map_err(|_| format!("{known} is not UTF-8 text: correct or unset it"))?;
                named.push((known, value));
            }
            None if name.starts_with("REKOR_DB_") => {
                return Err(format!(
                    "{name} is not known, of REKOR_DB_… there are {DRIVER}, {FILE} and {RETENTION}: unset it"
                ));
            }
            None => {}
        }
    }
    named.sort();
    let value = |name| named.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let mut settings = Vec::new();
    settings.extend(value(DRIVER).map(driver).transpose()?);
    settings.extend(value(FILE).map(|path| file(path, is_file)).transpose()?);
    settings.extend(value(RETENTION).map(retention).transpose()?);
    settings.extend(mode(value(LOG_TYPE), value(DEV_MODE))?);
    Ok(settings)
}

fn driver(value: &str) -> Result<Setting, String> {
    if !matches!(value, "sqlite3" | "sqlite") {
        return Err(format!(
            "{DRIVER} is {value:?}, this log keeps its entries in a directory of its own: set sqlite3, or unset it"
        ));
    }
    let meaning = "the embedded store".to_owned();
    Ok(Setting { variable: DRIVER, meaning, options: Vec::new(), over_file: true })
}

fn file(path: &str, is_file: impl Fn(&Path) -> bool) -> Result<Setting, String> {
    if is_file(Path::new(path)) {
        return Err(format!(
            "{FILE} is {path:?}, where there is a file: the log is a directory, name one or a place where nothing is yet"
        ));
    }
    let meaning = format!("the log is the directory {path}");
    Ok(Setting { variable: FILE, meaning, options: vec![("data", path.to_owned())], over_file: true })
}

fn retention(value: &str) -> Result<Setting, String> {
    let days = value.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days));
    let Some(days) = days else {
        return Err(format!(
            "{RETENTION} is {value:?}, 1 to {MAX_DAYS} days were expected: unset it to keep for ever"
        ));
    };
    let meaning = format!("what is kept beside the log may be deleted after {days} days, an entry never");
    Ok(Setting {
        variable: RETENTION,
        meaning,
        options: vec![("retention", format!("{days}d"))],
        over_file: true,
    })
}

fn mode(log_type: Option<&str>, dev_mode: Option<&str>) -> Result<Option<Setting>, String> {
    let by_type = match log_type {
        None => None,
        Some("dev") => Some(true),
        Some("prod") => Some(false),
        Some(other) => return Err(format!("{LOG_TYPE} is {other:?}, dev or prod was expected")),
    };
    let by_mode = match dev_mode {
        None => None,
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(other) => return Err(format!("{DEV_MODE} is {other:?}, true or false was expected")),
    };
    let is_dev = match (by_type, by_mode) {
        (Some(a), Some(b)) if a != b => {
            let (log_type, dev_mode) = (log_type.unwrap_or_default(), dev_mode.unwrap_or_default());
            return Err(format!(
                "{LOG_TYPE}={log_type} and {DEV_MODE}={dev_mode} contradict each other: unset one"
            ));
        }
        (Some(is_dev), _) | (None, Some(is_dev)) => is_dev,
        (None, None) => return Ok(None),
    };
    let variable = if by_mode.is_some() { DEV_MODE } else { LOG_TYPE };
    let (meaning, options) = if is_dev {
        let options = vec![("log-format", "human".to_owned()), ("write-limit", "0".to_owned())];
        ("development defaults: loopback, logs as text, no limit of writes", options)
    } else {
        ("production defaults: logs as JSON", vec![("log-format", "json".to_owned())])
    };
    Ok(Some(Setting { variable, meaning: meaning.to_owned(), options, over_file: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(variables: &[(&str, &str)]) -> Result<Vec<Setting>, String> {
        let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        read(pairs, |path| path == Path::new("/a.db"))
    }

    #[test]
    fn each_variable_stands_for_options() {
        for (variables, expected) in [
            (vec![], ""),
            (vec![("REKOR_DB_DRIVER", "sqlite3")], ""),
            (vec![("REKOR_DB_DRIVER", "sqlite"), ("REKOR_DB_FILE", "/var/rekor.db")], "data=/var/rekor.db"),
            (vec![("REKOR_DB_RETENTION_DAYS", "90")], "retention=90d"),
            (vec![("REKOR_LOG_TYPE", "dev")], "log-format=human write-limit=0"),
            (vec![("REKOR_DEV_MODE", "true")], "log-format=human write-limit=0"),
            (vec![("REKOR_LOG_TYPE", "prod"), ("REKOR_DEV_MODE", "false")], "log-format=json"),
            (vec![("REKOR_DB_FILE", "")], ""),
            (
                vec![
                    ("REKOR_REKOR_SERVER", "x"),
                    ("REKOR_FORMAT", "json"),
                    ("REKOR_TIMEOUT", "x"),
                    ("REKOR_TYPE", "x"),
                ],
                "",
            ),
            (
                vec![
                    ("REKOR_STORE_TREE_STATE", "x"),
                    ("REKOR_CONFIG", "x"),
                    ("REKOR_RETRY", "x"),
                    ("HOME", "x"),
                ],
                "",
            ),
        ] {
            let settings = read_all(&variables).expect("good");
            let options = settings.iter().flat_map(|setting| &setting.options);
            let options: Vec<_> = options.map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(options.join(" "), expected, "{variables:?}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_with_the_fix() {
        for (name, value, problem) in [
            (
                "REKOR_DB_DRIVER",
                "mysql",
                "REKOR_DB_DRIVER is \"mysql\", this log keeps its entries in a directory of its own: set sqlite3, or unset it",
            ),
            (
                "REKOR_DB_FILE",
                "/a.db",
                "REKOR_DB_FILE is \"/a.db\", where there is a file: the log is a directory, name one or a place where nothing is yet",
            ),
            (
                "REKOR_DB_HOST",
                "db",
                "REKOR_DB_HOST is not known, of REKOR_DB_… there are REKOR_DB_DRIVER, REKOR_DB_FILE and \
                 REKOR_DB_RETENTION_DAYS: unset it",
            ),
            (
                "REKOR_DB_RETENTION_DAYS",
                "0",
                "REKOR_DB_RETENTION_DAYS is \"0\", 1 to 36500 days were expected: unset it to keep for ever",
            ),
            ("REKOR_LOG_TYPE", "json", "REKOR_LOG_TYPE is \"json\", dev or prod was expected"),
            ("REKOR_DEV_MODE", "yes", "REKOR_DEV_MODE is \"yes\", true or false was expected"),
        ] {
            assert_eq!(read_all(&[(name, value)]), Err(problem.to_owned()));
        }
        assert_eq!(
            read_all(&[("REKOR_LOG_TYPE", "prod"), ("REKOR_DEV_MODE", "true")]),
            Err("REKOR_LOG_TYPE=prod and REKOR_DEV_MODE=true contradict each other: unset one".to_owned())
        );
    }
}
