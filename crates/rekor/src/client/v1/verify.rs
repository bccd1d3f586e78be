//! Whether what a v1 server answered holds: promise, inclusion, checkpoint, consistency. The checkpoints of v1 are notes
//! whose key ID is the beginning of the SHA-256 of the key (`SubjectPublicKeyInfo`), whatever its type, and that are
//! signed over SHA-256 whatever the curve; so they are not quite those of C2SP, and are read here.

use bulla_claims::pki::x509::PublicKey;
use bulla_tlog::note::{Note, NoteError};
use bulla_tlog::{
    Checkpoint, CheckpointError, Hash, ProofError, leaf_hash, sha256, verify_consistency, verify_inclusion,
};

use super::answer::{Entry, EntryId, Shard};

/// The public key of a v1 log.
pub struct LogKey {
    key: PublicKey,
    pem: String,
}

impl LogKey {
    /// Reads PEM with one `PUBLIC KEY`.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        if !pem.contains("-----BEGIN PUBLIC KEY-----") {
            return Err("is not the PEM of a PUBLIC KEY".to_owned());
        }
        let key = PublicKey::parse(pem.as_bytes()).map_err(|error| error.to_string())?;
        let pem = String::from_utf8_lossy(key.canonical()).into_owned();
        Ok(Self { key, pem })
    }

    /// The key in its one spelling.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// By what entries and checkpoints name the key: SHA-256 of its DER.
    pub fn log_id(&self) -> Hash {
        sha256(self.key.spki())
    }

    /// Reads a checkpoint that this key signed. Every signature line must be of this key, as other clients demand it.
    pub fn open(&self, note: &str) -> Result<Head, Unsound> {
        let parsed = Note::parse(note)?;
        let log_id = self.log_id();
        for line in &parsed.signatures {
            let is_signed =
                line.key_id == log_id.0[..4] && self.key.verify_message(parsed.text.as_bytes(), &line.bytes);
            if !is_signed {
                return Err(Unsound::HeadSignature { log_id });
            }
        }
        let Checkpoint { origin, size, root, .. } = Checkpoint::parse(&parsed.text)?;
        let tree = origin.rsplit_once(" - ").and_then(|(_, tree)| {
            let plain = tree.bytes().all(|digit| digit.is_ascii_digit());
            tree.parse().ok().filter(|_| plain)
        });
        let Some(tree) = tree else { return Err(Unsound::Origin { origin }) };
        Ok(Head { origin, tree, size, root, note: note.to_owned() })
    }
}

/// The signed head of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The first line of the checkpoint.
    pub origin: String,
    /// The tree in it.
    pub tree: u64,
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The note as it was read.
    pub note: String,
}

/// Why an answer is not believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsound {
    /// The answer is an entry that was not asked for.
    #[error("the server answered with entry {said}, {asked} was asked for")]
    OtherEntry {
        /// What was asked for.
        asked: EntryId,
        /// What came.
        said: EntryId,
    },
    /// The name does not belong to the body.
    #[error("the body has leaf hash {computed}, the entry ID says {said}")]
    LeafHash {
        /// The hash of the body.
        computed: Hash,
        /// The hash in the name.
        said: Hash,
    },
    /// The entry at another index came.
    #[error("the server answered with the entry at index {said}, {asked} was asked for")]
    OtherIndex {
        /// What was asked for.
        asked: u64,
        /// What came.
        said: u64,
    },
    /// The body is not what the proposed entry becomes.
    #[error(
        "the body is not what was proposed: its leaf hash is {said}, that of the proposed entry {expected}"
    )]
    OtherBody {
        /// Leaf hash of what was proposed.
        expected: Hash,
        /// Leaf hash of what came.
        said: Hash,
    },
    /// The path does not lead to the root.
    #[error("inclusion proof: {0}")]
    Inclusion(ProofError),
    /// The old head is not a beginning of the new one.
    #[error("consistency proof: {0}")]
    Consistency(ProofError),
    /// Two heads of one size differ.
    #[error("the tree of {size} entries had root {old} before, now it has {new}")]
    Fork {
        /// The size of both.
        size: u64,
        /// The root before.
        old: Hash,
        /// The root now.
        new: Hash,
    },
    /// The tree became smaller.
    #[error("the tree had {old} entries before, now it has {new}")]
    Shrunk {
        /// The size before.
        old: u64,
        /// The size now.
        new: u64,
    },
    /// The checkpoint is no note.
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint's text is none.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint bears another signature.
    #[error("checkpoint is not signed by the log's key {log_id} alone")]
    HeadSignature {
        /// The key that was expected.
        log_id: Hash,
    },
    /// The checkpoint does not name its tree.
    #[error("checkpoint is of {origin:?}, \"<host> - <tree ID>\" was expected")]
    Origin {
        /// Its first line.
        origin: String,
    },
    /// The checkpoint is of another tree.
    #[error("checkpoint is of tree {said}, {expected} was expected")]
    OtherTree {
        /// The tree that was asked about.
        expected: u64,
        /// The tree that it is of.
        said: u64,
    },
    /// The checkpoint says another size or root than stands beside it.
    #[error("checkpoint says {signed_size} entries and root {signed}, the answer says {size} and {root}")]
    OtherHead {
        /// The root that is signed.
        signed: Hash,
        /// The size that is signed.
        signed_size: u64,
        /// The root that stands beside it.
        root: Hash,
        /// The size that stands beside it.
        size: u64,
    },
    /// The entry is promised by another key.
    #[error("the entry is of log {said}, the key is of log {expected}")]
    OtherLog {
        /// The key's log.
        expected: Hash,
        /// The log that the entry names.
        said: String,
    },
    /// The promise is not signed by the key.
    #[error("signed entry timestamp is not the log key's over body, time, log and index")]
    Promise,
}

