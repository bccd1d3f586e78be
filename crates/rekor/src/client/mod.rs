//! What this program asks of other people's logs: the tiles of any log, the v1 API, and to take entries the v2 API.

mod exchange;
pub mod tiles;
pub mod v1;
pub mod v2;

pub use tiles::{OpenError, Remote};
