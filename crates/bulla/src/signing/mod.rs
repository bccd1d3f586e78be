//! Signing: certificate or key, timestamp, log, in this order, as verifiers expect it; and where signatures are kept.
//!
//! | file | what it knows |
//! |---|---|
//! | `services` | where to sign, as it is said or found |
//! | `signing_config` | the file that says it, and which services of it are asked |
//! | `trusted_log` | a log, and the keys that it is believed by |
//! | `signer` | a kept key, or a key of the moment with its certificate |
//! | `log` | how an entry is proposed to v1 and v2, and when the answer is believed |
//! | `about` | whether what comes of it would be verified |
//! | `bundle` | the form of what comes of it |
//! | `pending` | what is signed and not stored yet |
//! | `image` | bundles that refer to images, in registries and directories |
//! | `legacy` | the tags that cosign used before |
//! | `target` | what the words on a command line name |

mod about;
mod bundle;
mod image;
mod legacy;
mod log;
mod pending;
mod services;
mod signer;
mod signing_config;
mod target;
mod trusted_log;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_authority::client::tsa::{TsaClient, TsaClientError};
use bulla_claims::attestation::{PAYLOAD_TYPE, encoding};
use bulla_claims::judge::{Need, TrustedRoot};
use bulla_claims::keys::{pem, public_key_pem};
use bulla_tlog::{Hash, sha256};
use jiff::Timestamp;
use serde_json::json;
use sigstore_types::Bundle;

pub(crate) use about::About;
pub(crate) use bundle::{Content, Signed, is_message_of, of_entry, statement_in, statement_of};
pub(crate) use image::Subject;
pub(crate) use legacy::Legacy;
pub(crate) use log::inclusion_proof;
pub(crate) use pending::Slot;
pub(crate) use services::Prefer;
pub(crate) use target::{Target, find};
pub(crate) use trusted_log::{Api, Log};

use crate::command::Failure;
use crate::registry::{Descriptor, Digest};
use log::Absent;
use services::Services;
use signer::Signer;

// Where to sign, and who signs.
#[derive(Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    signer: signer::Args,
    #[command(flatten)]
    services: services::Args,
}

/// A signed statement before it is logged.
pub(crate) struct Envelope {
    /// DSSE, as JSON.
    pub(crate) text: Vec<u8>,
    /// By whose key or certificate it holds, PEM.
    pub(crate) key: Vec<u8>,
}

/// Everything that signing needs.
pub(crate) struct Signing {
    services: Services,
    signer: Signer,
}

/// When something was signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Now.
    New,
    /// In an earlier run, which did not come to its end.
    Resumed,
}

impl Args {
    /// Reads what there is to read, opens the key or finds the token; a person may be asked to sign in.
    pub(crate) async fn open(&self, prefer: Prefer) -> Result<Signing, Failure> {
        let services = self.services.services(Timestamp::now(), prefer).await?;
        let signer = self.signer.signer(&services).await?;
        Ok(Signing { services, signer })
    }

    /// Signing with a key in a file, at a server that says whom to believe.
    pub(crate) fn of(key: &Path, url: &str) -> Self {
        Self { signer: signer::Args::of(key), services: services::Args::of(url) }
    }

    /// Whether a key is named: else a token must be found.
    pub(crate) fn names_nobody(&self) -> bool {
        self.signer.names_nobody()
    }

    /// The same, with a key in a file.
    pub(crate) fn with_key(self, key: &Path) -> Self {
        Self { signer: signer::Args::of(key), ..self }
    }

    /// Whom to believe, as it is said now.
    pub(crate) async fn root(&self) -> Result<Arc<TrustedRoot>, Failure> {
        let services = self.services.services(Timestamp::now(), Prefer::Searchable).await?;
        services.root.ok_or_else(|| Failure::usage("--trusted-root is missing: nobody is believed"))
    }
}

