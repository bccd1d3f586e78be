//! Signed notes: a text, a blank line, and one line for each signature over it (C2SP signed-note).

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::{Hash, sha256};
use crate::rfc6962;
use crate::spki::{self, Family, PublicKey};
use crate::vkey::{self, Vkey};
pub use crate::vkey::{NameError, VkeyError, valid_name, valid_origin};

/// The longest note that is read.
pub const MAX_NOTE: usize = 1024 * 1024;
/// The most signature lines that are read.
pub const MAX_SIGNATURES: usize = 100;

/// What signs the text of a note: a key in memory, a file, a remote key.
pub trait Signer: Send + Sync {
    /// The name in the signature line.
    fn name(&self) -> &str;
    /// The key ID in the signature line.
    fn key_id(&self) -> [u8; 4];
    /// The signature over the text, without the key ID.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignError>;
    /// Tells a signer whose signatures say when they were made that no later one may say an earlier time than this, in Unix
    /// milliseconds. Others need not care.
    fn not_before(&self, _unix_millis: u64) {}
}

/// A signature could not be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot sign: {problem}")]
pub struct SignError {
    /// Why.
    pub problem: String,
}

impl SignError {
    /// From whatever the signing library says.
    pub fn new(problem: impl fmt::Display) -> Self {
        Self { problem: problem.to_string() }
    }
}

/// An Ed25519 key with the name it signs under: the plainest signer.
pub struct Ed25519Signer {
    key: Ed25519KeyPair,
    verifier: Verifier,
}

impl Ed25519Signer {
    /// A key and its name.
    pub fn new(name: &str, key: Ed25519KeyPair) -> Result<Self, VkeyError> {
        let spki = spki::ed25519(key.public_key().as_ref());
        let verifier = Verifier::from_spki(name, &spki)?;
        Ok(Self { key, verifier })
    }

    /// What verifies its signatures.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

impl Signer for Ed25519Signer {
    fn name(&self) -> &str {
        self.verifier.name()
    }

    fn key_id(&self) -> [u8; 4] {
        self.verifier.key_id()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.try_sign(text).map(|signature| signature.as_ref().to_vec()).map_err(SignError::new)
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({})", self.verifier.vkey())
    }
}

/// A public key with the name it signs under.
#[derive(Clone)]
pub struct Verifier {
    name: String,
    key: PublicKey,
    over: Over,
    hash: Hash,
}

/// What a signature is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The text of the note.
    Text,
    /// The RFC 6962 tree head that the text is a checkpoint of.
    TreeHead,
}

impl Verifier {
    /// Reads a vkey of an Ed25519 (0x01), ECDSA (0x02) or RSA (0xff) key, or of one that signs RFC 6962 tree heads (0x05).
    pub fn from_vkey(text: &str) -> Result<Self, VkeyError> {
        let vkey = Vkey::parse(text)?;
        let name = vkey.name.to_owned();
        let key = match vkey.kind {
            KIND_ED25519 => PublicKey::from_ed25519(&vkey.key),
            KIND_ECDSA => PublicKey::from_spki(&vkey.key).filter(|key| key.family == Family::Ecdsa),
            KIND_OTHER => vkey
                .key
                .strip_prefix(RSA_NAME)
                .and_then(PublicKey::from_spki)
                .filter(|key| key.family == Family::Rsa),
            KIND_TREE_HEAD => {
                let verifier = Self::of_tree_heads(&name, &vkey.key)?;
                vkey.expect_id(verifier.key_id())?;
                return Ok(verifier);
            }
            kind => {
                let expected =
                    "a signing key (0x01 Ed25519, 0x02 ECDSA, 0x05 RFC 6962, 0xff RSA) was expected";
                return Err(VkeyError::Type { name, kind, expected });
            }
        };
        let key = key.ok_or_else(|| VkeyError::Key {
            name: name.clone(),
            expected: "of the kind that its type says",
        })?;
        let verifier = Self::new(name, key);
        vkey.expect_id(verifier.key_id())?;
        Ok(verifier)
    }

