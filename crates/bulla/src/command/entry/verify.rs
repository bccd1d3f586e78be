//! `bulla entry verify`: everything that can be checked of an entry, one line each.

use std::process::ExitCode;

use bulla_rekor::client::v1::{Entry, Retrieve, Signed, proposed_again};
use serde_json::{Value, json};

use super::super::Output;
use super::super::{Failure, say};
use super::{Parts, Which, describe, fetch, machine, which};
use crate::materials::{Care, LARGEST_ARTIFACT, Sources, algorithm_of, digest_of, expected, read};
use crate::server::{self, Server, failure};
use crate::text::line;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: server::Args,
    /// Its ID (64 or 80 hex digits, or an address that ends in them), or its index; without it, the entry is looked for
    /// that artifact, signature and key make
    #[arg(value_name = "ID|INDEX", value_parser = which)]
    which: Option<Which>,
    #[command(flatten)]
    parts: Parts,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    Skipped,
}

/// The checks of one entry.
#[derive(Default)]
struct Checks(Vec<(&'static str, Outcome, String)>);

impl Checks {
    fn add(&mut self, name: &'static str, result: Result<String, String>) {
        match result {
            Ok(detail) => self.0.push((name, Outcome::Ok, detail)),
            Err(detail) => self.0.push((name, Outcome::Failed, detail)),
        }
    }

    fn all_hold(&self) -> bool {
        self.0.iter().all(|(_, outcome, _)| *outcome != Outcome::Failed)
    }
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let sources = args.parts.sources();
    let mut server = args.server.open()?;
    let (entry, body) = match args.which {
        Some(which) => (fetch(&server, which).await?, None),
        None => find(&server, &sources).await?,
    };
    let checks = check(&mut server, &entry, body, &sources).await?;
    match args.output {
        Output::Human => {
            let mut human = String::new();
            describe(&mut human, &entry);
            for (name, outcome, detail) in &checks.0 {
                let outcome = match outcome {
                    Outcome::Ok => "ok     ",
                    Outcome::Failed => "FAILED ",
                    Outcome::Skipped => "not checked: ",
                };
                line(&mut human, name, format_args!("{outcome}{detail}"));
            }
            say(&human);
        }
        Output::Json => {
            let mut json = machine(&entry);
            json["verified"] = checks.all_hold().into();
            json["checks"] = checks.0.iter().map(check_json).collect();
            say(&format!("{json:#}\n"));
        }
    }
    if checks.all_hold() {
        server.known.write()?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(1))
}

/// The one entry that these parts make, and the body that they make.
async fn find(server: &Server, sources: &Sources) -> Result<(Entry, Option<Vec<u8>>), Failure> {
    if sources.is_empty() {
        let problem = "nothing to verify: pass an ID, an index, --artifact, --artifact-hash or --entry";
        return Err(Failure::usage(problem));
    }
    for proposal in sources.proposals(Care::ByKey).await? {
        let body = expected(&proposal)?;
        let query = Retrieve { entries: vec![&proposal.json], ..Retrieve::default() };
        let mut found = server.client.retrieve(&query).await.map_err(failure)?;
        if let Some(entry) = found.pop() {
            // Ended trees may have it as well; the last one is the newest.
            entry.check_id(None).map_err(Failure::check)?;
            return Ok((entry, body));
        }
    }
    Err(Failure::check(format!("{} has no such entry", server.url)))
}

async fn check(
    server: &mut Server,
    entry: &Entry,
    body: Option<Vec<u8>>,
    sources: &Sources,
) -> Result<Checks, Failure> {
    let mut checks = Checks::default();
    if let Some(body) = body {
        let same =
            entry.check_body(&body).map(|()| "the body is what artifact, signature and key make".to_owned());
        checks.add("entry body", same.map_err(|error| error.to_string()));
    }
    signature(&mut checks, entry, sources).await?;
    let proof = &entry.verification.inclusion_proof;
    let place = format!("leaf {} of {}", proof.log_index, proof.tree_size);
    checks.add("inclusion", entry.check_inclusion().map(|()| place).map_err(|error| error.to_string()));
    let (key, trust) = match server.key_of(entry).await {
        Ok(known) => known,
        Err(failure) if failure.is_check() => {
            checks.add("log key", Err(failure.to_string()));
            return Ok(checks);
        }
        Err(failure) => return Err(failure),
    };
    let head = entry.check_checkpoint(&key);
    let signed = |head: &bulla_rekor::client::v1::Head| {
        format!("{}, {} entries, log key {} ({trust})", head.origin, head.size, key.log_id())
    };
    checks.add("checkpoint", head.as_ref().map(signed).map_err(ToString::to_string));
    let promised = entry.check_promise(&key).map(|()| "signed with body, time, log and index".to_owned());
    checks.add("promise", promised.map_err(|error| error.to_string()));
    // A head that is not believed is not compared with the past, and not remembered.
    if let Ok(head) = &head
        && checks.all_hold()
    {
        match server.follow(head).await {
            Ok(continuity) => checks.add("consistency", Ok(continuity.to_string())),
            Err(failure) if failure.is_check() => checks.add("consistency", Err(failure.to_string())),
            Err(failure) => return Err(failure),
        }
    } else {
        let detail = "a head that does not hold is not compared with what is remembered".to_owned();
        checks.0.push(("consistency", Outcome::Skipped, detail));
    }
    Ok(checks)
}

/// The signature in the entry, over the artifact where one is given.
async fn signature(checks: &mut Checks, entry: &Entry, sources: &Sources) -> Result<(), Failure> {
    let over_digest = matches!(proposed_again(&entry.body, None, None), Ok(Signed::Digest { .. }));
    let content = match &sources.artifact {
        Some(artifact) if !over_digest => Some(read(artifact, LARGEST_ARTIFACT).await?),
        _ => None,
    };
    let judged = proposed_again(&entry.body, content.as_deref(), sources.aad.as_deref());
    let result = match judged {
        Ok(Signed::Digest { algorithm, digits }) => {
            let named = format!("{algorithm}:{digits}");
            match &sources.artifact {
                None => Ok(format!("over {named}; whether that is your artifact, --artifact tells")),
                Some(artifact) => {
                    let found = digest_of(artifact, algorithm_of(&digits)).await?;
                    if found == digits {
                        Ok(format!("over {artifact}, {named}"))
                    } else {
                        Err(format!("{artifact} has {algorithm}:{found}, the entry is over {named}"))
                    }
                }
            }
        }
        Ok(Signed::Artifact) => Ok(match &sources.artifact {
            Some(artifact) => format!("over {artifact}"),
            None => "over what the entry holds".to_owned(),
        }),
        Ok(Signed::Unjudged { artifact }) => {
            let detail = format!("the entry has only hashes, pass {artifact} as --artifact");
            checks.0.push(("signature", Outcome::Skipped, detail));
            return Ok(());
        }
        Ok(Signed::Unknown { kind }) => {
            let detail = format!("entries of kind {kind} are not known here");
            checks.0.push(("signature", Outcome::Skipped, detail));
            return Ok(());
        }
        Err(problem) => Err(problem),
    };
    checks.add("signature", result);
    Ok(())
}

fn check_json((name, outcome, detail): &(&'static str, Outcome, String)) -> Value {
    let result = match outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "failed",
        Outcome::Skipped => "not checked",
    };
    json!({ "check": name, "result": result, "detail": detail })
}