impl Entry {
    /// Whether body and name belong together, and whether it is what was asked for.
    pub fn check_id(&self, asked: Option<&EntryId>) -> Result<(), Unsound> {
        let computed = leaf_hash(&self.body);
        if computed != self.id.uuid {
            return Err(Unsound::LeafHash { computed, said: self.id.uuid });
        }
        match asked.filter(|asked| !asked.is_answered_by(&self.id)) {
            Some(asked) => Err(Unsound::OtherEntry { asked: *asked, said: self.id }),
            None => Ok(()),
        }
    }

    /// Whether the body is that one.
    pub fn check_body(&self, expected: &[u8]) -> Result<(), Unsound> {
        if self.body == expected {
            return Ok(());
        }
        Err(Unsound::OtherBody { expected: leaf_hash(expected), said: leaf_hash(&self.body) })
    }

    /// Whether the path leads from the body to the root that stands beside it.
    pub fn check_inclusion(&self) -> Result<(), Unsound> {
        let proof = &self.verification.inclusion_proof;
        let (leaf, root) = (leaf_hash(&self.body), &proof.root_hash);
        verify_inclusion(&leaf, proof.log_index, proof.tree_size, &proof.hashes, root)
            .map_err(Unsound::Inclusion)
    }

    /// Whether that root is signed, for the tree that the entry is said to be in.
    pub fn check_checkpoint(&self, key: &LogKey) -> Result<Head, Unsound> {
        let proof = &self.verification.inclusion_proof;
        let head = key.open(&proof.checkpoint)?;
        head.expect(self.id.tree, proof.tree_size, proof.root_hash)?;
        Ok(head)
    }

    /// Whether the log promised this body at this time and index. The bytes are the canonical form (RFC 8785) of four
    /// members, none of which has a character to escape.
    pub fn check_promise(&self, key: &LogKey) -> Result<(), Unsound> {
        let expected = key.log_id();
        if self.log_id != expected.to_string() {
            return Err(Unsound::OtherLog { expected, said: self.log_id.clone() });
        }
        let payload = format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
            self.body_base64, self.integrated_time, self.log_id, self.log_index
        );
        let signature = &self.verification.signed_entry_timestamp;
        if key.key.verify_message(payload.as_bytes(), signature) { Ok(()) } else { Err(Unsound::Promise) }
    }

    /// All of these, in this order: name, inclusion, checkpoint, promise.
    pub fn check(&self, asked: Option<&EntryId>, key: &LogKey) -> Result<Head, Unsound> {
        self.check_id(asked)?;
        self.check_inclusion()?;
        let head = self.check_checkpoint(key)?;
        self.check_promise(key)?;
        Ok(head)
    }
}

impl Shard {
    /// Whether what is said of the tree is what its key signed.
    pub fn check(&self, key: &LogKey) -> Result<Head, Unsound> {
        let head = key.open(&self.signed_tree_head)?;
        head.expect(Some(self.tree), self.tree_size, self.root_hash)?;
        Ok(head)
    }
}

impl Head {
    /// Whether it is a head of that tree, of that size and root.
    fn expect(&self, tree: Option<u64>, size: u64, root: Hash) -> Result<(), Unsound> {
        if let Some(expected) = tree.filter(|tree| *tree != self.tree) {
            return Err(Unsound::OtherTree { expected, said: self.tree });
        }
        if self.size == size && self.root == root {
            return Ok(());
        }
        Err(Unsound::OtherHead { signed: self.root, signed_size: self.size, root, size })
    }

