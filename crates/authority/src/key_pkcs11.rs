//! A private key in a hardware token, reached through the C library of its maker (PKCS#11) and named by a URI (RFC 7512).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use bulla_claims::PublicKeyDetails;
use bulla_tlog::note::SignError;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use der::asn1::{AnyRef, BitString, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode as _, Encode as _, Sequence};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::{BoxFuture, PrivateKey};

/// A token that cannot be used, or a URI that names none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("PKCS#11 key: {problem}")]
pub struct TokenError {
    /// What is wrong.
    pub problem: String,
}

impl TokenError {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<der::Error> for TokenError {
    fn from(error: der::Error) -> Self {
        Self::new(format!("public key in the token: {error}"))
    }
}

/// A key in a token: ECDSA on P-256, P-384 or P-521, or RSA of 2048, 3072 or 4096 bits.
pub struct TokenKey {
    token: Arc<Token>,
    spki: Vec<u8>,
    details: PublicKeyDetails,
}

/// Where the key is, and a session if one is open. Sessions are used by one thread at a time.
struct Token {
    module: Pkcs11,
    uri: Uri,
    open: Mutex<Option<(Session, ObjectHandle)>>,
}

impl TokenKey {
    /// Opens the key that a URI names: `pkcs11:token=NAME;object=NAME?module-path=FILE&pin-value=PIN`, with `id` beside
    /// or instead of `object`, and `pin-source=file:FILE` instead of the PIN. The public half has to be in the token too,
    /// under the same name. Blocks while the token is asked.
    pub fn open(uri: &str) -> Result<Self, TokenError> {
        let uri = Uri::parse(uri)?;
        let path = uri.module_path.display();
        let module = Pkcs11::new(&uri.module_path)
            .map_err(|error| TokenError::new(format!("module {path} cannot be loaded: {error}")))?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another key of the same module.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        let token = Token { module, uri, open: Mutex::new(None) };
        let session = token.session()?;
        let (spki, details) = token.public_key(&session.0)?;
        *token.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        Ok(Self { token: Arc::new(token), spki, details })
    }
}

impl PrivateKey for TokenKey {
    fn spki(&self) -> &[u8] {
        &self.spki
    }

    fn details(&self) -> PublicKeyDetails {
        self.details
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        let (token, details, message) = (self.token.clone(), self.details, message.to_vec());
        let signing = tokio::task::spawn_blocking(move || token.sign(details, &message));
        Box::pin(async move { signing.await.map_err(SignError::new)?.map_err(SignError::new) })
    }
}

impl Token {
    /// Signs; once more in a new session if the one that was open does not work any more.
    fn sign(&self, details: PublicKeyDetails, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((session, key)) = &*open
            && let Ok(signature) = signed(session, *key, details, message)
        {
            return Ok(signature);
        }
        *open = None;
        let (session, key) = self.session()?;
        let signature = signed(&session, key, details, message)?;
        *open = Some((session, key));
        Ok(signature)
    }

    /// A session in which the private key can be used.
    fn session(&self) -> Result<(Session, ObjectHandle), TokenError> {
        let mut slots = Vec::new();
        for slot in self.module.get_slots_with_initialized_token()? {
            if self.module.get_token_info(slot)?.label() == self.uri.token {
                slots.push(slot);
            }
        }
        let [slot] = slots[..] else {
            let problem = format!("{} tokens are named {:?}, one was expected", slots.len(), self.uri.token);
            return Err(TokenError::new(problem));
        };
        let session = self.module.open_ro_session(slot)?;
        match session.login(UserType::User, Some(&self.uri.pin()?)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => {
                let problem = format!("token {:?} does not let us in: {error}", self.uri.token);
                return Err(TokenError::new(problem));
            }
        }
        let key = self.object(&session, ObjectClass::PRIVATE_KEY, "private")?;
        Ok((session, key))
    }

    fn object(&self, session: &Session, class: ObjectClass, half: &str) -> Result<ObjectHandle, TokenError> {
        let mut template = vec![Attribute::Class(class)];
        template.extend(self.uri.object.iter().map(|name| Attribute::Label(name.clone())));
        template.extend(self.uri.id.iter().map(|id| Attribute::Id(id.clone())));
        let found = session.find_objects(&template)?;
        let [object] = found[..] else {
            let problem = format!(
                "token {:?} has {} {half} keys of that name, one was expected",
                self.uri.token,
                found.len()
            );
            return Err(TokenError::new(problem));
        };
        Ok(object)
    }

