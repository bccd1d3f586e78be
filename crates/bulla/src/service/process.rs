//! What every service asks of the system that it runs on: to hear when it is to end, and as many open files as it may have.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::command::Failure;

/// The two signals that ask a service to stop.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::unavailable(format!("cannot listen for signals: {error}")))
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for the next one, and says which it is.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Lets a listener serve until a signal comes, and then answer what it was asked.
    pub(crate) async fn end(
        mut self,
        mut serving: JoinHandle<()>,
        stop: watch::Sender<bool>,
    ) -> Result<(), Failure> {
        tokio::select! {
            signal = self.next() => tracing::info!(signal, "stopping: answering what was asked"),
            _ = &mut serving => return Err(Failure::unavailable("the listener ended by itself")),
        }
        // An error would mean that nobody listens any more, and that is what is wanted.
        let _nobody = stop.send(true);
        if tokio::time::timeout(STOP_WITHIN, serving).await.is_err() {
            tracing::warn!("open connections were cut off");
        }
        Ok(())
    }
}

/// Every connection is a file; systems allow a process fewer than it may ask for.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

const STOP_WITHIN: Duration = Duration::from_secs(10);
