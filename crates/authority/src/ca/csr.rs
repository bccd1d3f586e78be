//! A certificate signing request (PKCS#10, RFC 2986): its key, and its signature as proof that the key's owner made it. Whom
//! it names and what it wishes for is stepped over: the token says that.

use bulla_claims::pki::pem;
use bulla_claims::pki::x509::PublicKey;
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use x509_cert::spki::AlgorithmIdentifierRef;

use super::{key_request, proof};

/// A request that was read; its signature is not verified yet.
#[derive(Debug)]
pub struct Request {
    key: PublicKey,
    signed: Vec<u8>,
    algorithm: der::asn1::ObjectIdentifier,
    signature: Vec<u8>,
}

impl Request {
    /// Reads PEM or DER. The error is what is to be said after the name of the field.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("is empty, a certificate request in PEM was expected".to_owned());
        }
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Self::from_der(bytes);
        }
        let block = pem::read(bytes, 1)?.remove(0);
        if !["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"].contains(&block.label.as_str()) {
            return Err(format!("is PEM of {:?}, CERTIFICATE REQUEST was expected", block.label));
        }
        Self::from_der(&block.der)
    }

    fn from_der(raw: &[u8]) -> Result<Self, String> {
        let (signed, spki, algorithm, signature) =
            parts(raw).map_err(|error| format!("is not a PKCS#10 certificate request: {error}"))?;
        Ok(Self { key: key_request::from_bytes(&spki)?, signed, algorithm, signature })
    }

    /// The key that is to be certified.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether the key signed the request. The error says what is wrong.
    pub fn judge(&self) -> Result<(), String> {
        proof::judge(&self.key, self.algorithm, &self.signed, &self.signature)
    }
}

type Parts = (Vec<u8>, Vec<u8>, der::asn1::ObjectIdentifier, Vec<u8>);

/// What is signed, the key, and the signature with its algorithm.
fn parts(raw: &[u8]) -> der::Result<Parts> {
    let mut reader = SliceReader::new(raw)?;
    let (info, algorithm, signature) = reader.sequence(|reader| {
        let info = AnyRef::decode(reader)?;
        let algorithm = AlgorithmIdentifierRef::decode(reader)?.oid;
        let signature = BitStringRef::decode(reader)?;
        let signature = signature.as_bytes().ok_or_else(|| Tag::BitString.value_error())?.to_vec();
        Ok((info, algorithm, signature))
    })?;
    reader.finish(())?;
    info.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(info.value())?;
    let version = u8::decode(&mut reader)?;
    if version != 0 {
        return Err(Tag::Integer.value_error());
    }
    let _subject = AnyRef::decode(&mut reader)?;
    let spki = AnyRef::decode(&mut reader)?.to_der()?;
    Ok((info.to_der()?, spki, algorithm, signature))
}
