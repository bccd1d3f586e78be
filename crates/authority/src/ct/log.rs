//! Our certificate transparency log: a ledger whose leaves are `MerkleTreeLeaf`s, with what a data tile has besides kept as
//! their asides (RFC 6962, C2SP static-ct-api). An entry is published before its timestamp is given, so the timestamp has
//! the index of the leaf in it. The same submission twice is two entries, which RFC 6962 allows.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bulla_claims::{PublicKeyDetails, SigningKey};
use bulla_ledger::{AddError, Addition, Log, ReadError, Reader, Tile};
use bulla_tlog::checkpoint::OpenError as NoteRefused;
use bulla_tlog::note::{Note, Verifier, VkeyError};
use bulla_tlog::rfc6962::{self, TreeHeadSigner};
use bulla_tlog::{Checkpoint, Hash, TileId, WIDTH, sha256};
use bytes::Bytes;

use super::chain::{Admitted, Kind, Refusal, Roots};
use super::clock::Clock;
use super::issuers::Issuers;
use super::leaf::{INDEX_FROM_END, LEAF_HEADER, TimestampedEntry, extensions};
use super::sct::Sct;
use super::submit::{CtError, CtLog, Precertificate};
use super::tile::Rest;
use crate::{BoxFuture, InForce, PrivateKey};

/// What a log is made of. Everything is given opened.
pub struct Parts {
    /// Where the entries are; its checkpoints are signed by a [`tree_head_signer`] of the same key.
    pub log: Log,
    /// Signs timestamps: ECDSA P-256.
    pub key: Arc<dyn PrivateKey>,
    /// The clock of the signer as well.
    pub clock: Clock,
    /// The directory of the certificates of issuers.
    pub issuers: PathBuf,
    /// Certificates of the authorities that chains must lead to, DER.
    pub roots: Vec<Vec<u8>>,
    /// The URL that the API is below. Without scheme it is the origin of the checkpoints.
    pub submission_prefix: String,
}

