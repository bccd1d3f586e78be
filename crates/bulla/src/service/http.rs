//! Listeners: accepts connections up to a limit, serves HTTP/1 and HTTP/2 on them, and stops without breaking an answer.
//!
//! A client that says nothing, or says it slowly, holds a connection for a bounded time and bounded memory only.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bulla_rekor::guard::Peer;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Sleep;

use crate::command::Failure;

/// What a listener allows.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at a time; more wait in the system's queue.
    pub(crate) connections: usize,
    /// A client that has not sent a whole header by then, or says nothing for as long, is cut off.
    pub(crate) header_timeout: Duration,
}

/// Listens; `option` is what to change if that fails.
pub(crate) async fn bind(option: &str, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listening = async {
        let listener = TcpListener::bind(addr).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listening.await.map_err(|error: io::Error| {
        let problem = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there: stop it, or choose another port".to_owned()
            }
            io::ErrorKind::PermissionDenied => format!("{error}: choose a port from 1024 up"),
            _ => error.to_string(),
        };
        Failure::usage(format!("cannot listen on {addr}: {problem} with {option}"))
    })
}

/// A listener that may be off.
#[derive(Clone, Copy)]
pub(crate) enum At {
    /// It is.
    Off,
    /// It listens there.
    Addr(SocketAddr),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            addr => addr
                .parse()
                .map(Self::Addr)
                .map_err(|_| "an address such as 127.0.0.1:3001, or off, was expected".to_owned()),
        }
    }
}

impl At {
    /// Listens, unless it is off.
    pub(crate) async fn bind(self, option: &str) -> Result<Option<(TcpListener, SocketAddr)>, Failure> {
        match self {
            Self::Off => Ok(None),
            Self::Addr(addr) => bind(option, addr).await.map(Some),
        }
    }
}

/// Serves until `stop` becomes true, each request with the address that it came from, then lets every connection finish the requests it has.
pub(crate) async fn serve(
    listener: TcpListener,
    router: axum::Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let builder = Arc::new(connection_builder(limits));
    let slots = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    // Calling a clone of the finished service is cheaper than of the router.
    let service = TowerToHyperService::new(router.into_service::<hyper::body::Incoming>());
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            // An error means that whoever could say stop is gone.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: what is open goes on, and frees some.
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and final: waiting to fill a packet only makes them late.
        let _not_fatal = stream.set_nodelay(true);
        let stream = TokioIo::new(Opening::new(stream, limits.header_timeout));
        let (builder, service, watcher) = (builder.clone(), service.clone(), graceful.watcher());
        let service = service_fn(move |mut request: hyper::Request<_>| {
            request.extensions_mut().insert(peer);
            service.call(request)
        });
        tokio::spawn(async move {
            let connection = builder.serve_connection(stream, service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, Peer(from.ip()), slot))
}

fn connection_builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    builder
}

/// A connection whose first bytes must come in time, and whose answers must be taken in time. Until the protocol is
/// known, and while an answer is written, nothing else watches the clock.
struct Opening {
    stream: TcpStream,
    missing: usize,
    deadline: Pin<Box<Sleep>>,
    patience: Duration,
    /// Set while the other side takes nothing of an answer.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Opening {
    fn new(stream: TcpStream, within: Duration) -> Self {
        let deadline = Box::pin(tokio::time::sleep(within));
        Self { stream, missing: PREFACE, deadline, patience: within, stalled: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Opening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.missing > 0 {
            if polled.is_ready() {
                self.missing = self.missing.saturating_sub(buffer.filled().len() - before);
            } else if self.deadline.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        polled
    }
}

impl AsyncWrite for Opening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Length of the HTTP/2 connection preface (RFC 9113 §3.4), by which the protocols are told apart.
const PREFACE: usize = 24;
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_STREAMS: u32 = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
