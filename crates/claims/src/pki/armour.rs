//! The armour of PGP (RFC 9580 §6): read leniently, by rPGP, and written in one way.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgp::armor::{BlockType, Dearmor};

use crate::keys::KeyError;

/// What the parser says, without where in the program it says so.
pub(super) fn brief(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let end = text.find(['{', '\n']).unwrap_or(text.len());
    text[..end].trim_end_matches([' ', ':']).chars().take(120).collect()
}

/// A packet begins with a set bit, which no armour does.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// What is in the armoured blocks of a text.
pub(super) fn unarmour(text: &[u8], expected: &BlockType, what: &str) -> Result<Vec<u8>, KeyError> {
    let wrong = |error: &dyn std::fmt::Display| {
        KeyError::new(format!("{what} is not in PGP armour: {}", brief(error)))
    };
    let text = std::str::from_utf8(text).map_err(|error| wrong(&error))?;
    let mut raw = Vec::new();
    let mut blocks = 0;
    let mut from = 0;
    for (at, line) in text.split_inclusive('\n').scan(0, |at, line| {
        *at += line.len();
        Some((*at, line))
    }) {
        if !line.starts_with("-----END PGP") {
            continue;
        }
        blocks += 1;
        if blocks > MAX_BLOCKS {
            return Err(KeyError::new(format!("{what} is of more than {MAX_BLOCKS} armoured blocks")));
        }
        let mut block = Dearmor::new(&text.as_bytes()[from..at]);
        block.read_header().map_err(|error| wrong(&error))?;
        match &block.typ {
            Some(typ) if typ == expected => {}
            typ => {
                let found = typ.as_ref().map(ToString::to_string).unwrap_or_default();
                let problem =
                    format!("{what} is armour of {found:?}, {:?} was expected", expected.to_string());
                return Err(KeyError::new(problem));
            }
        }
        block.read_to_end(&mut raw).map_err(|error| wrong(&error))?;
        from = at;
    }
    if blocks == 0 {
        return Err(wrong(&"it has no line -----END PGP ...-----"));
    }
    Ok(raw)
}

/// Armour without headers, its checksum before the last line, which does not end.
pub(super) fn armour(label: &str, raw: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN {label}-----\n\n");
    for line in raw.chunks(48) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push('=');
    STANDARD.encode_string(&crc24(raw).to_be_bytes()[1..], &mut text);
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----");
    text.into_bytes()
}

/// RFC 9580 §6.1.1.
fn crc24(raw: &[u8]) -> u32 {
    raw.iter().fold(0x00b7_04ce, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 16, |crc, _| {
            let crc = crc << 1;
            if crc & 0x0100_0000 == 0 { crc } else { crc ^ 0x0186_4cfb }
        }) & 0x00ff_ffff
    })
}

/// The most armoured blocks one after the other.
const MAX_BLOCKS: usize = 64;
