//! `bulla proxy`: a registry front that records which digest each tag pointed to, and refuses a tag that moved.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bulla_rekor::guard::Network;
use tokio::sync::watch;

use super::{Failure, say};
use crate::proxy::{self, Opened};
use crate::registry::Args as RegistryArgs;
use crate::service::http::At;
use crate::service::process::{Signals, raise_file_limit};
use crate::service::{http, metrics};
use crate::target::read_small;
use crate::{signing, text};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory that holds the proxy's key and what it knows of tags; made, with a key, when it is not there
    #[arg(long, value_name = "DIR", default_value = "bulla-proxy")]
    data: PathBuf,
    /// Address for clients; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5050")]
    listen: SocketAddr,
    /// Address for Prometheus metrics, or off
    #[arg(long, value_name = "ADDR", default_value = "off")]
    metrics: At,
    /// Connections open at a time
    #[arg(long, value_name = "N", default_value = "4096")]
    max_connections: NonZeroUsize,
    /// How long a client may take to send a header, and a connection may say nothing
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = text::duration)]
    header_timeout: Duration,
    /// Proxy in front of this one whose X-Forwarded-For or Forwarded is believed, an address or a network; can be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trusted_proxy: Vec<Network>,
    /// File with the token that the log wants of those who write
    #[arg(long, value_name = "FILE")]
    log_token_file: Option<PathBuf>,
    #[command(flatten)]
    proxy: proxy::Args,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    signing: signing::Args,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let signals = Signals::new()?;
    raise_file_limit();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&args.data);
    made.map_err(|error| Failure::file(&args.data, &error))?;
    let counted = metrics::start()?;
    let (signing, public) = if args.signing.names_nobody() {
        let key = proxy::own_key(&args.data)?;
        (args.signing.with_key(&key), Some(args.data.join("proxy.pub")))
    } else {
        (args.signing, None)
    };
    let opened = Opened {
        dir: &args.data,
        signing,
        registry: &args.registry,
        trusted_proxies: args.trusted_proxy.clone(),
        token: args.log_token_file.as_deref().map(read_token).transpose()?,
        public_url: None,
    };
    let front = proxy::open(&args.proxy, opened).await?;
    let (listener, at) = http::bind("--listen", args.listen).await?;
    let limits =
        http::Limits { connections: args.max_connections.get(), header_timeout: args.header_timeout };
    let (stop, stopping) = watch::channel(false);
    let mut measured = String::new();
    if let Some((listener, at)) = args.metrics.bind("--metrics").await? {
        measured = format!("  metrics   http://{at}/metrics\n");
        tokio::spawn(http::serve(listener, metrics::alone(counted.clone()), limits, stopping.clone()));
    }
    tokio::spawn(metrics::fold(counted));
    let recorder =
        public.map_or_else(String::new, |public| format!("  records are signed by {}\n", public.display()));
    let log = &front.keeper.log_url;
    say(&format!(
        "bulla proxy\n  HTTP      http://{at}\n  log       {log}\n{measured}{recorder}\n\
         Pull through it:\n\n  docker pull {at}/alpine:3.20\n\n"
    ));
    let serving = tokio::spawn(http::serve(listener, proxy::routes(front), limits, stopping));
    signals.end(serving, stop).await?;
    Ok(ExitCode::SUCCESS)
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(&read_small(path, LARGEST_TOKEN)?).trim().to_owned();
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(Failure::usage(format!("--log-token-file {}: one token was expected", path.display())));
    }
    Ok(text)
}

const LARGEST_TOKEN: u64 = 4 << 10;
