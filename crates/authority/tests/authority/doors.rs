//! The doors: what is answered to whom, in which words.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_authority::api::fulcio::protos::dev::sigstore::fulcio::v2 as pb;
use bulla_authority::api::fulcio::{Fulcio, MAX_BODY_BYTES, grpc, routes};
use bulla_authority::ct::{CtError, CtLog};
use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use pb::ca_client::CaClient;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::support::*;

type Answer = (StatusCode, http::HeaderMap, String);

async fn asked(fulcio: &Arc<Fulcio>, request: Request<Body>) -> Answer {
    let (head, body) = routes(fulcio.clone()).oneshot(request).await.expect("answers").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).expect("text"))
}

async fn post(fulcio: &Arc<Fulcio>, path: &str, token: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("bearer {token}"));
    }
    asked(fulcio, request.body(body.into()).expect("a request")).await
}

async fn get(fulcio: &Arc<Fulcio>, path: &str) -> Answer {
    asked(fulcio, Request::get(path).body(Body::empty()).expect("a request")).await
}

fn request(key: &SigningKey, token: Option<&str>, challenge: &str) -> Value {
    let mut request = json!({"publicKeyRequest": {
        "publicKey": {"algorithm": "nonsense", "content": public_key_pem(key.spki())},
        "proofOfPossession": STANDARD.encode(key.sign(challenge.as_bytes()).expect("signs")),
    }, "unknown": [1]});
    if let Some(token) = token {
        request["credentials"] = json!({"oidcIdentityToken": token});
    }
    request
}

fn csr() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    openssl(folder, &["genpkey", "-out", "key.pem", "-algorithm", "ED25519"]).expect("a key");
    openssl(folder, &["req", "-new", "-key", "key.pem", "-subj", "/CN=x"]).expect("a request")
}

