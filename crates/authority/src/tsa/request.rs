//! What is asked of the timestamp authority: DER of a `TimeStampReq` (RFC 3161 §2.4.1), or the same said in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::{AnyRef, Int, ObjectIdentifier, OctetString};
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_tsp::{MessageImprint, TimeStampReq, TspVersion};

/// A request that can be answered, as far as it can be told without knowing the authority's policies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What the timestamp is about, as it was sent.
    pub imprint: MessageImprint,
    /// Under which policy; `None` leaves it to the authority.
    pub policy: Option<ObjectIdentifier>,
    /// Any number, given back in the answer.
    pub nonce: Option<Int>,
    /// Whether the answer is to hold the certificate that it is verified with.
    pub certificates: bool,
}

/// What is wrong with a request. Each says which field.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// More bytes than a request needs.
    #[error("request is {length} bytes, at most {limit} were expected")]
    TooLong {
        /// Bytes sent.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not DER of a request.
    #[error("request is not DER of a TimeStampReq: {0}")]
    Der(String),
    /// Of another version.
    #[error("version is {0}, 1 was expected")]
    Version(String),
    /// A digest of a function that is not taken.
    #[error("hash algorithm is {0}, sha256, sha384 or sha512 was expected")]
    Algorithm(String),
    /// Parameters that none of the functions has.
    #[error("hash algorithm {0} has parameters, none or NULL was expected")]
    Parameters(&'static str),
    /// A digest of another length than its function makes.
    #[error("digest is {length} bytes, {algorithm} needs {expected}")]
    Length {
        /// The function named.
        algorithm: &'static str,
        /// Bytes sent.
        length: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// A nonce that is longer than anybody needs.
    #[error("nonce is {length} bytes, at most {MAX_NONCE_BYTES} were expected")]
    Nonce {
        /// Bytes sent.
        length: usize,
    },
    /// Extensions: none is known, and none may be passed over (RFC 3161 §2.4.1).
    #[error("request has extensions, none is known here: leave them out")]
    Extensions,
    /// Not JSON, or not of that shape.
    #[error("request is not JSON as expected: {0}")]
    Json(String),
    /// A field of the JSON that does not say what it should.
    #[error("{field} is {problem}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it is, and what it should be.
        problem: String,
    },
}

/// The most bytes of a request in DER.
pub const MAX_DER_BYTES: usize = 64 << 10;
/// The most bytes of a request in JSON.
pub const MAX_JSON_BYTES: usize = 1 << 10;
/// The most bytes of a nonce in DER. Clients send eight, or twenty.
pub const MAX_NONCE_BYTES: usize = 64;

/// A hash function that imprints are made with.
pub(crate) struct Imprinted {
    pub(crate) name: &'static str,
    pub(crate) oid: ObjectIdentifier,
    length: usize,
}

/// SHA-1 and MD5 are not among them: who can make two documents of one digest can date the second by the first.
pub(crate) const HASHES: [Imprinted; 3] = [
    Imprinted { name: "sha256", oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), length: 32 },
    Imprinted { name: "sha384", oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), length: 48 },
    Imprinted { name: "sha512", oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"), length: 64 },
];

impl Request {
    /// A request about a digest that SHA-256 made.
    pub fn sha256(digest: &[u8], nonce: Option<Int>, certificates: bool) -> Result<Self, RequestError> {
        let imprint = imprint(&HASHES[0], digest)?;
        Ok(Self { imprint, policy: None, nonce, certificates })
    }

    /// Reads DER of at most [`MAX_DER_BYTES`].
    pub fn from_der(bytes: &[u8]) -> Result<Self, RequestError> {
        bounded(bytes, MAX_DER_BYTES)?;
        let request = TimeStampReq::from_der(bytes).map_err(|error| match version(bytes) {
            Ok(version) if version != "1" => RequestError::Version(version),
            _ => RequestError::Der(error.to_string()),
        })?;
        if request.extensions.is_some() {
            return Err(RequestError::Extensions);
        }
        let imprint = &request.message_imprint;
        let oid = imprint.hash_algorithm.oid;
        let hash = HASHES.iter().find(|hash| hash.oid == oid);
        let hash = hash.ok_or_else(|| RequestError::Algorithm(named(oid)))?;
        if imprint.hash_algorithm.parameters.as_ref().is_some_and(|parameters| !parameters.is_null()) {
            return Err(RequestError::Parameters(hash.name));
        }
        check_length(hash, imprint.hashed_message.as_bytes())?;
        if let Some(nonce) = &request.nonce
            && nonce.as_bytes().len() > MAX_NONCE_BYTES
        {
            return Err(RequestError::Nonce { length: nonce.as_bytes().len() });
        }
        Ok(Self {
            imprint: request.message_imprint,
            policy: request.req_policy,
            nonce: request.nonce,
            certificates: request.cert_req,
        })
    }

