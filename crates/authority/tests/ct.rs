//! The certificate transparency log seen from outside: static readers and RFC 6962 clients, other people's code where there
//! is some, and the log after restarts and failures.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use axum::Router;
use axum::body::{Body, to_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_authority::api::ct::{Submissions, parse_chain};
use bulla_authority::ct::{
    AddChainResponse, CertificateLog, Clock, CtError, CtLog, Entry, Kind, Parts, Precertificate, RemoteCtLog,
    Roots, Sct, TileLeaf, TimestampedEntry, extensions, leaf_index, origin, tree_head_signer,
};
use bulla_claims::SigningKey;
use bulla_ledger::fsck::{self, check};
use bulla_ledger::storage::Storage;
use bulla_ledger::storage::faulty::{Effect, Faulty, Plan};
use bulla_ledger::storage::file::{DataDir, FileStorage, Format};
use bulla_ledger::storage::memory::Memory;
use bulla_ledger::{IndexAt, Log, Options};
use bulla_tlog::{Hash, leaf_hash, sha256, verify_consistency, verify_inclusion};
use der::{Decode as _, Encode as _};
use http::{Request, StatusCode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SerialNumber,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const PREFIX: &str = "https://ct.example.org:8443/2026/";
const POISON: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
const TIMESTAMPS: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// A root, an authority below it, and what they sign.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    issuer: CertifiedIssuer<'static, KeyPair>,
    leaf_key: KeyPair,
}

fn routes(ct: Arc<CertificateLog>) -> Router {
    bulla_authority::api::ct::routes(ct, Submissions::Open)
}

fn authority_params(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn key_pair() -> KeyPair {
    KeyPair::generate().expect("a key")
}

impl Authority {
    fn new() -> Self {
        let params = authority_params("root", BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, key_pair()).expect("a root");
        let params = authority_params("issuer", BasicConstraints::Constrained(0));
        let issuer = CertifiedIssuer::signed_by(params, key_pair(), &root).expect("an authority");
        Self { root, issuer, leaf_key: key_pair() }
    }

    fn params(number: u64, extensions: &[(&[u64], &[u8], bool)]) -> CertificateParams {
        let mut params = CertificateParams::new(vec![format!("{number}.example.org")]).expect("a name");
        params.serial_number = Some(SerialNumber::from(number + 1));
        let extension = |(oid, content, critical): &(&[u64], &[u8], bool)| {
            let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
            extension.set_criticality(*critical);
            extension
        };
        params.custom_extensions = extensions.iter().map(extension).collect();
        params
    }

    fn certificate(&self, number: u64, extensions: &[(&[u64], &[u8], bool)]) -> Vec<u8> {
        let params = Self::params(number, extensions);
        params.signed_by(&self.leaf_key, &self.issuer).expect("a certificate").der().to_vec()
    }

    /// What an authority sends before it signs the certificate of that number.
    fn precertificate(&self, number: u64) -> Precertificate {
        let certificate = x509_cert::Certificate::from_der(&self.certificate(number, &[])).expect("DER");
        let issuer = x509_cert::Certificate::from_der(self.issuer.der()).expect("DER");
        let spki = issuer.tbs_certificate.subject_public_key_info.to_der().expect("DER");
        Precertificate {
            issuer_key_hash: sha256(&spki),
            tbs: certificate.tbs_certificate.to_der().expect("DER"),
            signed: self.certificate(number, &[(POISON, &[5, 0], true)]),
            chain: vec![self.issuer.der().to_vec(), self.root.der().to_vec()],
        }
    }

    fn chain(&self, certificate: Vec<u8>) -> Vec<Vec<u8>> {
        vec![certificate, self.issuer.der().to_vec()]
    }
}

fn log_key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key"))
}

/// Opens the log over a storage, with its issuers below a directory.
async fn open(
    storage: Arc<dyn Storage>,
    dir: &Path,
    key: &Arc<SigningKey>,
    authority: &Authority,
) -> Result<(Arc<CertificateLog>, Log), String> {
    let clock = Clock::system();
    let signer = tree_head_signer(PREFIX, key.clone(), clock.clone()).expect("a signer");
    let verifier = signer.verifier().clone();
    let options = Options::new(Arc::new(signer), verifier, IndexAt::Memory);
    let log = Log::start(storage, options).await.map_err(|error| error.to_string())?;
    let parts = Parts {
        log: log.clone(),
        key: key.clone(),
        clock,
        issuers: dir.join("issuers"),
        roots: vec![authority.root.der().to_vec()],
        submission_prefix: PREFIX.to_owned(),
    };
    Ok((Arc::new(CertificateLog::open(parts).map_err(|error| error.to_string())?), log))
}

fn files(dir: &Path, key: &SigningKey) -> Arc<FileStorage> {
    let format = Format::new("ct.example.org:8443/2026", sha256(key.spki()), 1_700_000_000);
    Arc::new(FileStorage::open(&dir.join("log"), &format).expect("opens"))
}

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, Vec<u8>) {
    let response = router.clone().oneshot(request).await.expect("answers");
    let status = response.status();
    (status, to_bytes(response.into_body(), usize::MAX).await.expect("a body").to_vec())
}

