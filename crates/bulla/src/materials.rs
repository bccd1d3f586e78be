//! What an entry is made of, from where people have it: files and URLs, read with bounds.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::HashAlgorithm;
use bulla_rekor::client::v1::{
    DEFAULT_KIND, Materials, Proposal, expected_body, hash_for, propose, read_proposal,
};
use reqwest::redirect::Policy;

use crate::cause::innermost;
use crate::command::Failure;
use crate::text::hex;

/// Where the parts of an entry are: each a file or a URL.
#[derive(Clone, Default, Debug)]
pub(crate) struct Sources {
    /// A proposed entry, ready.
    pub(crate) entry: Option<String>,
    /// `kind` or `kind:version`.
    pub(crate) kind: String,
    pub(crate) artifact: Option<String>,
    pub(crate) artifact_hash: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) public_keys: Vec<String>,
    pub(crate) pki_format: String,
    pub(crate) aad: Option<Vec<u8>>,
}

/// How much is done for the one who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Care {
    /// Everything as it was given, digests are SHA-256: what rekor-cli does.
    AsGiven,
    /// The hash function is the one that goes with the key, and a signature may be in base64.
    ByKey,
}

impl Sources {
    /// Whether anything says what the entry is about.
    pub(crate) fn is_empty(&self) -> bool {
        self.entry.is_none() && self.artifact.is_none() && self.artifact_hash.is_none()
    }

    /// Reads everything and proposes the entry, in each version that may be tried.
    pub(crate) async fn proposals(&self, care: Care) -> Result<Vec<Proposal>, Failure> {
        if let Some(entry) = &self.entry {
            let text = read(entry, LARGEST_ENTRY).await?;
            let named = |error| Failure::usage(format!("{entry}: {error}"));
            return Ok(vec![read_proposal(&text).map_err(named)?]);
        }
        let (kind, version) =
            self.kind.split_once(':').map_or((self.kind.as_str(), None), |(kind, v)| (kind, Some(v)));
        let mut materials = Materials { pki_format: self.pki_format.clone(), ..Materials::default() };
        for key in &self.public_keys {
            materials.public_keys.push(read(key, LARGEST_KEY).await?);
        }
        if let Some(signature) = &self.signature {
            let bytes = read(signature, LARGEST_SIGNATURE).await?;
            let plain = care == Care::ByKey && (kind == DEFAULT_KIND || self.pki_format == "x509");
            materials.signature = Some(if plain { out_of_base64(bytes) } else { bytes });
        }
        materials.aad.clone_from(&self.aad);
        materials.artifact_hash.clone_from(&self.artifact_hash);
        if kind == DEFAULT_KIND {
            materials.artifact_hash = self.digest(care, &materials).await?;
        } else if let Some(artifact) = &self.artifact {
            materials.artifact = Some(read(artifact, LARGEST_ARTIFACT).await?);
        }
        propose(kind, version, &materials).map_err(Failure::usage)
    }

    /// The digest of the artifact, which is read in pieces, however large it is; the given one must be its.
    async fn digest(&self, care: Care, materials: &Materials) -> Result<Option<String>, Failure> {
        let given = self.artifact_hash.clone();
        let Some(artifact) = &self.artifact else { return Ok(given) };
        let algorithm = match (&given, materials.public_keys.first()) {
            (Some(given), _) => algorithm_of(given),
            (None, Some(key)) if care == Care::ByKey => {
                hash_for(key).map_err(|error| Failure::usage(format!("--public-key: {error}")))?
            }
            _ => HashAlgorithm::Sha256,
        };
        let digits = digest_of(artifact, algorithm).await?;
        match given {
            Some(given) if !given.to_ascii_lowercase().ends_with(&digits) => Err(Failure::usage(format!(
                "--artifact-hash is {given:?}, {artifact} has {}:{digits}",
                name_of(algorithm)
            ))),
            Some(given) => Ok(Some(given)),
            None => Ok(Some(format!("{}:{digits}", name_of(algorithm)))),
        }
    }
}

/// The body that the log will have; a proposal that it would refuse is refused here, with the same words.
pub(crate) fn expected(proposal: &Proposal) -> Result<Option<Vec<u8>>, Failure> {
    expected_body(proposal)
        .map_err(|fault| Failure::usage(format!("the log would refuse the entry: {fault}")))
}

/// Reads a file or URL of at most so many bytes.
pub(crate) async fn read(source: &str, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    feed(source, most, |piece| bytes.extend_from_slice(piece)).await?;
    Ok(bytes)
}

