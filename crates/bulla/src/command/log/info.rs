//! `bulla log info`: the heads of all trees, each verified by its key and against the head that is remembered.

use std::process::ExitCode;

use bulla_rekor::client::v1::Head;
use serde_json::{Value, json};

use super::super::Output;
use super::super::{Failure, say};
use crate::server::{self, failure};
use crate::text::line;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: server::Args,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut server = args.server.open()?;
    let info = server.client.info().await.map_err(failure)?;
    let shards: Vec<_> = info.inactive_shards.iter().chain([&info.active]).collect();
    if let Some(gone) = server.known.trees().find(|known| shards.iter().all(|shard| shard.tree != *known)) {
        return Err(Failure::check(format!("tree {gone}, which this log had before, is gone")));
    }
    let (mut human, mut trees, mut total) = (String::new(), Vec::new(), 0_u64);
    line(&mut human, "server", &server.url);
    for shard in &shards {
        let (key, trust) = server.key(shard.tree).await?;
        let named = |error| Failure::check(format!("tree {}: {error}", shard.tree));
        let head = shard.check(&key).map_err(named)?;
        let continuity = server.follow(&head).await?;
        let state = if shard.tree == info.active.tree { "active" } else { "ended" };
        total = total.saturating_add(head.size);
        line(&mut human, "tree", format_args!("{} ({state})", head.tree));
        line(&mut human, "size", head.size);
        line(&mut human, "root", head.root);
        line(
            &mut human,
            "checkpoint",
            format_args!("ok     {}, log key {} ({trust})", head.origin, key.log_id()),
        );
        line(&mut human, "consistency", format_args!("ok     {continuity}"));
        trees.push(machine(&head, state, &key.log_id().to_string(), &continuity.to_string()));
    }
    line(&mut human, "total", format_args!("{total} entries"));
    match args.output {
        Output::Human => say(&human),
        Output::Json => {
            let json = json!({ "server": server.url, "trees": trees, "total": total });
            say(&format!("{json:#}\n"));
        }
    }
    server.known.write()?;
    Ok(ExitCode::SUCCESS)
}

fn machine(head: &Head, state: &str, log_id: &str, consistency: &str) -> Value {
    json!({
        "treeID": head.tree.to_string(), "state": state, "size": head.size, "rootHash": head.root.to_string(),
        "origin": head.origin, "checkpoint": head.note, "logID": log_id, "consistency": consistency,
    })
}
