//! PGP keys and signatures (RFC 4880, RFC 9580), armoured or binary. The parser is rPGP, and so is the mathematics behind
//! these signatures: it does not let go of one for the other.

use pgp::armor::BlockType;
use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{self, Packet, PacketParser, PacketTrait, SignatureType, UserId};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, Tag, VerifyingKey};

use super::armour::{armour, brief, is_binary, unarmour};
use super::email;
use crate::keys::KeyError;
use crate::traces::KeyTraces;

/// One or several public keys with their subkeys.
pub struct PublicKey {
    keys: Vec<SignedPublicKey>,
    identities: Vec<String>,
    canonical: Vec<u8>,
}

impl PublicKey {
    /// Reads keys, armoured (in one block or several) or binary.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > MAX_KEY {
            let problem = format!("public key is {} bytes, at most {MAX_KEY} were expected", bytes.len());
            return Err(KeyError::new(problem));
        }
        let wrong = |error: pgp::errors::Error| {
            KeyError::new(format!("public key is not a PGP key: {}", brief(&error)))
        };
        let raw = if is_binary(bytes) {
            bytes.to_vec()
        } else {
            unarmour(bytes, &BlockType::PublicKey, "public key")?
        };
        let packets = PacketParser::new(raw.as_slice()).take(MAX_PACKETS + 1).count();
        if packets > MAX_PACKETS {
            let problem =
                format!("public key is of more than {MAX_PACKETS} packets, at most so many were expected");
            return Err(KeyError::new(problem));
        }
        let keys = SignedPublicKey::from_bytes_many(raw.as_slice()).map_err(wrong)?;
        let mut keys = keys.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        if keys.is_empty() {
            return Err(KeyError::new("public key has no PGP key in it".to_owned()));
        }
        let own = keys.iter().map(own_signatures).sum::<usize>();
        if own > MAX_OWN_SIGNATURES {
            let problem = format!(
                "public key has {own} signatures of its own, at most {MAX_OWN_SIGNATURES} were expected: export a minimal one"
            );
            return Err(KeyError::new(problem));
        }
        let mut identities = Vec::new();
        for key in &mut keys {
            let primary = &key.primary_key;
            // Anyone can write a name beside a key; the key itself says which are its own.
            key.details.users.retain(|user| {
                user.signatures.iter().any(|signature| certifies(primary, signature, &user.id))
            });
            for user in &key.details.users {
                let address = user.id.as_str().and_then(email::of_user_id);
                identities.extend(address.filter(|address| !identities.contains(address)));
            }
        }
        let canonical = armour("PGP PUBLIC KEY BLOCK", &serialize(&keys).map_err(wrong)?);
        Ok(Self { keys, identities, canonical })
    }

    /// The keys in one armoured block: names, certifications and subkeys, but no pictures.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// What it can be found by.
    pub fn traces(&self) -> KeyTraces {
        KeyTraces {
            fingerprints: KeyTraces::fingerprints_of(&self.canonical),
            identities: self.identities.clone(),
            issuer: None,
        }
    }

    /// Verifies a detached signature over the message: the first one of its signatures that names one of these keys. The
    /// key must have been good when the signature was made, whatever became of it.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let mut made_by = Vec::new();
        for signature in &signature.signatures {
            let issuers = issuers(signature);
            if issuers.is_empty() {
                return Err(KeyError::new("signature does not say which key made it".to_owned()));
            }
            for key in &self.keys {
                if issuers.contains(&id(&key.primary_key)) {
                    judge_primary(key, signature)?;
                    return judge(&key.primary_key, message, signature);
                }
                for subkey in &key.public_subkeys {
                    if issuers.contains(&id(&subkey.key)) {
                        judge_primary_validity(key, signature)?;
                        judge_subkey(key, subkey, signature)?;
                        return judge(&subkey.key, message, signature);
                    }
                }
            }
            made_by.extend(issuers);
        }
        let own: Vec<_> = self.keys.iter().map(|key| id(&key.primary_key)).collect();
        let problem =
            format!("signature is by key {}, publicKey is {}", made_by.join(" and "), own.join(" and "));
        Err(KeyError::new(problem))
    }
}

/// A detached signature, or several one after the other.
pub struct Signature {
    signatures: Vec<packet::Signature>,
    canonical: Vec<u8>,
}

