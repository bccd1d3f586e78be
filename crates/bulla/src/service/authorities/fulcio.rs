//! The certificate authority: whose tokens it believes, and what it certifies.

use std::sync::Arc;

use bulla_authority::BoxFuture;
use bulla_authority::api::fulcio::{Fulcio, Identities, IssuerConfiguration, IssuerUrl, Unverified};
use bulla_authority::ca::{CertificateAuthority, KeyKind, KeyPolicy};
use bulla_authority::ct::CtLog;
use bulla_authority::dev::DevIssuer;
use bulla_authority::oidc::{Fault, Identity, Issuers, Replay, Verifier, token_hash};
use bulla_tlog::sha256;
use jiff::{SignedDuration, Timestamp};

use super::files::Certified;
use super::{Args, http_settings};
use crate::command::Failure;

/// The authority itself.
pub(super) fn authority(
    args: &Args,
    ca: Certified,
    ct: Option<Arc<dyn CtLog>>,
) -> Result<CertificateAuthority, Failure> {
    let lifetime = SignedDuration::try_from(args.ca_lifetime).ok().filter(|lifetime| {
        (1..=LONGEST_SECONDS).contains(&lifetime.as_secs()) && lifetime.subsec_nanos() == 0
    });
    let lifetime = lifetime.ok_or_else(|| {
        Failure::usage(
            "--ca-lifetime must be whole seconds, at most a day: signers need a certificate for minutes",
        )
    })?;
    let authority = CertificateAuthority::new(&ca.chain, ca.key, ct);
    let authority = authority.map_err(|error| Failure::usage(format!("certificate authority: {error}")))?;
    Ok(authority.with_lifetime(lifetime))
}

/// The doors before it.
pub(super) fn open(
    args: &Args,
    authority: CertificateAuthority,
    dev: Option<&DevIssuer>,
) -> Result<Fulcio, Failure> {
    let mut issuers = match &args.ca_issuers {
        Some(path) => Issuers::read(path).map_err(Failure::usage)?,
        None => Issuers::default(),
    };
    if let Some(dev) = dev {
        let entry = dev.entry(AUDIENCE).and_then(|entry| issuers.add(entry));
        entry.map_err(|problem| Failure::usage(format!("--dev: {problem}")))?;
    }
    if issuers.is_empty() {
        tracing::warn!(
            "no issuer of identity tokens is believed, so nobody is certified: pass --ca-issuers FILE"
        );
    }
    let verifier = Verifier::new(issuers, &http_settings()).map_err(Failure::usage)?;
    let replay = args.ca_single_use.then(Replay::new);
    let keys = key_policy(&args.ca_key_algorithms)?;
    Ok(Fulcio::new(authority, Arc::new(Believed { verifier, replay }), keys, Timestamp::now))
}

/// A certificate for one signature needs no more.
const LONGEST_SECONDS: i64 = 24 * 60 * 60;
/// The client ID that signers have everywhere.
const AUDIENCE: &str = "sigstore";

fn key_policy(names: &[String]) -> Result<KeyPolicy, Failure> {
    let kind = |name: &String| {
        let known = KeyKind::ALL.into_iter().find(|kind| kind.name() == name.trim());
        known.ok_or_else(|| {
            let known = KeyKind::ALL.map(KeyKind::name).join(", ");
            Failure::usage(format!("--ca-key-algorithms has \"{name}\", of {known} were expected"))
        })
    };
    names.iter().map(kind).collect::<Result<_, _>>()
}

/// Tokens as the doors of the authority see them.
struct Believed {
    verifier: Verifier,
    replay: Option<Replay>,
}

impl Identities for Believed {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(Identity, Timestamp), Unverified>> {
        Box::pin(async move {
            let verified = self.verifier.verify_until(token, now).await;
            verified.map_err(|error| match error.fault() {
                Fault::Client => Unverified::Refused(error.to_string()),
                Fault::World => Unverified::Unavailable(error.to_string()),
            })
        })
    }

    fn spend(
        &self,
        token: &str,
        key_spki: &[u8],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Unverified> {
        let Some(replay) = &self.replay else { return Ok(()) };
        let seen = replay.seen(token_hash(token), sha256(key_spki).0, expires, now);
        seen.map_err(|error| Unverified::Refused(error.to_string()))
    }

    fn configuration(&self) -> Vec<IssuerConfiguration> {
        let described = self.verifier.issuers().descriptions().into_iter();
        let configuration = described.filter_map(|issuer| {
            let exact = issuer.issuer_url.map(IssuerUrl::Exact);
            Some(IssuerConfiguration {
                issuer: exact.or(issuer.wildcard_issuer_url.map(IssuerUrl::Wildcard))?,
                audience: issuer.audience,
                challenge_claim: issuer.challenge_claim,
                issuer_type: issuer.issuer_type,
                subject_domain: issuer.subject_domain,
                spiffe_trust_domain: issuer.spiffe_trust_domain,
            })
        });
        configuration.collect()
    }
}