    /// From a DER `SubjectPublicKeyInfo`: Ed25519, ECDSA P-256, P-384 or P-521, RSA of 2048 to 8192 bits.
    pub fn from_spki(name: &str, spki_der: &[u8]) -> Result<Self, VkeyError> {
        valid_name(name)?;
        let key = PublicKey::from_spki(spki_der).ok_or_else(|| VkeyError::Key {
            name: name.to_owned(),
            expected: "DER of an Ed25519, ECDSA P-256, P-384, P-521 or RSA public key",
        })?;
        Ok(Self::new(name.to_owned(), key))
    }

    /// The key of a certificate transparency log, which signs RFC 6962 tree heads (C2SP static-ct-api), from the DER
    /// `SubjectPublicKeyInfo` of an ECDSA P-256 key.
    pub fn of_tree_heads(name: &str, spki_der: &[u8]) -> Result<Self, VkeyError> {
        valid_name(name)?;
        let key = PublicKey::from_spki(spki_der).filter(PublicKey::is_p256).ok_or_else(|| {
            VkeyError::Key { name: name.to_owned(), expected: "DER of an ECDSA P-256 public key" }
        })?;
        let hash = vkey::key_hash(name, KIND_TREE_HEAD, &sha256(&key.spki).0);
        Ok(Self { name: name.to_owned(), key, over: Over::TreeHead, hash })
    }

    fn new(name: String, key: PublicKey) -> Self {
        let hash = match key.family {
            Family::Ed25519 => vkey::key_hash(&name, KIND_ED25519, key.ed25519_bytes()),
            // Older than the general rule, and kept: the name is not part of it.
            Family::Ecdsa => sha256(&key.spki),
            Family::Rsa => vkey::key_hash(&name, KIND_OTHER, &[RSA_NAME, &key.spki].concat()),
        };
        Self { name, key, over: Over::Text, hash }
    }

    /// The name it signs under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of [`Verifier::log_id`].
    pub fn key_id(&self) -> [u8; 4] {
        vkey::key_id(&self.hash)
    }

    /// The whole key hash, by which clients of a v2 log know it.
    pub fn log_id(&self) -> Hash {
        self.hash
    }

    /// The key as DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.key.spki
    }

    /// The key as text.
    pub fn vkey(&self) -> String {
        if self.over == Over::TreeHead {
            return vkey::write(&self.name, self.key_id(), KIND_TREE_HEAD, &self.key.spki);
        }
        match self.key.family {
            Family::Ed25519 => vkey::write(&self.name, self.key_id(), KIND_ED25519, self.key.ed25519_bytes()),
            Family::Ecdsa => vkey::write(&self.name, self.key_id(), KIND_ECDSA, &self.key.spki),
            Family::Rsa => {
                vkey::write(&self.name, self.key_id(), KIND_OTHER, &[RSA_NAME, &self.key.spki].concat())
            }
        }
    }

    /// Whether those signature bytes, without key ID, are this key's over the text.
    pub fn verify(&self, text: &[u8], sig: &[u8]) -> bool {
        match self.over {
            Over::Text => self.key.verify(text, sig),
            Over::TreeHead => rfc6962::signed(text, sig)
                .is_some_and(|(message, signature)| self.key.verify(&message, signature)),
        }
    }

    /// When this key signed the note, in Unix milliseconds, at the latest; `None` when it did not, or when its signatures
    /// do not say.
    pub fn signed_at(&self, note: &Note) -> Option<u64> {
        if self.over == Over::Text || !note.verified_by(self) {
            return None;
        }
        note.signed_by(self).filter_map(|line| rfc6962::parts(&line.bytes)).map(|(at, _)| at).max()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({})", self.vkey())
    }
}

/// One signature line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Who says to have signed.
    pub name: String,
    /// Which of their keys.
    pub key_id: [u8; 4],
    /// The signature, without the key ID.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// Reads a line, without its newline.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let refused = |problem| NoteError::Line { problem };
        let (name, payload) = line
            .strip_prefix(DASH)
            .and_then(|line| line.split_once(' '))
            .ok_or_else(|| refused("\u{2014} <name> <base64> was expected"))?;
        valid_name(name).map_err(NoteError::Name)?;
        let payload =
            STANDARD.decode(payload).map_err(|_| refused("its signature is not standard base64"))?;
        let (key_id, bytes) = payload
            .split_first_chunk::<4>()
            .filter(|(_, bytes)| !bytes.is_empty())
            .ok_or_else(|| refused("its signature is shorter than 5 bytes"))?;
        Ok(Self { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = STANDARD.encode([&self.key_id, self.bytes.as_slice()].concat());
        write!(f, "{DASH}{} {payload}", self.name)
    }
}

