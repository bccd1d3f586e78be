//! What can go wrong behind and before either door, whatever was asked. Each door says it in its own words, with its own status.

use bulla_ledger::{AddError, ReadError};
use tokio::task::JoinError;

/// See the module.
pub(crate) enum Trouble {
    Frozen,
    Full,
    Stopping,
    Unavailable {
        cause: String,
    },
    Corrupt {
        cause: String,
    },
    /// The leaf, or what is to be kept beside it, does not fit.
    Unfit(String),
    /// The body is longer than that, or says so.
    TooLarge {
        limit: usize,
    },
    /// The body did not come in that time.
    Slow {
        seconds: u64,
    },
    /// The body ended early, or the connection broke.
    Broken(String),
}

impl From<AddError> for Trouble {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Frozen => Self::Frozen,
            AddError::Full => Self::Full,
            AddError::Stopping => Self::Stopping,
            AddError::Unavailable(cause) => Self::Unavailable { cause },
            error @ (AddError::TooLong { .. }
            | AddError::Empty
            | AddError::LongAside { .. }
            | AddError::NoPlace { .. }
            | AddError::Index { .. }
            | AddError::LongOrder { .. }) => Self::Unfit(error.to_string()),
        }
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(cause) => Self::Unavailable { cause },
            ReadError::Corrupt(cause) => Self::Corrupt { cause },
        }
    }
}

impl From<JoinError> for Trouble {
    fn from(error: JoinError) -> Self {
        Self::Corrupt { cause: format!("work on a request ended early: {error}") }
    }
}
