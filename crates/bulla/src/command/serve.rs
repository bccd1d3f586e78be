//! `bulla serve`: opens the log in its directory and keeps its doors open until it is told to stop.
//!
//! This is the one place that knows every part: it reads the options, opens what they name, and hands opened things on.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bulla_authority::api;
use bulla_claims::entry::v1::AlgorithmPolicy;
use bulla_claims::{Algorithm, AlgorithmSet, DsseRule, LabelRule, Rules};
use bulla_ledger::cosigners::Cosigners;
use bulla_rekor::guard::Guard;
use bulla_rekor::{Build, Door, Duplicates, Idempotency, Settings, Shelf, Shelves, V1Settings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Failure, say};
use crate::home::{self, Absent, Home, remember_url};
use crate::service::authorities::clients::{self, Stack};
use crate::service::authorities::members::Members;
use crate::service::authorities::{self, Authorities, Listeners, Place, Served};
use crate::service::front::{Front, Places};
use crate::service::health::{self, Expected, Health};
use crate::service::http::At;
use crate::service::orders::Orders;
use crate::service::process::{Signals, raise_file_limit};
use crate::service::running::{Following, How, Running};
use crate::service::trust::{self, Documents};
use crate::service::{guard, http, metrics, tags, witnesses};
use crate::text;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: home::Args,
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    entries: Entries,
    #[command(flatten)]
    guard: guard::Args,
    #[command(flatten)]
    running: Upkeep,
    #[command(flatten)]
    witnesses: witnesses::Args,
    #[command(flatten)]
    tags: tags::Args,
    #[command(flatten)]
    trust: trust::Args,
    #[command(flatten)]
    authorities: authorities::Args,
    /// Whether this is `bulla up`, which says more.
    #[arg(skip)]
    everything: bool,
    /// Whether the issuer of identity tokens for laptops is included.
    #[arg(skip)]
    dev: bool,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Listening")]
struct Listen {
    /// Address for HTTP; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    http: SocketAddr,
    /// Address for gRPC (HTTP/2 without TLS), or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001")]
    grpc: At,
    /// Address for Prometheus metrics, or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2112")]
    metrics: At,
    /// Connections that a listener has open at a time
    #[arg(long, value_name = "N", default_value = "4096")]
    max_connections: NonZeroUsize,
    /// How long a client may take to send a header, and a connection may say nothing
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = text::duration)]
    header_timeout: Duration,
    /// How long a client may take to send a request's body
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = text::duration)]
    body_timeout: Duration,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Entries")]
struct Entries {
    /// Answer to an entry that is in the log already
    #[arg(long, value_enum, default_value_t = OnDuplicate::Refuse)]
    duplicates: OnDuplicate,
    /// What happens to a DSSE envelope sent whole, as older clients do
    #[arg(long, value_enum, default_value_t = OnDsse::Transcode)]
    dsse: OnDsse,
    /// How strictly an entry's algorithm label must describe its key
    #[arg(long, value_enum, default_value_t = Label::MustFit)]
    label: Label,
    /// Algorithms that clients may sign with, separated by commas [default: the seven of Rekor v2, at both doors]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    client_signing_algorithms: Vec<String>,
    /// Requests with more bytes are refused
    #[arg(long, value_name = "BYTES", default_value = "4194304", value_parser = text::bytes)]
    max_request_body_size: u64,
    /// Attestations with more bytes are not kept; 0 keeps none
    #[arg(long, value_name = "BYTES", default_value = "100KiB", value_parser = text::bytes)]
    max_attestation_size: u64,
    /// Whether entries can be searched for
    #[arg(long, value_enum, default_value_t = Searching::On)]
    search: Searching,
    /// How long a search waits for the newest entries to be indexed
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = text::duration)]
    search_patience: Duration,
    /// Entries that may wait for the writer; more are told to come back later
    #[arg(long, value_name = "N", default_value = "4096")]
    queue: NonZeroUsize,
    /// Entries in one commit at most
    #[arg(long, value_name = "N", default_value = "1024")]
    max_batch: NonZeroUsize,
    /// Seconds after which a client that was told so should come back
    #[arg(long, value_name = "SECONDS", default_value = "1")]
    retry_after: u32,
    /// Serve what is there and take no entries
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true"
    )]
    read_only: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Searching {
    /// an index follows the log
    On,
    /// no index, and 501 to those who search
    Off,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum OnDuplicate {
    /// 409 with the index, as the reference server
    Refuse,
    /// 201 with the first index and a fresh proof
    Existing,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum OnDsse {
    /// verify it and log a hashedrekord over what was signed
    Transcode,
    /// 400, as the reference server does since 2.3
    Reject,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Label {
    /// refuse a label that does not fit the key
    MustFit,
    /// take any label whose hash fits
    AsLaxAsUpstream,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Running")]
struct Upkeep {
    /// How long accepted requests may take to finish when the log is stopped
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = text::duration)]
    stop_timeout: Duration,
    /// Keep at most one checkpoint in this time in the checkpoint history
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = text::duration)]
    checkpoint_history_interval: Duration,
    /// Not ready if entries wait and no checkpoint came for this long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = text::duration)]
    checkpoint_within: Duration,
    /// Not ready with less than this free on the disk
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = text::bytes)]
    disk_reserve: u64,
    /// How long attestations are kept, such as 90d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    retention: Option<Duration>,
    /// Memory for tiles that are read often
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = text::bytes)]
    cache: u64,
}

