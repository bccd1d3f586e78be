//! Judgement of a Sigstore bundle. Each step is a check with a name; what `sigstore-verify` refuses is the failure of the
//! step at which it stopped, and the steps behind that one are not reached.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::sha256;
use jiff::Timestamp;
use sigstore_verify::types::bundle::VerificationMaterialContent as Material;
use sigstore_verify::types::{Artifact as Given, Bundle, DerPublicKey, Sha256Hash, SignatureContent};
use sigstore_verify::{
    Error, Policy as Asked, PublicKeyVerificationPolicy, TransparencyLogError, VerificationPolicy,
    VerificationResult,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::check::LogHead;
use super::check::{
    ARTIFACT, BINDING, CERTIFICATE, CONTENT, Checks, IDENTITY, INCLUSION, KEY, LOG, PROFILE, PROMISE, SCT,
    SHAPE, SIGNATURE, TIME,
};
use super::entry::{By, bound, head_of, logged_as, of_trusted_log};
use super::shape::Shown;
use super::{Artifact, Content, Judged, Need, Policy, Signed, TrustedRoot, shape};
use crate::attestation::{COSIGN_SIGN, Statement};
use crate::identity::Identity;

/// Judges a bundle of at most [`MAX_BUNDLE`](super::MAX_BUNDLE) bytes. `now`, in Unix seconds, is what no signature may be
/// later than. Nothing is asked of anybody: what the bundle and the trusted root say is all there is.
///
/// The crate beneath looks at the machine's clock too, for the same purpose and for keys of logs that are not valid yet: a
/// `now` behind that clock is as strict as it says, one ahead of it is not.
///
/// Each entry of a log must be proved to be in it, whatever the version of the format: a promise alone is not enough.
pub fn judge_bundle(
    bundle: &[u8],
    artifact: &Artifact<'_>,
    root: &TrustedRoot,
    policy: &Policy,
    now: u64,
) -> Judged {
    judge_shown(bundle, artifact, root, policy, now, Shown::Proof)
}

/// The same for who says what shows that a log has an entry.
pub(super) fn judge_shown(
    bundle: &[u8],
    artifact: &Artifact<'_>,
    root: &TrustedRoot,
    policy: &Policy,
    now: u64,
    shown: Shown,
) -> Judged {
    let bundle = match shape::read(bundle, policy.log, shown) {
        Ok(bundle) => bundle,
        Err(problem) => {
            let mut checks = Checks::default();
            checks.note(SHAPE, Err(problem));
            return checks.finish(None, None);
        }
    };
    if let Some(certificate) = bundle.signing_certificate() {
        return Judgement { bundle: &bundle, artifact, root, policy, now }
            .by_certificate(certificate.as_bytes());
    }
    let Material::PublicKey(named) = &bundle.verification_material.content else {
        let mut checks = Checks::default();
        checks.note(SHAPE, Err("bundle has neither a certificate nor a key".to_owned()));
        return checks.finish(None, None);
    };
    let judgement = Judgement { bundle: &bundle, artifact, root, policy, now };
    // The hint is believed by nobody; it only says which of the keys to try first.
    let (hinted, others): (Vec<_>, Vec<_>) =
        policy.keys.iter().partition(|key| STANDARD.encode(sha256(key).0) == named.hint);
    let mut first = None;
    for key in hinted.into_iter().chain(others) {
        let judged = judgement.by_key(key);
        if judged.verified() {
            return judged;
        }
        first.get_or_insert(judged);
    }
    first.unwrap_or_else(|| {
        let mut checks = Checks::default();
        checks.note(SHAPE, Ok(judgement.form()));
        let problem = "bundle is signed with a key and has no certificate, and no key is given";
        checks.note(KEY, Err(format!("{problem}; its hint is {:?}", named.hint)));
        checks.finish(None, judgement.statement().ok().flatten())
    })
}

struct Judgement<'a> {
    bundle: &'a Bundle,
    artifact: &'a Artifact<'a>,
    root: &'a TrustedRoot,
    policy: &'a Policy,
    now: u64,
}

