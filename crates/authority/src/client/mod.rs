//! The other side of the doors: what signs for people asks authorities, ours or others, through these.

mod ca;
pub mod token;
pub mod tsa;

pub use ca::{CaClient, CaError};
