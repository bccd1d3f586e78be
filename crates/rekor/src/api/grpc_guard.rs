//! The guard before the one gRPC method that writes. It decides from the head of the request, before the message is read,
//! and says in every answer of that method how its client stands.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::api::request_id::X_REQUEST_ID;
use crate::api::v2::refusal::Refusal;
use crate::door::Door;

/// The path of the method that writes.
const CREATE_ENTRY: &str = "/dev.sigstore.rekor.v2.Rekor/CreateEntry";

/// A service behind the guard.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    pub(super) service: S,
    pub(super) door: Arc<Door>,
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != CREATE_ENTRY {
            return Box::pin(self.service.call(request));
        }
        let admission = self.door.settings.guard.admission(request.headers(), request.extensions());
        if let Err(denied) = &admission.verdict {
            let id = self.door.request_ids.make();
            let mut response = refused(&Refusal::Denied(denied.clone()), &id);
            denied.note_on(response.headers_mut());
            admission.note_on(response.headers_mut());
            return Box::pin(std::future::ready(Ok(response)));
        }
        let answer = self.service.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            admission.note_on(response.headers_mut());
            Ok(response)
        })
    }
}

fn refused(refusal: &Refusal, id: &HeaderValue) -> Response<Body> {
    refusal.note("v2-grpc", id.to_str().unwrap_or_default());
    let status = refusal.status();
    super::grpc::count("CreateEntry", status.code());
    let mut response = status.into_http();
    response.headers_mut().insert(X_REQUEST_ID, id.clone());
    response
}
