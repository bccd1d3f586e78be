//! `bulla up`: a whole private Sigstore in one process: the log, a certificate authority with its transparency log, a timestamp
//! authority, and the repository from which clients learn of them. It is `bulla serve` with everything on.

use std::process::ExitCode;

use super::{Failure, say, serve};
use crate::service::authorities::clients::{Client, Stack, lines};

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Include an issuer of identity tokens that believes whatever people type: for tests and laptops, on loopback only
    #[arg(long)]
    dev: bool,
    /// Print the lines that make these clients use the stack in --data, and do nothing
    #[arg(long, value_enum, value_name = "CLIENT")]
    print_client: Option<Client>,
    #[command(flatten)]
    serve: serve::Args,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    if let Some(client) = args.print_client {
        say(&lines(client, &Stack::read(args.serve.data())?));
        return Ok(ExitCode::SUCCESS);
    }
    let mut serve = args.serve;
    serve.everything(args.dev)?;
    Box::pin(serve::run(serve)).await
}
