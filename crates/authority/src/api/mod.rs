//! The doors of the authorities: HTTP and gRPC handlers. Each hands out routes, and the roof decides where they are.

mod body;
pub mod ct;
pub mod dev;
pub mod fulcio;
pub mod tsa;
pub mod tuf;