    /// Whether a proof is needed to know that this head continues an earlier one of the same tree; what can be known without
    /// is judged at once.
    pub fn needs_proof_since(&self, old: &Self) -> Result<bool, Unsound> {
        if old.tree != self.tree {
            return Err(Unsound::OtherTree { expected: old.tree, said: self.tree });
        }
        if old.size > self.size {
            return Err(Unsound::Shrunk { old: old.size, new: self.size });
        }
        if old.size == self.size && old.root != self.root {
            return Err(Unsound::Fork { size: self.size, old: old.root, new: self.root });
        }
        Ok(old.size > 0 && old.size < self.size)
    }

    /// Whether the proof shows that this head continues an earlier one.
    pub fn check_consistency(&self, old: &Self, proof: &[Hash]) -> Result<(), Unsound> {
        verify_consistency(old.size, self.size, &old.root, &self.root, proof).map_err(Unsound::Consistency)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use bulla_tlog::note::Signature;

    use super::*;

    const KEY: &str = include_str!("../../../tests/captured_v1/log.pub");
    const ENTRY: &str = include_str!("../../../tests/captured_v1/entry.json");
    /// The next entry of the same tree.
    const DSSE: &str = include_str!("../../../tests/captured_v1/dsse.json");
    /// An entry of the public log.
    const PUBLIC: &str = include_str!("../../../tests/captured_v1/public.json");
    const PUBLIC_KEY: &str = include_str!("../../../tests/captured_v1/public.pub");

    fn read(text: &str) -> Entry {
        serde_json::from_str(text).expect("an entry")
    }

    fn key() -> LogKey {
        LogKey::from_pem(KEY).expect("a key")
    }

    #[test]
    fn what_real_servers_answered_holds() {
        let head = read(ENTRY).check(None, &key()).expect("sound");
        assert_eq!((head.tree, head.size), (3_904_496_407_287_907_110, 19));
        let next = read(DSSE).check(None, &key()).expect("sound");
        assert_eq!((next.tree, next.size), (head.tree, 20));
        let public = LogKey::from_pem(PUBLIC_KEY).expect("a key");
        let entry = read(PUBLIC);
        let head = entry.check(Some(&entry.id), &public).expect("sound");
        assert_eq!((head.tree, head.size), (1_193_050_959_916_656_506, 649_584_076));
        assert_eq!(entry.log_index, 771_488_337);
        assert_eq!(
            public.log_id().to_string(),
            "c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d"
        );
    }

    #[test]
    fn a_later_head_continues_an_earlier_one() {
        let (old, new) = (read(ENTRY), read(DSSE));
        let path = &new.verification.inclusion_proof.hashes;
        // From 19 to 20 leaves: the old last leaf, the new one, and what is left of both.
        let proof = [path[0], leaf_hash(&new.body), path[1], path[2]];
        let (old, new) = (old.check(None, &key()).expect("sound"), new.check(None, &key()).expect("sound"));
        assert_eq!(new.needs_proof_since(&old), Ok(true));
        assert_eq!(new.check_consistency(&old, &proof), Ok(()));
        assert!(matches!(new.check_consistency(&old, &proof[1..]), Err(Unsound::Consistency(_))));
        assert_eq!(old.needs_proof_since(&new), Err(Unsound::Shrunk { old: 20, new: 19 }));
        assert_eq!(new.needs_proof_since(&new), Ok(false));
        let fork = Head { root: old.root, ..new.clone() };
        assert!(matches!(fork.needs_proof_since(&new), Err(Unsound::Fork { size: 20, .. })));
        let elsewhere = Head { tree: 1, ..new.clone() };
        assert!(matches!(elsewhere.needs_proof_since(&new), Err(Unsound::OtherTree { said: 1, .. })));
        assert_eq!(new.needs_proof_since(&Head { size: 0, ..old }), Ok(false));
    }

    #[test]
    fn nothing_can_be_changed() {
        let good = read(ENTRY);
        let changed = |change: fn(&mut Entry)| {
            let mut entry = good.clone();
            change(&mut entry);
            entry.check(Some(&good.id), &key()).expect_err("unsound")
        };
        assert!(matches!(changed(|entry| entry.body.push(b' ')), Unsound::LeafHash { .. }));
        assert!(matches!(changed(|entry| entry.id.uuid.0[0] ^= 1), Unsound::LeafHash { .. }));
        assert!(matches!(changed(|entry| entry.id.tree = Some(7)), Unsound::OtherEntry { .. }));
        assert!(matches!(changed(|entry| entry.integrated_time += 1), Unsound::Promise));
        assert!(matches!(changed(|entry| entry.log_index += 1), Unsound::Promise));
        assert!(matches!(changed(|entry| entry.body_base64.push(' ')), Unsound::Promise));
        assert!(matches!(changed(|entry| entry.log_id = "00".repeat(32)), Unsound::OtherLog { .. }));
        let proof = |change: fn(&mut super::super::InclusionProof)| {
            let mut entry = good.clone();
            change(&mut entry.verification.inclusion_proof);
            entry.check(None, &key()).expect_err("unsound")
        };
        assert!(matches!(proof(|proof| proof.log_index = 19), Unsound::Inclusion(_)));
        assert!(matches!(proof(|proof| proof.hashes[0].0[0] ^= 1), Unsound::Inclusion(_)));
        assert!(matches!(proof(|proof| proof.hashes.clear()), Unsound::Inclusion(_)));
        assert!(matches!(proof(|proof| proof.root_hash.0[0] ^= 1), Unsound::Inclusion(_)));
        let resized = |proof: &mut super::super::InclusionProof| {
            proof.checkpoint = proof.checkpoint.replace("\n19\n", "\n20\n");
        };
        assert!(matches!(proof(resized), Unsound::HeadSignature { .. }));
        // Another entry's checkpoint is signed, but is not of this root.
        let mut entry = good.clone();
        entry.verification.inclusion_proof.checkpoint = read(DSSE).verification.inclusion_proof.checkpoint;
        assert!(matches!(entry.check(None, &key()), Err(Unsound::OtherHead { signed_size: 20, .. })));
        let mut moved = good.clone();
        moved.id.tree = Some(7);
        assert!(matches!(moved.check(None, &key()), Err(Unsound::OtherTree { expected: 7, .. })));
        let other = LogKey::from_pem(PUBLIC_KEY).expect("a key");
        assert!(matches!(good.check(None, &other), Err(Unsound::HeadSignature { .. })));
        assert_eq!(good.check_body(&good.body), Ok(()));
        assert!(matches!(good.check_body(b"{}"), Err(Unsound::OtherBody { .. })));
    }

    #[test]
    fn a_checkpoint_has_no_other_signature() {
        let note = read(ENTRY).verification.inclusion_proof.checkpoint;
        let stranger = Signature { name: "witness".to_owned(), key_id: [1; 4], bytes: vec![1; 64] };
        let refused = key().open(&format!("{note}{stranger}\n"));
        assert!(matches!(refused, Err(Unsound::HeadSignature { .. })), "{refused:?}");
        assert!(matches!(key().open("no note"), Err(Unsound::Note(_))));
        assert!(LogKey::from_pem("-----BEGIN CERTIFICATE-----").is_err());
    }

    #[test]
    fn a_head_names_every_kind_of_key_by_its_hash() {
        use aws_lc_rs::encoding::AsDer as _;
        use aws_lc_rs::rand::SystemRandom;
        use aws_lc_rs::rsa::KeySize;
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
            RsaKeyPair,
        };
        type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;
        let random = SystemRandom::new;
        let mut keys: Vec<(Vec<u8>, Sign)> = Vec::new();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let spki = pair.public_key().as_der().expect("DER").as_ref().to_vec();
        keys.push((spki, Box::new(move |text| pair.sign(&random(), text).expect("signs").as_ref().to_vec())));
        let pair = Ed25519KeyPair::generate().expect("a key");
        let prefix = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice();
        let spki = [prefix, pair.public_key().as_ref()].concat();
        keys.push((spki, Box::new(move |text| pair.sign(text).as_ref().to_vec())));
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let spki = pair.public_key().as_der().expect("DER").as_ref().to_vec();
        let sign = move |text: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random(), text, &mut signature).expect("signs");
            signature
        };
        keys.push((spki, Box::new(sign)));
        for (spki, sign) in keys {
            let text = format!("log - 7\n0\n{}\n", bulla_tlog::empty_root().to_base64());
            let hash = sha256(&spki);
            let line = |key_id: [u8; 4]| {
                let bytes = sign(text.as_bytes());
                let signature = Signature { name: "log".to_owned(), key_id, bytes };
                Note { text: text.clone(), signatures: vec![signature] }.to_string()
            };
            let body = base64::engine::general_purpose::STANDARD.encode(&spki);
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
            let key = LogKey::from_pem(&pem).expect("a key");
            assert_eq!(key.log_id(), hash);
            let own = [hash.0[0], hash.0[1], hash.0[2], hash.0[3]];
            assert_eq!(key.open(&line(own)).map(|head| (head.tree, head.size)), Ok((7, 0)));
            assert!(matches!(key.open(&line([0; 4])), Err(Unsound::HeadSignature { .. })));
        }
    }
}
