//! Who may record what a tag points to, and who may approve that it moves.

use bulla_claims::identity::{IdentityPattern, Pattern};
use bulla_claims::judge::Signed;

use crate::command::Failure;
use crate::keys::{Passwords, verification_key};
use crate::text::subject_and_issuer;

// Options of everybody who reads the history of tags.
#[derive(Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Public key of a proxy whose records count: a file or a key's URI; repeat for more
    #[arg(long, value_name = "REF", help_heading = "Whose word counts")]
    recorder_key: Vec<String>,
    /// Name and issuer in the certificates of a proxy whose records count; the last = divides them
    #[arg(long, value_name = "SUBJECT=ISSUER", help_heading = "Whose word counts")]
    recorder_identity: Vec<String>,
    /// Public key of somebody who may approve that a tag moves; repeat for more
    #[arg(long, value_name = "REF", help_heading = "Whose word counts")]
    approver_key: Vec<String>,
    /// Name and issuer of somebody who may approve that a tag moves; the last = divides them
    #[arg(long, value_name = "SUBJECT=ISSUER", help_heading = "Whose word counts")]
    approver_identity: Vec<String>,
}

/// Some people.
#[derive(Clone, Default, Debug)]
pub(crate) struct People {
    /// By their public keys, DER `SubjectPublicKeyInfo`.
    pub(crate) keys: Vec<Vec<u8>>,
    /// By what certificates say.
    pub(crate) identities: Vec<IdentityPattern>,
}

/// See the module.
#[derive(Clone, Default, Debug)]
pub(crate) struct Roles {
    /// Whose records count.
    pub(crate) recorders: People,
    /// Whose approvals count.
    pub(crate) approvers: People,
}

impl Args {
    /// Reads keys and names.
    pub(crate) async fn read(&self) -> Result<Roles, Failure> {
        Ok(Roles {
            recorders: people("recorder", &self.recorder_key, &self.recorder_identity).await?,
            approvers: people("approver", &self.approver_key, &self.approver_identity).await?,
        })
    }
}

async fn people(role: &str, keys: &[String], identities: &[String]) -> Result<People, Failure> {
    let passwords = Passwords::new(None);
    let mut people = People::default();
    for reference in keys {
        let key = verification_key(reference, &passwords).await;
        let key = key.map_err(|failure| failure.and(format_args!(" (--{role}-key)")))?;
        people.keys.push(key.spki().to_vec());
    }
    for text in identities {
        let refused = |problem: String| Failure::usage(format!("--{role}-identity {text}: {problem}"));
        let (subject, issuer) = subject_and_issuer(text).map_err(refused)?;
        let exact = |text: &str| Pattern::exact(text).map_err(|error| refused(error.to_string()));
        people.identities.push(IdentityPattern { issuer: exact(&issuer)?, subject: exact(&subject)? });
    }
    Ok(people)
}

impl People {
    /// Whether somebody is one of them.
    pub(crate) fn has(&self, signed: &Signed) -> bool {
        // A key in a certificate is of the moment: who has one is known by name.
        match &signed.identity {
            Some(identity) => self.identities.iter().any(|pattern| pattern.matches(identity)),
            None => self.keys.contains(&signed.spki),
        }
    }

    /// Whether there is nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.identities.is_empty()
    }
}

impl Roles {
    /// Refuses to judge a history whose recorders nobody named.
    pub(crate) fn some_recorder(self) -> Result<Self, Failure> {
        if self.recorders.is_empty() {
            return Err(Failure::usage(
                "nobody's records count: name the proxy with --recorder-key FILE (its proxy.pub), or with \
                 --recorder-identity SUBJECT=ISSUER",
            ));
        }
        Ok(self)
    }
}
