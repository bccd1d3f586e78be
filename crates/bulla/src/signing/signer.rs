//! Who signs: a key that is kept somewhere, or a key of the moment that an authority certifies for whoever an identity token
//! is about.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulla_authority::PrivateKey;
use bulla_authority::client::token::{SignIn, ambient};
use bulla_authority::client::{CaClient, CaError};
use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::x509::{KeyType, PublicKey};
use bulla_claims::{HashAlgorithm, PublicKeyDetails, SigningKey};
use serde_json::Value;

use super::services::Services;
use super::trusted_log::key_hint;
use crate::command::Failure;
use crate::keys::{Passwords, signing_key};
use crate::text::hex;

// Options that say who signs.
#[derive(Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Private key: a file (PEM, also as cosign writes it), `env://NAME`, or the URI of a key in a token or cloud; without it an
    /// authority certifies a key of the moment
    #[arg(long, value_name = "KEY", env = "COSIGN_KEY", help_heading = "Who signs")]
    key: Option<String>,
    /// File with the password of the key [default: the password in `BULLA_KEY_PASSWORD` or `COSIGN_PASSWORD`, else it is
    /// asked for]
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "Who signs")]
    key_password_file: Option<PathBuf>,
    /// Identity token, or a file that has it [default: what the surroundings have: `SIGSTORE_ID_TOKEN`, GitHub Actions,
    /// GitLab CI, Buildkite, Google's clouds, a service account's]
    #[arg(
        long,
        value_name = "TOKEN|FILE",
        conflicts_with = "key",
        hide_env_values = true,
        env = "COSIGN_IDENTITY_TOKEN",
        help_heading = "Who signs"
    )]
    identity_token: Option<String>,
    /// How a person signs in where there is no token [default: with the browser, if somebody sits at the terminal]
    #[arg(long, value_enum, value_name = "FLOW", conflicts_with = "key", help_heading = "Who signs")]
    oidc_flow: Option<Flow>,
    /// Name of this client at the issuer, which is the audience of tokens
    #[arg(
        long,
        value_name = "ID",
        default_value = "sigstore",
        env = "COSIGN_OIDC_CLIENT_ID",
        help_heading = "Who signs"
    )]
    oidc_client_id: String,
}

/// How a person signs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Flow {
    /// a browser on this machine
    Browser,
    /// a browser anywhere, and a code to type there
    Device,
    /// a browser anywhere, and a code to type here
    Code,
}

/// Who signs, ready to.
pub(crate) struct Signer {
    who: Who,
    certified: Option<(Identity, Instant)>,
}

enum Who {
    Key(Arc<dyn PrivateKey>),
    Token { ca: CaClient, token: String, subject: String, mark: String },
}

/// A key and what verifiers know it by.
#[derive(Clone)]
pub(crate) struct Identity {
    key: Arc<dyn PrivateKey>,
    /// Certificates in DER, the key's own first; none for a key that verifiers have.
    pub(crate) certificates: Vec<Vec<u8>>,
}

impl Args {
    /// A key in a file.
    pub(super) fn of(key: &Path) -> Self {
        Self {
            key: Some(key.display().to_string()),
            key_password_file: None,
            identity_token: None,
            oidc_flow: None,
            oidc_client_id: "sigstore".to_owned(),
        }
    }

    /// Whether neither a key nor a token is named.
    pub(super) fn names_nobody(&self) -> bool {
        self.key.is_none() && self.identity_token.is_none() && self.oidc_flow.is_none()
    }

    /// Opens the key, or finds the token; a person may be asked.
    pub(crate) async fn signer(&self, services: &Services) -> Result<Signer, Failure> {
        if let Some(reference) = &self.key {
            let passwords = Passwords::with_option(self.key_password_file.clone(), "--key-password-file");
            return Ok(Signer { who: Who::Key(signing_key(reference, &passwords).await?), certified: None });
        }
        if services.logs.is_empty() {
            return Err(Failure::usage(
                "--tlog-upload=false needs --key: a certificate lasts for minutes, and only the log shows that it signed then",
            ));
        }
        let Some(ca) = &services.ca else {
            return Err(Failure::usage("no certificate authority is named: pass --fulcio-url, or --key"));
        };
        let ca = CaClient::new(ca).map_err(Failure::usage)?;
        let token = self.token(services).await?;
        let claims = claims(&token).ok_or_else(|| {
            Failure::usage(
                "identity token: is not a JSON Web Token, three parts with dots between were expected",
            )
        })?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(subject) = text("email").or_else(|| text("sub")) else {
            return Err(Failure::usage("identity token: has neither \"email\" nor \"sub\""));
        };
        let (subject, mark) = (subject.to_owned(), format!("{}\n{subject}", text("iss").unwrap_or_default()));
        Ok(Signer { who: Who::Token { ca, token, subject, mark }, certified: None })
    }

