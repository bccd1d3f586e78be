//! Version 2 over gRPC: the same acts as over HTTP.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::protos::dev::sigstore::fulcio::v2 as pb;
use super::protos::dev::sigstore::fulcio::v2::ca_server::{Ca, CaServer};
use super::refusal::Refusal;
use super::{Asked, AskedKey, Fulcio, IssuerUrl, MAX_BODY_BYTES, bearer, issued_pem};

/// The service behind the gRPC server.
pub struct Grpc(Arc<Fulcio>);

/// The gRPC server.
pub fn grpc(fulcio: Arc<Fulcio>) -> CaServer<Grpc> {
    CaServer::new(Grpc(fulcio)).max_decoding_message_size(MAX_BODY_BYTES)
}

const KEY: &str = "public_key_request.public_key.content";
const PROOF: &str = "public_key_request.proof_of_possession";
const CSR: &str = "certificate_signing_request";

#[tonic::async_trait]
impl Ca for Grpc {
    async fn create_signing_certificate(
        &self,
        request: Request<pb::CreateSigningCertificateRequest>,
    ) -> Result<Response<pb::SigningCertificate>, Status> {
        let (metadata, _, message) = request.into_parts();
        let asked = asked(message, bearer(&metadata.into_headers()));
        let issued = self.0.certify_counted("grpc", asked).await.map_err(|refusal| refusal.status())?;
        let chain = Some(pb::CertificateChain { certificates: issued_pem(&issued) });
        let embedded = pb::SigningCertificateEmbeddedSct { chain };
        let certificate = Some(pb::signing_certificate::Certificate::SignedCertificateEmbeddedSct(embedded));
        Ok(Response::new(pb::SigningCertificate { certificate }))
    }

    async fn get_trust_bundle(
        &self,
        _: Request<pb::GetTrustBundleRequest>,
    ) -> Result<Response<pb::TrustBundle>, Status> {
        let chain = pb::CertificateChain { certificates: self.0.bundle() };
        Ok(Response::new(pb::TrustBundle { chains: vec![chain] }))
    }

    async fn get_configuration(
        &self,
        _: Request<pb::GetConfigurationRequest>,
    ) -> Result<Response<pb::Configuration>, Status> {
        let issuers = self.0.identities.configuration().into_iter().map(|issuer| pb::OidcIssuer {
            issuer: Some(match issuer.issuer {
                IssuerUrl::Exact(url) => pb::oidc_issuer::Issuer::IssuerUrl(url),
                IssuerUrl::Wildcard(pattern) => pb::oidc_issuer::Issuer::WildcardIssuerUrl(pattern),
            }),
            audience: issuer.audience,
            challenge_claim: issuer.challenge_claim,
            spiffe_trust_domain: issuer.spiffe_trust_domain.unwrap_or_default(),
            issuer_type: issuer.issuer_type,
            subject_domain: issuer.subject_domain.unwrap_or_default(),
        });
        Ok(Response::new(pb::Configuration { issuers: issuers.collect() }))
    }
}

fn asked(message: pb::CreateSigningCertificateRequest, bearer: Option<String>) -> Result<Asked, Refusal> {
    use pb::create_signing_certificate_request::Key;

    let token = message.credentials.and_then(|credentials| credentials.credentials);
    let token = token.map(|pb::credentials::Credentials::OidcIdentityToken(token)| token);
    let token = token.filter(|token| !token.is_empty()).or(bearer);
    let (key, key_field) = match message.key {
        None => {
            let problem = format!("public_key_request or {CSR} is missing, one of them was expected");
            return Err(Refusal::Invalid(problem));
        }
        Some(Key::CertificateSigningRequest(csr)) => (AskedKey::csr(&csr), CSR),
        Some(Key::PublicKeyRequest(request)) => {
            let content = request.public_key.unwrap_or_default().content;
            (AskedKey::key(&content, request.proof_of_possession), KEY)
        }
    };
    Ok(Asked { token, key, key_field, proof_field: PROOF })
}
