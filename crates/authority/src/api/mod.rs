//! The doors of the authorities: HTTP and gRPC handlers. Each hands out routes, and the roof decides where they are.

pub mod dev;