/// Why a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key is of another kind.
    #[error("key of the certificate transparency log is {0}, ECDSA P-256 is needed")]
    Key(PublicKeyDetails),
    /// The submission prefix makes no origin.
    #[error("submission prefix: {0}")]
    Prefix(#[from] VkeyError),
    /// The ledger is another log's, or signed by another key.
    #[error("checkpoint in force: {0}")]
    Checkpoint(#[from] NoteRefused),
    /// A root is no good.
    #[error(transparent)]
    Root(#[from] Refusal),
    /// The directory of issuers.
    #[error("issuers: {0}")]
    Issuers(#[from] io::Error),
}

/// The name of a log in its checkpoints: the submission prefix as a URL without scheme and without slash at its end.
pub fn origin(submission_prefix: &str) -> &str {
    let (_, name) = submission_prefix.split_once("://").unwrap_or(("", submission_prefix));
    name.trim_end_matches('/')
}

/// What signs the checkpoints of a log. A tree head has no room for the line that ends a log, so a ledger so signed cannot be
/// frozen: it is started for reading only.
pub fn tree_head_signer(
    submission_prefix: &str,
    key: Arc<SigningKey>,
    clock: Clock,
) -> Result<TreeHeadSigner, VkeyError> {
    let spki = key.spki().to_vec();
    let sign = move |message: &[u8]| key.sign(message);
    TreeHeadSigner::new(origin(submission_prefix), &spki, sign, move || clock.now_millis())
}

/// A signed tree head (RFC 6962 §3.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeHead {
    /// Number of entries.
    pub size: u64,
    /// Unix milliseconds.
    pub timestamp: u64,
    /// Root of the tree.
    pub root: Hash,
    /// The `digitally-signed` struct.
    pub signature: Vec<u8>,
}

/// An entry as `get-entries` gives it (RFC 6962 §4.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedEntry {
    /// The `MerkleTreeLeaf`.
    pub leaf_input: Bytes,
    /// The chain, after the precertificate if it is one.
    pub extra_data: Vec<u8>,
}

/// A running log.
pub struct CertificateLog {
    log: Log,
    key: Arc<dyn PrivateKey>,
    verifier: Verifier,
    log_id: Hash,
    clock: Clock,
    issuers: Issuers,
    roots: InForce<Roots>,
    ended: AtomicBool,
}

impl CertificateLog {
    /// Opens the log. Refused are parts that do not fit each other.
    pub fn open(parts: Parts) -> Result<Self, OpenError> {
        let Parts { log, key, clock, issuers, roots, submission_prefix } = parts;
        if key.details() != PublicKeyDetails::PkixEcdsaP256Sha256 {
            return Err(OpenError::Key(key.details()));
        }
        let verifier = Verifier::of_tree_heads(origin(&submission_prefix), key.spki())?;
        let note = log.reader().published().note.clone();
        Checkpoint::open(&String::from_utf8_lossy(&note), &verifier)?;
        let (issuers, roots) = (Issuers::open(&issuers)?, InForce::new(Roots::new(&roots)?));
        Ok(Self {
            log,
            log_id: sha256(key.spki()),
            key,
            verifier,
            clock,
            issuers,
            roots,
            ended: AtomicBool::new(false),
        })
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`, by which its timestamps name it.
    pub fn log_id(&self) -> Hash {
        self.log_id
    }

    /// What verifies its checkpoints.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The tree.
    pub fn reader(&self) -> &Reader {
        self.log.reader()
    }

    /// The roots that it accepts.
    pub fn roots(&self) -> Arc<Roots> {
        self.roots.now()
    }

    /// Accepts these roots from now on, DER.
    pub fn accept(&self, roots: &[Vec<u8>]) -> Result<(), OpenError> {
        self.roots.replace(Roots::new(roots)?);
        Ok(())
    }

    /// Takes nothing more, for good: another log follows it. What is in it can be read.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether it takes nothing more.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Logs a chain, the submitted certificate first; its root may be left out. Every submission is a new entry, also of
    /// what is in the log already.
    pub async fn submit(&self, kind: Kind, chain: &[Vec<u8>]) -> Result<Sct, CtError> {
        self.sequence(|roots| roots.admit(kind, chain)).await
    }

    async fn sequence(
        &self,
        admit: impl FnOnce(&Roots) -> Result<Admitted, Refusal>,
    ) -> Result<Sct, CtError> {
        if self.has_ended() {
            return Err(CtError::Unavailable("it has ended, another log follows it".to_owned()));
        }
        let admitted = admit(&self.roots.now()).map_err(|refusal| {
            metrics::counter!("bulla_ct_refused_total").increment(1);
            CtError::Refused(refusal.problem)
        })?;
        let Admitted { entry, pre_certificate, issuers } = admitted;
        let chain =
            self.issuers.keep(&issuers).await.map_err(|error| CtError::Unavailable(error.to_string()))?;
        let refused = |error: super::WireError| CtError::Refused(error.problem);
        let aside = Rest { pre_certificate, chain }.encode().map_err(refused)?.into();
        let timestamp = self.clock.now_millis();
        // The writer puts the index there.
        let mut entry = TimestampedEntry { timestamp, entry, extensions: extensions(0) };
        let leaf = Bytes::from(entry.leaf().map_err(refused)?);
        let index_at = leaf.len() - INDEX_FROM_END;
        let added = self.log.add_numbered(Addition { leaf, aside }, index_at).await;
        let index = added.map_err(|error| not_added(&error))?.index;
        entry.extensions = extensions(index);
        let unavailable = |problem: String| CtError::Unavailable(problem);
        let signature = self.key.sign(&entry.leaf().map_err(refused)?).await;
        let signature = signature.map_err(|error| unavailable(error.to_string()))?;
        let signature = rfc6962::digitally_signed(&signature)
            .ok_or_else(|| unavailable("the key made a signature that is too long".to_owned()))?;
        metrics::counter!("bulla_ct_entries_total").increment(1);
        Ok(Sct { log_id: self.log_id, timestamp, extensions: entry.extensions, signature })
    }

    /// The tree head in force.
    pub fn tree_head(&self) -> Result<TreeHead, ReadError> {
        let published = self.reader().published();
        let note = Note::parse(&String::from_utf8_lossy(&published.note)).map_err(ReadError::corrupt)?;
        let line = note.signed_by(&self.verifier).next();
        let (timestamp, signature) = line
            .and_then(|line| rfc6962::parts(&line.bytes))
            .ok_or_else(|| ReadError::corrupt("the checkpoint in force has no tree head"))?;
        Ok(TreeHead { size: published.size, timestamp, root: published.root, signature: signature.to_vec() })
    }

    /// A tile by its path: `tile/<L>/<N>[.p/<W>]` or `tile/data/<N>[.p/<W>]`; `None` when the path is none, or beyond the
    /// tree in force.
    pub async fn tile(&self, path: &str) -> Result<Option<(TileId, Tile)>, ReadError> {
        let parsed = match path.strip_prefix("tile/data/") {
            Some(number) => TileId::parse(&format!("tile/entries/{number}")),
            // Data tiles are what this log has instead of entry bundles.
            None if path.starts_with("tile/entries/") => return Ok(None),
            None => return self.hashes(path).await,
        };
        let Ok(id) = parsed else { return Ok(None) };
        let leaves = match id.index.checked_mul(WIDTH) {
            Some(first) => self.reader().leaves_from(first).await?,
            None => return Ok(None),
        };
        let Some(leaves) = leaves.get(..usize::from(id.width)) else { return Ok(None) };
        let mut bytes = Vec::new();
        for (leaf, beside) in leaves {
            bytes.extend_from_slice(&leaf[LEAF_HEADER.len().min(leaf.len())..]);
            bytes.extend_from_slice(&beside.aside);
        }
        let etag = format!("\"{}\"", &sha256(&bytes).to_string()[..32]).into();
        Ok(Some((id, Tile { bytes: bytes.into(), etag })))
    }

    async fn hashes(&self, path: &str) -> Result<Option<(TileId, Tile)>, ReadError> {
        let Ok(id) = TileId::parse(path) else { return Ok(None) };
        Ok(self.reader().tile(id).await?.map(|tile| (id, tile)))
    }

    /// The certificate of an issuer by the SHA-256 of its DER.
    pub async fn issuer(&self, hash: Hash) -> Result<Option<Bytes>, ReadError> {
        self.issuers.read(hash).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ReadError::corrupt(error),
            _ => ReadError::unavailable(error),
        })
    }

    /// Published entries from an index on: at most `most`, at least one if there is one, and none behind the end of the
    /// tile that the index is in or after [`MAX_ANSWER`] bytes.
    pub async fn entries(&self, start: u64, most: usize) -> Result<Vec<LoggedEntry>, ReadError> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut certificates: HashMap<Hash, Bytes> = HashMap::new();
        for (leaf_input, beside) in self.reader().leaves_from(start).await?.into_iter().take(most) {
            let entry = TimestampedEntry::parse_leaf(&leaf_input).map_err(ReadError::corrupt)?.entry;
            let rest = Rest::parse(&beside.aside, &entry).map_err(ReadError::corrupt)?;
            let mut chain = Vec::with_capacity(rest.chain.len());
            for hash in &rest.chain {
                let certificate = match certificates.get(hash) {
                    Some(certificate) => certificate.clone(),
                    None => self.issuer(*hash).await?.ok_or_else(|| missing(hash))?,
                };
                certificates.insert(*hash, certificate.clone());
                chain.push(certificate);
            }
            let extra_data = rest.extra_data(&chain).map_err(ReadError::corrupt)?;
            bytes += leaf_input.len() + extra_data.len();
            entries.push(LoggedEntry { leaf_input, extra_data });
            if bytes > MAX_ANSWER {
                break;
            }
        }
        Ok(entries)
    }
}

impl CtLog for CertificateLog {
    fn add(&self, precertificate: Precertificate) -> BoxFuture<'_, Result<Vec<u8>, CtError>> {
        Box::pin(async move {
            let sct = self.sequence(|roots| roots.admit_own(precertificate)).await?;
            sct.encode().map_err(|error| CtError::Unavailable(error.problem))
        })
    }
}

fn not_added(error: &AddError) -> CtError {
    let problem = error.to_string();
    match error {
        AddError::TooLong { .. } | AddError::LongAside { .. } | AddError::LongOrder { .. } => {
            CtError::Refused(problem)
        }
        _ => CtError::Unavailable(problem),
    }
}

fn missing(issuer: &Hash) -> ReadError {
    ReadError::corrupt(format!("issuer {issuer} is missing"))
}

/// After so many bytes of entries no more are added to an answer.
pub const MAX_ANSWER: usize = 4 << 20;
