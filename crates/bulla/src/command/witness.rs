//! `bulla witness`: runs a witness that cosigns the checkpoints of the logs it is given, and says what a log needs to
//! know of it (C2SP tlog-witness, tlog-policy).

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bulla_tlog::note::Verifier;
use bulla_tlog::policy::Policy;
use tokio::sync::watch;

use super::Failure;
use crate::home::unix_now;
use crate::service::http;
use crate::service::process::Signals;
use crate::service::witness::{self, Home, OpenError, Witness};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory that holds the key and what was cosigned last; made, with a key, when it is not there
    #[arg(long, value_name = "DIR", default_value = "bulla-witness")]
    data: PathBuf,
    /// Name that the witness cosigns under, a host name of yours; needed the first time only
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Address for HTTP; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2025")]
    http: SocketAddr,
    /// Public key of a log to follow, with its origin; repeat for more logs
    #[arg(long, value_name = "VKEY", value_delimiter = ',')]
    log: Vec<String>,
    /// File with logs to follow, as `log VKEY` lines of a policy
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
    /// Connections open at a time
    #[arg(long, value_name = "N", default_value = "1024")]
    max_connections: NonZeroUsize,
    /// How long a client may take to send a header, and a connection may say nothing
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = crate::text::duration)]
    header_timeout: Duration,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let signals = Signals::new()?;
    let keys = args.keys()?;
    let home = Home::open(&args.data, args.name.as_deref()).map_err(open_failure)?;
    let vkey = home.signer().map_err(open_failure)?.vkey();
    if keys.is_empty() {
        // Whoever sets up a log and its witness needs one of the two keys first.
        println!("{vkey}");
        return Err(Failure::usage(
            "no log to follow: pass --log VKEY or --logs FILE; the witness's own key is printed above",
        ));
    }
    let witness = Arc::new(Witness::open(home, keys, unix_now).map_err(open_failure)?);
    let (listener, at) = http::bind("--http", args.http).await?;
    print!("{}", greeting(&witness, &vkey, &args.data, at));

    let (stop, stopping) = watch::channel(false);
    let limits =
        http::Limits { connections: args.max_connections.get(), header_timeout: args.header_timeout };
    let serving = tokio::spawn(http::serve(listener, witness::routes(witness), limits, stopping));
    signals.end(serving, stop).await?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn keys(&self) -> Result<Vec<Verifier>, Failure> {
        let mut keys = Vec::new();
        for vkey in &self.log {
            let key = Verifier::from_vkey(vkey);
            keys.push(key.map_err(|error| Failure::usage(format!("--log {vkey}: {error}")))?);
        }
        if let Some(path) = &self.logs {
            let failed =
                |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
            // A list of logs needs no quorum, and of several the last counts.
            let policy = Policy::parse(&format!("{text}\nquorum none\n")).map_err(|error| failed(&error))?;
            keys.extend(policy.logs.into_iter().map(|log| log.verifier));
        }
        Ok(keys)
    }
}

/// What to type next, on the side of the log.
fn greeting(witness: &Witness, vkey: &str, data: &Path, at: SocketAddr) -> String {
    let mut logs: Vec<_> = witness.sizes().collect();
    logs.sort_unstable();
    let lines = logs.iter().map(|(origin, size)| format!("  follows   {origin} from size {size}\n"));
    let logs = lines.collect::<Vec<_>>().concat();
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    format!(
        "bulla witness\n  key       {vkey}\n  data      {}\n{logs}  HTTP      http://{at}\n\n\
         The policy of a log that must be cosigned by this witness:\n\n\
         witness w1 {vkey} http://{at}\nquorum w1\n",
        data.display()
    )
}

fn open_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Record { .. } => Failure::check(error),
        other => Failure::usage(other),
    }
}
