//! What the fuzz targets share: a small log, a directory for hostile files, and checksums made right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::{DsseRule, LabelRule, LogSigner, Material, Proposed, Rules, SigningKey};
use bulla_ledger::source::largest;
use bulla_ledger::storage::file::Format;
use bulla_ledger::storage::memory::Memory;
use bulla_ledger::{BoxFuture, IndexAt, Log, Options, ReadError, Source};
use bulla_rekor::wire::v2::protos::dev::sigstore::common::v1::{PublicKeyDetails, X509Certificate};
use bulla_rekor::wire::v2::protos::dev::sigstore::rekor::v2 as pb;
use bulla_tlog::note::Verifier;
use bulla_tlog::{TileKind, right_edge, widest};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

/// The origin of the small log.
pub const ORIGIN: &str = "log.example.org";
/// Its entries: a full bundle and a partial one.
pub const SIZE: u64 = 300;
/// What journal records are aligned to.
pub const BLOCK: usize = 512;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
static SIGNER: LazyLock<LogSigner> = LazyLock::new(|| {
    let pem = include_str!("../crates/claims/tests/keys/ed25519.pem");
    LogSigner::new(ORIGIN, SigningKey::from_pem(pem, None).expect("a key")).expect("a signer")
});
static LOG: LazyLock<SmallLog> = LazyLock::new(|| block_on(SmallLog::make()));

/// Runs to the end on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// The key of the small log.
pub fn signer() -> &'static LogSigner {
    &SIGNER
}

/// A log that is made once.
pub fn log() -> &'static SmallLog {
    &LOG
}

/// A log of [`SIZE`] entries and everything that a stranger can read of it.
pub struct SmallLog {
    /// Where it is kept.
    pub storage: Arc<Memory>,
    /// The log.
    pub log: Log,
    /// Its public objects by path.
    pub objects: BTreeMap<String, Bytes>,
}

impl SmallLog {
    async fn make() -> Self {
        let storage = Arc::new(Memory::new(1 << 20));
        let pem = include_str!("../crates/claims/tests/keys/ed25519.pem");
        let key = SigningKey::from_pem(pem, None).expect("a key");
        let signer = Arc::new(LogSigner::new(ORIGIN, key).expect("a signer"));
        let options = Options::new(signer, SIGNER.verifier().clone(), IndexAt::Memory);
        let log = Log::start(storage.clone(), options).await.expect("starts");
        for index in 0..SIZE {
            log.add(Bytes::from(format!("entry {index}"))).await.expect("is added");
        }
        let full =
            [TileKind::Hashes(0), TileKind::Entries].into_iter().filter_map(|kind| widest(kind, 0, SIZE));
        let mut objects = BTreeMap::from([("checkpoint".to_owned(), log.reader().published().note.clone())]);
        for id in full.chain(right_edge(SIZE)) {
            let tile = log.reader().tile(id).await.expect("reads").expect("is there");
            objects.insert(id.path(), tile.bytes);
        }
        Self { storage, log, objects }
    }

    /// The key that its checkpoints are signed with.
    pub fn verifier(&self) -> &Verifier {
        SIGNER.verifier()
    }

    /// Which object to replace, and what is served in its place: within the bounds of a [`Source`].
    pub fn replacement(&self, which: u8, bytes: &[u8]) -> (String, Bytes) {
        let path =
            self.objects.keys().nth(usize::from(which) % self.objects.len()).expect("has objects").clone();
        let bytes = bytes.get(..largest(&path)).unwrap_or(bytes);
        (path, Bytes::copy_from_slice(bytes))
    }

    /// The log as a stranger reads it.
    pub fn source(&'static self, replaced: Option<(String, Bytes)>) -> Arc<dyn Source> {
        Arc::new(Served { log: self, replaced })
    }
}

struct Served {
    log: &'static SmallLog,
    replaced: Option<(String, Bytes)>,
}

impl Source for Served {
    fn fetch<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        let replaced = self.replaced.as_ref().filter(|(name, _)| name == path).map(|(_, bytes)| bytes);
        Box::pin(std::future::ready(Ok(replaced.or_else(|| self.log.objects.get(path)).cloned())))
    }

    fn name(&self) -> String {
        ORIGIN.to_owned()
    }
}

/// A directory that is removed again, in memory where the system has a place for that.
pub struct Directory(PathBuf);

