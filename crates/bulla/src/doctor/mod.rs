//! Finds what private deployments get wrong: first everything is looked at ([`seen`]), then each check judges what was seen, by
//! itself, and says what it saw, why that matters and what mends it.
//!
//! | file | what it knows |
//! |---|---|
//! | `seen` | what is looked at: files, servers, variables, directories |
//! | `probe` | one question to a server, and in which way it was not answered |
//! | `trust` | files that say whom to believe and where to sign |
//! | `mend` | how such a file is made anew, and when it must not be |
//! | `log`, `authorities`, `repository` | servers beside those files |
//! | `token` | the token that signing would use |
//! | `clock` | the time here and there |
//! | `environment` | variables that contradict each other |
//! | `images` | who we are to a registry |
//! | `data` | the directory of a server |
//! | `access`, `locks` | who may look into it, and who holds its lock |
//!
//! A check that lacks what it would judge says nothing: why it is lacking is what another check says.

mod access;
mod authorities;
mod clock;
mod data;
mod environment;
mod images;
mod locks;
mod log;
mod mend;
mod probe;
mod repository;
mod seen;
mod token;
mod trust;

pub(crate) use seen::{Asked, Seen, url_of};

/// One thing that may be wrong.
pub(crate) struct Check {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What happens to those who have it wrong.
    pub(crate) why: &'static str,
    look: fn(&Seen) -> Vec<Said>,
}

/// What a check says of one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    /// How it stands.
    pub(crate) standing: Standing,
    /// What was seen.
    pub(crate) seen: String,
    /// What mends it: a line of shell, or words; nothing if all is well.
    pub(crate) fix: Option<String>,
}

/// How something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// As it must be.
    Well,
    /// Not as it must be.
    Problem,
    /// It could not be known; another time it may be.
    Unknown,
}

/// What was said of one thing, and by which check.
pub(crate) struct Finding {
    /// By which.
    pub(crate) check: &'static Check,
    /// What.
    pub(crate) said: Said,
}

impl Said {
    fn well(seen: impl Into<String>) -> Self {
        Self { standing: Standing::Well, seen: seen.into(), fix: None }
    }

    fn problem(seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { standing: Standing::Problem, seen: seen.into(), fix: Some(fix.into()) }
    }

    fn unknown(seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { standing: Standing::Unknown, seen: seen.into(), fix: Some(fix.into()) }
    }

    /// All is well with what was seen, unless something was said.
    fn or_well(said: Vec<Self>, seen: impl FnOnce() -> String) -> Vec<Self> {
        if said.is_empty() { vec![Self::well(seen())] } else { said }
    }
}

impl Standing {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
        }
    }
}

/// Everything that is checked, in the order in which it is best mended.
pub(crate) const CHECKS: &[&[Check]] = &[
    environment::CHECKS,
    data::CHECKS,
    trust::CHECKS,
    log::CHECKS,
    authorities::CHECKS,
    token::CHECKS,
    repository::CHECKS,
    clock::CHECKS,
    images::CHECKS,
];

/// Judges what was seen.
pub(crate) fn judge(seen: &Seen) -> Vec<Finding> {
    let checks = CHECKS.iter().copied().flatten();
    checks.flat_map(|check| (check.look)(seen).into_iter().map(move |said| Finding { check, said })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut names: Vec<_> = CHECKS.iter().copied().flatten().map(|check| check.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }
}
