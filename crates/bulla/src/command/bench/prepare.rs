//! The requests of a run, whole as they go over the wire, made before the clock starts.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::load::Target;
use crate::command::Failure;

/// What an entry is verified with.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// A bare P-256 public key: entries of about 490 bytes
    Key,
    /// A certificate of the size that Fulcio issues: entries of about 3 KB
    Certificate,
}

/// Requests ready to be sent.
pub(super) struct Requests {
    pub(super) wire: Vec<Bytes>,
    /// Bytes of the entry that the log makes of each.
    pub(super) body_len: usize,
}

/// A certificate as Fulcio issues has about this many bytes.
const CERTIFICATE_LEN: usize = 1_730;
/// What an entry has around its base64 fields.
const BODY_FRAME: usize = 225;

struct Identity {
    pair: EcdsaKeyPair,
    verifier: String,
    verifier_len: usize,
}

/// `count` different entries by `keys` different keys.
pub(super) fn requests(target: &Target, kind: Kind, count: usize, keys: usize) -> Result<Requests, Failure> {
    let identities = (0..keys.max(1)).map(|_| identity(kind)).collect::<Result<Vec<_>, _>>()?;
    let random = SystemRandom::new();
    let mut seed = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut seed).map_err(Failure::unavailable)?;
    let progress = indicatif::ProgressBar::new(count as u64).with_message("signing");
    let mut wire = Vec::with_capacity(count);
    let mut body_len = 0;
    for (number, identity) in (0..count).zip(identities.iter().cycle()) {
        let artifact = [&seed[..], &number.to_be_bytes()].concat();
        let signature = identity.pair.sign(&random, &artifact).map_err(Failure::unavailable)?;
        let (digest, signature) =
            (STANDARD.encode(digest(&SHA256, &artifact)), STANDARD.encode(signature.as_ref()));
        let json = format!(
            "{{\"hashedRekordRequestV002\":{{\"digest\":\"{digest}\",\"signature\":{{\"content\":\"{signature}\",\
             \"verifier\":{{{},\"keyDetails\":\"PKIX_ECDSA_P256_SHA_256\"}}}}}}}}",
            identity.verifier
        );
        body_len = BODY_FRAME + digest.len() + signature.len() + identity.verifier_len;
        wire.push(Bytes::from(format!(
            "POST /api/v2/log/entries HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            target.host,
            json.len()
        )));
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(Requests { wire, body_len })
}

fn identity(kind: Kind) -> Result<Identity, Failure> {
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
    let encoded = STANDARD.encode(der);
    let verifier_len = encoded.len();
    Ok(Identity { pair, verifier: format!("\"{name}\":{{\"rawBytes\":\"{encoded}\"}}"), verifier_len })
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
pub(super) fn read(target: &Target, path: &str) -> Requests {
    let wire = format!("GET /{path} HTTP/1.1\r\nHost: {}\r\n\r\n", target.host);
    Requests { wire: vec![Bytes::from(wire)], body_len: 0 }
}

/// Reads of a million entries at random places.
pub(super) fn entries(target: &Target, size: u64) -> Result<Requests, Failure> {
    let mut wire = Vec::with_capacity(1_000_000);
    for _ in 0..1_000_000 {
        let mut random = [0_u8; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(Failure::unavailable)?;
        let index = u64::from_be_bytes(random) % size.max(1);
        wire.push(read(target, &format!("api/v2/log/entries/{index}")).wire.remove(0));
    }
    Ok(Requests { wire, body_len: 0 })
}