impl Signing {
    /// The public key, DER, if it is one that verifiers have.
    pub(crate) fn kept_key(&self) -> Option<&[u8]> {
        self.signer.kept_key()
    }

    /// How the log is spoken with, if there is one.
    pub(crate) fn api(&self) -> Option<Api> {
        self.log().map(|log| log.api)
    }

    /// Whom to believe, if anybody.
    pub(crate) fn root(&self) -> Option<Arc<TrustedRoot>> {
        self.services.root.clone()
    }

    /// Signs a statement, with that as the key ID of the signature. Only for logs of v1.
    pub(crate) async fn envelope(&mut self, statement: &[u8], key_id: &str) -> Result<Envelope, Failure> {
        let identity = self.signer.identity().await?;
        for log in &self.services.logs {
            log::suits(log, identity.spki(), true)?;
        }
        let signature = identity.sign(&encoding(PAYLOAD_TYPE, statement)).await?;
        let envelope = json!({
            "payloadType": PAYLOAD_TYPE,
            "payload": STANDARD.encode(statement),
            "signatures": [{ "keyid": key_id, "sig": STANDARD.encode(signature) }],
        });
        let key = match identity.certificates.first() {
            Some(certificate) => pem("CERTIFICATE", certificate),
            None => public_key_pem(identity.spki()),
        };
        Ok(Envelope { text: envelope.to_string().into_bytes(), key: key.into_bytes() })
    }

    /// How many logs each signature is in.
    pub(crate) fn logs(&self) -> usize {
        self.services.logs.len()
    }

