//! Version 1 over HTTP, which old clients speak: JSON in, PEM out. The timestamp is in the certificate, so the header `SCT`
//! that it once came in is never there.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::json::{self, Object};
use super::refusal::Refusal;
use super::{Asked, AskedKey, Fulcio, MAX_BODY_BYTES, bearer, issued_pem};
use crate::api::body::received;

const KEY: &str = "publicKey.content";
const PROOF: &str = "signedEmailAddress";
const CSR: &str = "certificateSigningRequest";

/// `POST /api/v1/signingCert`
pub(super) async fn signing_cert(fulcio: &Fulcio, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let asked = async { asked(&received(body, MAX_BODY_BYTES).await?, bearer(&head.headers)) }.await;
    let issued = fulcio.certify_counted("v1", asked).await?;
    Ok(answer(StatusCode::CREATED, issued_pem(&issued).concat()))
}

fn asked(body: &[u8], token: Option<String>) -> Result<Asked, Refusal> {
    let value = json::parse(body)?;
    let request = Object::of(&value)?;
    let (key, key_field) = match (request.object("publicKey")?, request.bytes(CSR)?) {
        (Some(_), Some(_)) => {
            let problem = format!("publicKey and {CSR} are both there, one was expected");
            return Err(Refusal::Invalid(problem));
        }
        (None, None) => {
            let problem = format!("publicKey or {CSR} is missing, one of them was expected");
            return Err(Refusal::Invalid(problem));
        }
        (None, Some(csr)) => (AskedKey::csr(&csr), CSR),
        (Some(key), None) => {
            let proof = request.bytes(PROOF)?.unwrap_or_default();
            (AskedKey::key(key.text("content")?.unwrap_or_default(), proof), KEY)
        }
    };
    Ok(Asked { token, key, key_field, proof_field: PROOF })
}

/// `GET /api/v1/rootCert`
pub(super) fn root_cert(fulcio: &Fulcio) -> Response {
    answer(StatusCode::OK, fulcio.bundle().concat())
}

fn answer(status: StatusCode, chain: String) -> Response {
    let mut response = Response::new(Body::from(chain));
    *response.status_mut() = status;
    let content = HeaderValue::from_static("application/pem-certificate-chain");
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}