impl Signature {
    /// Reads a signature, armoured or binary.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > MAX_SIGNATURE {
            let problem =
                format!("signature is {} bytes, at most {MAX_SIGNATURE} were expected", bytes.len());
            return Err(KeyError::new(problem));
        }
        let (raw, canonical) = if is_binary(bytes) {
            (bytes.to_vec(), armour("PGP SIGNATURE", bytes))
        } else {
            (unarmour(bytes, &BlockType::Signature, "signature")?, bytes.to_vec())
        };
        let mut signatures = Vec::new();
        for packet in PacketParser::new(raw.as_slice()) {
            match packet {
                // One of a version or algorithm that is unknown is passed over.
                Ok(Packet::Signature(signature)) if signature.config().is_some() => {
                    signatures.push(signature);
                }
                Ok(Packet::Signature(_) | Packet::Marker(_) | Packet::Padding(_))
                | Err(pgp::errors::Error::Unsupported { .. }) => {}
                Ok(packet) => {
                    let problem =
                        format!("signature has a packet {:?}, signatures were expected", packet.tag());
                    return Err(KeyError::new(problem));
                }
                Err(error) => {
                    return Err(KeyError::new(format!(
                        "signature is not a PGP signature: {}",
                        brief(&error)
                    )));
                }
            }
            if signatures.len() > MAX_SIGNATURES {
                let problem = format!("signature is of more than {MAX_SIGNATURES} signatures");
                return Err(KeyError::new(problem));
            }
        }
        if signatures.is_empty() {
            return Err(KeyError::new("signature has no PGP signature in it".to_owned()));
        }
        Ok(Self { signatures, canonical })
    }

    /// The armour as it came, else one without headers.
    pub fn canonical(&self) -> Vec<u8> {
        self.canonical.clone()
    }
}

/// A message signed in the clear (RFC 9580 §7).
pub struct Cleartext {
    /// The message, its lines ended by line feeds.
    pub text: String,
    signed: String,
    /// The signature below it.
    pub signature: Signature,
}

impl Cleartext {
    /// Reads a message.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > MAX_CLEARTEXT {
            let problem = format!("message is {} bytes, at most {MAX_CLEARTEXT} were expected", bytes.len());
            return Err(KeyError::new(problem));
        }
        let wrong = |error: &dyn std::fmt::Display| {
            KeyError::new(format!("message is not signed in the clear by PGP: {}", brief(error)))
        };
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(&error))?.trim();
        let (message, _) =
            pgp::composed::CleartextSignedMessage::from_string(text).map_err(|error| wrong(&error))?;
        let signed = message.signed_text();
        // The last one: a line of the message that looks like it is escaped.
        let from =
            text.rfind("-----BEGIN PGP SIGNATURE-----").ok_or_else(|| wrong(&"it has no signature"))?;
        let raw = unarmour(&text.as_bytes()[from..], &BlockType::Signature, "signature")?;
        Ok(Self { text: signed.replace("\r\n", "\n"), signed, signature: Signature::parse(&raw)? })
    }

    /// What the signature is over.
    pub fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }
}

/// Whether the key signed the message.
fn judge(
    key: &(impl VerifyingKey + Serialize),
    message: &[u8],
    signature: &packet::Signature,
) -> Result<(), KeyError> {
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err(KeyError::new("signature is not one over a document".to_owned()));
    }
    if let Some(hash @ (HashAlgorithm::Md5 | HashAlgorithm::Sha1 | HashAlgorithm::Ripemd160)) =
        signature.hash_alg()
    {
        let problem = format!("signature is over {hash} of the artifact, SHA-256 or longer was expected");
        return Err(KeyError::new(problem));
    }
    signature
        .verify(key, message)
        .map_err(|_| KeyError::new(format!("signature is not the PGP key {}'s over the artifact", id(key))))
}

fn certifies(primary: &packet::PublicKey, signature: &packet::Signature, id: &UserId) -> bool {
    signature.typ() != Some(SignatureType::CertRevocation)
        && may_be_by(primary, signature)
        && signature.verify_certification(primary, Tag::UserId, id).is_ok()
}

/// Whether a signature does not say that it is by somebody else.
fn may_be_by(key: &packet::PublicKey, signature: &packet::Signature) -> bool {
    let issuers = issuers(signature);
    issuers.is_empty() || issuers.contains(&id(key))
}

