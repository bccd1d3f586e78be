//! Why something was not read or written, in three values: a registry that has it not, one that says no, and one that
//! gave no answer to rely on. Who asks for signatures must never take the third for the first.

use std::fmt;

use super::digest::Digest;

/// What a failure says about the thing that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not there, says who would have it.
    Missing,
    /// It was refused, or what came is not what it must be; asking again does not help.
    Refused,
    /// Nobody knows: throttled, broken, too slow. Asking again may help.
    Undetermined,
}

/// A failure: of what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {problem}")]
pub(crate) struct Error {
    at: String,
    problem: Box<Problem>,
}

/// Why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It is not there; what the registry said.
    Missing(String),
    /// Credentials are wanted, or those shown do not do.
    Unauthorized(String),
    /// The registry will not, whoever asks.
    Rejected(String),
    /// Content has another digest than its name, or than the registry said.
    Digest {
        /// Whose name it is.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// It has more bytes than it may.
    TooLarge {
        /// How many it may have.
        limit: u64,
    },
    /// It is not of the shape that it must have.
    Invalid(String),
    /// What we were given to show to registries cannot be used.
    Credentials(String),
    /// A program that keeps credentials failed.
    Helper(String),
    /// The registry answered that it cannot now, or anything else that says nothing about what was asked.
    Unavailable(String),
    /// The connection failed, was silent for too long, or ended in the middle.
    Broken(String),
}

impl Problem {
    /// Names what it happened to.
    pub(super) fn at(self, at: impl fmt::Display) -> Error {
        Error { at: at.to_string(), problem: Box::new(self) }
    }
}

impl Error {
    /// Which of the three it is.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.problem() {
            Problem::Missing(_) => Verdict::Missing,
            Problem::Unauthorized(_)
            | Problem::Rejected(_)
            | Problem::Digest { .. }
            | Problem::TooLarge { .. }
            | Problem::Invalid(_)
            | Problem::Credentials(_) => Verdict::Refused,
            Problem::Helper(_) | Problem::Unavailable(_) | Problem::Broken(_) => Verdict::Undetermined,
        }
    }

    /// Whether the thing is not there.
    pub(crate) fn is_missing(&self) -> bool {
        self.verdict() == Verdict::Missing
    }

    /// Why alone, for who names the place anew.
    pub(super) fn into_problem(self) -> Problem {
        *self.problem
    }

    /// Why, for those who tell apart more than the verdict does.
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// None in place of what is missing.
pub(crate) fn present<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(said) => write!(f, "is not there ({said})"),
            Self::Unauthorized(said) => write!(f, "{said}"),
            Self::Rejected(said) => write!(f, "the registry refuses: {said}"),
            Self::Digest { expected, actual } => write!(f, "its digest is {actual}, {expected} was promised"),
            Self::TooLarge { limit } => write!(f, "it has more than {limit} bytes"),
            Self::Invalid(problem) | Self::Credentials(problem) | Self::Broken(problem) => {
                f.write_str(problem)
            }
            Self::Helper(problem) => write!(f, "no credentials: {problem}"),
            Self::Unavailable(said) => write!(f, "the registry gave no answer to rely on: {said}"),
        }
    }
}