impl Directory {
    /// With nothing in it.
    pub fn empty() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(format!("bulla-fuzz-{}", std::process::id()));
        let _absent = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("is made");
        Self(path)
    }

    /// The data directory of an empty log.
    pub fn of_a_log() -> Self {
        let dir = Self::empty();
        let format = Format::new(ORIGIN, signer().verifier().log_id(), 1_700_000_000);
        dir.write("format", format.to_string().as_bytes());
        dir.write("head", format!("0\n{}\n", bulla_tlog::empty_root().to_base64()).as_bytes());
        dir
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("is below the directory")).expect("is made");
        fs::write(path, bytes).expect("is written");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// Judges a proposed entry by every rule; a leaf that is made can be read again.
pub fn admit(proposed: &Proposed) {
    for (label, dsse) in
        [(LabelRule::MustFit, DsseRule::Transcode), (LabelRule::AsLaxAsUpstream, DsseRule::Reject)]
    {
        let rules = Rules { label, dsse, ..Rules::default() };
        if let Ok(admitted) = bulla_claims::admit(proposed, &rules) {
            let facts = bulla_claims::describe(&admitted.body).expect("a leaf can be read");
            assert!(facts.digest.is_some() && facts.signatures.len() == 1);
        }
    }
}

/// The protobuf that says the same as a request read from JSON, if it can be said.
pub fn protobuf(proposed: &Proposed) -> Option<pb::CreateEntryRequest> {
    let Proposed::HashedRekord(proposed) = proposed else { return None };
    let verifier = proposed.verifier.as_ref()?;
    PublicKeyDetails::try_from(verifier.key_details).ok()?;
    let raw_bytes = verifier.material.raw_bytes().to_vec();
    let key = match verifier.material {
        Material::PublicKey(_) => pb::verifier::Verifier::PublicKey(pb::PublicKey { raw_bytes }),
        Material::Certificate(_) => pb::verifier::Verifier::X509Certificate(X509Certificate { raw_bytes }),
    };
    let verifier = pb::Verifier { key_details: verifier.key_details, verifier: Some(key) };
    let signature = pb::Signature { content: proposed.signature.clone(), verifier: Some(verifier) };
    let request = pb::HashedRekordRequestV002 { digest: proposed.digest.clone(), signature: Some(signature) };
    Some(pb::CreateEntryRequest {
        spec: Some(pb::create_entry_request::Spec::HashedRekordRequestV002(request)),
    })
}

/// Makes a journal file of these bytes: its header, and the checksum of whatever begins like a record on a block.
/// The layout is written down in the ledger's `storage/file/journal.rs`.
pub fn seal_journal(file: &mut [u8], generation: u64) {
    let nonce = [7; 16];
    if file.len() < BLOCK {
        return;
    }
    file[..8].copy_from_slice(b"BULLAJNL");
    file[8..12].copy_from_slice(&1_u32.to_be_bytes());
    file[12..16].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    file[16..24].copy_from_slice(&generation.to_be_bytes());
    file[24..40].copy_from_slice(&nonce);
    let sum = sha256(&[&file[..40]]);
    file[40..72].copy_from_slice(&sum);
    for at in (BLOCK..file.len()).step_by(BLOCK) {
        let rest = &mut file[at..];
        if rest.len() < 92 || !rest.starts_with(b"BREC") {
            continue;
        }
        rest[4..12].copy_from_slice(&generation.to_be_bytes());
        let len = u32::from_be_bytes(rest[24..28].try_into().expect("four bytes")) as usize;
        let Some(payload) = rest.get(92..).and_then(|payload| payload.get(..len)) else { continue };
        let sum = sha256(&[&nonce, &rest[..60], payload]);
        rest[60..92].copy_from_slice(&sum);
    }
}

/// Makes a report of these lines: with the digest of each, and the seal. Its form is written down in docs/reference-report.md.
pub fn seal_report(lines: &[u8]) -> Vec<u8> {
    let text = |hash: [u8; 32]| format!("\"{}\"", bulla_tlog::Hash(hash));
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let digests: Vec<_> = lines.split(|byte| *byte == b'\n').map(|line| text(sha256(&[line]))).collect();
    let digests = format!("\"digests\":[{}],", digests.join(","));
    let seal = format!("\"seal\":{}", text(sha256(&[digests.as_bytes()])));
    [lines, format!("\n{digests}\n{seal}\n}}\n").as_bytes()].concat()
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("is 32 bytes")
}

/// What stands in base64 behind a name in the worked vectors.
pub fn vector(name: &str) -> Vec<u8> {
    let values = include_str!("../crates/rekor/tests/vectors/values.txt");
    let value = values.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    STANDARD.decode(value.expect("is a vector")).expect("is base64")
}
