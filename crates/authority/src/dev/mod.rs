//! An issuer of identity tokens for tests and laptops, on loopback only. It believes whoever asks: its tokens say who somebody
//! says to be. The doors to it are in `api::dev`.

mod codes;
mod issuer;
pub(crate) mod pages;

pub use issuer::{DevIssuer, Subject, SubjectError};

pub(crate) use codes::{Grant, GrantError, secret};
pub(crate) use issuer::{DEVICE_GRANT, LIFETIME_SECONDS};
