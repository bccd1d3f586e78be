//! The text form of a note's public key: `name+<8 hex digits of key ID>+base64(type ‖ key)` (C2SP signed-note, "Verifier
//! keys"), and the rules for key names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::{Hash, sha256};

/// A name that cannot stand in a signature line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("name is empty")]
    Empty,
    /// A space, a plus sign, a control character; in an origin also a colon.
    #[error("name {name:?} has {character:?}, which cannot stand in one")]
    Character {
        /// The name.
        name: String,
        /// The first such character.
        character: char,
    },
    /// More bytes than a cosignature's length byte can say.
    #[error("name is {len} bytes, at most {MAX_NAME} were expected")]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
}

/// Text that is not a vkey, or not of a key that can verify here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VkeyError {
    /// Not three parts joined by `+`, or longer than any key.
    #[error("not a vkey, <name>+<8 hex digits>+<base64> was expected")]
    Shape,
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The last part is not padded standard base64 of a type byte and a key.
    #[error("key of vkey {name:?} is not base64 of a type and a key")]
    Base64 {
        /// The vkey's name.
        name: String,
    },
    /// The ID is not the one that follows from name and key.
    #[error("vkey {name:?} says key ID {said}, its key has {computed}")]
    KeyId {
        /// The vkey's name.
        name: String,
        /// The ID in the text.
        said: String,
        /// The ID of the key.
        computed: String,
    },
    /// A type that nothing here verifies.
    #[error("vkey {name:?} has type 0x{kind:02x}, {expected}")]
    Type {
        /// The vkey's name.
        name: String,
        /// Its type byte.
        kind: u8,
        /// What was expected.
        expected: &'static str,
    },
    /// The key itself is no good.
    #[error("key of {name:?} is not {expected}")]
    Key {
        /// The key's name.
        name: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// Whether a name can stand in a signature line: not empty, no Unicode space, no control character, no `+`.
pub fn valid_name(name: &str) -> Result<(), NameError> {
    refuse(name, |character| character == '+' || character.is_whitespace() || character < ' ')
}

/// Whether a name can be a log's origin here: a valid name without `:`, for verifiers drop a port, of at most 255 bytes.
pub fn valid_origin(origin: &str) -> Result<(), NameError> {
    valid_name(origin)?;
    if origin.len() > MAX_NAME {
        return Err(NameError::TooLong { len: origin.len() });
    }
    refuse(origin, |character| character == ':')
}

fn refuse(name: &str, refused: impl Fn(char) -> bool) -> Result<(), NameError> {
    match name.chars().find(|&character| refused(character)) {
        Some(character) => Err(NameError::Character { name: name.to_owned(), character }),
        None if name.is_empty() => Err(NameError::Empty),
        None => Ok(()),
    }
}

/// The parts of a vkey; its ID is still only what the text says.
pub(crate) struct Vkey<'a> {
    pub(crate) name: &'a str,
    pub(crate) key_id: [u8; 4],
    pub(crate) kind: u8,
    pub(crate) key: Vec<u8>,
}

impl<'a> Vkey<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, VkeyError> {
        if text.len() > MAX_VKEY {
            return Err(VkeyError::Shape);
        }
        let (name, rest) = text.split_once('+').ok_or(VkeyError::Shape)?;
        let (id, key) = rest.split_once('+').ok_or(VkeyError::Shape)?;
        valid_name(name)?;
        if id.len() != 8 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(VkeyError::Shape);
        }
        let key_id = u32::from_str_radix(id, 16).map_err(|_| VkeyError::Shape)?.to_be_bytes();
        let bytes = STANDARD.decode(key).ok().filter(|bytes| bytes.len() > 1);
        let mut bytes = bytes.ok_or_else(|| VkeyError::Base64 { name: name.to_owned() })?;
        let kind = bytes.remove(0);
        Ok(Self { name, key_id, kind, key: bytes })
    }

    /// Refuses when the ID that follows from the key is another than the text's.
    pub(crate) fn expect_id(&self, computed: [u8; 4]) -> Result<(), VkeyError> {
        if self.key_id == computed {
            return Ok(());
        }
        let (said, computed) = (hex(self.key_id), hex(computed));
        Err(VkeyError::KeyId { name: self.name.to_owned(), said, computed })
    }
}

