//! `bulla tag check`: whether a tag points where its history says; or, without any connection, whether an answer of the proxy has
//! the record of its tag and the proof that the record is logged.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bulla_claims::keys::public_key_pem;
use bulla_claims::tag::{Record, Said, TagName};
use bulla_rekor::client::v1::LogKey;
use serde_json::json;

use super::{Failure, Read, Reading, named};
use crate::command::image::failure;
use crate::command::{Output, say};
use crate::registry::{Args as RegistryArgs, DOCKER_LIST, Digest, Name, OCI_INDEX, Reference};
use crate::tags::{PROMISED, TagLog, View, read_headers};
use crate::target::read_small;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tag, such as alpine:3.20; with @DIGEST behind it no registry is asked where it points
    #[arg(value_name = "NAME:TAG[@DIGEST]")]
    tag: String,
    /// Headers of an answer of the proxy, as `curl -D FILE` keeps them: they are checked, and nobody is asked
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    headers: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    registry: RegistryArgs,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let (tag, reference) = named(&args.tag)?;
    match &args.headers {
        Some(file) => offline(&args, file, &tag, &reference).await,
        None => online(&args, &tag, &reference).await,
    }
}

async fn online(args: &Args, tag: &TagName, reference: &Reference) -> Result<ExitCode, Failure> {
    let digest = if let Some(digest) = reference.digest() {
        digest.clone()
    } else {
        let client = args.registry.client().map_err(Failure::usage)?;
        let name: Name = reference.name();
        client.manifest(reference.repository(), &name).await.map_err(failure)?.digest
    };
    let Read { history, moving, walked } = args.reading.read(tag).await?;
    let view = View { tag, history: &history, moving: &moving, walked };
    let recorded = history.current().map(|(_, record)| digest_of(record));
    let problem = match &recorded {
        None => Some("it was never recorded".to_owned()),
        Some(recorded) if *recorded != digest.to_string() => {
            Some(format!("it points to {digest}, its history says {recorded}"))
        }
        Some(_) if !history.is_sound(&moving) => {
            Some("its history is not one in which the tag moved by approval".to_owned())
        }
        Some(_) => None,
    };
    say(&match args.output {
        Output::Human => view.human(),
        Output::Json => {
            let mut answer = view.machine();
            answer["digest"] = digest.to_string().into();
            answer["ok"] = problem.is_none().into();
            format!("{answer}\n")
        }
    });
    match problem {
        None => Ok(ExitCode::SUCCESS),
        Some(problem) => Err(Failure::check(format!("{tag}: {problem}"))),
    }
}

async fn offline(
    args: &Args,
    file: &Path,
    tag: &TagName,
    reference: &Reference,
) -> Result<ExitCode, Failure> {
    let wrong = |problem: String| Failure::check(format!("{}: {problem}", file.display()));
    let text = read_small(file, LARGEST)?;
    let text = std::str::from_utf8(&text).map_err(|_| wrong("is no text".to_owned()))?;
    let roles = args.reading.roles.read().await?.some_recorder()?;
    let root = args.reading.place.root(true).await?;
    let keys: Vec<LogKey> =
        root.log_keys().filter_map(|spki| LogKey::from_pem(&public_key_pem(spki)).ok()).collect();
    let entry = read_headers(text, &keys).map_err(wrong)?;
    let log = TagLog::new(&args.reading.place.rekor_url, roles, Arc::new(root), None)?;
    let evidence = log.judge(&entry, tag).await.map_err(|error| {
        // The rest was compared when it was read.
        let promised = PROMISED.map(|name| name.to_string()).join(", ");
        wrong(format!("{error}: {promised} do not belong together"))
    })?;
    let Some((Said::Record(record), signed)) =
        evidence.map(|evidence| (evidence.logged.said, evidence.signed))
    else {
        return Err(wrong(format!("Tlog-Record is no record of {tag} by a proxy whose records count")));
    };
    let answered = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("docker-content-digest").then(|| value.trim().to_owned())
    });
    let recorded = digest_of(&record);
    // Of a multi-platform image a client may be given one that the index lists: the record is of the index.
    let is_index = [OCI_INDEX, DOCKER_LIST].contains(&record.media_type.as_str());
    let other = answered.as_ref().filter(|answered| **answered != recorded);
    if let Some(other) = other.filter(|_| !is_index) {
        return Err(wrong(format!("Docker-Content-Digest is {other}, the record has {recorded}")));
    }
    let asked = reference.digest().map(Digest::to_string);
    if let Some(asked) = asked.filter(|asked| *asked != recorded) {
        return Err(wrong(format!("the record has {recorded}, {asked} was asked about")));
    }
    say(&match args.output {
        Output::Human => {
            let other = other.map_or_else(String::new, |other| {
                format!("The answer has {other}, which is to be one of those that this index lists.\n")
            });
            format!(
                "{tag} points to {recorded}, by record {} of {}, signed by {signed}.\n{other}",
                entry.log_index, record.seen
            )
        }
        Output::Json => format!(
            "{}\n",
            json!({
                "tag": tag.as_str(), "digest": recorded, "index": entry.log_index, "uuid": entry.id.to_string(),
                "seen": record.seen.to_string(), "previous": record.previous, "answered": answered, "ok": true,
            })
        ),
    });
    Ok(ExitCode::SUCCESS)
}

fn digest_of(record: &Record) -> String {
    format!("sha256:{}", record.digest)
}

const LARGEST: u64 = 1 << 20;
