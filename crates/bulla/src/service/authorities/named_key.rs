//! The private key of an authority: its file in the data directory, or what `--ca-key` and `--tsa-key` name instead, a key that
//! somebody keeps or a file elsewhere. Certificates are about one key, so another one is refused before it signs anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla_authority::key::{self, OpenKeyError};
use bulla_authority::{PrivateKey, ca};
use bulla_claims::keys::pem;
use bulla_claims::pki::x509::PublicKey;

use crate::command::Failure;
use crate::home::read_key;

/// What the options name.
#[derive(Clone, Copy, Default)]
pub(super) struct NamedKeys<'a> {
    /// `--ca-key`
    pub(super) ca: Option<&'a str>,
    /// `--tsa-key`
    pub(super) tsa: Option<&'a str>,
}

impl NamedKeys<'_> {
    /// The key of a role that is to be certified: the one named, else the one in its own file, which is made.
    pub(super) async fn uncertified(
        &self,
        role: &str,
        own: impl FnOnce() -> Result<PathBuf, Failure>,
    ) -> Result<Arc<dyn PrivateKey>, Failure> {
        match self.named(role) {
            Some(named) => open(role, named).await,
            None => Ok(Arc::new(read_key(&own()?, None)?)),
        }
    }

    /// The key of a role whose certificates are there.
    pub(super) async fn certified(
        &self,
        role: &str,
        own: &Path,
        chain: &Path,
        text: &str,
    ) -> Result<Arc<dyn PrivateKey>, Failure> {
        let named = self.named(role);
        if named.is_none() && !own.exists() {
            let problem = format!(
                "is missing: put it back from a copy, or pass --{role}-key if the key is kept elsewhere"
            );
            return Err(Failure::usage(format!("{} {problem}", own.display())));
        }
        let key = self.uncertified(role, || Ok(own.to_owned())).await?;
        // What is wrong with the certificates themselves is said by who reads all of them.
        if first_key(text).is_some_and(|certified| certified != key.spki()) {
            let source =
                named.map_or_else(|| format!("in {}", own.display()), |_| format!("that --{role}-key names"));
            let (chain, other) = (chain.display(), chain.with_file_name("other").display().to_string());
            return Err(Failure::usage(format!(
                "{chain} does not certify the key {source}: pass the key that it was made for, or to begin to use this one \
                 move it to {other}/ and put offline/root.key back for one start"
            )));
        }
        Ok(key)
    }

    fn named(&self, role: &str) -> Option<&str> {
        match role {
            "ca" => self.ca,
            "tsa" => self.tsa,
            _ => None,
        }
    }
}

/// Refuses to let a file follow the key of a role that is kept elsewhere: the options would still name that one.
pub(super) fn judge_own(role: &str, own: &Path, chain: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", chain.display()));
    let certified = first_key(&std::fs::read_to_string(chain).map_err(failed)?);
    if own.exists() && certified.as_deref() == Some(read_key(own, None)?.spki()) {
        return Ok(());
    }
    let (other, chain) = (chain.with_file_name("other"), chain.display());
    Err(Failure::usage(format!(
        "the key that {chain} certifies is not {}: it is kept elsewhere, as --{role}-key names it. To replace it, stop the \
         server, move {chain} to {}/, and start with the new --{role}-key and offline/root.key in its place",
        own.display(),
        other.display()
    )))
}

/// The key of the first certificate, DER `SubjectPublicKeyInfo`.
fn first_key(chain: &str) -> Option<Vec<u8>> {
    let certificates = ca::certificates(chain).ok()?;
    let key = PublicKey::parse(pem("CERTIFICATE", certificates.first()?).as_bytes()).ok()?;
    Some(key.spki().to_vec())
}

async fn open(role: &str, named: &str) -> Result<Arc<dyn PrivateKey>, Failure> {
    if !key::is_uri(named) && !named.contains("://") {
        return Ok(Arc::new(read_key(Path::new(named), None)?));
    }
    key::open(named).await.map_err(|error| {
        let text = format!("--{role}-key: {error}");
        match error {
            OpenKeyError::Unavailable { .. } => Failure::unavailable(text),
            _ => Failure::usage(text),
        }
    })
}