    async fn token(&self, services: &Services) -> Result<String, Failure> {
        if let Some(given) = &self.identity_token {
            if given.matches('.').count() == 2 && !Path::new(given).exists() {
                return Ok(given.trim().to_owned());
            }
            let read = crate::target::read_small(Path::new(given), LARGEST_TOKEN)
                .map_err(|failure| Failure::usage(format!("--identity-token: {failure}")))?;
            return Ok(String::from_utf8_lossy(&read).trim().to_owned());
        }
        if let Some(token) = ambient(&self.oidc_client_id).await.map_err(Failure::usage)? {
            eprintln!("The identity token is from {}.", token.source());
            return Ok(token.text().to_owned());
        }
        let flow = match self.oidc_flow {
            None if !std::io::stdin().is_terminal() => {
                return Err(Failure::usage(
                    "there is no identity token: pass --identity-token, set SIGSTORE_ID_TOKEN, sign in with --oidc-flow, \
                     or sign with --key",
                ));
            }
            flow => flow.unwrap_or(Flow::Browser),
        };
        let Some(issuer) = &services.issuer else {
            return Err(Failure::usage("no issuer to sign in at is named: pass --oidc-issuer"));
        };
        let there = SignIn::new(issuer, &self.oidc_client_id, "", SIGN_IN).map_err(Failure::usage)?;
        let token = match flow {
            Flow::Browser => there.interactive(open_browser).await,
            Flow::Device => {
                let show = async |code: &str, page: &str| eprintln!("Open {page} and type {code} there.");
                there.device(show).await
            }
            Flow::Code => there.out_of_band(async |url: &str| typed(url).await).await,
        };
        let token = token.map_err(|error| {
            Failure::unavailable(error).or(
                "try again, name another issuer with --oidc-issuer, or bring a token with --identity-token",
            )
        })?;
        Ok(token.text().to_owned())
    }
}

impl Signer {
    /// The public key, DER, if it is one that verifiers have.
    pub(crate) fn kept_key(&self) -> Option<&[u8]> {
        match &self.who {
            Who::Key(key) => Some(key.spki()),
            Who::Token { .. } => None,
        }
    }

    /// The same for all runs of one signer, and for nobody else.
    pub(crate) fn mark(&self) -> String {
        match &self.who {
            Who::Key(key) => key_hint(key.spki()),
            Who::Token { mark, .. } => mark.clone(),
        }
    }

    /// What to sign with. A certified key signs several things while its certificate lasts.
    pub(crate) async fn identity(&mut self) -> Result<Identity, Failure> {
        let (ca, token, subject) = match &self.who {
            Who::Key(key) => return Ok(Identity { key: Arc::clone(key), certificates: Vec::new() }),
            Who::Token { ca, token, subject, .. } => (ca, token, subject),
        };
        if let Some((identity, since)) = &self.certified
            && since.elapsed() < USED_FOR
        {
            return Ok(identity.clone());
        }
        let key = SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None);
        let key = key.map_err(Failure::unavailable)?;
        let certificates = ca.certify(token, &key, subject).await.map_err(|error| match error {
            CaError::Url { .. } | CaError::Refused { .. } => Failure::usage(error),
            CaError::Unavailable { .. } => {
                Failure::unavailable(error).or("try again, or name another one with --fulcio-url")
            }
            CaError::Sign(_) => Failure::unavailable(error),
            CaError::Wrong { .. } => Failure::check(error),
        })?;
        let identity = Identity { key: Arc::new(key), certificates };
        self.certified = Some((identity.clone(), Instant::now()));
        Ok(identity)
    }
}

