//! Keys and signatures of minisign (<https://jedisct1.github.io/minisign/#signature-format>) and of signify, whose format
//! it took over.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};

use crate::keys::KeyError;
use crate::traces::KeyTraces;

/// A public key.
pub struct PublicKey {
    /// None in the oldest form, which is the bare point.
    id: Option<[u8; 8]>,
    point: [u8; 32],
    canonical: Vec<u8>,
}

impl PublicKey {
    /// Reads a key file, the base64 line of one, or the bare 32 bytes (themselves or in base64) of old entries.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if let Ok(point) = <[u8; 32]>::try_from(bytes) {
            return Ok(Self::bare(point));
        }
        let lines = lines(bytes, "public key")?;
        let (line, is_file) = match lines.as_slice() {
            [line] => (*line, false),
            [comment, line] if comment.starts_with(COMMENT) => (*line, true),
            _ => {
                let problem = format!(
                    "public key has {} lines, a comment and a line of base64 were expected",
                    lines.len()
                );
                return Err(KeyError::new(problem));
            }
        };
        let raw = decode(line, "public key")?;
        if let (Ok(point), false) = (<[u8; 32]>::try_from(raw.as_slice()), is_file) {
            return Ok(Self::bare(point));
        }
        let Ok(raw) = <[u8; 42]>::try_from(raw) else {
            return Err(KeyError::new("public key is not 42 bytes in base64".to_owned()));
        };
        if raw[..2] != *b"Ed" {
            let problem = format!("public key is of algorithm {:?}, \"Ed\" was expected", name(&raw));
            return Err(KeyError::new(problem));
        }
        Ok(Self {
            id: Some(part(&raw, 2)),
            point: part(&raw, 10),
            canonical: STANDARD.encode(raw).into_bytes(),
        })
    }

    fn bare(point: [u8; 32]) -> Self {
        Self { id: None, point, canonical: STANDARD.encode(point).into_bytes() }
    }

    /// The base64 line.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// What it can be found by.
    pub fn traces(&self) -> KeyTraces {
        KeyTraces { fingerprints: KeyTraces::fingerprints_of(&self.canonical), ..KeyTraces::default() }
    }

    /// Verifies a signature over the message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let hash;
        let signed = if signature.raw[1] == b'D' {
            hash = Blake2b512::digest(message);
            hash.as_slice()
        } else {
            message
        };
        if UnparsedPublicKey::new(&ED25519, &self.point).verify(signed, &signature.raw[10..]).is_ok() {
            return Ok(());
        }
        let made_by: [u8; 8] = part(&signature.raw, 2);
        let problem = match self.id {
            Some(id) if id != made_by => format!(
                "signature is by key {:016X}, publicKey is {:016X}",
                u64::from_le_bytes(made_by),
                u64::from_le_bytes(id)
            ),
            _ => "signature is not the minisign key's over the artifact".to_owned(),
        };
        Err(KeyError::new(problem))
    }
}

/// A signature beside its artifact.
pub struct Signature {
    raw: [u8; 74],
}

impl Signature {
    /// Reads a signature file. What its trusted comment says is neither verified nor kept.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let lines = lines(bytes, "signature")?;
        let [comment, line, rest @ ..] = lines.as_slice() else {
            return Err(KeyError::new("signature has one line, a comment and base64 were expected".into()));
        };
        if !comment.starts_with(COMMENT) || rest.len() > 2 {
            let problem = format!("signature is not a minisign file: {COMMENT:?} and base64 were expected");
            return Err(KeyError::new(problem));
        }
        let Ok(raw) = <[u8; 74]>::try_from(decode(line, "signature")?) else {
            return Err(KeyError::new("signature is not 74 bytes in base64".to_owned()));
        };
        if !matches!(&raw[..2], b"Ed" | b"ED") {
            let problem =
                format!("signature is of algorithm {:?}, \"Ed\" or \"ED\" was expected", name(&raw));
            return Err(KeyError::new(problem));
        }
        Ok(Self { raw })
    }

    /// The file without what its comments say.
    pub fn canonical(&self) -> Vec<u8> {
        format!("{COMMENT}\n{}", STANDARD.encode(self.raw)).into_bytes()
    }
}

fn lines<'a>(bytes: &'a [u8], what: &str) -> Result<Vec<&'a str>, KeyError> {
    // Comments can be long, but not that long.
    if bytes.len() > MAX_FILE {
        let problem = format!("{what} is {} bytes, at most {MAX_FILE} were expected", bytes.len());
        return Err(KeyError::new(problem));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| KeyError::new(format!("{what} has bytes that are no text")))?;
    Ok(text.trim_end().lines().map(str::trim_end).collect())
}

fn decode(line: &str, what: &str) -> Result<Vec<u8>, KeyError> {
    STANDARD.decode(line).map_err(|_| KeyError::new(format!("{what} has a line that is not base64")))
}

fn part<const N: usize>(raw: &[u8], from: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&raw[from..from + N]);
    part
}

fn name(raw: &[u8]) -> String {
    String::from_utf8_lossy(&raw[..2]).into_owned()
}

const COMMENT: &str = "untrusted comment:";
const MAX_FILE: usize = 16 * 1024;