    /// Reads JSON of at most [`MAX_JSON_BYTES`]: `artifactHash` in base64, `hashAlgorithm`, and where wanted
    /// `certificates`, `nonce` (a number below 2^160), `tsaPolicyOID`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, RequestError> {
        bounded(bytes, MAX_JSON_BYTES)?;
        let json: Json<'_> =
            serde_json::from_slice(bytes).map_err(|error| RequestError::Json(error.to_string()))?;
        let field = |field, problem| RequestError::Field { field, problem };
        let hash = HASHES.iter().find(|hash| hash.name == json.hash_algorithm);
        let hash = hash.ok_or(RequestError::Algorithm(json.hash_algorithm))?;
        let digest = STANDARD.decode(&json.artifact_hash);
        let digest = digest.map_err(|error| field("artifactHash", format!("not base64: {error}")))?;
        let imprint = imprint(hash, &digest)?;
        let nonce = json.nonce.map(|nonce| decimal(nonce.get()));
        let nonce = nonce.transpose().map_err(|problem| field("nonce", problem))?;
        let policy = json.policy.filter(|policy| !policy.is_empty());
        let policy = policy.map(|policy| {
            // The library counts on numbers that fit, and reads others as others.
            let fits = policy.split('.').all(|number| number.parse::<u32>().is_ok());
            // Read back, for the shortest ones are written and then not read.
            let oid = fits.then(|| ObjectIdentifier::new(&policy).ok()).flatten();
            let oid = oid.and_then(|oid| ObjectIdentifier::from_bytes(oid.as_bytes()).ok());
            oid.ok_or_else(|| {
                let expected = "four numbers or more below 2^32 with dots were expected";
                field("tsaPolicyOID", format!("{policy:?}, {expected}"))
            })
        });
        Ok(Self { imprint, policy: policy.transpose()?, nonce, certificates: json.certificates })
    }

    /// The same in DER, as it is sent.
    pub fn to_der(&self) -> der::Result<Vec<u8>> {
        let request = TimeStampReq {
            version: TspVersion::V1,
            message_imprint: self.imprint.clone(),
            req_policy: self.policy,
            nonce: self.nonce.clone(),
            cert_req: self.certificates,
            extensions: None,
        };
        request.to_der()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    artifact_hash: String,
    hash_algorithm: String,
    #[serde(default)]
    certificates: bool,
    /// As text: a number may be longer than any that serde knows, and none of its digits may be lost.
    #[serde(borrow)]
    nonce: Option<&'a RawValue>,
    #[serde(rename = "tsaPolicyOID")]
    policy: Option<String>,
}

fn imprint(hash: &Imprinted, digest: &[u8]) -> Result<MessageImprint, RequestError> {
    check_length(hash, digest)?;
    let hashed_message = OctetString::new(digest).map_err(|error| RequestError::Der(error.to_string()))?;
    let hash_algorithm = AlgorithmIdentifierOwned { oid: hash.oid, parameters: None };
    Ok(MessageImprint { hash_algorithm, hashed_message })
}

fn check_length(hash: &Imprinted, digest: &[u8]) -> Result<(), RequestError> {
    let (length, expected) = (digest.len(), hash.length);
    if length == expected {
        return Ok(());
    }
    Err(RequestError::Length { algorithm: hash.name, length, expected })
}

fn bounded(bytes: &[u8], limit: usize) -> Result<(), RequestError> {
    if bytes.len() <= limit {
        return Ok(());
    }
    Err(RequestError::TooLong { length: bytes.len(), limit })
}

fn named(oid: ObjectIdentifier) -> String {
    if oid == SHA1 { "sha1".to_owned() } else { oid.to_string() }
}

/// The version alone, to say what is wrong with a request of another one.
fn version(bytes: &[u8]) -> der::Result<String> {
    let mut reader = SliceReader::new(bytes)?;
    let request = AnyRef::decode(&mut reader)?;
    request.tag().assert_eq(Tag::Sequence)?;
    let version = i64::decode(&mut SliceReader::new(request.value())?)?;
    reader.finish(version.to_string())
}

/// The DER of a number written in decimal digits.
fn decimal(digits: &str) -> Result<Int, String> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(format!("{digits}, a whole number from 0 was expected"));
    }
    let mut number = [0; NONCE_BYTES];
    for digit in digits.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in number.iter_mut().rev() {
            carry += u16::from(*byte) * 10;
            *byte = carry.to_be_bytes()[1];
            carry >>= 8;
        }
        if carry != 0 {
            return Err(format!("longer than {} bits", NONCE_BYTES * 8));
        }
    }
    unsigned(&number).map_err(|error| error.to_string())
}

/// The INTEGER of an unsigned number, most significant byte first.
pub(crate) fn unsigned(number: &[u8]) -> der::Result<Int> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let mut content = Vec::with_capacity(number.len() + 1);
    if number.get(start).is_none_or(|first| *first >= 0x80) {
        content.push(0);
    }
    content.extend_from_slice(&number[start..]);
    Int::new(&content)
}

