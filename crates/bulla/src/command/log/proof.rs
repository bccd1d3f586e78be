//! `bulla log proof`: a consistency proof, verified wherever signed heads of its two sizes are at hand.

use std::process::ExitCode;

use bulla_rekor::client::v1::{Head, LogKey};
use bulla_tlog::{Hash, ProofError, verify_consistency};
use serde_json::json;

use super::super::Output;
use super::super::{Failure, say};
use crate::server::{self, Server, failure};
use crate::text::line;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: server::Args,
    /// Size of the earlier tree
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(u64).range(1..))]
    first: u64,
    /// Size of the later tree
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(u64).range(1..))]
    last: u64,
    /// The tree [default: the one that takes entries]
    #[arg(long, value_name = "ID")]
    tree: Option<u64>,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { first, last, .. } = args;
    if first > last {
        return Err(Failure::usage(format!("--first is {first}, which is more than --last {last}")));
    }
    let mut server = args.server.open()?;
    // Before the heads change: what is known of the earlier one.
    let (tree, heads) = heads(&mut server, args.tree).await?;
    let proof = server.client.proof(first, last, Some(tree)).await.map_err(failure)?;
    let at = |size: u64| heads.iter().find(|head| head.size == size);
    let is_verified = if let (Some(old), Some(new)) = (at(first), at(last)) {
        new.check_consistency(old, &proof.hashes).map_err(Failure::check)?;
        true
    } else {
        has_the_right_length(first, last, &proof.hashes)?;
        false
    };
    match args.output {
        Output::Human => {
            let mut human = String::new();
            line(&mut human, "tree", tree);
            line(&mut human, "from", format_args!("{first} entries"));
            line(&mut human, "to", format_args!("{last} entries"));
            proof.hashes.iter().for_each(|hash| line(&mut human, "proof", hash));
            let verified = if is_verified {
                "ok     both heads are signed by the log, and the later continues the earlier"
            } else {
                "not checked: signed heads of both sizes are needed, remembered or current"
            };
            line(&mut human, "consistency", verified);
            say(&human);
        }
        Output::Json => {
            let hashes: Vec<_> = proof.hashes.iter().map(ToString::to_string).collect();
            let json = json!({
                "treeID": tree.to_string(), "firstSize": first, "lastSize": last, "hashes": hashes,
                "verified": is_verified,
            });
            say(&format!("{json:#}\n"));
        }
    }
    server.known.write()?;
    Ok(ExitCode::SUCCESS)
}

/// The signed heads that there are of a tree: the current one, and the remembered one.
async fn heads(server: &mut Server, tree: Option<u64>) -> Result<(u64, Vec<Head>), Failure> {
    let info = server.client.info().await.map_err(failure)?;
    let shard = match tree {
        None => &info.active,
        Some(tree) => {
            let found = info.inactive_shards.iter().chain([&info.active]).find(|shard| shard.tree == tree);
            found.ok_or_else(|| Failure::usage(format!("--tree is {tree}, the log has no such tree")))?
        }
    };
    let (key, _) = server.key(shard.tree).await?;
    let now = shard.check(&key).map_err(Failure::check)?;
    let known = server.known.tree(shard.tree);
    let remembered = known.and_then(|tree| LogKey::from_pem(&tree.key).ok()?.open(&tree.checkpoint).ok());
    server.follow(&now).await?;
    Ok((shard.tree, remembered.into_iter().chain([now]).collect()))
}

/// How many hashes a proof has follows from the sizes alone.
fn has_the_right_length(first: u64, last: u64, hashes: &[Hash]) -> Result<(), Failure> {
    let any = bulla_tlog::empty_root();
    match verify_consistency(first, last, &any, &any, hashes) {
        Err(error @ ProofError::Length { .. }) => Err(Failure::check(format!("consistency proof: {error}"))),
        _ => Ok(()),
    }
}