impl Judgement<'_> {
    fn by_certificate(&self, der: &[u8]) -> Judged {
        let mut checks = Checks::default();
        checks.note(SHAPE, Ok(self.form()));
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            checks.note(KEY, Err("certificate is not one DER X.509 certificate".to_owned()));
            return checks.finish(None, None);
        };
        let spki = certificate.tbs_certificate.subject_pki.raw;
        let hash = sha256(spki);
        if self.policy.identities.is_empty() {
            let problem = "bundle is signed with a certificate, and no identity is given, only keys";
            checks.note(KEY, Err(problem.to_owned()));
        } else {
            checks.note(KEY, Ok(vec![("key sha256", hash.to_string())]));
        }
        let identity = Identity::from_certificate(der);
        let wanted = &self.policy.identities;
        checks.note(
            IDENTITY,
            match &identity {
                Err(error) => Err(error.to_string()),
                Ok(identity) if wanted.iter().any(|pattern| pattern.matches(identity)) => {
                    Ok(evidence_of(identity))
                }
                Ok(identity) => Err(format!("certificate is of {identity}, who may not sign")),
            },
        );
        checks.note(PROFILE, profile(&certificate));
        let signed = Signed {
            spki: spki.to_vec(),
            identity: identity.ok(),
            entry: self.entry(),
            more_entries: self.more_entries(),
        };
        let policy = VerificationPolicy::any_identity();
        let policy = if self.policy.sct == Need::Required { policy } else { policy.skip_sct() };
        let policy = if self.is_logged() { policy } else { policy.skip_tlog_unsafe() };
        let verified = self.own(&mut checks, By::Certificate { der, spki }, &policy);
        let mut times = Vec::new();
        if let Some(verified) = verified {
            checks.note(CERTIFICATE, Ok(certificate_evidence(&certificate, &verified)));
            times = self.times(&mut checks, &verified);
        }
        if self.policy.sct == Need::NotRequired {
            checks.skip(SCT, "not asked for");
        }
        Judged { times, heads: self.heads(), ..checks.finish(Some(signed), self.statement().ok().flatten()) }
    }

    fn by_key(&self, spki: &[u8]) -> Judged {
        let mut checks = Checks::default();
        checks.note(SHAPE, Ok(self.form()));
        checks.note(KEY, Ok(vec![("key sha256", sha256(spki).to_string())]));
        for name in [IDENTITY, PROFILE, CERTIFICATE, SCT] {
            checks.skip(name, "signed with a key, there is no certificate");
        }
        let policy = PublicKeyVerificationPolicy::new(DerPublicKey::new(spki.to_vec()));
        let policy = if self.is_logged() { policy } else { policy.skip_tlog_unsafe() };
        let verified = self.own(&mut checks, By::Key(spki), &policy);
        let times = verified.map(|verified| self.times(&mut checks, &verified)).unwrap_or_default();
        let signed = Signed {
            spki: spki.to_vec(),
            identity: None,
            entry: self.entry(),
            more_entries: self.more_entries(),
        };
        Judged { times, heads: self.heads(), ..checks.finish(Some(signed), self.statement().ok().flatten()) }
    }

    /// The checks that are the same for both, and what the crate says.
    fn own(&self, checks: &mut Checks, by: By<'_>, asked: &dyn Asked) -> Option<VerificationResult> {
        checks.note(CONTENT, self.content());
        let entries = &self.bundle.verification_material.tlog_entries;
        if entries.is_empty() {
            for name in [LOG, BINDING, INCLUSION, PROMISE] {
                checks.skip(name, "no entry of a log was asked for, and there is none");
            }
        }
        let signed = self.artifact.sha256();
        for entry in entries {
            checks.note(LOG, of_trusted_log(entry, self.root));
            checks.note(BINDING, bound(entry, self.bundle, by, &signed));
        }
        let given = match self.artifact {
            Artifact::Bytes(bytes) => Given::from_blob(bytes),
            Artifact::Sha256(hash) => Given::from(Sha256Hash::new(hash.0)),
        };
        let is_key = matches!(by, By::Key(_));
        let came = self.root.verifier.verify(given, self.bundle, asked);
        let failed = came.as_ref().err().map(at);
        let mut reached = order(is_key).iter();
        // What the crate passed on its way to where it stopped.
        let passed = reached.by_ref().take_while(|name| Some(**name) != failed);
        if failed.is_none_or(|failed| order(is_key).contains(&failed)) {
            for name in passed {
                self.pass(checks, name);
            }
        }
        match came {
            Ok(verified) => Some(verified),
            Err(error) => {
                checks.note(at(&error), Err(error.to_string()));
                None
            }
        }
    }

    fn pass(&self, checks: &mut Checks, name: &'static str) {
        let entries = &self.bundle.verification_material.tlog_entries;
        let has = match name {
            INCLUSION => entries.iter().any(|entry| entry.inclusion_proof.is_some()),
            PROMISE => entries.iter().any(|entry| entry.inclusion_promise.is_some()),
            _ => true,
        };
        if has {
            checks.note(
                name,
                Ok(if name == ARTIFACT {
                    vec![("sha256", self.artifact.sha256().to_string())]
                } else {
                    Vec::new()
                }),
            );
        } else if !entries.is_empty() {
            checks.skip(name, "there is none in it, and none is needed");
        }
    }

    fn times(&self, checks: &mut Checks, verified: &VerificationResult) -> Vec<Timestamp> {
        let times = verified.verified_timestamps();
        let stamps = self.bundle.verification_material.timestamp_verification_data.rfc3161_timestamps.len();
        // The crate puts timestamps first where there is a certificate, and last where there is none.
        let is_key = self.bundle.signing_certificate().is_none();
        let stamped = if is_key { times.len().saturating_sub(stamps)..times.len() } else { 0..stamps };
        let late =
            times.iter().find(|time| u64::try_from(time.as_second()).is_ok_and(|time| time > self.now));
        let named = |n| if stamped.contains(&n) { "timestamp" } else { "integrated time" };
        if times.is_empty() {
            checks.skip(TIME, "no clock saw the signature; a key has no end that it would matter for");
            return Vec::new();
        }
        checks.note(
            TIME,
            match late {
                Some(late) => Err(format!("signed at {late}, which is in the future")),
                None => Ok(times.iter().enumerate().map(|(n, time)| (named(n), time.to_string())).collect()),
            },
        );
        times.to_vec()
    }

    fn form(&self) -> Vec<(&'static str, String)> {
        vec![("media type", self.bundle.media_type.to_string())]
    }

    fn is_logged(&self) -> bool {
        !self.bundle.verification_material.tlog_entries.is_empty()
    }

    fn entry(&self) -> Option<crate::identity::LoggedAs> {
        self.bundle.verification_material.tlog_entries.first().and_then(logged_as)
    }

    fn heads(&self) -> Vec<LogHead> {
        let entries = self.bundle.verification_material.tlog_entries.iter();
        entries.filter_map(|entry| head_of(entry, self.root).ok().flatten()).collect()
    }

    fn more_entries(&self) -> Vec<crate::identity::LoggedAs> {
        self.bundle.verification_material.tlog_entries.iter().skip(1).filter_map(logged_as).collect()
    }

    /// The statement, if what is signed is an envelope. Its type is looked at before its content is.
    fn statement(&self) -> Result<Option<Statement>, String> {
        match &self.bundle.content {
            SignatureContent::DsseEnvelope(envelope) => {
                let read = Statement::parse(&envelope.payload_type, envelope.payload.as_bytes());
                read.map(Some).map_err(|error| error.to_string())
            }
            _ => Ok(None),
        }
    }

    fn content(&self) -> Result<Vec<(&'static str, String)>, String> {
        let statement = self.statement()?;
        let found = statement.as_ref().map(|statement| statement.predicate_type.as_str());
        let fits = match (&self.policy.content, found) {
            (Content::Signature, None) | (Content::Any, _) => true,
            (Content::Signature, Some(found)) => found == COSIGN_SIGN,
            (Content::Attestation(_), None) => false,
            (Content::Attestation(wanted), Some(found)) => wanted.matches(found),
        };
        let expected = &self.policy.content;
        let said =
            found.map_or_else(|| "a signature".to_owned(), |found| format!("an attestation of type {found}"));
        if !fits {
            return Err(format!("it is {said}, {expected} was expected"));
        }
        let Some(statement) = statement else { return Ok(Vec::new()) };
        let digest = self.artifact.sha256().to_string();
        if !statement.subjects.iter().any(|subject| subject.digest.get("sha256") == Some(&digest)) {
            return Err(format!("statement has no subject of sha256 {digest}"));
        }
        Ok(vec![("predicate type", statement.predicate_type)])
    }
}

