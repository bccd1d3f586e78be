//! The certificates of issuers, each once, by the SHA-256 of its DER (C2SP static-ct-api, "Issuers"). They are durable before
//! an entry names them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bulla_tlog::{Hash, sha256};
use bytes::Bytes;

/// A directory of DER files named by their hash in hexadecimal digits.
#[derive(Clone)]
pub(super) struct Issuers {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    /// Those that this process knows to be durable; no more than a log has issuers.
    kept: Mutex<HashSet<Hash>>,
    temporary: AtomicU64,
}

impl Issuers {
    /// Opens the directory, which is made if it is not there.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        let (dir, kept) = (dir.to_owned(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { dir, kept, temporary: AtomicU64::new(0) }) })
    }

    /// Keeps the certificates, and returns their hashes once they are durable.
    pub(super) async fn keep(&self, certificates: &[Vec<u8>]) -> io::Result<Vec<Hash>> {
        let hashes: Vec<_> = certificates.iter().map(|der| sha256(der)).collect();
        let new: Vec<_> = {
            let kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let all = hashes.iter().zip(certificates);
            all.filter(|(hash, _)| !kept.contains(hash)).map(|(hash, der)| (*hash, der.clone())).collect()
        };
        if !new.is_empty() {
            let shared = self.shared.clone();
            let written = tokio::task::spawn_blocking(move || shared.write(&new));
            written.await.map_err(io::Error::other)??;
        }
        Ok(hashes)
    }

    /// The certificate with that hash; `None` when no entry names it.
    pub(super) async fn read(&self, hash: Hash) -> io::Result<Option<Bytes>> {
        let path = self.shared.path(&hash);
        let read = tokio::task::spawn_blocking(move || fs::read(path)).await.map_err(io::Error::other)?;
        match read {
            Ok(der) if sha256(&der) == hash => Ok(Some(der.into())),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("issuer {hash} is damaged"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Shared {
    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }

    /// Under another name first: a file that a crash cut short must not be taken for a certificate.
    fn write(&self, certificates: &[(Hash, Vec<u8>)]) -> io::Result<()> {
        for (hash, der) in certificates {
            let number = self.temporary.fetch_add(1, Ordering::Relaxed);
            let temporary = self.dir.join(format!("{number}.tmp"));
            let mut file = File::create(&temporary)?;
            file.write_all(der)?;
            file.sync_all()?;
            fs::rename(&temporary, self.path(hash))?;
        }
        File::open(&self.dir)?.sync_all()?;
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(certificates.iter().map(|(hash, _)| *hash));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let issuers = Issuers::open(&dir.path().join("issuers")).expect("opens");
        let certificates = [b"one".to_vec(), b"two".to_vec()];
        let hashes = issuers.keep(&certificates).await.expect("keeps");
        assert_eq!(issuers.keep(&certificates).await.expect("keeps again"), hashes);
        let again = Issuers::open(&dir.path().join("issuers")).expect("opens");
        for (hash, der) in hashes.iter().zip(&certificates) {
            assert_eq!(again.read(*hash).await.expect("reads").as_deref(), Some(der.as_slice()));
        }
        assert_eq!(again.read(sha256(b"three")).await.expect("reads"), None);
        assert_eq!(fs::read_dir(dir.path().join("issuers")).expect("lists").count(), 2);
        fs::write(dir.path().join("issuers").join(hashes[0].to_string()), b"on").expect("writes");
        let refused = again.read(hashes[0]).await.expect_err("is damaged").to_string();
        assert_eq!(refused, format!("issuer {} is damaged", hashes[0]));
    }
}
