//! What a log that runs is told to do, and what it does by itself when its time has come: one shard follows another, one key
//! another, and clients are told.

use std::sync::Arc;
use std::time::Duration;

use bulla_rekor::Door;
use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use super::authorities::Authorities;
use super::authorities::rotation::Taken;
use super::control::{self, Order};
use super::running::Running;
use super::trust::{self, Documents};
use crate::command::Failure;
use crate::home::{Identity, remember_url};

/// What is needed to follow an order.
pub(crate) struct Orders {
    running: Arc<Running>,
    door: Arc<Door>,
    authorities: Arc<Authorities>,
    args: trust::Args,
    port: u16,
    /// Held while keys change, and while clients are told.
    changing: Mutex<()>,
    /// Told when there is something else to wait for.
    changed: Notify,
}

/// Clocks jump, so what is due is looked for more often than when it should be.
const EVERY: Duration = Duration::from_mins(1);
const SHORTEST: Duration = Duration::from_millis(50);

impl Orders {
    /// To a log that runs, with what its trust files are made of.
    pub(crate) fn new(
        running: Arc<Running>,
        door: Arc<Door>,
        authorities: Arc<Authorities>,
        args: trust::Args,
        port: u16,
    ) -> Self {
        Self { running, door, authorities, args, port, changing: Mutex::default(), changed: Notify::new() }
    }

    /// Takes up what was staged while nothing ran.
    pub(crate) async fn begin(self) -> Arc<Self> {
        if let Err(failure) = self.take_up().await {
            tracing::error!(%failure, "staged keys cannot be put in force: those before them go on");
        }
        Arc::new(self)
    }

    /// Takes orders from now on, and puts staged keys in force when they are due.
    pub(crate) fn keep(self: &Arc<Self>, background: &mut JoinSet<()>) {
        if let Some(socket) = control::listen(self.running.dir()) {
            let orders = self.clone();
            let carry_out = Arc::new(move |order| orders.clone().carry_out(order));
            background.spawn(control::serve(socket, carry_out));
        }
        let orders = self.clone();
        background.spawn(async move { orders.watch().await });
    }

    /// Follows an order; returns what is said of it.
    async fn carry_out(self: Arc<Self>, order: Order) -> Result<String, Failure> {
        match order {
            Order::Rotate { origin } => {
                let _alone = self.changing.lock().await;
                let (ended, begun) = self.running.rotate(origin).await?;
                // A URL that was given for the old name is not that of the new one.
                let url = self.args.url.as_deref().filter(|_| ended.verifier.name() == begun.verifier.name());
                self.tell_clients(url).await?;
                tracing::info!(ended = %ended.tree, begun = %begun.tree, "shard rotated");
                Ok(rotated(&ended, &begun))
            }
            Order::TakeUp => {
                let taken = self.take_up().await;
                self.changed.notify_one();
                let taken = taken?;
                serde_json::to_string(&taken).map_err(Failure::unavailable)
            }
        }
    }

    /// Tells clients of the keys that were staged, and puts those in force that are due.
    async fn take_up(&self) -> Result<Vec<Taken>, Failure> {
        let _alone = self.changing.lock().await;
        let mut taken = Vec::new();
        // The repository's key first: what follows is signed by it.
        let repository = self.authorities.trusted().turn().await;
        let unknown = self.authorities.welcome().await?;
        if !unknown.is_empty() {
            self.tell_clients(self.args.url.as_deref()).await?;
            taken.append(&mut self.authorities.told(unknown)?);
        }
        if self.authorities.turn().await? {
            self.tell_clients(self.args.url.as_deref()).await?;
        }
        if repository? {
            taken.push(Taken { authority: "tuf".to_owned(), from: Timestamp::now(), unknown_seconds: None });
        }
        Ok(taken)
    }

    /// Puts staged keys in force when they are due, for ever.
    async fn watch(&self) {
        loop {
            let until = self
                .authorities
                .next_turn()
                .map(|next| Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default());
            let wait = until.unwrap_or(EVERY).clamp(SHORTEST, EVERY);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.notified() => continue,
            }
            if let Err(failure) = self.take_up().await {
                tracing::error!(%failure, "staged keys cannot be put in force; trying again");
                tokio::time::sleep(EVERY).await;
            }
        }
    }

    async fn tell_clients(&self, url: Option<&str>) -> Result<(), Failure> {
        let dir = self.running.dir();
        let documents = Documents::new(&self.running.identities(), url, self.port, &self.args, dir)?;
        self.door.trust(documents.served()?);
        self.authorities.trusted().publish(&documents).await?;
        remember_url(dir, documents.url())
    }
}

/// What is said of the rotation of a shard.
pub(crate) fn rotated(ended: &Identity, begun: &Identity) -> String {
    format!(
        "ended  shard {} \"{}\"\nactive shard {} \"{}\"\n\nClients need the new trust files: bulla trust root, bulla trust signing-config\n",
        ended.tree,
        ended.verifier.name(),
        begun.tree,
        begun.verifier.name()
    )
}
