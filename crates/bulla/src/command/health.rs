//! `bulla health`: asks a server whether it serves, for health checks in images that have no other program to ask with.

use std::process::ExitCode;
use std::time::Duration;

use reqwest::Url;

use super::{Failure, say};
use crate::cause::innermost;
use crate::text;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is asked for, such as `http://127.0.0.1:5050/healthz`
    #[arg(value_name = "URL")]
    url: Url,
    /// How long the answer may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = text::duration)]
    timeout: Duration,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { url, timeout } = args;
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = url.scheme();
        return Err(Failure::usage(format!("scheme is {scheme:?}, one of http or https was expected")));
    }
    // Who asks about this machine must not be answered by a proxy that the environment names.
    let client = bulla_web::client().no_proxy().timeout(timeout).build().map_err(Failure::unavailable)?;
    let answer = client.get(url.clone()).send().await;
    let answer = answer.map_err(|error| Failure::check(format!("{url}: {}", innermost(&error))))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(Failure::check(format!("{url}: {status}")));
    }
    say(&format!("{url}: {status}\n"));
    Ok(ExitCode::SUCCESS)
}