async fn get(router: &Router, path: &str) -> (StatusCode, Vec<u8>) {
    ask(router, Request::get(path).body(Body::empty()).expect("a request")).await
}

async fn object(router: &Router, path: &str) -> Vec<u8> {
    let (status, body) = get(router, path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
    body
}

async fn json_of(router: &Router, path: &str) -> Value {
    serde_json::from_slice(&object(router, path).await).expect("JSON")
}

async fn post(router: &Router, path: &str, chain: &[Vec<u8>]) -> (StatusCode, Vec<u8>) {
    let chain: Vec<_> = chain.iter().map(|der| STANDARD.encode(der)).collect();
    let body = json!({ "chain": chain }).to_string();
    ask(router, Request::post(path).body(Body::from(body)).expect("a request")).await
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("a string")).expect("base64")
}

fn hashes(value: &Value) -> Vec<Hash> {
    value
        .as_array()
        .expect("an array")
        .iter()
        .map(|hash| Hash::from_slice(&decoded(hash)).expect("a hash"))
        .collect()
}

/// Whether the key signed it.
fn signed(key: &SigningKey, message: &[u8], digitally_signed: &[u8]) -> bool {
    let len = (digitally_signed.len() - 4) as u16;
    assert_eq!(digitally_signed[..4], [&[4, 3], len.to_be_bytes().as_slice()].concat());
    let point = &key.spki()[26..];
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, &digitally_signed[4..]).is_ok()
}

/// An entry of a data tile, read after the specification and apart from the log's own code.
struct Static {
    merkle_tree_leaf: Vec<u8>,
    timestamp: u64,
    leaf_index: u64,
    pre_certificate: Option<Vec<u8>>,
    chain: Vec<Vec<u8>>,
}

fn read_tile(tile: &[u8]) -> Vec<Static> {
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let (mut at, mut entries) = (0, Vec::new());
    while at < tile.len() {
        let start = at;
        let mut take = |len: usize| {
            at += len;
            &tile[at - len..at]
        };
        let timestamp = number(take(8));
        let is_precert = number(take(2)) == 1;
        if is_precert {
            take(32);
        }
        let len = number(take(3)) as usize;
        take(len);
        assert_eq!(take(5), [0, 8, 0, 0, 5]);
        let leaf_index = number(take(5));
        let end = start + 8 + 2 + if is_precert { 32 } else { 0 } + 3 + len + 10;
        let pre_certificate = is_precert.then(|| {
            let len = number(take(3)) as usize;
            take(len).to_vec()
        });
        let len = number(take(2)) as usize;
        let chain = take(len).chunks(32).map(<[u8]>::to_vec).collect();
        let merkle_tree_leaf = [&[0, 0], &tile[start..end]].concat();
        entries.push(Static { merkle_tree_leaf, timestamp, leaf_index, pre_certificate, chain });
    }
    entries
}

/// The root of a tree by its definition (RFC 6962 §2.1), with other people's hashes.
fn root_of(leaves: &[tlog_tiles::Hash]) -> tlog_tiles::Hash {
    match leaves {
        [leaf] => *leaf,
        leaves => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            tlog_tiles::node_hash(root_of(left), root_of(right))
        }
    }
}

