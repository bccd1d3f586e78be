//! Manifests that were served, while there is room: what has a digest never changes, so that which one a tag points to can be
//! asked without reading it again, and a registry that is down is not missed. Never on the disk.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::registry::{Digest, Manifest};

/// See the module.
pub(crate) struct Manifests {
    kept: Option<Cache<(String, Digest), Arc<Manifest>, Bytes>>,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<(String, Digest), Arc<Manifest>> for Bytes {
    fn weight(&self, (repository, _): &(String, Digest), manifest: &Arc<Manifest>) -> u64 {
        // What was read out of the bytes takes about as much again.
        (2 * manifest.bytes.len() + repository.len() + OVERHEAD) as u64
    }
}

impl Manifests {
    /// With room for so many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / 4096).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Self { kept: (bytes > 0).then(|| Cache::with_weighter(entries, bytes, Bytes)) }
    }

    /// What a repository has under that digest, if it was served from there: who may read one may not read another.
    pub(crate) fn find(&self, repository: &str, digest: &Digest) -> Option<Arc<Manifest>> {
        self.kept.as_ref()?.get(&(repository.to_owned(), digest.clone()))
    }

    /// Keeps one.
    pub(crate) fn keep(&self, repository: &str, manifest: &Arc<Manifest>) {
        if let Some(kept) = &self.kept {
            kept.insert((repository.to_owned(), manifest.digest.clone()), Arc::clone(manifest));
        }
    }
}

const OVERHEAD: usize = 512;