pub(crate) async fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let (rules, v1_algorithms) = (args.entries.rules(), args.entries.v1_algorithms()?);
    let (mut guard, kinds) = (args.guard.open()?, args.guard.kinds()?);
    let cosigners = witnesses::open(&args.witnesses)?;
    let home = Home::find(&args.home, Absent::Create)?;
    let is_new = home.is_new();
    let (listener, http_at) = http::bind("--http", args.listen.http).await?;
    let grpc = args.listen.grpc.bind("--grpc").await?;
    let metrics_listener = args.listen.metrics.bind("--metrics").await?;
    let own = args.authorities.bind().await?;
    let proxy = args.tags.begin(home.dir(), &mut guard).await?;

    raise_file_limit();
    let counted = metrics::start()?;
    let how = args.how(cosigners);
    let running =
        Arc::new(Running::start(home, "stop that one first, or pass another --data DIR", how).await?);
    let data = running.dir().to_owned();
    let (authorities, documents) = args.open_authorities(&running, http_at.port()).await?;
    let authorities = Arc::new(authorities);
    let (url, trust) = (documents.url().to_owned(), documents.served()?);
    if args.everything && args.trust.url.is_none() {
        warn_of_localhost(http_at, &url);
    }

    let expected = Expected {
        writes: !args.entries.read_only,
        disk_reserve_bytes: args.running.disk_reserve,
        checkpoint_within: args.running.checkpoint_within,
    };
    let health = Arc::new(Health::new(running.shards().clone(), expected));
    let mut settings = args.entries.settings(rules, args.listen.body_timeout);
    settings.guard = Arc::new(Guard::new(guard));
    settings.v1.rules.kinds = kinds;
    settings.v1.rules.algorithms = v1_algorithms;
    let shelves = args.entries.shelves(&data);
    let door = Arc::new(Door::new(running.shards().clone(), settings, trust, shelves));

    let trust_args = args.trust.clone();
    let orders = Orders::new(running.clone(), door.clone(), authorities.clone(), trust_args, http_at.port());
    let orders = orders.begin().await;

    let identity = running.identity();
    let v1_log_id = bulla_tlog::sha256(&identity.v1_spki);
    let front = Front { verifier: identity.verifier, url: url.clone(), tree: identity.tree, v1_log_id };
    let places = Places {
        data: std::path::absolute(&data).unwrap_or_else(|_| data.clone()),
        shard: running.place(identity.tree),
        http: http_at,
        grpc: grpc.as_ref().map(|(_, at)| *at),
        metrics: metrics_listener.as_ref().map(|(_, at)| *at),
        proxy: proxy.as_ref().map(|proxy| proxy.at),
    };
    let size = running.shards().active().base() + running.active().status().size;
    let mut greeting = front.greeting(&args.state(running.active().status().frozen, is_new, size), &places);
    if args.everything {
        greeting.push_str(&clients::greeting(&Stack::read(&data)?));
    }

    let mut services: Vec<(TcpListener, Router)> = Vec::new();
    let main = bulla_rekor::api::router(door.clone());
    let main = main.merge(health::routes(health.clone())).merge(Front::routes(running.shards().clone()));
    let main = with_authorities(main, &authorities, own, &mut services);
    services.push((listener, main));
    let mut background = JoinSet::new();
    authorities.keep(&mut background);
    background.spawn(keep_house(door.clone(), args.running.retention));
    orders.keep(&mut background);
    if let Some((listener, _)) = grpc {
        services.push((listener, over_grpc(door, &authorities, health.clone())?));
    }
    if let Some((listener, _)) = metrics_listener {
        services.push((listener, metrics::routes(counted.clone(), health.clone())));
    }
    let limits = args.listen.limits();
    let (stop, stopping) = watch::channel(false);
    let mut serving = JoinSet::new();
    for (listener, router) in services {
        serving.spawn(http::serve(listener, router, limits, stopping.clone()));
    }
    background.spawn(metrics::keep(counted, health));
    // It asks the log, which answers by now.
    let proxied = args.tags.open(proxy, http_at, &url, args.guard.trusted_proxies());
    let failed = match Box::pin(proxied).await {
        Ok(proxied) => {
            if let Some((listener, router)) = proxied {
                serving.spawn(http::serve(listener, router, limits, stopping));
            }
            until_told(&mut signals, &greeting).await;
            None
        }
        Err(failure) => Some(failure),
    };
    // An error would mean that nobody listens any more, and that is what is wanted.
    let _nobody = stop.send(true);
    tokio::select! {
        () = finish(serving, args.running.stop_timeout) => {}
        again = signals.next() => tracing::warn!(signal = again, "told twice: not waiting for open requests"),
    }
    background.shutdown().await;
    authorities.stop().await?;
    running.stop().await.map_err(|error| Failure::unavailable(format!("the log did not settle: {error}")))?;
    tracing::info!(size = running.active().status().size, "stopped");
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Says that everything is there, and waits for a signal.
async fn until_told(signals: &mut Signals, greeting: &str) {
    say(greeting);
    tracing::info!("serving");
    let asked_by = signals.next().await;
    tracing::info!(signal = asked_by, "stopping: answering what was accepted");
}