/// The hexadecimal digest of a file or URL.
pub(crate) async fn digest_of(source: &str, algorithm: HashAlgorithm) -> Result<String, Failure> {
    let mut context = digest::Context::new(match algorithm {
        HashAlgorithm::Sha384 => &digest::SHA384,
        HashAlgorithm::Sha512 => &digest::SHA512,
        HashAlgorithm::Sha256 => &digest::SHA256,
    });
    feed(source, LARGEST_HASHED, |piece| context.update(piece)).await?;
    Ok(hex(context.finish().as_ref()))
}

/// What an algorithm is called in a v1 entry.
pub(crate) fn name_of(algorithm: HashAlgorithm) -> &'static str {
    match algorithm {
        HashAlgorithm::Sha384 => "sha384",
        HashAlgorithm::Sha512 => "sha512",
        HashAlgorithm::Sha256 => "sha256",
    }
}

/// The hash function of a digest with or without its name.
pub(crate) fn algorithm_of(digest: &str) -> HashAlgorithm {
    match digest.rsplit(':').next().unwrap_or_default().len() {
        96 => HashAlgorithm::Sha384,
        128 => HashAlgorithm::Sha512,
        _ => HashAlgorithm::Sha256,
    }
}

/// Reads a digest and gives it its name.
pub(crate) fn named_digest(text: &str) -> Result<String, String> {
    const LENGTHS: [(&str, usize); 4] = [("sha1", 40), ("sha256", 64), ("sha384", 96), ("sha512", 128)];
    let (name, digits) = text.split_once(':').map_or((None, text), |(name, digits)| (Some(name), digits));
    let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let fits = |(known, length): &(&str, usize)| {
        hex && digits.len() == *length && name.is_none_or(|name| name == *known)
    };
    match LENGTHS.iter().find(|known| fits(known)) {
        Some((name, _)) => Ok(format!("{name}:{}", digits.to_ascii_lowercase())),
        None => {
            Err("hex digits of sha1 (40), sha256 (64), sha384 (96) or sha512 (128) were expected".to_owned())
        }
    }
}

/// Whether it is an address and not the name of a file.
pub(crate) fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

async fn feed(source: &str, most: u64, mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
    let too_long = || Failure::usage(format!("{source}: has more than {most} bytes"));
    let mut left = most;
    if is_url(source) {
        let failed = |problem: String| Failure::unavailable(format!("{source}: {problem}"));
        let mut response = download(source).await.map_err(failed)?;
        while let Some(piece) = response.chunk().await.map_err(|error| failed(innermost(&error)))? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(too_long)?;
            take(&piece);
        }
        return Ok(());
    }
    let failed = |error: std::io::Error| Failure::usage(format!("{source}: {error}"));
    let mut file = std::fs::File::open(Path::new(source)).map_err(failed)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        left = left.checked_sub(read as u64).ok_or_else(too_long)?;
        take(&buffer[..read]);
    }
}

/// Downloads what was named; where artifacts lie there are redirects to other hosts, but never back to plain HTTP.
async fn download(url: &str) -> Result<reqwest::Response, String> {
    let redirects = Policy::custom(|attempt| {
        let before = attempt.previous();
        let weaker = attempt.url().scheme() != "https" && before.iter().any(|from| from.scheme() == "https");
        if weaker || before.len() > REDIRECTS { attempt.stop() } else { attempt.follow() }
    });
    let client = bulla_web::client()
        .read_timeout(Duration::from_secs(30))
        .redirect(redirects)
        .build()
        .map_err(|error| error.to_string())?;
    let response = client.get(url).send().await.map_err(|error| innermost(&error))?;
    if response.status() == reqwest::StatusCode::OK {
        return Ok(response);
    }
    Err(format!("answered {}", response.status()))
}

/// Signatures are kept as bytes or as base64 with a newline; what is base64 throughout is no signature as it stands.
fn out_of_base64(bytes: Vec<u8>) -> Vec<u8> {
    let text = std::str::from_utf8(&bytes).ok().map(|text| text.split_ascii_whitespace().collect::<String>());
    text.and_then(|text| STANDARD.decode(text).ok()).filter(|decoded| !decoded.is_empty()).unwrap_or(bytes)
}

/// A proposed entry, with an artifact in it.
const LARGEST_ENTRY: u64 = 192 << 20;
/// An artifact that is sent as a whole.
pub(crate) const LARGEST_ARTIFACT: u64 = 128 << 20;
/// An artifact of which only the digest is sent.
const LARGEST_HASHED: u64 = 1 << 40;
pub(crate) const LARGEST_KEY: u64 = 4 << 20;
const LARGEST_SIGNATURE: u64 = 4 << 20;
const REDIRECTS: usize = 10;
