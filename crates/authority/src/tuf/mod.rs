//! The repository from which clients learn whom to believe (The Update Framework, specification 1.0).

pub mod ceremony;
mod files;
mod keys;
mod prune;
mod repository;
mod rotation;

pub use files::is_name;
pub(crate) use files::read as read_file;
pub use keys::{KeyIdError, key_id};
pub use repository::{Expiries, Refreshed, Repository, RepositoryError};
pub use rotation::OnlineRotation;
