//! A private key in a hardware token, reached through the C library of its maker (PKCS#11) and named by a URI (RFC 7512).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bulla_claims::PublicKeyDetails;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use der::Decode as _;
use der::asn1::{ObjectIdentifier, OctetStringRef};

use super::kept::{Found, Keeper, PublicHalf, Trouble, hashed, other_kind, patiently};
use super::{BoxFuture, parts};

/// ECDSA and RSA: the newer kinds of keys have no place in tokens yet.
struct TokenKey {
    token: Arc<Token>,
    details: PublicKeyDetails,
}

/// Where the key is, and a session if one is open. Sessions are used by one thread at a time.
struct Token {
    module: Pkcs11,
    uri: Uri,
    open: Mutex<Option<(Session, ObjectHandle)>>,
}

/// Opens the key that the rest of a URI names: `token=NAME;object=NAME?module-path=FILE&pin-value=PIN`, with `id` beside or
/// instead of `object`, and `pin-source=file:FILE` instead of the PIN. What is not said there is looked for in the variables
/// [`PIN`] and [`MODULE`]. The public half has to be in the token too, under the same name.
pub(super) async fn open(rest: &str) -> Result<Found, Trouble> {
    let uri = Uri::parse(rest, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    let (token, spki) = patiently(|| {
        let uri = uri.clone();
        blocking(move || opened(uri))
    })
    .await?;
    let public = PublicHalf::judge(spki)?;
    let details = public.details;
    Ok(Found { public, keeper: Box::new(TokenKey { token: Arc::new(token), details }) })
}

fn opened(uri: Uri) -> Result<(Token, Vec<u8>), Trouble> {
    let path = uri.module_path.display();
    let module = Pkcs11::new(&uri.module_path)
        .map_err(|error| Trouble::Refused(format!("module {path} cannot be loaded: {error}")))?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Another key of the same module.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(error.into()),
    }
    let token = Token { module, uri, open: Mutex::new(None) };
    let session = token.session()?;
    let spki = token.public_key(&session.0)?;
    *token.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    Ok((token, spki))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Trouble::Refused(error.to_string()))?
}

impl Keeper for TokenKey {
    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
        let (token, details, message) = (self.token.clone(), self.details, message.to_vec());
        Box::pin(blocking(move || token.sign(details, &message)))
    }

    /// What waits for a token that hangs cannot be called back.
    fn attempts(&self) -> u32 {
        1
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(format!("token: {error}"))
    }
}

impl From<der::Error> for Trouble {
    fn from(error: der::Error) -> Self {
        Self::Refused(format!("public key in the token: {error}"))
    }
}

impl Token {
    /// Signs; once more in a new session if the one that was open does not work any more.
    fn sign(&self, details: PublicKeyDetails, message: &[u8]) -> Result<Vec<u8>, Trouble> {
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
    fn session(&self) -> Result<(Session, ObjectHandle), Trouble> {
        let mut slots = Vec::new();
        for slot in self.module.get_slots_with_initialized_token()? {
            if self.module.get_token_info(slot)?.label() == self.uri.token {
                slots.push(slot);
            }
        }
        let [slot] = slots[..] else {
            let problem = format!("{} tokens are named {:?}, one was expected", slots.len(), self.uri.token);
            return Err(Trouble::Refused(problem));
        };
        let session = self.module.open_ro_session(slot)?;
        match session.login(UserType::User, Some(&self.uri.pin()?)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => {
                let problem = format!("token {:?} does not let us in: {error}", self.uri.token);
                return Err(Trouble::Refused(problem));
            }
        }
        let key = self.object(&session, ObjectClass::PRIVATE_KEY, "private")?;
        Ok((session, key))
    }

    fn object(&self, session: &Session, class: ObjectClass, half: &str) -> Result<ObjectHandle, Trouble> {
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
            return Err(Trouble::Refused(problem));
        };
        Ok(object)
    }

    fn public_key(&self, session: &Session) -> Result<Vec<u8>, Trouble> {
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
        match kind {
            Some(KeyType::RSA) => Ok(parts::rsa_spki(&modulus, &exponent)?),
            Some(KeyType::EC) => {
                let curve = ObjectIdentifier::from_der(&parameters)?;
                Ok(parts::ec_spki(curve, OctetStringRef::from_der(&point)?.as_bytes())?)
            }
            _ => Err(other_kind("neither ECDSA nor RSA")),
        }
    }
}

fn signed(
    session: &Session,
    key: ObjectHandle,
    details: PublicKeyDetails,
    message: &[u8],
) -> Result<Vec<u8>, Trouble> {
    let is_ec = matches!(
        details,
        PublicKeyDetails::PkixEcdsaP256Sha256
            | PublicKeyDetails::PkixEcdsaP384Sha384
            | PublicKeyDetails::PkixEcdsaP521Sha512
    );
    let Some(digest) = hashed(details, message).filter(|_| is_ec) else {
        return Ok(session.sign(&Mechanism::Sha256RsaPkcs, key, message)?);
    };
    let halves = session.sign(&Mechanism::Ecdsa, key, digest.as_ref())?;
    Ok(parts::ecdsa_der(&halves)?)
}

/// What a URI says.
#[derive(Clone)]
struct Uri {
    module_path: PathBuf,
    token: String,
    object: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
    pin: Pin,
}

#[derive(Clone)]
enum Pin {
    Value(AuthPin),
    File(PathBuf),
}

impl Uri {
    fn parse(rest: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Trouble> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut token, mut object, mut id, mut module_path) = (None, None, None, None);
        let mut pin = None;
        let parts = path.split(';').chain(query.split('&')).filter(|part| !part.is_empty());
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                Trouble::Uri(format!("{part:?} in the URI is no attribute, NAME=VALUE was expected"))
            })?;
            let value = unescaped(value)
                .ok_or_else(|| Trouble::Uri(format!("{name} in the URI has a wrong % escape")))?;
            let text = || {
                let text = String::from_utf8(value.clone());
                text.map_err(|_| Trouble::Uri(format!("{name} in the URI is not UTF-8")))
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
                    return Err(Trouble::Uri(format!(
                        "attribute {other:?} of the URI is unknown, token, object, id, type, module-path, pin-value and pin-source are known"
                    )));
                }
            }
        }
        let missing = |name: &str| Trouble::Uri(format!("{name} is missing in the URI"));
        let unsaid = |name: &str, variable: &str| {
            Trouble::Uri(format!("{name} is missing in the URI, and {variable} is not set"))
        };
        let module_path = module_path.or_else(|| variable(MODULE).map(PathBuf::from));
        let pin = pin.or_else(|| variable(PIN).map(|pin| Pin::Value(pin.into())));
        if object.is_none() && id.is_none() {
            return Err(missing("object or id"));
        }
        Ok(Self {
            module_path: module_path.ok_or_else(|| unsaid("module-path", MODULE))?,
            token: token.ok_or_else(|| missing("token"))?,
            object,
            id,
            pin: pin.ok_or_else(|| unsaid("pin-value or pin-source", PIN))?,
        })
    }

    /// Read anew for every session: it may have been changed.
    fn pin(&self) -> Result<AuthPin, Trouble> {
        match &self.pin {
            Pin::Value(pin) => Ok(pin.clone()),
            Pin::File(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| {
                    Trouble::Refused(format!("pin-source {} cannot be read: {error}", path.display()))
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

/// The variables that cosign has for them.
const PIN: &str = "COSIGN_PKCS11_PIN";
const MODULE: &str = "COSIGN_PKCS11_MODULE_PATH";