    /// The log, or the first of several.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.services.logs.first()
    }

    /// Where the log is, if there is one.
    pub(crate) fn log_url(&self) -> Option<&str> {
        self.log().map(|log| log.url.as_str())
    }

    /// The place to keep what is asked for until it is stored: the same for the same request by the same signer.
    pub(crate) fn slot(&self, asked: &[&[u8]]) -> Result<Slot, Failure> {
        let mark = self.signer.mark();
        let logs = self.services.logs.iter().map(|log| format!("{} {}", log.url, log.api.name()));
        let logs = logs.collect::<Vec<_>>().join(" ");
        let parts = [&[mark.as_bytes(), logs.as_bytes()], asked].concat();
        Slot::open(&signer::fingerprint(&parts))
    }

    /// Signs, stamps and logs, or goes on where an earlier run stopped. Whatever is done is in the slot before the next step,
    /// so that it is not done twice.
    pub(crate) async fn sign(&mut self, slot: &Slot, content: Content) -> Result<(Signed, Origin), Failure> {
        let about = About::of(&content);
        if let Some(mut signed) = slot.read()?
            && self.logged(slot, &mut signed, Origin::Resumed).await?
        {
            self.believe(&signed, about.as_ref())?;
            return Ok((signed, Origin::Resumed));
        }
        let mut signed = self.unlogged(content).await?;
        if signed.timestamp().is_some() {
            // Before it is logged: what nobody will verify is not written down for ever.
            self.believe(&signed, about.as_ref())?;
        }
        slot.write(&signed)?;
        self.logged(slot, &mut signed, Origin::New).await?;
        self.believe(&signed, about.as_ref())?;
        Ok((signed, Origin::New))
    }

    /// Makes sure that who believes the same will verify it.
    fn believe(&self, signed: &Signed, about: Option<&About>) -> Result<(), Failure> {
        let key = signed.bundle.signing_certificate().is_none().then(|| self.kept_key()).flatten();
        let Some(about) = about else { return Ok(()) };
        let problem = self.distrust(&signed.bundle, about, key, Need::NotRequired)?;
        let refused = |problem| Failure::check(format!("what was signed would not be verified: {problem}"));
        problem.map_or(Ok(()), |problem| Err(refused(problem)))
    }

    /// Why a bundle of that key would not be verified by who believes the same, if it would not.
    pub(crate) fn distrust(
        &self,
        bundle: &Bundle,
        about: &About,
        key: Option<&[u8]>,
        log: Need,
    ) -> Result<Option<String>, Failure> {
        let Some(root) = &self.services.root else { return Ok(None) };
        let text = bundle.to_json().map_err(Failure::check)?;
        Ok(about.distrusted(text.as_bytes(), root, key, log))
    }

    /// Whether a layer of before bundles, by the kept key and about that, is one that who believes the same will verify.
    pub(crate) fn believes_layer(
        &self,
        layer: &Descriptor,
        payload: &[u8],
        about: &Content,
        image: &Digest,
    ) -> bool {
        let (Some(root), Some(key)) = (&self.services.root, self.kept_key()) else { return true };
        let Some(image) = image.to_string().strip_prefix("sha256:").and_then(Hash::from_hex) else {
            return true;
        };
        let log = if self.logs() > 0 { Need::Required } else { Need::NotRequired };
        About::of(about)
            .is_none_or(|about| about.distrusted_layer(layer, payload, &image, root, key, log).is_none())
    }

    async fn unlogged(&mut self, content: Content) -> Result<Signed, Failure> {
        let identity = self.signer.identity().await?;
        let is_statement = matches!(content, Content::Statement(_));
        for log in &self.services.logs {
            log::suits(log, identity.spki(), is_statement)?;
            if log.api == Api::V2 && !identity.certificates.is_empty() && self.services.tsas.is_empty() {
                return Err(Failure::usage(
                    "entries of v2 logs have no time: name a timestamp authority with --timestamp-server-url, or pass \
                     --log-api v1",
                ));
            }
        }
        let signature = identity.sign(&content.signed_bytes()).await?;
        let mut timestamps = Vec::new();
        for url in &self.services.tsas {
            timestamps.push(stamp(url, &signature).await?);
        }
        Ok(Signed::new(Timestamp::now(), content, signature, &identity, timestamps))
    }

    /// Makes sure that each log has it. Not only if it is too late for that.
    async fn logged(&self, slot: &Slot, signed: &mut Signed, origin: Origin) -> Result<bool, Failure> {
        let material = signed.material(self.kept_key())?;
        // The time of the entry must be one of the certificate's, unless a timestamp has said the time.
        let by_certificate = signed.bundle.signing_certificate().is_some() && signed.timestamp().is_none();
        let late = Timestamp::now().as_second() - signed.at.as_second() > CERTIFICATE_SECONDS;
        let absent =
            if origin == Origin::Resumed && by_certificate && late { Absent::Leave } else { Absent::Add };
        // Entries are there in the order of the logs.
        for log in self.services.logs.iter().skip(signed.entries()) {
            let entry =
                log::submit(log, &material, &signed.bundle.content, absent).await.map_err(|failure| {
                    failure.or(
                        "what was signed is kept, the same command logs it; --rekor-url names another log",
                    )
                })?;
            let Some(entry) = entry else {
                return Ok(false);
            };
            signed.logged(entry);
            slot.write(signed)?;
        }
        Ok(true)
    }
}

async fn stamp(url: &str, signature: &[u8]) -> Result<Vec<u8>, Failure> {
    let stamped = async { TsaClient::new(url)?.timestamp(&sha256(signature).0).await };
    let failed = |error: TsaClientError| match &error {
        TsaClientError::Unavailable(..) => Failure::unavailable(error),
        TsaClientError::Status { status, .. } if *status >= 500 || *status == 429 => {
            Failure::unavailable(error)
        }
        TsaClientError::Wrong(..) => Failure::check(error),
        TsaClientError::Url(_) | TsaClientError::Request(_) | TsaClientError::Status { .. } => {
            Failure::usage(error)
        }
    };
    stamped
        .await
        .map_err(|error| failed(error).or("try again, or name another one with --timestamp-server-url"))
}

/// Of the ten minutes that certificates last, with room for clocks.
const CERTIFICATE_SECONDS: i64 = 500;
