//! The other side of the doors: what signs for people asks authorities, ours or others, through these.

pub mod token;
