//! The v2 door over gRPC: the same acts as over HTTP on the same log, with health that tells the truth and reflection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulla_tlog::TileId;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::api::grpc_guard::Guarded;
use crate::api::v2::refusal::Refusal;
use crate::api::v2::{read, write};
use crate::door::Door;
use crate::wire::v2::protos::DESCRIPTORS;
use crate::wire::v2::protos::dev::sigstore::rekor::v1::TransparencyLogEntry;
use crate::wire::v2::protos::dev::sigstore::rekor::v2::rekor_server::{Rekor, RekorServer};
use crate::wire::v2::protos::dev::sigstore::rekor::v2::{
    CreateEntryRequest, EntryBundleRequest, TileRequest,
};
use crate::wire::v2::protos::google::api::HttpBody;
use crate::wire::v2::request;

/// Says whether the log can do its work at this moment. It is asked at every health check, so it answers at once.
pub type Serving = Arc<dyn Fn() -> bool + Send + Sync>;

/// The gRPC services of the v2 door. Reflection lists these and the services of `others`, encoded descriptor sets of what is
/// served beside it. Fails only if descriptors are damaged.
pub fn grpc(
    door: Arc<Door>,
    serving: Serving,
    others: &[&'static [u8]],
) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        let sets = [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET];
        sets.iter().chain(others).fold(tonic_reflection::server::Builder::configure(), |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
    };
    let limit = door.settings.max_body_bytes;
    let rekor = RekorServer::new(Service { door: door.clone() }).max_decoding_message_size(limit);
    Ok(Routes::new(Guarded { service: rekor, door })
        .add_service(HealthServer::new(Truth { serving }))
        .add_service(reflection().build_v1()?)
        // Deployed clients, Python's among them, still ask the older name.
        .add_service(reflection().build_v1alpha()?))
}

struct Service {
    door: Arc<Door>,
}

#[tonic::async_trait]
impl Rekor for Service {
    async fn create_entry(
        &self,
        request: Request<CreateEntryRequest>,
    ) -> Result<Response<TransparencyLogEntry>, Status> {
        let entry = async {
            let proposed = request::from_protobuf(request.into_inner())?;
            let proven = write::create(&self.door, proposed).await?;
            Ok(proven.log_entry()?.to_protobuf())
        };
        self.answered("CreateEntry", entry).await
    }

    async fn get_tile(&self, request: Request<TileRequest>) -> Result<Response<HttpBody>, Status> {
        let TileRequest { l, n } = request.into_inner();
        self.answered("GetTile", self.tile(format!("tile/{l}/{n}"))).await
    }

    async fn get_entry_bundle(
        &self,
        request: Request<EntryBundleRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        let path = format!("tile/entries/{}", request.into_inner().n);
        self.answered("GetEntryBundle", self.tile(path)).await
    }

    async fn get_checkpoint(&self, _: Request<()>) -> Result<Response<HttpBody>, Status> {
        let note = self.door.shards.active().log().reader().published().note.to_vec();
        let checkpoint = async { Ok(http_body("text/plain; charset=utf-8", note)) };
        self.answered("GetCheckpoint", checkpoint).await
    }
}

impl Service {
    async fn tile(&self, path: String) -> Result<HttpBody, Refusal> {
        let id = TileId::parse(&path).map_err(|error| Refusal::Argument(error.to_string()))?;
        let shard = self.door.shards.active();
        let tile = shard.log().reader().tile(id).await?.ok_or_else(|| read::beyond(&shard, id))?;
        Ok(http_body("application/octet-stream", tile.bytes.to_vec()))
    }

    /// Turns a refusal into a status, and counts and times the call.
    async fn answered<T>(
        &self,
        method: &'static str,
        answer: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<Response<T>, Status> {
        let started = Instant::now();
        let answer = answer.await.map(Response::new).map_err(|refusal| {
            let id = self.door.request_ids.make();
            refusal.note("v2-grpc", id.to_str().unwrap_or_default());
            let mut status = refusal.status();
            if let Ok(id) = id.to_str().unwrap_or_default().parse() {
                status.metadata_mut().insert("x-request-id", id);
            }
            status
        });
        count(method, answer.as_ref().map_or_else(Status::code, |_| tonic::Code::Ok));
        metrics::histogram!("bulla_grpc_request_seconds", "method" => method).record(started.elapsed());
        answer
    }
}

/// Counts a call.
pub(super) fn count(method: &'static str, code: tonic::Code) {
    let code = (code as i32).to_string();
    metrics::counter!("bulla_grpc_requests_total", "method" => method, "code" => code).increment(1);
}

fn http_body(content_type: &str, data: Vec<u8>) -> HttpBody {
    HttpBody { content_type: content_type.to_owned(), data, extensions: Vec::new() }
}

/// The standard health service, answering from the log itself.
struct Truth {
    serving: Serving,
}

/// How often a watched status is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[tonic::async_trait]
impl Health for Truth {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !is_known(service) {
            return Err(Status::not_found("service is not known here"));
        }
        Ok(Response::new(health(status(&self.serving))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = is_known(&request.get_ref().service);
        let serving = self.serving.clone();
        let changes = stream::unfold(None, move |last| {
            let serving = serving.clone();
            async move {
                loop {
                    let now = if known { status(&serving) } else { ServingStatus::ServiceUnknown };
                    if last != Some(now) {
                        return Some((Ok(health(now)), Some(now)));
                    }
                    tokio::time::sleep(WATCH_INTERVAL).await;
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}

/// The server as a whole, or the one service it is there for.
fn is_known(service: &str) -> bool {
    service.is_empty() || service == <RekorServer<Service> as tonic::server::NamedService>::NAME
}

fn status(serving: &Serving) -> ServingStatus {
    if serving() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn health(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