/// A text and the signatures that stand under it, verified or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The signed text, with the newline that ends it.
    pub text: String,
    /// The signature lines in their order.
    pub signatures: Vec<Signature>,
}

/// Text that is not a signed note.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`].
    #[error("note is {len} bytes, at most {MAX_NOTE} are read")]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
    /// A control character other than newline.
    #[error("note has control character {character:?} at byte {offset}")]
    Control {
        /// The character.
        character: char,
        /// Where it is.
        offset: usize,
    },
    /// No blank line between text and signatures.
    #[error("note has no blank line before its signatures")]
    NoBlankLine,
    /// The last line is cut, or there is no signature at all.
    #[error("note does not end in a signature line")]
    NoSignature,
    /// More than [`MAX_SIGNATURES`].
    #[error("note has more than {MAX_SIGNATURES} signature lines")]
    TooManySignatures,
    /// A signature line is none.
    #[error("not a signature line: {problem}")]
    Line {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The name in a signature line is none.
    #[error("not a signature line: {0}")]
    Name(NameError),
}

impl Note {
    /// Reads a note; nothing is verified yet.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::TooLong { len: note.len() });
        }
        let control = |character: char| character < ' ' && character != '\n';
        if let Some((offset, character)) = note.char_indices().find(|&(_, character)| control(character)) {
            return Err(NoteError::Control { character, offset });
        }
        // The last blank line: a text may have blank lines of its own, signatures may not.
        let end = note.rfind("\n\n").ok_or(NoteError::NoBlankLine)?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignature)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(Signature::parse(line)?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Whether that key signed the text. A line that bears the key's name and ID and does not verify spoils the note.
    pub fn verified_by(&self, verifier: &Verifier) -> bool {
        let mut lines = self.signed_by(verifier).peekable();
        lines.peek().is_some() && lines.all(|line| verifier.verify(self.text.as_bytes(), &line.bytes))
    }

    /// The lines that say to be of that key.
    pub fn signed_by(&self, verifier: &Verifier) -> impl Iterator<Item = &Signature> {
        let (name, key_id) = (verifier.name(), verifier.key_id());
        self.signatures.iter().filter(move |line| line.name == name && line.key_id == key_id)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Em dash and space, before every signature.
const DASH: &str = "\u{2014} ";
const KIND_ED25519: u8 = 0x01;
const KIND_ECDSA: u8 = 0x02;
const KIND_TREE_HEAD: u8 = 0x05;
const KIND_OTHER: u8 = 0xff;
/// What the type 0xff is followed by in an RSA key.
const RSA_NAME: &[u8] = b"PKIX-RSA-PKCS#1v1.5";

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;

    const VKEY: &str = "log.example.org+b1db5813+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";

    struct Ecdsa(EcdsaKeyPair, Verifier);

    impl Ecdsa {
        fn new(name: &str) -> Self {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
            let verifier = Verifier::from_spki(name, key.public_key().as_der().unwrap().as_ref()).unwrap();
            Self(key, verifier)
        }

        fn line(&self, text: &str) -> Signature {
            let bytes = self.0.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec();
            Signature { name: self.1.name().to_owned(), key_id: self.1.key_id(), bytes }
        }
    }

    #[test]
    fn a_note_is_verified_by_its_keys_and_no_other() {
        let (one, two) = (Ecdsa::new("one"), Ecdsa::new("two"));
        let text = "text\n\nwith a blank line\n".to_owned();
        let signatures = vec![one.line(&text), two.line(&text)];
        let note = Note::parse(&Note { text, signatures }.to_string()).unwrap();
        assert!(note.verified_by(&one.1) && note.verified_by(&two.1));
        assert!(!note.verified_by(&Ecdsa::new("one").1));
        assert!(!note.verified_by(&Verifier::from_spki("ONE", one.1.spki()).unwrap()));
        assert!(!note.verified_by(&Verifier::from_vkey(VKEY).unwrap()));

        let mut changed = note.clone();
        changed.text.push_str("more\n");
        assert!(!changed.verified_by(&one.1));
        // A second line of the same key that does not verify.
        let mut spoiled = note.clone();
        spoiled.signatures.push(one.line("another text\n"));
        assert!(!spoiled.verified_by(&one.1));
        assert!(spoiled.verified_by(&two.1));
    }

    #[test]
    fn vkeys_that_are_refused() {
        let said = |text: &str| Verifier::from_vkey(text).unwrap_err().to_string();
        assert_eq!(
            said(&VKEY.replace("b1db5813", "b1db5814")),
            "vkey \"log.example.org\" says key ID b1db5814, its key has b1db5813"
        );
        assert_eq!(
            said(&VKEY.replace("+AQO", "+BAO")),
            "vkey \"log.example.org\" has type 0x04, a signing key (0x01 Ed25519, 0x02 ECDSA, 0x05 RFC 6962, 0xff RSA) was expected"
        );
        assert_eq!(
            said(&VKEY.replace("+AQO", "+AgO")),
            "key of \"log.example.org\" is not of the kind that its type says"
        );
        assert_eq!(said("x"), "not a vkey, <name>+<8 hex digits>+<base64> was expected");
        assert_eq!(said("a b+00000000+AQEB"), "name \"a b\" has ' ', which cannot stand in one");
        // The key of one type under another's byte.
        let ecdsa = Ecdsa::new("n").1;
        let rsa = vkey::write("n", ecdsa.key_id(), KIND_OTHER, &[RSA_NAME, ecdsa.spki()].concat());
        assert!(matches!(Verifier::from_vkey(&rsa), Err(VkeyError::Key { .. })));
        assert_eq!(format!("{ecdsa:?}"), format!("Verifier({})", ecdsa.vkey()));
        assert!(Verifier::from_spki("n", b"").is_err());
        assert!(Verifier::from_spki("a+b", ecdsa.spki()).is_err());
    }

    #[test]
    fn notes_that_are_refused() {
        let line = "\u{2014} n AAAAAAA=\n";
        let note = |lines: &str| Note::parse(&format!("text\n\n{lines}"));
        assert_eq!(note(line).unwrap().signatures[0].bytes, [0]);
        assert_eq!(note("").unwrap_err(), NoteError::NoSignature);
        assert_eq!(note(line.trim_end()).unwrap_err(), NoteError::NoSignature);
        assert_eq!(Note::parse("text\n").unwrap_err(), NoteError::NoBlankLine);
        assert_eq!(
            note(&line.repeat(2).replace('=', "=\r")).unwrap_err().to_string(),
            "note has control character '\\r' at byte 20"
        );
        for (bad, problem) in [
            ("- n AAAAAAA=\n", "\u{2014} <name> <base64> was expected"),
            ("\u{2014} n\n", "\u{2014} <name> <base64> was expected"),
            ("\u{2014} n AAAAAAA\n", "its signature is not standard base64"),
            ("\u{2014} n AAAAAAB=\n", "its signature is not standard base64"),
            ("\u{2014} n  AAAAAAA=\n", "its signature is not standard base64"),
            ("\u{2014} n AAAAAA==\n", "its signature is shorter than 5 bytes"),
            ("\u{2014} n \n", "its signature is shorter than 5 bytes"),
        ] {
            assert_eq!(note(bad).unwrap_err(), NoteError::Line { problem }, "{bad:?}");
        }
        assert_eq!(
            note("\u{2014}  AAAAAAA=\n").unwrap_err().to_string(),
            "not a signature line: name is empty"
        );
        assert!(note(&line.repeat(MAX_SIGNATURES)).is_ok());
        assert_eq!(note(&line.repeat(MAX_SIGNATURES + 1)).unwrap_err(), NoteError::TooManySignatures);
        let long = "x".repeat(MAX_NOTE + 1);
        assert_eq!(Note::parse(&long).unwrap_err(), NoteError::TooLong { len: MAX_NOTE + 1 });
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "[a-z\n]{0,9}", lines in "(— [a-z]{1,2} [A-Za-z0-9+/]{5,6}[AQ]?={0,2}\n){0,3}") {
            let note = format!("{text}\n{lines}");
            if let Ok(read) = Note::parse(&note) {
                prop_assert_eq!(read.to_string(), note);
            }
        }
    }
}