    fn public_key(&self, session: &Session) -> Result<(Vec<u8>, PublicKeyDetails), TokenError> {
        let object = self.object(session, ObjectClass::PUBLIC_KEY, "public")?;
        let wanted = [
            AttributeType::KeyType,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
        ];
        let (mut kind, mut parameters, mut point, mut modulus, mut exponent) = Default::default();
        for attribute in session.get_attributes(object, &wanted)? {
            match attribute {
                Attribute::KeyType(value) => kind = Some(value),
                Attribute::EcParams(value) => parameters = value,
                Attribute::EcPoint(value) => point = value,
                Attribute::Modulus(value) => modulus = value,
                Attribute::PublicExponent(value) => exponent = value,
                _ => {}
            }
        }
        let (parameters, details, key) = if kind == Some(KeyType::RSA) {
            let details = match modulus.len() {
                256 => PublicKeyDetails::PkixRsaPkcs1v15Of2048Sha256,
                384 => PublicKeyDetails::PkixRsaPkcs1v15Of3072Sha256,
                512 => PublicKeyDetails::PkixRsaPkcs1v15Of4096Sha256,
                len => return Err(unsupported(&format!("RSA of {} bits", len * 8))),
            };
            let numbers = Numbers { first: UintRef::new(&modulus)?, second: UintRef::new(&exponent)? };
            (AnyRef::NULL.to_der()?, (RSA, details), numbers.to_der()?)
        } else if kind == Some(KeyType::EC) {
            let details = match ObjectIdentifier::from_der(&parameters)? {
                P256 => PublicKeyDetails::PkixEcdsaP256Sha256,
                P384 => PublicKeyDetails::PkixEcdsaP384Sha384,
                P521 => PublicKeyDetails::PkixEcdsaP521Sha512,
                curve => return Err(unsupported(&format!("on curve {curve}"))),
            };
            (parameters, (EC, details), OctetStringRef::from_der(&point)?.as_bytes().to_vec())
        } else {
            return Err(unsupported("neither ECDSA nor RSA"));
        };
        let (oid, details) = details;
        let algorithm = AlgorithmIdentifierOwned { oid, parameters: Some(der::Any::from_der(&parameters)?) };
        let subject_public_key = BitString::from_bytes(&key)?;
        let spki = SubjectPublicKeyInfoOwned { algorithm, subject_public_key };
        Ok((spki.to_der()?, details))
    }
}

fn unsupported(what: &str) -> TokenError {
    TokenError::new(format!(
        "key is {what}, ECDSA on P-256, P-384 or P-521, or RSA of 2048, 3072 or 4096 bits was expected"
    ))
}

fn signed(
    session: &Session,
    key: ObjectHandle,
    details: PublicKeyDetails,
    message: &[u8],
) -> Result<Vec<u8>, TokenError> {
    let hash: &'static Algorithm = match details {
        PublicKeyDetails::PkixEcdsaP256Sha256 => &SHA256,
        PublicKeyDetails::PkixEcdsaP384Sha384 => &SHA384,
        PublicKeyDetails::PkixEcdsaP521Sha512 => &SHA512,
        _ => return Ok(session.sign(&Mechanism::Sha256RsaPkcs, key, message)?),
    };
    let halves = session.sign(&Mechanism::Ecdsa, key, digest(hash, message).as_ref())?;
    let (r, s) = halves.split_at(halves.len() / 2);
    Ok(Numbers { first: UintRef::new(r)?, second: UintRef::new(s)? }.to_der()?)
}

/// Two numbers: an ECDSA signature, or an RSA public key.
#[derive(Sequence)]
struct Numbers<'a> {
    first: UintRef<'a>,
    second: UintRef<'a>,
}

/// What a URI says.
struct Uri {
    module_path: PathBuf,
    token: String,
    object: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
    pin: Pin,
}

enum Pin {
    Value(AuthPin),
    File(PathBuf),
}

impl Uri {
    fn parse(text: &str) -> Result<Self, TokenError> {
        let rest =
            text.strip_prefix("pkcs11:").ok_or_else(|| TokenError::new("URI has to begin with pkcs11:"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut token, mut object, mut id, mut module_path) = (None, None, None, None);
        let mut pin = None;
        let parts = path.split(';').chain(query.split('&')).filter(|part| !part.is_empty());
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                TokenError::new(format!("{part:?} in the URI is no attribute, NAME=VALUE was expected"))
            })?;
            let value = unescaped(value)
                .ok_or_else(|| TokenError::new(format!("{name} in the URI has a wrong % escape")))?;
            let text = || {
                let text = String::from_utf8(value.clone());
                text.map_err(|_| TokenError::new(format!("{name} in the URI is not UTF-8")))
            };
            match name {
                "token" => token = Some(text()?),
                "object" => object = Some(value),
                "id" => id = Some(value),
                "type" => {}
                "module-path" => module_path = Some(PathBuf::from(text()?)),
                "pin-value" => pin = Some(Pin::Value(text()?.into())),
                "pin-source" => {
                    let file = text()?;
                    let file = file.strip_prefix("file://").or(file.strip_prefix("file:")).unwrap_or(&file);
                    pin = Some(Pin::File(file.into()));
                }
                other => {
                    return Err(TokenError::new(format!(
                        "attribute {other:?} of the URI is unknown, token, object, id, type, module-path, pin-value and pin-source are known"
                    )));
                }
            }
        }
        let missing = |name: &str| TokenError::new(format!("{name} is missing in the URI"));
        if object.is_none() && id.is_none() {
            return Err(missing("object or id"));
        }
        Ok(Self {
            module_path: module_path.ok_or_else(|| missing("module-path"))?,
            token: token.ok_or_else(|| missing("token"))?,
            object,
            id,
            pin: pin.ok_or_else(|| missing("pin-value or pin-source"))?,
        })
    }

    /// Read anew for every session: it may have been changed.
    fn pin(&self) -> Result<AuthPin, TokenError> {
        match &self.pin {
            Pin::Value(pin) => Ok(pin.clone()),
            Pin::File(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| {
                    TokenError::new(format!("pin-source {} cannot be read: {error}", path.display()))
                })?;
                Ok(text.trim_end_matches(['\r', '\n']).into())
            }
        }
    }
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    Some(bytes)
}

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