/// The checks that the crate makes, in its order.
fn order(is_key: bool) -> &'static [&'static str] {
    if is_key {
        return &[INCLUSION, PROMISE, SIGNATURE, ARTIFACT];
    }
    // Promises first, for it is by their times that the certificate is judged.
    &[PROMISE, CERTIFICATE, SCT, INCLUSION, SIGNATURE, ARTIFACT]
}

/// At which check it stopped.
fn at(error: &Error) -> &'static str {
    match error {
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => IDENTITY,
        Error::ArtifactMismatch(_) | Error::UnsupportedArtifact(_) | Error::ArtifactRead(_) => ARTIFACT,
        Error::Certificate(sigstore_verify::CertificateError::Sct(_)) => SCT,
        Error::Certificate(_) => CERTIFICATE,
        Error::TransparencyLog(error) => match error {
            TransparencyLogError::InclusionProof(_) | TransparencyLogError::Checkpoint(_) => INCLUSION,
            TransparencyLogError::InclusionPromise(_) => PROMISE,
            TransparencyLogError::IntegratedTime(_) => TIME,
            TransparencyLogError::EntryMismatch(_) | TransparencyLogError::MalformedEntry(_) => BINDING,
            _ => LOG,
        },
        Error::Timestamp(_) => TIME,
        Error::Types(_) | Error::Bundle(_) => SHAPE,
        // Its form is judged already; what it does not take then is what is signed.
        Error::InvalidBundle(_) | Error::UnsupportedBundle(_) => CONTENT,
        // What is left is about keys and signatures that cannot be read.
        _ => SIGNATURE,
    }
}