/// The text of a vkey.
pub(crate) fn write(name: &str, key_id: [u8; 4], kind: u8, key: &[u8]) -> String {
    format!("{name}+{}+{}", hex(key_id), STANDARD.encode([&[kind], key].concat()))
}

/// Full hash of which a key ID is the beginning, by the general rule: SHA-256(name ‖ LF ‖ type ‖ key).
pub(crate) fn key_hash(name: &str, kind: u8, key: &[u8]) -> Hash {
    sha256(&[name.as_bytes(), b"\n", &[kind], key].concat())
}

/// The first four bytes of a key hash.
pub(crate) fn key_id(hash: &Hash) -> [u8; 4] {
    [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
}

fn hex(key_id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(key_id))
}

/// The longest name whose length fits the one byte it has in a subtree cosignature.
pub(crate) const MAX_NAME: usize = 255;
/// An ML-DSA-44 vkey is under 2,100 characters, one of RSA 8192 under 1,700.
const MAX_VKEY: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "log.example.org", "a:80/b", "é", "—"] {
            assert_eq!(valid_name(name), Ok(()));
        }
        assert_eq!(valid_name(""), Err(NameError::Empty));
        for name in ["a b", "a+b", "a\nb", "a\u{a0}b", "a\u{2003}b", "\u{85}", "a\0"] {
            assert!(valid_name(name).is_err(), "{name:?}");
        }
        assert_eq!(
            valid_name("a b").unwrap_err().to_string(),
            "name \"a b\" has ' ', which cannot stand in one"
        );
        assert_eq!(valid_origin("log.example.org/2026"), Ok(()));
        assert_eq!(
            valid_origin("localhost:3000").unwrap_err().to_string(),
            "name \"localhost:3000\" has ':', which cannot stand in one"
        );
        assert_eq!(valid_origin(&"x".repeat(255)), Ok(()));
        assert_eq!(valid_origin(&"x".repeat(256)), Err(NameError::TooLong { len: 256 }));
    }

    #[test]
    fn parts_of_a_vkey() {
        // Base64 may have plus signs of its own.
        assert_eq!(Vkey::parse("n+0000000a+AQ+/").unwrap().key, [0x0f, 0xbf]);
        let vkey = Vkey::parse("n+0000000A+Afv/").unwrap();
        assert_eq!(
            (vkey.name, vkey.key_id, vkey.kind, vkey.key.as_slice()),
            ("n", [0, 0, 0, 10], 1, &[0xfb, 0xff][..])
        );
        assert_eq!(write("n", [0, 0, 0, 10], 1, &[0xfb, 0xff]), "n+0000000a+Afv/");
        for text in
            ["", "n", "n+00000000", "n+0000000+AQEB", "n++0000000+AQEB", "n+-0000001+AQEB", "n+0x000001+AQEB"]
        {
            assert_eq!(Vkey::parse(text).err(), Some(VkeyError::Shape), "{text}");
        }
        assert_eq!(Vkey::parse("+00000000+AQEB").err(), Some(VkeyError::Name(NameError::Empty)));
        for text in
            ["n+00000000+", "n+00000000+AQ==", "n+00000000+AQEB=", "n+00000000+AQE", "n+00000000+AQEB\n"]
        {
            assert_eq!(Vkey::parse(text).err(), Some(VkeyError::Base64 { name: "n".to_owned() }), "{text}");
        }
        assert_eq!(Vkey::parse(&"n".repeat(MAX_VKEY + 1)).err(), Some(VkeyError::Shape));
    }
}
