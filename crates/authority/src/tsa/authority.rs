//! Who attests times: a key with the certificates that vouch for it, its policies, and a clock that it trusts.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use bulla_claims::keys::pem;
use bulla_tlog::note::SignError;
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use jiff::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::clock::{Clock, ClockError};
use super::request::Request;
use super::token::{Statement, Template};
use crate::PrivateKey;
use crate::ca::judge_signature;

/// What an authority promises.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The policy of answers whose requests name none.
    pub policy: ObjectIdentifier,
    /// Further policies that a request may name.
    pub accepted_policies: Vec<ObjectIdentifier>,
    /// How far off the time of an answer may be; counted in microseconds.
    pub accuracy: Duration,
    /// Whether an answer with certificates has the intermediate ones too. The root is never in it: who verifies has it.
    pub include_chain: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2"),
            accepted_policies: Vec::new(),
            accuracy: Duration::from_secs(1),
            include_chain: false,
        }
    }
}

/// Answers requests for timestamps.
pub struct TimestampAuthority {
    key: Arc<dyn PrivateKey>,
    settings: Settings,
    clock: Arc<Clock>,
    template: Template,
    /// From when to when every certificate of the chain is valid.
    valid: (Duration, Duration),
    chain_pem: String,
}

/// Why an authority cannot be set up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SetupError {
    /// No certificate, or more than anybody has.
    #[error("timestamp chain has {0} certificates, 1 to {MAX_CHAIN} were expected")]
    Length(usize),
    /// Not a certificate.
    #[error("certificate {0} of the timestamp chain (the leaf is 0) is not DER of X.509: {1}")]
    Der(usize, String),
    /// Not in order.
    #[error(
        "certificate {0} of the timestamp chain was issued by {1:?}, the next one is of {2:?}: leaf first, root last"
    )]
    Order(usize, String, String),
    /// Not signed by the next one.
    #[error("certificate {0} of the timestamp chain (the leaf is 0) {1}")]
    Signature(usize, String),
    /// Of another key.
    #[error("the timestamp certificate is for another key than the one to sign with")]
    Key,
    /// Of a kind that answers are not signed with.
    #[error(
        "timestamp key is {0}, ECDSA on P-256, P-384 or P-521, or RSA of 2048, 3072 or 4096 bits was expected"
    )]
    Kind(&'static str),
    /// Not for timestamps.
    #[error("the timestamp certificate {0}")]
    Profile(&'static str),
}

/// Why a request got no timestamp.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// A policy that is not promised here.
    #[error("policy is {0}, {1} was expected, or none")]
    Policy(ObjectIdentifier, ObjectIdentifier),
    /// The time is not known well enough.
    #[error("no timestamps now: {0}")]
    Clock(#[from] ClockError),
    /// The certificates would not vouch for an answer.
    #[error("no timestamps now: the certificates of the authority are not valid at {0}")]
    Expired(Timestamp),
    /// The key did not sign.
    #[error("no timestamps now: {0}")]
    Key(String),
}

impl From<SignError> for Refusal {
    fn from(error: SignError) -> Self {
        Self::Key(error.to_string())
    }
}

impl TimestampAuthority {
    /// From certificates in DER, the leaf first and the root last, and the leaf's key.
    pub fn new(
        chain: &[Vec<u8>],
        key: Arc<dyn PrivateKey>,
        settings: Settings,
        clock: Arc<Clock>,
    ) -> Result<Self, SetupError> {
        if chain.is_empty() || chain.len() > MAX_CHAIN {
            return Err(SetupError::Length(chain.len()));
        }
        let parsed = chain.iter().enumerate().map(|(at, der)| {
            Certificate::from_der(der).map_err(|error| SetupError::Der(at, error.to_string()))
        });
        let parsed: Vec<Certificate> = parsed.collect::<Result<_, _>>()?;
        for (at, pair) in parsed.windows(2).enumerate() {
            let (issuer, next) = (&pair[0].tbs_certificate.issuer, &pair[1].tbs_certificate.subject);
            if issuer != next {
                return Err(SetupError::Order(at, issuer.to_string(), next.to_string()));
            }
        }
        for (at, certificate) in parsed.iter().enumerate() {
            // The last signs itself.
            let signer = parsed.get(at + 1).unwrap_or(certificate);
            judge_signature(certificate, signer).map_err(|problem| SetupError::Signature(at, problem))?;
        }
        let spki = parsed[0].tbs_certificate.subject_public_key_info.to_der();
        if spki.map_err(|error| SetupError::Der(0, error.to_string()))? != key.spki() {
            return Err(SetupError::Key);
        }
        check_leaf(&parsed[0])?;
        warn_of_intermediates(&parsed);
        let intermediates = if settings.include_chain { chain.len() - 1 } else { 1 };
        let included = &chain[..intermediates.max(1)];
        let template = Template::new(&chain[0], included, key.details(), settings.accuracy);
        let template = template.map_err(|error| SetupError::Der(0, error.to_string()))?;
        let template = template.ok_or(SetupError::Kind(key.details().name()))?;
        let validity = parsed.iter().map(|certificate| certificate.tbs_certificate.validity);
        let valid = validity.fold((Duration::ZERO, Duration::MAX), |(start, end), validity| {
            let (not_before, not_after) =
                (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
            (start.max(not_before), end.min(not_after))
        });
        let chain_pem = chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        Ok(Self { key, settings, clock, template, valid, chain_pem })
    }

    /// The certificates in PEM, the leaf first and the root last.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// A timestamp of now: DER of a `TimeStampResp` whose status is granted.
    pub async fn respond(&self, request: &Request) -> Result<Vec<u8>, Refusal> {
        let policy = self.policy(request)?;
        let now = self.clock.now()?;
        self.respond_under(policy, request, now).await
    }

    /// A timestamp of that time, whatever the clock says.
    pub async fn respond_at(&self, request: &Request, time: Timestamp) -> Result<Vec<u8>, Refusal> {
        let policy = self.policy(request)?;
        self.respond_under(policy, request, time).await
    }

    async fn respond_under(
        &self,
        policy: ObjectIdentifier,
        request: &Request,
        time: Timestamp,
    ) -> Result<Vec<u8>, Refusal> {
        let seconds = u64::try_from(time.as_second()).map_err(|_| Refusal::Expired(time))?;
        // Whole seconds: the one form of GeneralizedTime that everybody reads.
        let seconds = Duration::from_secs(seconds);
        if seconds < self.valid.0 || seconds > self.valid.1 {
            return Err(Refusal::Expired(time));
        }
        let statement = Statement { policy, serial: serial()?, time: seconds };
        Ok(self.template.answer(request, statement, &*self.key).await?)
    }

    fn policy(&self, request: &Request) -> Result<ObjectIdentifier, Refusal> {
        let own = self.settings.policy;
        let asked = request.policy.unwrap_or(own);
        if asked == own || self.settings.accepted_policies.contains(&asked) {
            return Ok(asked);
        }
        Err(Refusal::Policy(asked, own))
    }
}

/// A leaf that everybody accepts for timestamps (RFC 3161 §2.3).
fn check_leaf(leaf: &Certificate) -> Result<(), SetupError> {
    let profile = |_| SetupError::Profile("has an extension that is not DER");
    let certificate = &leaf.tbs_certificate;
    let usage = certificate.get::<ExtendedKeyUsage>().map_err(profile)?;
    match usage {
        Some((true, usage)) if usage.0 == [TIME_STAMPING] => (),
        _ => return Err(SetupError::Profile("needs timeStamping as its only extended key usage, critical")),
    }
    if let Some((_, usage)) = certificate.get::<KeyUsage>().map_err(profile)?
        && !usage.digital_signature()
    {
        return Err(SetupError::Profile("needs the key usage digitalSignature"));
    }
    match certificate.get::<BasicConstraints>().map_err(profile)? {
        Some((_, constraints)) if constraints.ca => {
            Err(SetupError::Profile("is of a certificate authority, a leaf was expected"))
        }
        _ => Ok(()),
    }
}

/// The standard asks nothing of intermediates, but some clients do.
fn warn_of_intermediates(chain: &[Certificate]) {
    for certificate in chain.iter().skip(1).rev().skip(1).map(|certificate| &certificate.tbs_certificate) {
        let usage = certificate.get::<ExtendedKeyUsage>();
        if !usage.is_ok_and(|usage| usage.is_some_and(|(_, usage)| usage.0.contains(&TIME_STAMPING))) {
            let name = certificate.subject.to_string();
            tracing::warn!(
                name,
                "an intermediate certificate for timestamps lacks their extended key usage: some clients refuse it"
            );
        }
    }
}

/// 159 random bits: no two answers have the same, and nothing needs to be remembered.
fn serial() -> Result<[u8; 20], SignError> {
    let mut serial = [0; 20];
    SystemRandom::new().fill(&mut serial).map_err(|_| SignError::new("the system gave no random bytes"))?;
    serial[0] &= 0x7f;
    Ok(serial)
}

/// Certificates of a chain.
const MAX_CHAIN: usize = 8;
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
