//! `bulla entry get`: shows an entry, which was checked to be in the log.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::Output;
use super::super::{Failure, say};
use super::{Which, believe, describe, fetch, machine, which};
use crate::server;
use crate::text::line;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: server::Args,
    /// Its ID (64 or 80 hex digits, or an address that ends in them), or its index
    #[arg(value_name = "ID|INDEX", value_parser = which)]
    entry: Which,
    /// What it looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut server = args.server.open()?;
    let entry = fetch(&server, args.entry).await?;
    let verified = believe(&mut server, &entry).await?;
    match args.output {
        Output::Human => {
            let mut human = String::new();
            describe(&mut human, &entry);
            line(&mut human, "verified", verified);
            let body: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
            line(&mut human, "body", format_args!("{body:#}"));
            if let Some(attestation) = &entry.attestation {
                line(&mut human, "attestation", format_args!("{:?}", String::from_utf8_lossy(attestation)));
            }
            say(&human);
        }
        Output::Json => {
            let mut json = machine(&entry);
            json["attestation"] = entry.attestation.as_ref().map(|bytes| STANDARD.encode(bytes)).into();
            say(&format!("{json:#}\n"));
        }
    }
    server.known.write()?;
    Ok(ExitCode::SUCCESS)
}