/// Adds precertificates and certificates, many at a time, and returns the timestamps by index.
async fn grow(log: &CertificateLog, authority: &Authority, numbers: std::ops::Range<u64>) -> Vec<(u64, Sct)> {
    let mut promised = Vec::new();
    for number in numbers.collect::<Vec<_>>().chunks(50) {
        let adding = number.iter().map(|number| async move {
            if number % 7 == 0 {
                let chain = authority.chain(authority.certificate(*number, &[]));
                log.submit(Kind::Certificate, &chain).await.expect("logs")
            } else {
                Sct::parse(&log.add(authority.precertificate(*number)).await.expect("logs")).expect("reads")
            }
        });
        for sct in futures_util::future::join_all(adding).await {
            promised.push((leaf_index(&sct.extensions).expect("an index"), sct));
        }
    }
    promised.sort_by_key(|(index, _)| *index);
    promised
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn static_readers_recompute_the_log() {
    let (dir, key, authority) = (tempfile::tempdir().expect("a directory"), log_key(), Authority::new());
    let (ct, log) = open(files(dir.path(), &key), dir.path(), &key, &authority).await.expect("opens");
    let promised = grow(&ct, &authority, 0..300).await;
    assert!(promised.iter().map(|(index, _)| *index).eq(0..300), "each has its own index");
    let router = routes(ct.clone());

    // The checkpoint.
    let checkpoint = object(&router, "/checkpoint").await;
    let (text, line) = std::str::from_utf8(&checkpoint).expect("text").split_once("\n\n").expect("a note");
    let head = tlog_tiles::Checkpoint::from_bytes(format!("{text}\n").as_bytes()).expect("a checkpoint");
    assert_eq!((head.origin(), head.size(), head.extension()), ("ct.example.org:8443/2026", 300, ""));
    let line = line.strip_prefix("\u{2014} ct.example.org:8443/2026 ").expect("one line of the log's");
    let line = STANDARD.decode(line.trim_end()).expect("base64");
    let id = [b"ct.example.org:8443/2026\n\x05".as_slice(), &sha256(key.spki()).0].concat();
    assert_eq!(line[..4], sha256(&id).0[..4]);
    let at = u64::from_be_bytes(line[4..12].try_into().expect("8 bytes"));
    let message = [&[0, 1], &line[4..12], &300_u64.to_be_bytes(), &head.hash().0].concat();
    assert!(signed(&key, &message, &line[12..]));

    // The entries.
    let mut leaves = Vec::new();
    for path in ["/tile/data/000", "/tile/data/001.p/44"] {
        for entry in read_tile(&object(&router, path).await) {
            let (index, sct) = &promised[leaves.len()];
            assert_eq!((entry.leaf_index, entry.timestamp), (*index, sct.timestamp));
            assert!(entry.timestamp <= at, "no head is older than what is under it");
            assert!(signed(&key, &entry.merkle_tree_leaf, &sct.signature), "entry {index}");
            if let Some(signed) = entry.pre_certificate {
                x509_cert::Certificate::from_der(&signed).expect("a precertificate");
            }
            let chain = [authority.issuer.der(), authority.root.der()];
            assert_eq!(entry.chain, chain.map(|der| sha256(der).0.to_vec()));
            for (hash, der) in entry.chain.iter().zip(chain) {
                let hash = Hash::from_slice(hash).expect("a hash");
                assert_eq!(object(&router, &format!("/issuer/{hash}")).await, der.to_vec());
            }
            leaves.push(tlog_tiles::record_hash(&entry.merkle_tree_leaf));
        }
    }
    let full = object(&router, "/tile/data/000").await;
    assert_eq!(TileLeaf::parse_tile(&full).expect("the log's own reader").len(), 256);
    assert_eq!(leaves.len(), 300);
    assert_eq!(&root_of(&leaves), head.hash());
    let tiles = [object(&router, "/tile/0/000").await, object(&router, "/tile/0/001.p/44").await].concat();
    assert_eq!(tiles, leaves.iter().flat_map(|hash| hash.0).collect::<Vec<_>>());
    assert_eq!(object(&router, "/tile/1/000.p/1").await, root_of(&leaves[..256]).0);
    let narrow = object(&router, "/tile/data/001.p/3").await;
    assert!(object(&router, "/tile/data/001.p/44").await.starts_with(&narrow));
    assert_eq!(read_tile(&narrow).len(), 3);
    for path in [
        "/tile/data/001.p/45",
        "/tile/data/002.p/1",
        "/tile/entries/000",
        "/tile/names/000",
        "/tile/0/1",
        "/tile/data/001",
        "/tile/data/x018/x446/x744/x073/x709/x551/615",
        "/issuer/00",
        &format!("/issuer/{}", sha256(b"")),
        &format!("/issuer/{}", sha256(authority.root.der()).to_string().to_uppercase()),
    ] {
        assert_eq!(get(&router, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }

    // Tiles are not sent twice.
    let response = router
        .clone()
        .oneshot(Request::get("/tile/data/000").body(Body::empty()).expect("a request"))
        .await
        .expect("answers");
    let etag = response.headers()["etag"].clone();
    assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
    let again =
        Request::get("/tile/data/000").header("if-none-match", etag).body(Body::empty()).expect("a request");
    assert_eq!(ask(&router, again).await, (StatusCode::NOT_MODIFIED, Vec::new()));

    // The judge of the ledger, and the same after a restart.
    log.stop().await.expect("stops");
    let source = Arc::new(DataDir::open(&dir.path().join("log")).expect("opens"));
    let report = check(source, ct.verifier(), fsck::Options::default(), &|_| {}).await.expect("a verdict");
    assert_eq!((report.fault, report.entries), (None, 300));
    let data = object(&router, "/tile/data/001.p/44").await;
    drop((router, ct, log));
    let (ct, log) = open(files(dir.path(), &key), dir.path(), &key, &authority).await.expect("opens again");
    let router = routes(ct.clone());
    assert_eq!(object(&router, "/checkpoint").await, checkpoint);
    assert_eq!(object(&router, "/tile/data/001.p/44").await, data);
    let next = grow(&ct, &authority, 0..2).await;
    assert_eq!(
        next.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        [300, 301],
        "the same once more is new"
    );
    log.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rfc_6962_clients_are_answered() {
    let (dir, key, authority) = (tempfile::tempdir().expect("a directory"), log_key(), Authority::new());
    let (ct, _log) = open(Arc::new(Memory::default()), dir.path(), &key, &authority).await.expect("opens");
    let router = routes(ct.clone());
    let empty = json_of(&router, "/ct/v1/get-sth").await;
    assert_eq!(empty["tree_size"], 0);
    let mut heads = Vec::new();
    for grown in [0..1, 1..6, 6..40, 40..270] {
        grow(&ct, &authority, grown).await;
        let head = json_of(&router, "/ct/v1/get-sth").await;
        let (size, root) = (head["tree_size"].as_u64().expect("a size"), decoded(&head["sha256_root_hash"]));
        let at = head["timestamp"].as_u64().expect("a time");
        let message = [&[0, 1], at.to_be_bytes().as_slice(), &size.to_be_bytes(), &root].concat();
        assert!(signed(&key, &message, &decoded(&head["tree_head_signature"])));
        assert_eq!(head.as_object().expect("an object").len(), 4);
        heads.push((size, Hash::from_slice(&root).expect("a root")));
    }
    let (size, root) = heads[heads.len() - 1];
    assert_eq!(size, 270);
    for (old, old_root) in &heads {
        let proof = json_of(&router, &format!("/ct/v1/get-sth-consistency?first={old}&second={size}")).await;
        verify_consistency(*old, size, old_root, &root, &hashes(&proof["consistency"])).expect("holds");
    }

    // Entries, proofs by hash, and both at once.
    let mut leaves = Vec::new();
    while (leaves.len() as u64) < size {
        let answer = json_of(&router, &format!("/ct/v1/get-entries?start={}&end=100000", leaves.len())).await;
        leaves.extend(answer["entries"].as_array().expect("an array").clone());
    }
    assert_eq!(leaves.len(), 270);
    assert_eq!(json_of(&router, "/ct/v1/get-entries?start=3&end=5").await["entries"], json!(leaves[3..=5]));
    for (index, entry) in leaves.iter().enumerate().step_by(13) {
        let leaf = decoded(&entry["leaf_input"]);
        let hash = leaf_hash(&leaf);
        let text = hash.to_base64();
        for text in [text.clone(), text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")] {
            let proof =
                json_of(&router, &format!("/ct/v1/get-proof-by-hash?hash={text}&tree_size={size}")).await;
            assert_eq!(proof["leaf_index"], index);
            verify_inclusion(&hash, index as u64, size, &hashes(&proof["audit_path"]), &root).expect("holds");
        }
        let both =
            json_of(&router, &format!("/ct/v1/get-entry-and-proof?leaf_index={index}&tree_size={size}"))
                .await;
        assert_eq!((&both["leaf_input"], &both["extra_data"]), (&entry["leaf_input"], &entry["extra_data"]));
        verify_inclusion(&hash, index as u64, size, &hashes(&both["audit_path"]), &root).expect("holds");
        // Precertificate, then the chain in a vector of vectors.
        let vector = |der: &[u8]| [&(der.len() as u32).to_be_bytes()[1..], der].concat();
        let chain = vector(&[vector(authority.issuer.der()), vector(authority.root.der())].concat());
        let read = TimestampedEntry::parse_leaf(&leaf).expect("reads");
        let extra = decoded(&entry["extra_data"]);
        match read.entry {
            Entry::X509 { .. } => assert_eq!(extra, chain),
            Entry::Precert { .. } => assert!(extra.len() > chain.len() && extra.ends_with(&chain)),
        }
    }
    let roots = json_of(&router, "/ct/v1/get-roots").await;
    assert_eq!(roots, json!({ "certificates": [STANDARD.encode(authority.root.der())] }));

    for (path, problem) in [
        ("get-sth-consistency?first=1", "second is missing"),
        ("get-sth-consistency?first=1&second=2&first=1", "first is given more than once"),
        (
            "get-sth-consistency?first=2&second=1",
            "first is 2 and second is 1, first <= second <= 270 is needed",
        ),
        ("get-sth-consistency?first=+1&second=2", "first is \" 1\", a decimal number was expected"),
        (
            "get-entries?start=270&end=270",
            "start is 270 and end is 270, start <= end and start < 270 are needed",
        ),
        ("get-entries?start=-1&end=1", "start is \"-1\", a decimal number was expected"),
        (
            "get-entries?start=0&end=18446744073709551616",
            "end is \"18446744073709551616\", a decimal number was expected",
        ),
        ("get-proof-by-hash?hash=AAAA&tree_size=1", "hash is \"AAAA\", 32 bytes in base64 were expected"),
        ("get-entry-and-proof?leaf_index=1&tree_size=1", "leaf_index is 1, it must be below the tree_size 1"),
        ("get-entry-and-proof?leaf_index=1&tree_size=271", "tree_size is 271, 1 to 270 was expected"),
    ] {
        let (status, body) = get(&router, &format!("/ct/v1/{path}")).await;
        assert_eq!(
            (status, String::from_utf8_lossy(&body)),
            (StatusCode::BAD_REQUEST, format!("{problem}\n").into()),
            "{path}"
        );
    }
    let absent = sha256(b"").to_base64().replace('+', "%2B");
    assert_eq!(
        get(&router, &format!("/ct/v1/get-proof-by-hash?hash={absent}&tree_size=9")).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn submissions_are_answered_with_a_promise() {
    let (dir, key, authority) = (tempfile::tempdir().expect("a directory"), log_key(), Authority::new());
    let (ct, _log) = open(Arc::new(Memory::default()), dir.path(), &key, &authority).await.expect("opens");
    let router = routes(ct.clone());
    let poisoned = authority.certificate(1, &[(POISON, &[5, 0], true)]);
    let plain = authority.certificate(1, &[]);

    let (status, body) = post(&router, "/ct/v1/add-pre-chain", &authority.chain(poisoned.clone())).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer.as_object().expect("an object").len(), 5);
    assert_eq!((&answer["sct_version"], decoded(&answer["id"])), (&json!(0), sha256(key.spki()).0.to_vec()));
    assert_eq!(decoded(&answer["extensions"]), extensions(0));
    let Precertificate { issuer_key_hash, tbs, .. } = authority.precertificate(1);
    let entry = Entry::Precert { issuer_key_hash, tbs };
    let response: AddChainResponse = serde_json::from_slice(&body).expect("JSON");
    let sct = Sct::try_from(&response).expect("reads");
    let entry = TimestampedEntry { timestamp: sct.timestamp, entry, extensions: extensions(0) };
    assert!(sct.verifies(&entry, key.spki()));
    assert!(signed(&key, &entry.leaf().expect("fits"), &sct.signature));
    let (status, _) = post(&router, "/ct/v1/add-chain", &authority.chain(plain.clone())).await;
    assert_eq!(status, StatusCode::OK);
    let whole = [authority.chain(plain.clone()), vec![authority.root.der().to_vec()]].concat();
    assert_eq!(post(&router, "/ct/v1/add-chain", &whole).await.0, StatusCode::OK);
}

#[tokio::test]
async fn chains_that_are_refused() {
    let (dir, key, authority) = (tempfile::tempdir().expect("a directory"), log_key(), Authority::new());
    let (ct, _log) = open(Arc::new(Memory::default()), dir.path(), &key, &authority).await.expect("opens");
    let router = routes(ct.clone());
    let poisoned = authority.certificate(1, &[(POISON, &[5, 0], true)]);
    let plain = authority.certificate(1, &[]);
    let stranger = Authority::new();
    let mut forged = plain.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    // A chain that goes on below an authority that may have none below it.
    let params = authority_params("below", BasicConstraints::Unconstrained);
    let below = CertifiedIssuer::signed_by(params, key_pair(), &authority.issuer).expect("an authority");
    let leaf = Authority::params(1, &[])
        .signed_by(&authority.leaf_key, &below)
        .expect("a certificate")
        .der()
        .to_vec();
    let too_deep = vec![leaf, below.der().to_vec(), authority.issuer.der().to_vec()];
    // Somebody who is no authority signs.
    let no_authority = {
        let issuer = CertifiedIssuer::signed_by(Authority::params(5, &[]), key_pair(), &authority.issuer)
            .expect("a certificate");
        let leaf = Authority::params(1, &[]).signed_by(&authority.leaf_key, &issuer).expect("a certificate");
        vec![leaf.der().to_vec(), issuer.der().to_vec(), authority.issuer.der().to_vec()]
    };
    let signing = {
        let mut params = authority_params("precertificates", BasicConstraints::Constrained(0));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 11129, 2, 4, 4])];
        let issuer = CertifiedIssuer::signed_by(params, key_pair(), &authority.root).expect("an authority");
        let leaf = Authority::params(1, &[(POISON, &[5, 0], true)])
            .signed_by(&authority.leaf_key, &issuer)
            .expect("a certificate");
        vec![leaf.der().to_vec(), issuer.der().to_vec()]
    };
    let long = authority.certificate(1, &[(POISON, &[5, 0], true), (&[1, 2, 3, 4], &vec![7; 66_000], false)]);
    for (path, chain, problem) in [
        ("add-chain", vec![], "chain has 0 certificates, 1 to 10 were expected"),
        ("add-chain", vec![plain.clone(); 11], "chain has 11 certificates, 1 to 10 were expected"),
        ("add-chain", vec![b"x".to_vec()], "certificate 0 is not a DER certificate: "),
        (
            "add-chain",
            authority.chain([plain.as_slice(), &[0]].concat()),
            "certificate 0 is not a DER certificate: ",
        ),
        (
            "add-chain",
            authority.chain(poisoned.clone()),
            "certificate 0 is a precertificate: send it to add-pre-chain",
        ),
        (
            "add-pre-chain",
            authority.chain(plain.clone()),
            "certificate 0 is no precertificate: extension 1.3.6.1.4.1.11129.2.4.3 is missing",
        ),
        (
            "add-pre-chain",
            authority.chain(authority.certificate(1, &[(POISON, &[5, 0], false)])),
            "certificate 0 has an extension 1.3.6.1.4.1.11129.2.4.3 that is not critical and NULL",
        ),
        (
            "add-pre-chain",
            authority
                .chain(authority.certificate(1, &[(POISON, &[5, 0], true), (TIMESTAMPS, &[4, 0], false)])),
            "certificate 0 has timestamps already (extension 1.3.6.1.4.1.11129.2.4.2)",
        ),
        (
            "add-chain",
            stranger.chain(stranger.certificate(1, &[])),
            "certificate 1 is not signed by an accepted root: its issuer is CN=root",
        ),
        (
            "add-chain",
            vec![plain.clone()],
            "certificate 0 is not signed by an accepted root: its issuer is CN=issuer",
        ),
        (
            "add-chain",
            vec![plain.clone(), authority.root.der().to_vec()],
            "certificate 0 is not issued by the next one: its issuer is CN=issuer",
        ),
        ("add-chain", authority.chain(forged), "certificate 0 does not bear the signature of its issuer"),
        ("add-chain", too_deep, "certificate 2 has 1 authorities below it, its path length is 0"),
        (
            "add-chain",
            no_authority,
            "certificate 1 is not an authority's: basic constraints with CA are needed",
        ),
        (
            "add-pre-chain",
            signing,
            "certificate 1 is a precertificate signing certificate, which is not supported: ",
        ),
        ("add-pre-chain", authority.chain(long), "tbs certificate is "),
    ] {
        let (status, body) = post(&router, &format!("/ct/v1/{path}"), &chain).await;
        let said = String::from_utf8_lossy(&body);
        assert!(said.starts_with(problem), "{problem}: {said}");
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    }
    assert_eq!(ct.reader().published().size, 0, "what is refused leaves no trace");
}

#[tokio::test]
async fn bodies_that_are_refused() {
    let (dir, key, authority) = (tempfile::tempdir().expect("a directory"), log_key(), Authority::new());
    let (ct, _log) = open(Arc::new(Memory::default()), dir.path(), &key, &authority).await.expect("opens");
    let router = routes(ct.clone());
    for (body, status) in [
        (Body::from("{}"), StatusCode::BAD_REQUEST),
        (Body::from("{\"chain\":[\"?\"]}"), StatusCode::BAD_REQUEST),
        (Body::from(vec![b' '; (512 << 10) + 1]), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = Request::post("/ct/v1/add-chain").body(body).expect("a request");
        assert_eq!(ask(&router, request).await.0, status);
    }
    let mut other = authority.precertificate(1);
    other.chain = Authority::new().precertificate(1).chain;
    let refused = ct.add(other).await.expect_err("is another authority's");
    assert!(
        matches!(&refused, CtError::Refused(problem) if problem.contains("is not signed by an accepted root")),
        "{refused}"
    );
    assert_eq!(ct.reader().published().size, 0, "what is refused leaves no trace");
}

/// A precertificate and the certificate that follows it, made by python's `cryptography` with
/// keys of three kinds.
#[test]
fn what_others_issue_is_admitted() {
    let chain = parse_chain(include_bytes!("vectors/ct/add-pre-chain.json")).expect("a chain");
    let admitted = Roots::new(&chain[2..]).expect("a root").admit(Kind::Precertificate, &chain[..2]);
    let admitted = admitted.expect("is admitted");
    let issuer = x509_cert::Certificate::from_der(&chain[1]).expect("DER");
    let spki = issuer.tbs_certificate.subject_public_key_info.to_der().expect("DER");
    let tbs = include_bytes!("vectors/ct/tbs.der").to_vec();
    assert_eq!(admitted.entry, Entry::Precert { issuer_key_hash: sha256(&spki), tbs });
    assert_eq!(admitted.pre_certificate.as_ref(), Some(&chain[0]));
    assert_eq!(admitted.issuers, chain[1..]);
}

/// Every call of the storage fails in turn, its effect lost or kept: every timestamp that was given is of an entry in the
/// log that is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_promised_survives_every_fault() {
    let (key, authority) = (log_key(), Authority::new());
    let (mut promised, mut failed) = (0, 0);
    for effect in [Effect::Lost, Effect::Kept] {
        for number in 0.. {
            let dir = tempfile::tempdir().expect("a directory");
            let storage: Arc<dyn Storage> = Arc::new(Memory::default());
            let faulty = Arc::new(Faulty::new(storage.clone(), Plan::From(number, effect)));
            let mut given = Vec::new();
            if let Ok((ct, log)) = open(faulty.clone(), dir.path(), &key, &authority).await {
                for number in 0..4 {
                    match ct.add(authority.precertificate(number)).await {
                        Ok(sct) => given.push((number, Sct::parse(&sct).expect("reads"))),
                        Err(_) => failed += 1,
                    }
                }
                let _may_fail = log.stop().await;
            }
            let struck = faulty.calls() > number;
            drop(faulty);
            let (ct, log) = open(storage, dir.path(), &key, &authority).await.expect("what is left is a log");
            for (number, sct) in &given {
                let Precertificate { issuer_key_hash, tbs, .. } = authority.precertificate(*number);
                let entry = TimestampedEntry {
                    timestamp: sct.timestamp,
                    entry: Entry::Precert { issuer_key_hash, tbs },
                    extensions: sct.extensions.clone(),
                };
                let index = leaf_index(&sct.extensions).expect("an index");
                let entries = ct.entries(index, 1).await.expect("reads");
                assert_eq!(entries[0].leaf_input, entry.leaf().expect("fits"));
                assert!(sct.verifies(&entry, key.spki()));
                promised += 1;
            }
            let next = grow(&ct, &authority, 9..10).await;
            assert_eq!(next[0].0 + 1, ct.reader().published().size);
            log.stop().await.expect("stops");
            if !struck {
                break;
            }
        }
    }
    assert!(promised > 20 && failed > 20, "{promised} promised, {failed} failed");
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/log/")
}

#[tokio::test]
async fn a_log_elsewhere_is_believed_when_it_signed() {
    let (dir, key, authority) = (tempfile::tempdir().expect("a directory"), log_key(), Authority::new());
    let (ct, _log) = open(Arc::new(Memory::default()), dir.path(), &key, &authority).await.expect("opens");
    let url = serve(Router::new().nest("/log", routes(ct.clone()))).await;
    let remote = RemoteCtLog::new(&url, key.spki()).expect("a log");
    let precertificate = authority.precertificate(1);
    let sct = Sct::parse(&remote.add(precertificate.clone()).await.expect("logs")).expect("reads");
    assert_eq!(leaf_index(&sct.extensions), Some(0));

    let said = |error: CtError| error.to_string();
    let other = RemoteCtLog::new(&url, log_key().spki()).expect("a log");
    assert_eq!(
        said(other.add(precertificate.clone()).await.expect_err("another key")),
        "certificate transparency log: its answer is not to be believed: the timestamp is not signed by the log's key"
    );
    let unpoisoned = Precertificate { signed: authority.certificate(1, &[]), ..precertificate.clone() };
    let refused = said(remote.add(unpoisoned).await.expect_err("is refused"));
    assert!(
        refused
            .starts_with("certificate transparency log refused: 400 Bad Request: certificate 0 is no prec"),
        "{refused}"
    );
    for (status, body, problem) in [
        (
            200,
            "{}".to_owned(),
            "certificate transparency log: its answer is not to be believed: missing field",
        ),
        (200, "x".repeat(65_537), "certificate transparency log: its answer is over 65536 bytes"),
        (302, String::new(), "certificate transparency log: 302 Found: "),
        (503, "a\nb".to_owned(), "certificate transparency log: 503 Service Unavailable: a\\nb"),
        (429, String::new(), "certificate transparency log: 429"),
        (403, String::new(), "certificate transparency log refused: 403"),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let answer = move || std::future::ready((status, [("location", "/elsewhere")], body.clone()));
        let url = serve(Router::new().route("/log/ct/v1/add-pre-chain", axum::routing::post(answer))).await;
        let remote = RemoteCtLog::new(&url, key.spki()).expect("a log");
        let said = said(remote.add(precertificate.clone()).await.expect_err("no timestamp"));
        assert!(said.starts_with(problem), "{said}");
    }
    let gone = RemoteCtLog::new("http://127.0.0.1:1", key.spki()).expect("a log");
    assert!(matches!(gone.add(precertificate).await, Err(CtError::Unavailable(_))));
    for url in ["ftp://x/", "x", "https://x/?q", "https://x/#f"] {
        assert!(RemoteCtLog::new(url, key.spki()).is_err(), "{url}");
    }
    assert!(RemoteCtLog::new(&url, b"key").is_err());
}

#[tokio::test]
async fn parts_that_do_not_fit_are_refused() {
    let (dir, key, authority) = (tempfile::tempdir().expect("a directory"), log_key(), Authority::new());
    let (ct, log) = open(Arc::new(Memory::default()), dir.path(), &key, &authority).await.expect("opens");
    let parts = |key: &Arc<SigningKey>, roots: Vec<Vec<u8>>, prefix: &str| Parts {
        log: log.clone(),
        key: key.clone(),
        clock: Clock::system(),
        issuers: dir.path().join("issuers"),
        roots,
        submission_prefix: prefix.to_owned(),
    };
    let said = |parts: Parts| CertificateLog::open(parts).err().expect("is refused").to_string();
    let other = said(parts(&log_key(), vec![], PREFIX));
    assert!(other.starts_with("checkpoint in force: checkpoint is not signed by "), "{other}");
    let other = said(parts(&key, vec![], "https://ct.example.org/2027"));
    assert!(other.starts_with("checkpoint in force: checkpoint is not signed by "), "{other}");
    let ed25519 = SigningKey::from_pem(&SigningKey::generate_ed25519_pem(), None).expect("a key");
    assert_eq!(
        said(parts(&Arc::new(ed25519), vec![], PREFIX)),
        "key of the certificate transparency log is PKIX_ED25519, ECDSA P-256 is needed"
    );
    let leaf = authority.certificate(1, &[]);
    assert_eq!(
        said(parts(&key, vec![leaf], PREFIX)),
        "root 0 is not an authority's: basic constraints with CA are needed"
    );
    assert_eq!(origin("https://ct.example.org/2026//"), "ct.example.org/2026");
    assert_eq!(ct.log_id(), sha256(key.spki()));
}
