//! PEM (RFC 7468, lax form) of public keys and certificate chains, and the one spelling that is stored of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One block: its label, and what is in it.
pub struct Block {
    /// What stands between `BEGIN` and the dashes.
    pub label: String,
    /// The bytes.
    pub der: Vec<u8>,
}

/// Every block of a text, at most `most`. Text before a block is passed over, as OpenSSL writes some there; after the last
/// only white space may stand. The error is what is to be said after the name of the text.
pub fn read(text: &[u8], most: usize) -> Result<Vec<Block>, String> {
    let text =
        std::str::from_utf8(text).map_err(|_| "is not PEM: it has bytes that are no text".to_owned())?;
    let mut lines = text.lines().map(str::trim);
    let mut blocks = Vec::new();
    let mut stray = false;
    while let Some(line) = lines.next() {
        let Some(label) = dashed(line, "-----BEGIN ") else {
            stray |= !line.is_empty();
            continue;
        };
        if blocks.len() == most {
            return Err(format!("has more than {most} PEM blocks, at most {most} were expected"));
        }
        stray = false;
        blocks.push(Block { label: label.to_owned(), der: content(label, &mut lines)? });
    }
    if blocks.is_empty() {
        return Err(
            "is not PEM: a line -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE----- was expected"
                .into(),
        );
    }
    if stray {
        return Err("has text after its last PEM block, none was expected".to_owned());
    }
    Ok(blocks)
}

fn content<'a>(label: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<u8>, String> {
    let mut base64 = String::new();
    for line in lines {
        if dashed(line, "-----END ") == Some(label) {
            return STANDARD
                .decode(&base64)
                .map_err(|_| format!("has PEM of {label:?} whose content is not base64"));
        }
        base64.extend(line.chars().filter(|c| !c.is_ascii_whitespace()));
    }
    Err(format!("has PEM without its last line, -----END {label}----- was expected"))
}

fn dashed<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

/// Appends a block as it is stored: lines of 64 columns, each ended by a line feed.
pub(crate) fn write(label: &str, der: &[u8], to: &mut String) {
    to.push_str("-----BEGIN ");
    to.push_str(label);
    to.push_str("-----\n");
    // 48 bytes are 64 columns.
    for line in der.chunks(48) {
        STANDARD.encode_string(line, to);
        to.push('\n');
    }
    to.push_str("-----END ");
    to.push_str(label);
    to.push_str("-----\n");
}