fn evidence_of(identity: &Identity) -> Vec<(&'static str, String)> {
    vec![("subject", identity.subject.clone()), ("issuer", identity.issuer.clone())]
}

/// A certificate for signing code, and not one that could issue others.
fn profile(certificate: &X509Certificate<'_>) -> Result<Vec<(&'static str, String)>, String> {
    let wrong = |error: x509_parser::error::X509Error| format!("certificate cannot be read: {error}");
    if certificate.is_ca() {
        return Err("certificate is that of an authority, which signs certificates only".to_owned());
    }
    let usage = certificate.key_usage().map_err(wrong)?;
    if !usage.is_some_and(|usage| usage.value.digital_signature()) {
        return Err("certificate is not for signatures, key usage digitalSignature was expected".to_owned());
    }
    let extended = certificate.extended_key_usage().map_err(wrong)?;
    if !extended.is_some_and(|usage| usage.value.code_signing) {
        return Err("certificate is not for code, extended key usage codeSigning was expected".to_owned());
    }
    Ok(Vec::new())
}

fn certificate_evidence(
    certificate: &X509Certificate<'_>,
    verified: &VerificationResult,
) -> Vec<(&'static str, String)> {
    let mut evidence = vec![
        ("issued by", certificate.issuer().to_string()),
        ("serial", certificate.raw_serial_as_string().replace(':', "")),
    ];
    if let Some(info) = verified.certificate() {
        evidence.push(("not before", info.not_before.to_string()));
        evidence.push(("not after", info.not_after.to_string()));
    }
    evidence.push(("certificate sha256", sha256(certificate.as_raw()).to_string()));
    evidence
}
