//! Keys as commands are told of them: a path, `env://NAME`, or the URI of somebody who keeps keys.

mod password;
mod text;

use std::sync::Arc;

use bulla_authority::PrivateKey;
use bulla_authority::key::{self, OpenKeyError};
use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::x509::PublicKey;

pub(crate) use password::Passwords;
pub(crate) use text::KeyText;

use crate::command::Failure;

/// What a reference names.
enum Place {
    /// A text with a key in it.
    Text(KeyText),
    /// A key that somebody keeps.
    Kept(Arc<dyn PrivateKey>),
}

/// Opens the private key that a reference names. A password is asked for only if the key has one.
pub(crate) async fn signing_key(
    reference: &str,
    passwords: &Passwords,
) -> Result<Arc<dyn PrivateKey>, Failure> {
    match place(reference).await? {
        Place::Text(text) => Ok(Arc::new(text.private_or_ask(passwords)?)),
        Place::Kept(key) => Ok(key),
    }
}

/// Reads the public key that a reference names: one in PEM, the one in a certificate, or that of a private key.
pub(crate) async fn verification_key(reference: &str, passwords: &Passwords) -> Result<PublicKey, Failure> {
    let spki = match place(reference).await? {
        Place::Text(text) if !text.is_private() => return text.public(),
        Place::Text(text) => text.private_or_ask(passwords)?.spki().to_vec(),
        Place::Kept(key) => key.spki().to_vec(),
    };
    PublicKey::parse(public_key_pem(&spki).as_bytes())
        .map_err(|error| Failure::usage(format!("key {reference:?}: {}", error.problem)))
}

async fn place(reference: &str) -> Result<Place, Failure> {
    if key::is_uri(reference) {
        return key::open(reference).await.map(Place::Kept).map_err(|error| match error {
            OpenKeyError::Unavailable { .. } => Failure::unavailable(error),
            _ => Failure::usage(error),
        });
    }
    if let Some(name) = reference.strip_prefix("env://") {
        return KeyText::in_variable(name).map(Place::Text);
    }
    if let Some((scheme, _)) = reference.split_once("://") {
        let fix = match scheme {
            "http" | "https" => "download the key, compare it with what its owner says, and name the file",
            _ => {
                "a path, env://NAME, pkcs11:, awskms://, gcpkms://, azurekms:// or hashivault:// was expected"
            }
        };
        return Err(Failure::usage(format!("key {reference:?}: {scheme}:// is not read here: {fix}")));
    }
    KeyText::in_file(reference.as_ref()).map(Place::Text)
}
