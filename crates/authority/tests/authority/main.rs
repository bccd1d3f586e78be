//! The certificate authority from outside: its own certificates, what it issues, its doors, and its client.

mod chains;
mod client;
mod doors;
mod issuing;
mod requests;
mod support;
