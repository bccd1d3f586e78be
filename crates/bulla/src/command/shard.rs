//! `bulla shard`: the trees of a log over time. `rotate` ends the one that takes entries and begins the next, while the log runs
//! or while it is stopped; `list` shows them.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::json;

use super::{Failure, Output, say};
use crate::home::{self, Absent, Home, Identity};
use crate::service::control::{self, Order};
use crate::service::orders::rotated;
use crate::service::running::{How, Running};
use crate::service::witnesses;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// End the active shard and begin the next, without downtime
    Rotate(Rotate),
    /// Show every shard, oldest first
    List(ListArgs),
}

#[derive(clap::Args)]
struct Rotate {
    // What is said of keys and witnesses is used if the log is not running; else it has its own.
    #[command(flatten)]
    home: home::Args,
    #[command(flatten)]
    witnesses: witnesses::Args,
    /// Name that the new shard signs under: the host name of its public URL [default: that of the one before]
    #[arg(long, value_name = "NAME")]
    next_origin: Option<String>,
}

#[derive(clap::Args)]
struct ListArgs {
    /// Directory that holds the log; it may be running
    #[arg(long, value_name = "DIR", default_value = "bulla-data")]
    data: PathBuf,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.what {
        What::Rotate(args) => rotate(args).await,
        What::List(args) => list(&args),
    }
}

async fn rotate(args: Rotate) -> Result<ExitCode, Failure> {
    let order = Order::Rotate { origin: args.next_origin.clone() };
    let done = if let Some(done) = control::tell(&args.home.data, &order).await? {
        done
    } else {
        let home = Home::find(&args.home, Absent::Refuse)?;
        let how = How { cosigners: witnesses::open(&args.witnesses)?, ..How::default() };
        let running =
            Running::start(home, "it cannot be reached: stop it, rotate, and start it again", how).await?;
        let (ended, begun) = running.rotate(args.next_origin).await?;
        running.stop().await.map_err(Failure::unavailable)?;
        rotated(&ended, &begun)
    };
    say(&done);
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let all = Identity::read_all(&args.data)?;
    let time = |seconds: u64| {
        i64::try_from(seconds)
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .unwrap_or_default()
    };
    let text = match args.output {
        Output::Json => {
            let shards: Vec<_> = all
                .iter()
                .map(|one| {
                    json!({
                        "treeID": one.tree.to_string(),
                        "origin": one.verifier.name(),
                        "began": time(one.created).to_string(),
                        "ended": one.ended.map(|ended| time(ended).to_string()),
                        "v1LogID": bulla_tlog::sha256(&one.v1_spki).to_string(),
                        "v2LogID": one.verifier.log_id().to_base64(),
                        "vkey": one.verifier.vkey(),
                    })
                })
                .collect();
            format!("{}\n", json!({ "shards": shards }))
        }
        Output::Human => {
            let line = |one: &Identity| {
                let until = one.ended.map_or("active".to_owned(), |ended| format!("ended {}", time(ended)));
                format!(
                    "{:<20} {}  began {}  {until}\n",
                    one.tree.to_string(),
                    one.verifier.name(),
                    time(one.created)
                )
            };
            all.iter().map(line).collect()
        }
    };
    say(&text);
    Ok(ExitCode::SUCCESS)
}