impl Identity {
    /// Signs, and makes sure that the signature is one of this key.
    pub(crate) async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let signature = self.key.sign(message).await.map_err(Failure::unavailable)?;
        if verifies(self.key.spki(), message, &signature) {
            return Ok(signature);
        }
        Err(Failure::check("the signature that the key made does not hold under its own public half"))
    }

    /// The hash function that goes with the key.
    pub(crate) fn hash(&self) -> HashAlgorithm {
        hash_of(self.key.details())
    }

    /// The public key, DER.
    pub(crate) fn spki(&self) -> &[u8] {
        self.key.spki()
    }
}

/// Whether a signature is that of a key over a message: ECDSA over the hash as long as the curve, RSA over SHA-256, Ed25519.
pub(crate) fn verifies(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = PublicKey::parse(public_key_pem(spki).as_bytes()) else { return false };
    let hash = match key.key_type() {
        KeyType::Ed25519 => return key.verify_message(message, signature),
        KeyType::P384 => HashAlgorithm::Sha384,
        KeyType::P521 => HashAlgorithm::Sha512,
        KeyType::P256 | KeyType::Rsa(_) => HashAlgorithm::Sha256,
    };
    key.verify_digest(hash, &digest(hash, message), signature)
}

/// The digest of some bytes.
pub(crate) fn digest(hash: HashAlgorithm, bytes: &[u8]) -> Vec<u8> {
    let function = match hash {
        HashAlgorithm::Sha256 => &aws_lc_rs::digest::SHA256,
        HashAlgorithm::Sha384 => &aws_lc_rs::digest::SHA384,
        HashAlgorithm::Sha512 => &aws_lc_rs::digest::SHA512,
    };
    aws_lc_rs::digest::digest(function, bytes).as_ref().to_vec()
}

/// Ed25519 signs messages and not digests; what is named beside its signature is SHA-512, as logs have it.
fn hash_of(details: PublicKeyDetails) -> HashAlgorithm {
    match details {
        PublicKeyDetails::PkixEd25519 => HashAlgorithm::Sha512,
        other => other.hash().unwrap_or(HashAlgorithm::Sha256),
    }
}

/// The claims of a token. Whether it is to be believed is the authority's to say.
fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Opens the page where people look, and says where it is in case nothing opens.
fn open_browser(url: &str) {
    eprintln!("Sign in with the browser that opens, or open {url}");
    let browser = std::env::var("BROWSER").unwrap_or_else(|_| "xdg-open".to_owned());
    let quiet = std::process::Stdio::null;
    // If there is none, the address was said.
    let _none =
        std::process::Command::new(browser).arg(url).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
}

async fn typed(url: &str) -> Result<String, String> {
    eprintln!("Open {url}\nand type the code here:");
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_len| line)
    });
    let line = read.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    if line.trim().is_empty() { Err("no code was typed".to_owned()) } else { Ok(line) }
}

/// For the name of a file: nothing of the text can be read off it.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> String {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    hex(&bulla_tlog::sha256(&all).0)
}

/// Of the ten minutes that certificates last.
const USED_FOR: Duration = Duration::from_mins(5);
/// For a person to sign in.
const SIGN_IN: Duration = Duration::from_mins(5);
const LARGEST_TOKEN: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_known_by_their_key() {
        for text in [
            SigningKey::generate_ecdsa_p256_pem(),
            SigningKey::generate_ecdsa_p384_pem(),
            SigningKey::generate_ed25519_pem(),
        ] {
            let key = SigningKey::from_pem(&text, None).expect("a key");
            let signature = key.sign(b"message").expect("signs");
            assert!(verifies(key.spki(), b"message", &signature), "{key:?}");
            assert!(!verifies(key.spki(), b"other", &signature), "{key:?}");
        }
        assert!(!verifies(b"no key", b"message", b"signature"));
    }

    #[test]
    fn tokens_are_three_parts() {
        let token = |payload: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        assert_eq!(claims(&token(r#"{"sub":"a"}"#)).expect("claims")["sub"], "a");
        for wrong in ["", "a.b", "a.b.c", "e30.e30.c2ln.e30", &token("{")] {
            assert_eq!(claims(wrong), None, "{wrong}");
        }
    }
}
