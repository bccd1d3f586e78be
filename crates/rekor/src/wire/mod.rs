//! What goes over the wire, apart from how it gets there: bytes in, values out, and back.

pub mod v1;
pub mod v2;
