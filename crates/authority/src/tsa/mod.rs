//! The timestamp authority (RFC 3161).

mod authority;
mod clock;
mod request;
mod sources;
mod token;

pub use authority::{Refusal, Settings, SetupError, TimestampAuthority};
pub use clock::{Clock, ClockError, watch};
pub use request::{MAX_DER_BYTES, MAX_JSON_BYTES, MAX_NONCE_BYTES, Request, RequestError};
pub use sources::{Offset, SourceError, TimeSource, TimeSources, Unchecked};

pub(crate) use request::unsigned;
pub(crate) use token::TST_INFO;
