//! The doors of the certificate authority: what clients of Fulcio call, over HTTP in two versions and over gRPC.

mod grpc;
mod json;
mod refusal;
mod v1;
mod v2;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bulla_claims::keys::pem;
use bulla_claims::pki::x509::PublicKey;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;

use self::refusal::Refusal;
use crate::ca::{self, CertificateAuthority, Issued, KeyPolicy};
use crate::oidc::Identity;
use crate::{BoxFuture, InForce};

pub use grpc::{Grpc, grpc};

/// What tonic makes of `proto/`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "written by a program")]
pub mod protos {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

/// The compiled `proto/` files, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fulcio_v2.fds"));

/// The most bytes of a request.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// Says whom a token is about.
pub trait Identities: Send + Sync {
    /// Verifies a token: whom it is about, and when it expires.
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(Identity, Timestamp), Unverified>>;

    /// Told of a token that is believed, once the key that came with it is proven: for those who let a token serve one key.
    fn spend(
        &self,
        _token: &str,
        _key_spki: &[u8],
        _expires: Timestamp,
        _now: Timestamp,
    ) -> Result<(), Unverified> {
        Ok(())
    }

    /// Whose tokens are taken.
    fn configuration(&self) -> Vec<IssuerConfiguration>;
}

/// Why a token says nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unverified {
    /// It is no good; the text names the claim, and everybody may read it.
    Refused(String),
    /// The keys of its issuer cannot be had now.
    Unavailable(String),
}

/// What clients may know of an issuer whose tokens are taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuerConfiguration {
    /// Which issuer.
    pub issuer: IssuerUrl,
    /// `aud` of its tokens.
    pub audience: String,
    /// The claim that proof of possession signs.
    pub challenge_claim: String,
    /// How its tokens are read: `email`, `uri`, `spiffe`, ….
    pub issuer_type: String,
    /// Where the subjects of its tokens must be, for types that have this rule.
    pub subject_domain: Option<String>,
    /// The trust domain of its tokens, for SPIFFE.
    pub spiffe_trust_domain: Option<String>,
}

/// One issuer, or many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IssuerUrl {
    /// Exactly this one.
    Exact(String),
    /// Those that a pattern with `*` covers.
    Wildcard(String),
}

/// The doors and what is behind them.
pub struct Fulcio {
    authority: InForce<CertificateAuthority>,
    identities: Arc<dyn Identities>,
    keys: KeyPolicy,
    clock: fn() -> Timestamp,
}

impl Fulcio {
    /// Before an authority, with identities from there, for keys of these kinds, at the time that `clock` says.
    pub fn new(
        authority: CertificateAuthority,
        identities: Arc<dyn Identities>,
        keys: KeyPolicy,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self { authority: InForce::new(authority), identities, keys, clock }
    }

    /// The authority behind the doors, which another one can replace.
    pub fn authority(&self) -> &InForce<CertificateAuthority> {
        &self.authority
    }

    /// The one act of all doors. The token is judged before the key, and the key before the proof, so whoever has no token
    /// costs no signature.
    async fn certify(&self, asked: Asked) -> Result<Issued, Refusal> {
        let now = (self.clock)();
        let token = asked.token.ok_or_else(|| {
            Refusal::Invalid(
                "credentials.oidcIdentityToken is missing, a token there or in the header Authorization was expected"
                    .to_owned(),
            )
        })?;
        let key = asked.key.map_err(|problem| Refusal::Invalid(format!("{} {problem}", asked.key_field)));
        let refused = |error| match error {
            Unverified::Refused(problem) => Refusal::Invalid(problem),
            Unverified::Unavailable(cause) => Refusal::Unavailable(cause),
        };
        let (identity, expires) = self.identities.verify(&token, now).await.map_err(refused)?;
        let key = key?;
        let spki = key.public().spki();
        let invalid = |problem: String| Refusal::Invalid(format!("{} {problem}", asked.key_field));
        self.keys.judge(key.public()).map_err(invalid)?;
        match &key {
            AskedKey::Csr(request) => request.judge().map_err(invalid)?,
            AskedKey::Key { key, proof } => {
                if proof.is_empty() {
                    return Err(Refusal::Invalid(format!("{} is missing", asked.proof_field)));
                }
                if !ca::is_proof(key, &identity.challenge, proof) {
                    return Err(Refusal::Invalid(format!(
                        "{} is not a signature of the key over {:?}, the challenge that the token prescribes",
                        asked.proof_field, identity.challenge
                    )));
                }
            }
        }
        self.identities.spend(&token, spki, expires, now).map_err(refused)?;
        Ok(self.authority.now().issue(&identity, key.public(), now).await?)
    }