/// Bytes of a nonce in JSON.
const NONCE_BYTES: usize = 20;
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json(nonce: &str) -> Result<Request, RequestError> {
        let hash = STANDARD.encode([7; 32]);
        let text = format!(r#"{{"artifactHash":"{hash}","hashAlgorithm":"sha256","nonce":{nonce}}}"#);
        Request::from_json(text.as_bytes())
    }

    fn der(change: impl FnOnce(&mut TimeStampReq)) -> Result<Request, RequestError> {
        let request = Request::sha256(&[7; 32], None, false).unwrap().to_der().unwrap();
        let mut request = TimeStampReq::from_der(&request).unwrap();
        change(&mut request);
        Request::from_der(&request.to_der().unwrap())
    }

    #[test]
    fn a_nonce_in_json_keeps_every_digit() {
        let nonce = |digits: &str| json(digits).unwrap().nonce.map(|nonce| nonce.as_bytes().to_vec());
        assert_eq!(nonce("null"), None);
        assert_eq!(nonce("0"), Some(vec![0]));
        assert_eq!(nonce("128"), Some(vec![0, 128]));
        assert_eq!(nonce("9007199254740993"), Some(vec![0x20, 0, 0, 0, 0, 0, 1]));
        let all = "1461501637330902918203684832716283019655932542975";
        assert_eq!(nonce(all), Some([vec![0], vec![255; 20]].concat()));
        for wrong in ["-1", "1.5", "1e9", "\"7\"", "1461501637330902918203684832716283019655932542976"] {
            assert!(json(wrong).unwrap_err().to_string().starts_with("nonce is "), "{wrong}");
        }
    }

    #[test]
    fn json_is_refused_by_field() {
        let good = json!({"artifactHash": STANDARD.encode([7; 48]), "hashAlgorithm": "sha384"});
        let with = |name: &str, value: serde_json::Value| {
            let mut json = good.clone();
            json[name] = value;
            Request::from_json(json.to_string().as_bytes())
        };
        let message = |name, value| with(name, value).unwrap_err().to_string();
        assert!(with("certificates", json!(true)).unwrap().certificates);
        assert_eq!(with("tsaPolicyOID", json!("1.2.3.4")).unwrap().policy.unwrap().to_string(), "1.2.3.4");
        assert_eq!(message("hashAlgorithm", json!("sha512")), "digest is 48 bytes, sha512 needs 64");
        assert!(message("hashAlgorithm", json!("sha1")).starts_with("hash algorithm is sha1, sha256"));
        assert!(message("artifactHash", json!("!")).starts_with("artifactHash is not base64"));
        assert!(message("tsaPolicyOID", json!("here")).starts_with("tsaPolicyOID is \"here\""));
        for wrong in ["1.2.3.4294967296", "12111111111111111111.2.3.4", "1..3.4", "1.2.3.+4"] {
            let expected =
                format!("tsaPolicyOID is {wrong:?}, four numbers or more below 2^32 with dots were expected");
            assert_eq!(message("tsaPolicyOID", json!(wrong)), expected);
        }
        assert!(message("certificates", json!("yes")).starts_with("request is not JSON as expected"));
        assert!(message("more", json!("x".repeat(1000))).starts_with("request is 1"));
    }

    #[test]
    fn der_is_refused_by_field() {
        let message = |change: fn(&mut TimeStampReq)| der(change).unwrap_err().to_string();
        assert!(der(|_| ()).is_ok());
        assert!(
            der(|request| request.message_imprint.hash_algorithm.parameters = Some(der::Any::null())).is_ok()
        );
        let parameters = |request: &mut TimeStampReq| {
            request.message_imprint.hash_algorithm.parameters =
                Some(der::Any::new(Tag::Utf8String, *b"x").unwrap());
        };
        assert_eq!(message(parameters), "hash algorithm sha256 has parameters, none or NULL was expected");
        assert!(
            message(|request| request.message_imprint.hash_algorithm.oid = SHA1)
                .starts_with("hash algorithm is sha1")
        );
        let short = |request: &mut TimeStampReq| {
            request.message_imprint.hashed_message = OctetString::new([7; 20]).unwrap();
        };
        assert_eq!(message(short), "digest is 20 bytes, sha256 needs 32");
        assert!(
            message(|request| request.nonce = Some(Int::new(&[1; 65]).unwrap()))
                .starts_with("nonce is 65 bytes")
        );
        assert!(
            message(|request| request.extensions = Some(Vec::new())).starts_with("request has extensions")
        );
        let mut other = Request::sha256(&[7; 32], None, false).unwrap().to_der().unwrap();
        other[4] = 2;
        assert_eq!(Request::from_der(&other).unwrap_err().to_string(), "version is 2, 1 was expected");
        assert!(
            Request::from_der(&vec![0; MAX_DER_BYTES + 1]).unwrap_err().to_string().contains("at most 65536")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any = Request::from_json(&bytes);
            if let Ok(request) = Request::from_der(&bytes) {
                prop_assert_eq!(Request::from_der(&request.to_der().unwrap()).unwrap(), request);
            }
        }

        #[test]
        fn a_decimal_is_the_number_it_says(number: u128) {
            let der = decimal(&number.to_string()).unwrap();
            let bytes = der.as_bytes().iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
            prop_assert_eq!(bytes, number);
        }
    }
}
