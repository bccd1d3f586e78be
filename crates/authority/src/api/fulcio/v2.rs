//! Version 2 over HTTP: JSON in, JSON out.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::json::{self, Object};
use super::refusal::Refusal;
use super::{Asked, AskedKey, Fulcio, IssuerUrl, MAX_BODY_BYTES, bearer, issued_pem};
use crate::api::body::received;

const KEY: &str = "publicKeyRequest.publicKey.content";
const PROOF: &str = "publicKeyRequest.proofOfPossession";
const CSR: &str = "certificateSigningRequest";

/// `POST /api/v2/signingCert`
pub(super) async fn signing_cert(fulcio: &Fulcio, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let asked = async { asked(&received(body, MAX_BODY_BYTES).await?, bearer(&head.headers)) }.await;
    let issued = fulcio.certify_counted("v2", asked).await?;
    let chain = json!({"certificates": issued_pem(&issued)});
    Ok(answer(&json!({"signedCertificateEmbeddedSct": {"chain": chain}})))
}

fn asked(body: &[u8], bearer: Option<String>) -> Result<Asked, Refusal> {
    let value = json::parse(body)?;
    let request = Object::of(&value)?;
    let token = match request.object("credentials")? {
        Some(credentials) => credentials.text("oidcIdentityToken")?,
        None => None,
    };
    let token = token.map(str::to_owned).or(bearer);
    let (key, key_field) = match (request.object("publicKeyRequest")?, request.bytes(CSR)?) {
        (Some(_), Some(_)) => {
            let problem = format!("publicKeyRequest and {CSR} are both there, one was expected");
            return Err(Refusal::Invalid(problem));
        }
        (None, None) => {
            let problem = format!("publicKeyRequest or {CSR} is missing, one of them was expected");
            return Err(Refusal::Invalid(problem));
        }
        (None, Some(csr)) => (AskedKey::csr(&csr), CSR),
        (Some(request), None) => {
            let content = match request.object("publicKey")? {
                Some(key) => key.text("content")?,
                None => None,
            };
            let proof = request.bytes("proofOfPossession")?.unwrap_or_default();
            (AskedKey::key(content.unwrap_or_default(), proof), KEY)
        }
    };
    Ok(Asked { token, key, key_field, proof_field: PROOF })
}

/// `GET /api/v2/trustBundle`
pub(super) fn trust_bundle(fulcio: &Fulcio) -> Response {
    answer(&json!({"chains": [{"certificates": fulcio.bundle()}]}))
}

/// `GET /api/v2/configuration`
pub(super) fn configuration(fulcio: &Fulcio) -> Response {
    let issuers = fulcio.identities.configuration().into_iter().map(|issuer| {
        let (name, url) = match issuer.issuer {
            IssuerUrl::Exact(url) => ("issuerUrl", url),
            IssuerUrl::Wildcard(pattern) => ("wildcardIssuerUrl", pattern),
        };
        let mut members = Map::new();
        for (name, value) in [
            (name, Some(url)),
            ("audience", Some(issuer.audience)),
            ("challengeClaim", Some(issuer.challenge_claim)),
            ("spiffeTrustDomain", issuer.spiffe_trust_domain),
            ("issuerType", Some(issuer.issuer_type)),
            ("subjectDomain", issuer.subject_domain),
        ] {
            if let Some(value) = value {
                members.insert(name.to_owned(), Value::String(value));
            }
        }
        Value::Object(members)
    });
    answer(&json!({"issuers": issuers.collect::<Vec<_>>()}))
}

fn answer(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, json::CONTENT);
    response
}