    /// The same, counted and timed.
    async fn certify_counted(
        &self,
        door: &'static str,
        asked: Result<Asked, Refusal>,
    ) -> Result<Issued, Refusal> {
        let started = Instant::now();
        let answer = match asked {
            Ok(asked) => self.certify(asked).await,
            Err(refusal) => Err(refusal),
        };
        let outcome = answer.as_ref().map_or_else(Refusal::outcome, |_| "issued");
        metrics::counter!("bulla_ca_requests_total", "door" => door, "outcome" => outcome).increment(1);
        metrics::histogram!("bulla_ca_request_seconds", "door" => door).record(started.elapsed());
        if let Err(refusal) = &answer {
            refusal.note(door);
        }
        answer
    }

    fn bundle(&self) -> Vec<String> {
        certificates_pem(self.authority.now().chain().certificates())
    }
}

/// What a request asks for, from whichever door.
struct Asked {
    token: Option<String>,
    /// The error is what is to be said after [`Asked::key_field`].
    key: Result<AskedKey, String>,
    key_field: &'static str,
    proof_field: &'static str,
}

enum AskedKey {
    Csr(Box<ca::Request>),
    Key { key: Box<PublicKey>, proof: Vec<u8> },
}

impl AskedKey {
    fn public(&self) -> &PublicKey {
        match self {
            Self::Csr(request) => request.key(),
            Self::Key { key, .. } => key,
        }
    }

    fn csr(raw: &[u8]) -> Result<Self, String> {
        Ok(Self::Csr(Box::new(ca::Request::read(raw)?)))
    }

    fn key(content: &str, proof: Vec<u8>) -> Result<Self, String> {
        Ok(Self::Key { key: Box::new(ca::read_public_key(content)?), proof })
    }
}

/// The token in the header `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
}

fn certificates_pem(certificates: &[Vec<u8>]) -> Vec<String> {
    certificates.iter().map(|der| pem("CERTIFICATE", der)).collect()
}

/// From leaf to root.
fn issued_pem(issued: &Issued) -> Vec<String> {
    let mut chain = vec![pem("CERTIFICATE", &issued.leaf)];
    chain.append(&mut certificates_pem(&issued.chain));
    chain
}

/// The HTTP routes of both versions.
pub fn routes(fulcio: Arc<Fulcio>) -> Router {
    Router::new()
        .route("/api/v2/signingCert", post(v2_signing_cert))
        .route("/api/v2/trustBundle", get(async |State(fulcio): Fulcios| v2::trust_bundle(&fulcio)))
        .route("/api/v2/configuration", get(async |State(fulcio): Fulcios| v2::configuration(&fulcio)))
        .route("/api/v1/signingCert", post(v1_signing_cert))
        .route("/api/v1/rootCert", get(async |State(fulcio): Fulcios| v1::root_cert(&fulcio)))
        .with_state(fulcio)
}

type Fulcios = State<Arc<Fulcio>>;

async fn v2_signing_cert(State(fulcio): Fulcios, request: Request) -> Response {
    v2::signing_cert(&fulcio, request).await.unwrap_or_else(Refusal::into_response)
}

async fn v1_signing_cert(State(fulcio): Fulcios, request: Request) -> Response {
    v1::signing_cert(&fulcio, request).await.unwrap_or_else(Refusal::into_response)
}