/// How many signatures may be verified to judge a key. Some cost milliseconds.
fn own_signatures(key: &SignedPublicKey) -> usize {
    let of_users = key.details.users.iter().flat_map(|user| &user.signatures);
    let of_users = of_users.filter(|signature| may_be_by(&key.primary_key, signature)).count();
    let of_subkeys = key.public_subkeys.iter().map(|subkey| subkey.signatures.len()).sum::<usize>();
    of_users + of_subkeys + key.details.direct_signatures.len() + key.details.revocation_signatures.len()
}

/// The newest word of a key about itself: in what its names are bound to it, or directly.
fn self_signature(key: &SignedPublicKey) -> Option<&packet::Signature> {
    let primary = &key.primary_key;
    let direct =
        key.details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    let named =
        key.details.users.iter().flat_map(|user| {
            user.signatures.iter().filter(|signature| certifies(primary, signature, &user.id))
        });
    direct.chain(named).max_by_key(|signature| seconds(signature))
}

fn judge_primary(key: &SignedPublicKey, signature: &packet::Signature) -> Result<(), KeyError> {
    judge_primary_validity(key, signature)?;
    match self_signature(key) {
        Some(own) if !may_sign(own) => Err(not_for_signing(&key.primary_key)),
        _ => Ok(()),
    }
}

fn judge_primary_validity(key: &SignedPublicKey, signature: &packet::Signature) -> Result<(), KeyError> {
    let primary = &key.primary_key;
    let revocations =
        key.details.revocation_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    judge_time(primary, self_signature(key), revocations, signature)
}

fn judge_subkey(
    key: &SignedPublicKey,
    subkey: &pgp::composed::SignedPublicSubKey,
    signature: &packet::Signature,
) -> Result<(), KeyError> {
    let primary = &key.primary_key;
    let of_type = |typ| subkey.signatures.iter().filter(move |signature| signature.typ() == Some(typ));
    let bound =
        |signature: &&packet::Signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok();
    let binding =
        of_type(SignatureType::SubkeyBinding).filter(bound).max_by_key(|signature| seconds(signature));
    let Some(binding) = binding else {
        let problem = format!("public key has subkey {} which is not bound to it", id(&subkey.key));
        return Err(KeyError::new(problem));
    };
    // A subkey that signs says itself that it belongs to this key, lest it be taken over.
    let agreed = binding
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if !may_sign(binding) || !agreed {
        return Err(not_for_signing(&subkey.key));
    }
    judge_time(&subkey.key, Some(binding), of_type(SignatureType::SubkeyRevocation).filter(bound), signature)
}

/// Whether the key was good when the signature was made.
fn judge_time<'a>(
    key: &impl KeyDetails,
    own: Option<&packet::Signature>,
    mut revocations: impl Iterator<Item = &'a packet::Signature>,
    signature: &packet::Signature,
) -> Result<(), KeyError> {
    let created = u64::from(key.created_at().as_secs());
    let time = seconds(signature);
    let refuse = |problem: &str| Err(KeyError::new(format!("signature is by key {}, {problem}", id(key))));
    if time < created {
        return refuse("which was made after it");
    }
    let life =
        own.and_then(packet::Signature::key_expiration_time).map_or(0, |life| u64::from(life.as_secs()));
    if life > 0 && created + life < time {
        return refuse("which had expired when it was made");
    }
    // What was stolen signs with any date.
    let revoked = revocations.any(|revocation| {
        revocation.revocation_reason_code() == Some(&packet::RevocationCode::KeyCompromised)
            || seconds(revocation) <= time
    });
    if revoked { refuse("which is revoked") } else { Ok(()) }
}

fn may_sign(own: &packet::Signature) -> bool {
    let flags = own.key_flags();
    let other = flags.certify() || flags.encrypt_comms() || flags.encrypt_storage() || flags.authentication();
    flags.sign() || !other
}

fn not_for_signing(key: &impl KeyDetails) -> KeyError {
    KeyError::new(format!("signature is by key {}, which is not one for signing", id(key)))
}