/// Whoever listens for others should not send them to themselves.
fn warn_of_localhost(http: SocketAddr, url: &str) {
    if !http.ip().is_loopback() && url.starts_with("http://localhost:") {
        tracing::warn!(
            %http,
            url,
            "other machines reach this one, but clients are told localhost: begin a new --data with the name that others use, \
             such as --origin sigstore.example.org --url https://sigstore.example.org"
        );
    }
}

/// The log over gRPC, and the certificate authority if there is one.
fn over_grpc(door: Arc<Door>, authorities: &Authorities, health: Arc<Health>) -> Result<Router, Failure> {
    let fulcio = authorities.fulcio();
    let others: &[&'static [u8]] = if fulcio.is_some() { &[api::fulcio::DESCRIPTORS] } else { &[] };
    let routes = bulla_rekor::api::grpc::grpc(door, Arc::new(move || health.is_ready()), others);
    let mut routes = routes.map_err(|error| Failure::check(format!("gRPC descriptors: {error}")))?;
    if let Some(fulcio) = fulcio {
        routes = routes.add_service(api::fulcio::grpc(fulcio));
    }
    Ok(routes.into_axum_router())
}

/// The routes of the authorities that have no listener of their own, beside those of the log.
fn with_authorities(
    mut main: Router,
    authorities: &Authorities,
    mut listeners: Listeners,
    services: &mut Vec<(TcpListener, Router)>,
) -> Router {
    for Served { own, routes } in authorities.served() {
        match own.and_then(|at| listeners.take(at)) {
            None => main = main.merge(routes),
            Some(listener) => services.push((listener, routes)),
        }
    }
    main
}

impl Args {
    /// Opens the authorities, and hands out what clients are to believe of them and of the log.
    async fn open_authorities(
        &self,
        running: &Running,
        port: u16,
    ) -> Result<(Authorities, Documents), Failure> {
        let (dir, active) = (running.dir(), running.identity());
        let url = trust::url(&running.identities(), self.trust.url.as_deref(), port)?;
        let place = Place {
            dir,
            url: &url,
            organization: self.trust.operator().unwrap_or_else(|| active.verifier.name()),
            dev: self.dev,
            outside_ct: self.trust.outside_ct(),
        };
        let authorities = Authorities::open(&self.authorities, &place).await?;
        authorities.members(&url).remembering(Members::read(dir)?).write(dir)?;
        let documents = Documents::new(&running.identities(), Some(&url), port, &self.trust, dir)?;
        remember_url(dir, &url)?;
        authorities.trusted().publish(&documents).await?;
        Ok((authorities, documents))
    }

    /// Serves all authorities too, with the issuer for laptops if that is wanted.
    pub(crate) fn everything(&mut self, dev: bool) -> Result<(), Failure> {
        let at = self.listen.http;
        if dev && !at.ip().is_loopback() {
            return Err(Failure::usage(format!(
                "--dev believes whatever people say they are, so it is for loopback addresses only; --http is {at}"
            )));
        }
        (self.everything, self.dev) = (true, dev);
        self.authorities.everything();
        Ok(())
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.home.data
    }

    fn how(&self, cosigners: Option<Arc<Cosigners>>) -> How {
        How {
            cosigners,
            queue: self.entries.queue.get(),
            max_batch: self.entries.max_batch.get(),
            cache_bytes: self.running.cache,
            history_interval: self.running.checkpoint_history_interval,
            read_only: self.entries.read_only,
            progress: say_progress,
            search: match self.entries.search {
                Searching::On => Following::Yes,
                Searching::Off => Following::No,
            },
        }
    }

    /// What is served, for whoever started it.
    fn state(&self, frozen: bool, new: bool, size: u64) -> String {
        if frozen {
            format!("serves, with its final {size} entries, the frozen log")
        } else if self.entries.read_only {
            format!("serves, and adds nothing to its {size} entries, the log")
        } else if new {
            "started the new log".to_owned()
        } else {
            format!("continues, after {size} entries, the log")
        }
    }
}

/// Throws away, every hour, what is kept beside the log for long enough.
async fn keep_house(door: Arc<Door>, retention: Option<Duration>) {
    let mut hours = tokio::time::interval(Duration::from_hours(1));
    loop {
        hours.tick().await;
        let door = door.clone();
        match tokio::task::spawn_blocking(move || door.sweep(retention)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(files)) => {
                tracing::info!(files, "threw away attestations and answers that were kept long enough");
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot throw away what was kept long enough"),
        }
    }
}

/// Waits for the listeners' last answers, but not for ever.
async fn finish(mut serving: JoinSet<()>, within: Duration) {
    let all = async { while serving.join_next().await.is_some() {} };
    if tokio::time::timeout(within, all).await.is_err() {
        tracing::warn!("open connections were cut off after --stop-timeout");
    }
}

impl Listen {
    fn limits(&self) -> http::Limits {
        http::Limits { connections: self.max_connections.get(), header_timeout: self.header_timeout }
    }
}

impl Entries {
    fn rules(&self) -> Rules {
        let names = &self.client_signing_algorithms;
        // The v1 door knows all of them and some more, which say nothing about the v2 door.
        let algorithms = if names.is_empty() {
            AlgorithmSet::default()
        } else {
            names.iter().filter_map(|name| name.parse::<Algorithm>().ok()).collect()
        };
        let label = match self.label {
            Label::MustFit => LabelRule::MustFit,
            Label::AsLaxAsUpstream => LabelRule::AsLaxAsUpstream,
        };
        let dsse = match self.dsse {
            OnDsse::Transcode => DsseRule::Transcode,
            OnDsse::Reject => DsseRule::Reject,
        };
        Rules { algorithms, label, dsse }
    }

    fn v1_algorithms(&self) -> Result<AlgorithmPolicy, Failure> {
        let names = &self.client_signing_algorithms;
        if names.is_empty() {
            return Ok(AlgorithmPolicy::default());
        }
        AlgorithmPolicy::from_flags(names.iter().map(String::as_str))
            .map_err(|error| Failure::usage(format!("--client-signing-algorithms: {error}")))
    }

    fn settings(&self, rules: Rules, body_timeout: Duration) -> Settings {
        Settings {
            duplicates: match self.duplicates {
                OnDuplicate::Refuse => Duplicates::Refuse,
                OnDuplicate::Existing => Duplicates::Existing,
            },
            max_body_bytes: usize::try_from(self.max_request_body_size).unwrap_or(usize::MAX),
            body_timeout,
            retry_after_seconds: self.retry_after,
            v1: V1Settings {
                max_attestation_bytes: usize::try_from(self.max_attestation_size).unwrap_or(usize::MAX),
                search_patience: self.search_patience,
                build: BUILD,
                ..Settings::new(Rules::default()).v1
            },
            ..Settings::new(rules)
        }
    }

    fn shelves(&self, data: &Path) -> Shelves {
        Shelves {
            attestations: (self.max_attestation_size > 0).then(|| Shelf::new(&data.join("attestations"))),
            idempotency: Some(Idempotency::new(Shelf::new(&data.join("idempotency")))),
        }
    }
}

/// What this program was built from; `build.rs` finds it out.
const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("BULLA_BUILD_COMMIT"),
    tree_state: env!("BULLA_BUILD_TREE_STATE"),
    date: env!("BULLA_BUILD_DATE"),
};

fn say_progress(done: u64, total: u64) {
    if done == total || done % (1 << 20) < 4096 {
        tracing::info!(done, total, "rebuilding the deduplication index");
    }
}
