//! The witnesses that a log asks before it publishes: the options about them, and how they are reached over HTTP (C2SP
//! tlog-witness). The protocol itself is the ledger's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulla_ledger::BoxFuture;
use bulla_ledger::cosigners::{Answer, Cosigners, FailMode, Transport};
use bulla_tlog::add_checkpoint::MAX_RESPONSE;
use bulla_tlog::policy::Policy;
use bytes::Bytes;
use http::header::CONTENT_TYPE;

use crate::command::Failure;
use crate::text;

// Which witnesses, and how much they matter.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Witnesses")]
pub(crate) struct Args {
    /// File with the witnesses to ask, and how many must have cosigned (C2SP tlog-policy)
    #[arg(long = "witness-policy", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What happens to a checkpoint that too few have cosigned in time
    #[arg(long = "witness-fail", value_enum, default_value_t = Fail::Open)]
    fail: Fail,
    /// How long the witnesses of a checkpoint are waited for
    #[arg(long = "witness-deadline", value_name = "TIME", default_value = "2s", value_parser = text::duration)]
    deadline: Duration,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Fail {
    /// publish it with the cosignatures there are
    Open,
    /// do not publish it: its entries are answered with 503
    Closed,
}

/// Reads the policy, if there is one.
pub(crate) fn open(args: &Args) -> Result<Option<Arc<Cosigners>>, Failure> {
    let Some(path) = &args.policy else { return Ok(None) };
    let failed = |problem: &dyn std::fmt::Display| {
        Failure::usage(format!("witness policy {}: {problem}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let policy = Policy::parse(&text).map_err(|error| failed(&error))?;
    let mode = match args.fail {
        Fail::Open => FailMode::Open,
        Fail::Closed => FailMode::Closed,
    };
    let transport = Arc::new(Http::new().map_err(|error| failed(&error))?);
    let cosigners = Cosigners::new(policy, mode, args.deadline, transport);
    Ok(Some(Arc::new(cosigners.map_err(|error| failed(&error))?)))
}

struct Http {
    client: reqwest::Client,
}

impl Http {
    fn new() -> reqwest::Result<Self> {
        Ok(Self { client: bulla_web::client().build()? })
    }

    async fn send(&self, url: &str, body: Bytes, deadline: Duration) -> Result<Answer, String> {
        let said = |error: reqwest::Error| {
            // The outermost error names the URL, which the log knows; the innermost says what happened.
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            cause.to_string()
        };
        let sent = self.client.post(url).timeout(deadline).body(body).send();
        let mut response = sent.await.map_err(said)?;
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(said)? {
            if answer.len() + part.len() > MAX_RESPONSE {
                return Err(format!("its answer is longer than {MAX_RESPONSE} bytes"));
            }
            answer.extend_from_slice(&part);
        }
        Ok(Answer { status: response.status().as_u16(), content_type, body: answer.into() })
    }
}

impl Transport for Http {
    fn post<'a>(
        &'a self,
        url: &'a str,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(self.send(url, body, deadline))
    }
}
