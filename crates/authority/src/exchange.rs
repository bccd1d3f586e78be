//! The answers of other servers, read within their bounds, and what went wrong with them in full.

use bulla_web::chain;

/// Why an answer was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    /// It has more bytes than it may.
    #[error("its answer is longer than {limit} bytes")]
    TooLong {
        /// How many it may have.
        limit: usize,
    },
    /// The connection failed.
    #[error("{0}")]
    Broken(String),
}

/// Reads an answer of at most so many bytes.
pub(crate) async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| Unread::Broken(chain(&error)))? {
        if bytes.len() + part.len() > limit {
            return Err(Unread::TooLong { limit });
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
