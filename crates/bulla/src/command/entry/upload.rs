//! `bulla entry upload`: proposes an entry and believes the answer only when it is proved.

use std::process::ExitCode;

use bulla_rekor::client::v1::{ClientError, Created};

use super::super::Output;
use super::super::{Failure, say};
use super::{Parts, Which, believe, describe, fetch, machine};
use crate::materials::{Care, expected};
use crate::server::{self, failure};
use crate::text::line;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: server::Args,
    #[command(flatten)]
    parts: Parts,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let sources = args.parts.sources();
    if sources.is_empty() {
        return Err(Failure::usage("nothing to log: pass --artifact, --artifact-hash or --entry"));
    }
    let mut server = args.server.open()?;
    let proposals = sources.proposals(Care::ByKey).await?;
    // The log judges what this program does not know; what it does know to be wrong need not be sent.
    for proposal in proposals.iter().take(1) {
        expected(proposal)?;
    }
    let retried = |error: &ClientError| tracing::warn!("{error}, trying an older version");
    let (created, proposal) = server.client.create_any(&proposals, retried).await.map_err(failure)?;
    let (entry, is_new) = match created {
        Created::New { entry, .. } => {
            entry.check_id(None).map_err(Failure::check)?;
            (*entry, true)
        }
        Created::Exists { id, .. } => (fetch(&server, Which::Id(id)).await?, false),
    };
    if let Some(body) = expected(proposal)? {
        entry.check_body(&body).map_err(Failure::check)?;
    }
    let verified = believe(&mut server, &entry).await?;
    let url = format!("{}/api/v1/log/entries/{}", server.url, entry.id);
    match args.output {
        Output::Human => {
            let mut human = String::new();
            line(&mut human, "result", if is_new { "logged" } else { "was in the log already" });
            describe(&mut human, &entry);
            line(&mut human, "verified", verified);
            line(&mut human, "url", url);
            say(&human);
        }
        Output::Json => {
            let mut json = machine(&entry);
            json["created"] = is_new.into();
            json["url"] = url.into();
            say(&format!("{json:#}\n"));
        }
    }
    server.known.write()?;
    Ok(ExitCode::SUCCESS)
}
