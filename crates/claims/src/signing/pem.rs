//! PEM (RFC 7468, lax form): the first private key among whatever else a key file has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::der::zeroize::Zeroizing;

use super::KeyFileError;

/// A block of PEM.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    /// The bytes in it; cosign's blocks have JSON there.
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// The first block whose label says private key. Text between blocks, certificates and curve parameters are passed over.
pub(super) fn private_key(text: &str) -> Result<Block<'_>, KeyFileError> {
    if text.len() > MAX_FILE {
        return Err(KeyFileError::TooLong { len: text.len(), most: MAX_FILE });
    }
    let mut lines = text.lines().map(str::trim);
    let mut other = None;
    while let Some(line) = lines.next() {
        let Some(label) = dashed(line, "-----BEGIN ") else { continue };
        if label.ends_with("PRIVATE KEY") {
            return block(label, lines);
        }
        other = other.or(Some(label));
    }
    Err(match other {
        Some(label) => KeyFileError::Label { label: label.to_owned() },
        None => KeyFileError::Pem { problem: "no line -----BEGIN PRIVATE KEY----- in it" },
    })
}

fn block<'a>(label: &'a str, lines: impl Iterator<Item = &'a str>) -> Result<Block<'a>, KeyFileError> {
    // Of the size it can grow to, so that no part of a key stays behind in memory that was given back.
    let mut base64 = Zeroizing::new(String::with_capacity(MAX_FILE));
    for line in lines {
        if dashed(line, "-----END ") == Some(label) {
            let der = STANDARD.decode(base64.as_bytes());
            let der =
                der.map_err(|_| KeyFileError::Pem { problem: "what is between its dashes is not base64" })?;
            return Ok(Block { label, der: Zeroizing::new(der) });
        }
        if line.starts_with("Proc-Type:") {
            let problem =
                "it is in OpenSSL's old format, convert it with: openssl pkcs8 -topk8 -in OLD -out NEW";
            return Err(KeyFileError::Encryption { problem: problem.to_owned() });
        }
        base64.push_str(line);
    }
    Err(KeyFileError::Pem { problem: "it has no END line that matches its BEGIN line" })
}

fn dashed<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

/// An encrypted RSA 4096 key is under 4 KiB.
const MAX_FILE: usize = 64 * 1024;
