//! `bulla tag approve`: signs and logs that a tag may move to a digest, from where it stands now, once and for a while.

use std::process::ExitCode;
use std::time::Duration;

use bulla_claims::tag::{Approval, SECONDS_LEFT};
use bulla_tlog::Hash;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Failure, named};
use crate::command::{Output, say};
use crate::registry::Digest;
use crate::signing::{self, Api, Prefer};
use crate::tags::{Added, Propose, RoleArgs, TagLog};
use crate::text;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tag, such as alpine:3.20
    #[arg(value_name = "NAME:TAG")]
    tag: String,
    /// Digest of the manifest that it may point to
    #[arg(long, value_name = "DIGEST")]
    to: Digest,
    /// Why, in a sentence that everybody can read
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Until when the tag must have been pulled there: a time such as 2026-01-31T12:00:00Z, or so long from now, such as 2h; two
    /// minutes at least
    #[arg(long, value_name = "TIME", default_value = "1d")]
    until: String,
    #[command(flatten)]
    roles: RoleArgs,
    #[command(flatten)]
    signing: signing::Args,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let (tag, _) = named(&args.tag)?;
    let to = args.to.to_string().strip_prefix("sha256:").and_then(Hash::from_hex);
    let to = to.ok_or_else(|| Failure::usage(format!("--to {}: records have sha256 digests", args.to)))?;
    let until = until(&args.until, Timestamp::now())
        .map_err(|problem| Failure::usage(format!("--until {}: {problem}", args.until)))?;
    let roles = args.roles.read().await?.some_recorder()?;
    let open = args.signing.open(Prefer::Searchable).await?;
    let log = open
        .log()
        .ok_or_else(|| Failure::usage("--tlog-upload=false: an approval that is in no log is none"))?;
    if log.api != Api::V1 {
        return Err(Failure::usage(format!("log {} has no v1 API: name another with --rekor-url", log.url)));
    }
    let root = open.root().ok_or_else(|| Failure::usage("--trusted-root is missing: no log is believed"))?;
    let log = TagLog::new(&log.url, roles, root, None)?;
    let propose = Propose::new(args.signing, open);
    for _ in 0..ATTEMPTS {
        let look = log.look(&tag).await.map_err(Failure::from)?;
        let current = look.history.current().map(|(index, record)| (index, record.digest));
        if let Some((index, _)) = current.filter(|(_, digest)| *digest == to) {
            return Err(Failure::usage(format!(
                "--to {}: {tag} points there already, by record {index}",
                args.to
            )));
        }
        let after = current.map(|(index, _)| index);
        let approval = Approval { tag: tag.clone(), to, after, reason: args.reason.clone(), until };
        let statement =
            approval.statement().map_err(|refusal| Failure::usage(format!("--reason: {refusal}")))?;
        let entry = match log.add(&propose, &tag, &statement, look.since).await.map_err(Failure::from)? {
            // Something was recorded meanwhile, perhaps what the tag stands at.
            Added::Other => continue,
            Added::Ours(entry) | Added::Perhaps(entry) => entry,
        };
        let from = current.map(|(_, digest)| format!("sha256:{digest}"));
        say(&match args.output {
            Output::Human => {
                let from =
                    from.map_or_else(|| "which was never recorded".to_owned(), |from| format!("from {from}"));
                format!(
                    "{tag} may move to {}, {from}, until {until}: entry {} of the log.\n",
                    args.to, entry.log_index
                )
            }
            Output::Json => format!(
                "{}\n",
                json!({
                    "tag": tag.as_str(), "from": from, "to": args.to.to_string(), "after": after,
                    "until": until.to_string(), "index": entry.log_index, "uuid": entry.id.to_string(),
                })
            ),
        });
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::unavailable(format!(
        "something new is recorded of {tag} whenever the log is asked: try again"
    )))
}

/// A time, or so long from now. A proxy leaves a minute for the log, and somebody has to pull.
fn until(said: &str, now: Timestamp) -> Result<Timestamp, String> {
    let until = if let Ok(until) = said.parse::<Timestamp>() {
        until
    } else {
        let long: Duration = text::duration(said)?;
        let long = SignedDuration::try_from(long).map_err(|error| error.to_string())?;
        now.checked_add(long).map_err(|error| error.to_string())?
    };
    let least = 2 * SECONDS_LEFT;
    if until.as_second() - now.as_second() < least {
        return Err(format!("is less than {least} s from now, which is too short for anybody to pull"));
    }
    // What is in the log is in whole seconds.
    Timestamp::from_second(until.as_second()).map_err(|error| error.to_string())
}

const ATTEMPTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_so_long_from_now() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().expect("a time");
        let of = |said: &str| until(said, now).map(|until| until.to_string());
        assert_eq!(of("2h"), Ok("2026-01-31T14:00:00Z".to_owned()));
        assert_eq!(of("2026-02-01T00:00:00Z"), Ok("2026-02-01T00:00:00Z".to_owned()));
        let short = "is less than 120 s from now, which is too short for anybody to pull";
        assert_eq!(of("119s"), Err(short.to_owned()));
        assert_eq!(of("2026-01-30T12:00:00Z"), Err(short.to_owned()));
        assert!(of("soon").is_err());
    }
}
