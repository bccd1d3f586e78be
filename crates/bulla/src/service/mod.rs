//! What runs as long as a server runs: listeners, health, metrics, and what a browser sees.

pub(crate) mod authorities;
pub(crate) mod control;
pub(crate) mod front;
pub(crate) mod guard;
pub(crate) mod health;
pub(crate) mod http;
pub(crate) mod metrics;
pub(crate) mod orders;
pub(crate) mod process;
pub(crate) mod running;
pub(crate) mod tags;
pub(crate) mod trust;
pub(crate) mod witness;
pub(crate) mod witnesses;