/// The IDs of the keys that a signature says it is by.
fn issuers(signature: &packet::Signature) -> Vec<String> {
    let mut ids: Vec<_> = signature.issuer_key_id().iter().map(|id| id.to_string().to_uppercase()).collect();
    if ids.is_empty() {
        // The ID is the end of a fingerprint of version 4.
        let short = |fingerprint: String| {
            fingerprint.get(fingerprint.len().saturating_sub(16)..).map(str::to_uppercase)
        };
        ids.extend(
            signature.issuer_fingerprint().iter().filter_map(|fingerprint| short(fingerprint.to_string())),
        );
    }
    ids
}

fn id(key: &impl KeyDetails) -> String {
    key.legacy_key_id().to_string().to_uppercase()
}

fn seconds(signature: &packet::Signature) -> u64 {
    signature.created().map_or(0, |time| u64::from(time.as_secs()))
}

/// The packets as they are stored, each with a header of the newer form.
fn serialize(keys: &[SignedPublicKey]) -> Result<Vec<u8>, pgp::errors::Error> {
    let mut to = Vec::new();
    for key in keys {
        frame(&mut to, &key.primary_key)?;
        for signature in key.details.revocation_signatures.iter().chain(&key.details.direct_signatures) {
            frame(&mut to, signature)?;
        }
        for user in &key.details.users {
            frame(&mut to, &user.id)?;
            for signature in &user.signatures {
                frame(&mut to, signature)?;
            }
        }
        for subkey in &key.public_subkeys {
            frame(&mut to, &subkey.key)?;
            for signature in &subkey.signatures {
                frame(&mut to, signature)?;
            }
        }
    }
    Ok(to)
}

fn frame(to: &mut Vec<u8>, packet: &impl PacketTrait) -> Result<(), pgp::errors::Error> {
    let body = packet.to_bytes()?;
    to.push(0xc0 | u8::from(packet.tag()));
    let len = body.len();
    match len {
        0..192 => to.push(len as u8),
        192..8384 => to.extend([(192 + ((len - 192) >> 8)) as u8, (len - 192) as u8]),
        _ => {
            to.push(0xff);
            to.extend((len as u32).to_be_bytes());
        }
    }
    to.extend(body);
    Ok(())
}

/// The most bytes of keys: more than twice of what an entry can hold.
const MAX_KEY: usize = 128 * 1024;
/// The most packets of keys.
const MAX_PACKETS: usize = 256;
/// The most signatures in keys by the keys themselves.
const MAX_OWN_SIGNATURES: usize = 64;
const MAX_SIGNATURE: usize = 64 * 1024;
const MAX_SIGNATURES: usize = 16;
const MAX_CLEARTEXT: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0xc0 | tag, 0xff];
        packet.extend((body.len() as u32).to_be_bytes());
        packet.extend(body);
        packet
    }

    /// An RSA key with one name, which so many signatures, all of them wrong, bind to it.
    fn key(signatures: usize, by: &[u8]) -> Vec<u8> {
        let mut public = vec![4, 0x60, 0, 0, 0, 1, 0x08, 0];
        public.extend([0xff; 256]);
        public.extend([0, 17, 1, 0, 1]);
        let mut key = packet(6, &public);
        key.extend(packet(13, b"a@example.org"));
        let mut signature = vec![4, 0x13, 1, 8, 0, 6, 5, 2, 0x60, 0, 0, 1];
        signature.extend((by.len() as u16).to_be_bytes());
        signature.extend(by);
        signature.extend([0, 0, 0, 8, 0xff]);
        for _ in 0..signatures {
            key.extend(packet(2, &signature));
        }
        key
    }

    #[test]
    fn what_must_be_verified_to_read_a_key_is_bounded() {
        let most = PublicKey::parse(&key(MAX_OWN_SIGNATURES, &[])).expect("is read");
        assert_eq!(most.traces().identities, [""; 0], "no signature is right");
        let error = PublicKey::parse(&key(MAX_OWN_SIGNATURES + 1, &[])).err().expect("one more than that");
        assert_eq!(
            error.to_string(),
            "public key has 65 signatures of its own, at most 64 were expected: export a minimal one"
        );
        // Those of others are not verified, so there may be more.
        let by_another = [9, 16, 1, 2, 3, 4, 5, 6, 7, 8];
        PublicKey::parse(&key(200, &by_another)).expect("is read");
    }
}