fn certificates(answer: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    let list = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    let list = list.as_array().expect("certificates");
    list.iter().map(|text| text.as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn v2_certifies_keys_and_requests() {
    let (hierarchy, fulcio) = fulcio(Some(FakeLog::new())).await;
    let key = p256();
    let snake = json!({
        "credentials": {"oidc_identity_token": "good"},
        "public_key_request": {
            "public_key": {"content": public_key_pem(key.spki())},
            "proof_of_possession": STANDARD.encode(key.sign(EMAIL.as_bytes()).expect("signs")),
        },
        "certificateSigningRequest": null,
    });
    let csr = STANDARD.encode(csr());
    for (token, body) in [
        (None, request(&key, Some("good"), EMAIL)),
        (Some("good"), request(&key, None, EMAIL)),
        // The token in the body wins.
        (Some("bad"), request(&key, Some("good"), EMAIL)),
        (None, snake),
        (Some("good"), json!({"certificateSigningRequest": csr})),
    ] {
        let (status, headers, answer) = post(&fulcio, "/api/v2/signingCert", token, body.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(headers["content-type"], "application/json");
        let chain = certificates(&answer);
        assert_eq!(chain.len(), 3);
        assert_eq!(chain[1..].concat(), hierarchy.pem());
    }
}

#[tokio::test]
async fn v1_certifies_keys_and_requests() {
    let (hierarchy, fulcio) = fulcio(Some(FakeLog::new())).await;
    let key = p256();
    let proof = STANDARD.encode(key.sign(EMAIL.as_bytes()).expect("signs"));
    for body in [
        json!({"publicKey": {"content": STANDARD.encode(key.spki()), "algorithm": "ecdsa"}, "signedEmailAddress": proof}),
        json!({"publicKey": {"content": STANDARD.encode(public_key_pem(key.spki()))}, "signedEmailAddress": proof}),
        json!({"certificateSigningRequest": STANDARD.encode(csr())}),
    ] {
        let (status, headers, answer) =
            post(&fulcio, "/api/v1/signingCert", Some("good"), body.to_string()).await;
        assert_eq!(status, 201, "{answer}");
        assert_eq!(headers["content-type"], "application/pem-certificate-chain");
        assert!(!headers.contains_key("sct"));
        assert_eq!(answer.matches("-----BEGIN CERTIFICATE-----").count(), 3);
        assert!(answer.ends_with(&hierarchy.pem()));
    }
    let (status, headers, answer) = get(&fulcio, "/api/v1/rootCert").await;
    assert_eq!((status.as_u16(), answer), (200, hierarchy.pem()));
    assert_eq!(headers["content-type"], "application/pem-certificate-chain");
    let (status, _, answer) = post(&fulcio, "/api/v1/signingCert", None, "{}").await;
    assert_eq!(
        (status.as_u16(), message(&answer).as_str()),
        (400, "publicKey or certificateSigningRequest is missing, one of them was expected")
    );
}

#[tokio::test]
async fn whom_to_trust_and_whose_tokens_are_taken_can_be_read() {
    let (hierarchy, fulcio) = fulcio(None).await;
    let (status, headers, answer) = get(&fulcio, "/api/v2/trustBundle").await;
    assert_eq!(
        (status.as_u16(), &headers["content-type"]),
        (200, &"application/json".parse().expect("a value"))
    );
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let [intermediate, root] = [&hierarchy.intermediate, &hierarchy.root].map(|der| certificate_pem(der));
    assert_eq!(answer, json!({"chains": [{"certificates": [intermediate, root]}]}));
    let (_, _, answer) = get(&fulcio, "/api/v2/configuration").await;
    assert_eq!(
        serde_json::from_str::<Value>(&answer).expect("JSON"),
        json!({"issuers": [
            {"issuerUrl": "https://a.example", "audience": "sigstore", "challengeClaim": "sub", "issuerType": "uri",
             "subjectDomain": "https://a.example"},
            {"wildcardIssuerUrl": "https://*.example", "audience": "sigstore", "challengeClaim": "sub",
             "issuerType": "email"},
        ]})
    );
}

/// The message of a refusal, which has nothing else than it should.
fn message(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    assert_eq!(answer["details"], json!([]));
    assert_eq!(answer.as_object().expect("an object").len(), 3);
    answer["message"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn refusals_name_what_is_wrong() {
    let (_, fulcio) = fulcio(Some(FakeLog::new())).await;
    let key = p256();
    let with = |name: &str, value: Value| {
        let mut request = request(&key, Some("good"), EMAIL);
        *request.pointer_mut(name).expect("is there") = value;
        request.to_string()
    };
    let mut both = request(&key, Some("good"), EMAIL);
    both["certificateSigningRequest"] = json!("AAAA");
    let broken_csr = STANDARD.encode(csr().replace("REQUEST-----\nMI", "REQUEST-----\nMJ"));
    for (body, problem) in [
        ("{".to_owned(), "body is not JSON: EOF while parsing an object at line 1 column 1"),
        ("[]".to_owned(), "body is an array, an object was expected"),
        (
            "{}".to_owned(),
            "publicKeyRequest or certificateSigningRequest is missing, one of them was expected",
        ),
        (both.to_string(), "publicKeyRequest and certificateSigningRequest are both there, one was expected"),
        (with("/credentials", json!("x")), "credentials is a string, an object was expected"),
        (
            with("/credentials/oidcIdentityToken", json!(7)),
            "credentials.oidcIdentityToken is a number, a string was expected",
        ),
        (
            request(&key, None, EMAIL).to_string(),
            "credentials.oidcIdentityToken is missing, a token there or in the header Authorization was expected",
        ),
        (
            with("/credentials/oidcIdentityToken", json!("bad")),
            "identity token: aud is \"x\", \"sigstore\" was expected",
        ),
        (
            with("/publicKeyRequest/publicKey", Value::Null),
            "publicKeyRequest.publicKey.content is empty, a public key in PEM was expected",
        ),
        (
            with("/publicKeyRequest/publicKey/content", json!("AAAA")),
            "publicKeyRequest.publicKey.content is refused: public key is not DER SubjectPublicKeyInfo",
        ),
        (
            with("/publicKeyRequest/proofOfPossession", json!("?")),
            "publicKeyRequest.proofOfPossession is not base64",
        ),
        (
            with("/publicKeyRequest/proofOfPossession", Value::Null),
            "publicKeyRequest.proofOfPossession is missing",
        ),
        (
            request(&key, Some("good"), "eve@example.org").to_string(),
            "publicKeyRequest.proofOfPossession is not a signature of the key over \"ada@example.org\", the challenge that the token prescribes",
        ),
        (
            with("/credentials/oidcIdentityToken", json!("non-ascii")),
            "e-mail address \"adä@example.org\" has characters outside ASCII, which a certificate cannot name",
        ),
        (
            json!({"credentials": {"oidcIdentityToken": "good"}, "certificateSigningRequest": broken_csr})
                .to_string(),
            "certificateSigningRequest is not a PKCS#10 certificate request: unexpected ASN.1 DER tag",
        ),
    ] {
        let (status, headers, answer) = post(&fulcio, "/api/v2/signingCert", None, body).await;
        let told = message(&answer);
        if problem.starts_with("certificateSigningRequest is not a PKCS#10") {
            assert!(
                told.starts_with("certificateSigningRequest is not a PKCS#10 certificate request: "),
                "{told}"
            );
        } else {
            assert_eq!(told, problem);
        }
        assert_eq!(
            (status.as_u16(), &headers["content-type"]),
            (400, &"application/json".parse().expect("a value"))
        );
        assert!(answer.contains("\"code\":3"), "{answer}");
    }
    let (status, _, answer) =
        post(&fulcio, "/api/v2/signingCert", None, vec![b' '; MAX_BODY_BYTES + 1]).await;
    assert_eq!(
        (status.as_u16(), message(&answer).as_str()),
        (413, "body is too large, at most 65536 bytes were expected")
    );
}

#[tokio::test]
async fn the_token_is_judged_before_the_key() {
    let (_, fulcio) = fulcio(None).await;
    let body = json!({"credentials": {"oidcIdentityToken": "bad"}, "publicKeyRequest": {}});
    let (_, _, answer) = post(&fulcio, "/api/v2/signingCert", None, body.to_string()).await;
    assert_eq!(message(&answer), "identity token: aud is \"x\", \"sigstore\" was expected");
}

#[tokio::test]
async fn trouble_of_ours_is_not_the_clients() {
    let key = p256();
    for (answer, token, expected) in [
        (Ok(()), "unreachable", (503, 14, "the certificate authority cannot answer now, try again later")),
        (
            Err(CtError::Unavailable("x".to_owned())),
            "good",
            (503, 14, "the certificate authority cannot answer now, try again later"),
        ),
        (Err(CtError::Refused("x".to_owned())), "good", (500, 13, "the certificate authority failed")),
    ] {
        let log: Arc<dyn CtLog> = FakeLog::answering(answer);
        let (_, fulcio) = fulcio(Some(log)).await;
        let body = request(&key, Some(token), EMAIL).to_string();
        let (status, _, answer) = post(&fulcio, "/api/v2/signingCert", None, body).await;
        let (code, problem) =
            (serde_json::from_str::<Value>(&answer).expect("JSON")["code"].clone(), message(&answer));
        assert_eq!((status.as_u16(), code.as_i64().expect("a code"), problem.as_str()), expected);
    }
}

#[tokio::test]
async fn grpc_does_the_same() {
    let (hierarchy, fulcio) = fulcio(Some(FakeLog::new())).await;
    let mut client = CaClient::new(grpc(fulcio));
    let key = p256();
    let asked = |token: &str, challenge: &str| pb::CreateSigningCertificateRequest {
        credentials: Some(pb::Credentials {
            credentials: Some(pb::credentials::Credentials::OidcIdentityToken(token.to_owned())),
        }),
        key: Some(pb::create_signing_certificate_request::Key::PublicKeyRequest(pb::PublicKeyRequest {
            public_key: Some(pb::PublicKey { algorithm: 0, content: public_key_pem(key.spki()) }),
            proof_of_possession: key.sign(challenge.as_bytes()).expect("signs"),
        })),
    };
    let issued = client.create_signing_certificate(asked("good", EMAIL)).await.expect("a certificate");
    let Some(pb::signing_certificate::Certificate::SignedCertificateEmbeddedSct(embedded)) =
        issued.into_inner().certificate
    else {
        panic!("the timestamp is in the certificate");
    };
    assert_eq!(embedded.chain.expect("a chain").certificates[1..].concat(), hierarchy.pem());

    let mut in_header = tonic::Request::new(pb::CreateSigningCertificateRequest {
        credentials: None,
        key: Some(pb::create_signing_certificate_request::Key::CertificateSigningRequest(csr().into_bytes())),
    });
    in_header.metadata_mut().insert("authorization", "Bearer good".parse().expect("a value"));
    client.create_signing_certificate(in_header).await.expect("a certificate");

    for (request, problem) in [
        (asked("bad", EMAIL), "identity token: aud is \"x\", \"sigstore\" was expected"),
        (
            asked("good", "x"),
            "public_key_request.proof_of_possession is not a signature of the key over \"ada@example.org\", the challenge that the token prescribes",
        ),
        (
            pb::CreateSigningCertificateRequest::default(),
            "public_key_request or certificate_signing_request is missing, one of them was expected",
        ),
    ] {
        let status = client.create_signing_certificate(request).await.expect_err("is refused");
        assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, problem));
    }
    let bundle = client.get_trust_bundle(pb::GetTrustBundleRequest {}).await.expect("answers").into_inner();
    assert_eq!(bundle.chains[0].certificates.concat(), hierarchy.pem());
    let issuers =
        client.get_configuration(pb::GetConfigurationRequest {}).await.expect("answers").into_inner();
    assert_eq!(
        issuers.issuers[1].issuer,
        Some(pb::oidc_issuer::Issuer::WildcardIssuerUrl("https://*.example".to_owned()))
    );
}
