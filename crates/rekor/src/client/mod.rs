//! What this program asks of other people's logs: the tiles of any log, and the v1 API.

mod exchange;
pub mod tiles;
pub mod v1;

pub use tiles::{OpenError, Remote};
