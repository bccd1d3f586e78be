//! The gRPC service, called in process through the generated client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bulla_claims::Rules;
use bulla_rekor::Settings;
use bulla_rekor::api::grpc::{Serving, grpc};
use bulla_rekor::wire::v2::protos::dev::sigstore::common::v1::PublicKeyDetails;
use bulla_rekor::wire::v2::protos::dev::sigstore::rekor::v2 as pb;
use bulla_rekor::wire::v2::protos::dev::sigstore::rekor::v2::rekor_client::RekorClient;
use futures_util::StreamExt as _;
use prost::Message as _;
use tonic::Code;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::script::fixture;
use crate::{door, three};

async fn service(leaves: &[Vec<u8>], serving: Serving) -> Routes {
    grpc(door(leaves, false, Settings::new(Rules::default())).await, serving, &[]).expect("descriptors")
}

fn always() -> Serving {
    Arc::new(|| true)
}

/// The JSON request of entry 1, as a message.
fn entry_1() -> pb::CreateEntryRequest {
    use base64::Engine as _;
    let values = String::from_utf8(fixture("vectors/values.txt")).expect("text");
    let value = |name: &str| {
        let line = values.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        base64::engine::general_purpose::STANDARD.decode(line.expect("a value")).expect("base64")
    };
    let certificate = bulla_rekor::wire::v2::protos::dev::sigstore::common::v1::X509Certificate {
        raw_bytes: value("CERTIFICATE1"),
    };
    let verifier = pb::Verifier {
        verifier: Some(pb::verifier::Verifier::X509Certificate(certificate)),
        key_details: PublicKeyDetails::PkixEcdsaP256Sha256.into(),
    };
    let request = pb::HashedRekordRequestV002 {
        digest: value("DIGEST1"),
        signature: Some(pb::Signature { content: value("SIGNATURE1"), verifier: Some(verifier) }),
    };
    let spec = pb::create_entry_request::Spec::HashedRekordRequestV002(request);
    pb::CreateEntryRequest { spec: Some(spec) }
}

#[tokio::test]
async fn an_entry_is_created_and_read_back() {
    let mut client = RekorClient::new(service(&three()[..1], always()).await);
    let entry = client.create_entry(entry_1()).await.expect("created").into_inner();
    assert_eq!((entry.log_index, entry.integrated_time), (1, 0));
    assert_eq!(entry.canonicalized_body, three()[1]);
    assert_eq!(entry.inclusion_promise, None);
    let proof = entry.inclusion_proof.expect("a proof");
    assert_eq!((proof.tree_size, proof.hashes.len()), (2, 1));

    let checkpoint = client.get_checkpoint(()).await.expect("a checkpoint").into_inner();
    assert_eq!(checkpoint.content_type, "text/plain; charset=utf-8");
    assert_eq!(checkpoint.data, proof.checkpoint.expect("a checkpoint").envelope.into_bytes());
    let tile = pb::TileRequest { l: 0, n: "000.p/2".into() };
    assert_eq!(client.get_tile(tile).await.expect("a tile").into_inner().data.len(), 64);
    let bundle = pb::EntryBundleRequest { n: "000.p/2".into() };
    let bundle = client.get_entry_bundle(bundle).await.expect("a bundle").into_inner().data;
    assert!(bundle.ends_with(&three()[1]));
}

#[tokio::test]
async fn refusals_have_the_codes_of_the_table() {
    let mut client = RekorClient::new(service(&three(), always()).await);
    let status = client.create_entry(entry_1()).await.expect_err("a duplicate");
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(status.metadata().get("x-log-index").expect("an index"), "1");
    let status = client.create_entry(pb::CreateEntryRequest::default()).await.expect_err("empty");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("invalid type, must be hashedrekord"), "{}", status.message());
    let status = client.get_tile(pb::TileRequest { l: 0, n: "0".into() }).await.expect_err("not a tile");
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = client.get_tile(pb::TileRequest { l: 0, n: "000".into() }).await.expect_err("not there");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn health_is_what_the_log_says() {
    let healthy = Arc::new(AtomicBool::new(true));
    let asked = healthy.clone();
    let service = service(&[], Arc::new(move || asked.load(Ordering::SeqCst))).await;
    let mut client = HealthClient::new(service);
    let rekor = || HealthCheckRequest { service: "dev.sigstore.rekor.v2.Rekor".into() };
    let mut watched = client.watch(rekor()).await.expect("a stream").into_inner();
    let mut seen = async || watched.next().await.expect("open").expect("a status").status();
    assert_eq!(seen().await, ServingStatus::Serving);
    healthy.store(false, Ordering::SeqCst);
    let answer = client.check(rekor()).await.expect("an answer").into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    assert_eq!(seen().await, ServingStatus::NotServing);
    let other = HealthCheckRequest { service: "other".into() };
    assert_eq!(client.check(other).await.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_describes_the_service() {
    let mut client = ServerReflectionClient::new(service(&[], always()).await);
    let mut ask = async |request: MessageRequest| -> MessageResponse {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let request = futures_util::stream::iter([request]);
        let mut answers = client.server_reflection_info(request).await.expect("a stream").into_inner();
        let answer: ServerReflectionResponse = answers.next().await.expect("open").expect("an answer");
        answer.message_response.expect("a message")
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("a list was asked for");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.iter().any(|name| name == "dev.sigstore.rekor.v2.Rekor"), "{names:?}");
    assert!(names.iter().any(|name| name == "grpc.health.v1.Health"), "{names:?}");

    let symbol = "dev.sigstore.rekor.v2.Rekor.CreateEntry".into();
    let MessageResponse::FileDescriptorResponse(files) =
        ask(MessageRequest::FileContainingSymbol(symbol)).await
    else {
        panic!("a file was asked for");
    };
    let file =
        prost_types::FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).expect("decodes");
    assert_eq!(file.name(), "rekor/v2/rekor_service.proto");
}
