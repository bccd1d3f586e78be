//! The requests of a run, whole as they go over the wire, made before the clock starts.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::load::Target;
use crate::command::Failure;
use crate::text::hex;

/// What an entry is verified with.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// A bare P-256 public key: entries of about 490 bytes
    Key,
    /// A certificate of the size that Fulcio issues: entries of about 3 KB
    Certificate,
}

/// Through which door entries are sent.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Api {
    /// hashedrekord 0.0.1
    V1,
    /// hashedrekord 0.0.2
    V2,
}

/// What entries are to be like.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) api: Api,
    pub(super) kind: Kind,
    /// How many in all.
    pub(super) entries: usize,
    /// Different keys among them.
    pub(super) keys: usize,
    /// Entries in a request; with more than one they go to the batch endpoint.
    pub(super) batch: usize,
}

/// Requests ready to be sent.
pub(super) struct Requests {
    pub(super) wire: Vec<Bytes>,
    /// Bytes of each entry that the log makes.
    pub(super) body_len: usize,
    /// Entries in each request.
    pub(super) batch: usize,
}

impl Requests {
    /// The same request for ever; what it makes is no entry.
    pub(super) fn one(wire: Bytes) -> Self {
        Self { wire: vec![wire], body_len: 0, batch: 1 }
    }
}

/// A certificate as Fulcio issues has about this many bytes.
const CERTIFICATE_LEN: usize = 1_730;
/// What an entry has around its base64 fields.
const BODY_FRAME: usize = 225;
/// The same at the v1 door, with the digest.
const V1_BODY_FRAME: usize = 235;

struct Identity {
    pair: EcdsaKeyPair,
    /// How a request of the v2 door names the key.
    verifier: String,
    /// The key in base64 as an entry has it.
    encoded: String,
}

/// Different entries by different keys.
pub(super) fn requests(target: &Target, wanted: Wanted) -> Result<Requests, Failure> {
    let Wanted { api, kind, entries: count, keys, batch } = wanted;
    let identities = (0..keys.max(1)).map(|_| identity(api, kind)).collect::<Result<Vec<_>, _>>()?;
    let random = SystemRandom::new();
    let mut seed = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut seed).map_err(Failure::unavailable)?;
    let progress = indicatif::ProgressBar::new(count as u64).with_message("signing");
    let mut proposed = Vec::with_capacity(count);
    let mut body_len = 0;
    for (number, identity) in (0..count).zip(identities.iter().cycle()) {
        let artifact = [&seed[..], &number.to_be_bytes()].concat();
        let signature = identity.pair.sign(&random, &artifact).map_err(Failure::unavailable)?;
        let (digest, signature) = (digest(&SHA256, &artifact), STANDARD.encode(signature.as_ref()));
        let Identity { verifier, encoded, .. } = identity;
        proposed.push(match api {
            Api::V2 => {
                let digest = STANDARD.encode(digest);
                body_len = BODY_FRAME + digest.len() + signature.len() + encoded.len();
                format!(
                    "{{\"hashedRekordRequestV002\":{{\"digest\":\"{digest}\",\"signature\":{{\"content\":\"{signature}\",\
                     \"verifier\":{{{verifier},\"keyDetails\":\"PKIX_ECDSA_P256_SHA_256\"}}}}}}}}"
                )
            }
            Api::V1 => {
                body_len = V1_BODY_FRAME + signature.len() + encoded.len();
                v1_entry(digest.as_ref(), &signature, encoded)
            }
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    let path = match api {
        Api::V1 => "/api/v1/log/entries",
        Api::V2 => "/api/v2/log/entries",
    };
    let batch = batch.max(1);
    let wire = match batch {
        1 => proposed.iter().map(|json| post(target, path, json)).collect(),
        _ => proposed
            .chunks(batch)
            .map(|entries| {
                let json = format!("{{\"entries\":[{}]}}", entries.join(","));
                post(target, &format!("{path}/batch"), &json)
            })
            .collect(),
    };
    Ok(Requests { wire, body_len, batch })
}

pub(super) fn post(target: &Target, path: &str, json: &str) -> Bytes {
    Bytes::from(format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        target.host,
        json.len()
    ))
}

/// A hashedrekord 0.0.1, which is its own canonical body.
pub(super) fn v1_entry(digest: &[u8], signature: &str, key: &str) -> String {
    let digest = hex(digest);
    format!(
        "{{\"apiVersion\":\"0.0.1\",\"kind\":\"hashedrekord\",\"spec\":{{\"data\":{{\"hash\":{{\"algorithm\":\"sha256\",\
         \"value\":\"{digest}\"}}}},\"signature\":{{\"content\":\"{signature}\",\"publicKey\":{{\"content\":\"{key}\"}}}}}}}}"
    )
}

fn identity(api: Api, kind: Kind) -> Result<Identity, Failure> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(Failure::unavailable)?;
    let (name, der) = match kind {
        Kind::Key => {
            // SubjectPublicKeyInfo of a P-256 key (RFC 5480): a fixed head and the point.
            let mut spki = vec![
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
                0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ];
            spki.extend_from_slice(pair.public_key().as_ref());
            ("publicKey", spki)
        }
        Kind::Certificate => ("x509Certificate", certificate(&pair)?),
    };
    let encoded = match (api, kind) {
        (Api::V2, _) => STANDARD.encode(der),
        (Api::V1, Kind::Key) => STANDARD.encode(bulla_claims::keys::pem("PUBLIC KEY", &der)),
        (Api::V1, Kind::Certificate) => STANDARD.encode(bulla_claims::keys::pem("CERTIFICATE", &der)),
    };
    Ok(Identity { pair, verifier: format!("\"{name}\":{{\"rawBytes\":\"{encoded}\"}}"), encoded })
}

