//! The other side of the doors: what signs for people asks authorities, ours or others, through these.

mod ca;

pub use ca::{CaClient, CaError};
pub mod tsa;