fn certificate(pair: &EcdsaKeyPair) -> Result<Vec<u8>, Failure> {
    let pkcs8 = pair.to_pkcs8v1().map_err(Failure::unavailable)?;
    let key = rcgen::KeyPair::try_from(pkcs8.as_ref()).map_err(Failure::unavailable)?;
    let make = |padding: usize| {
        let mut params = rcgen::CertificateParams::new(vec!["bench.example.org".to_owned()])?;
        let filler: Vec<u8> = (0..padding).map(|i| b'a' + (i % 26) as u8).collect();
        params.custom_extensions =
            vec![rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 99], filler)];
        params.self_signed(&key)
    };
    let bare = make(200).map_err(Failure::unavailable)?.der().len() - 200;
    Ok(make(CERTIFICATE_LEN.saturating_sub(bare)).map_err(Failure::unavailable)?.der().to_vec())
}

/// The same read again and again.
pub(super) fn read(target: &Target, path: &str, accept: Option<&str>) -> Requests {
    Requests::one(get(target, path, accept))
}

/// Reads of what a file lists, a path a line.
pub(super) fn listed(target: &Target, file: &Path, accept: Option<&str>) -> Result<Requests, Failure> {
    let paths = std::fs::read_to_string(file).map_err(|error| Failure::file(file, &error))?;
    let wire = paths.lines().map(|path| get(target, path, accept)).collect();
    Ok(Requests { wire, body_len: 0, batch: 1 })
}

fn get(target: &Target, path: &str, accept: Option<&str>) -> Bytes {
    let accept = accept.map_or_else(String::new, |accept| format!("Accept: {accept}\r\n"));
    Bytes::from(format!("GET /{path} HTTP/1.1\r\nHost: {}\r\n{accept}\r\n", target.host))
}

/// How entries are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// By index, at the v2 door.
    Index,
    /// By the digest of the artifact, at the v1 door; of entries that [`super::fill`] made.
    Digest,
}

/// Reads of a million entries at random places.
pub(super) fn entries(target: &Target, size: u64, by: By) -> Result<Requests, Failure> {
    let mut wire = Vec::with_capacity(1_000_000);
    for _ in 0..1_000_000 {
        let mut random = [0_u8; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(Failure::unavailable)?;
        let index = u64::from_be_bytes(random) % size.max(1);
        let path = match by {
            By::Index => format!("api/v2/log/entries/{index}"),
            By::Digest => {
                format!("api/v1/log/entries?hash={}", hex(&super::fill::noise(index, 32)))
            }
        };
        wire.push(get(target, &path, None));
    }
    Ok(Requests { wire, body_len: 0, batch: 1 })
}
