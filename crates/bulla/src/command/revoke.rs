//! `bulla revoke`: signs and logs that a key, an identity or an entry is not to be believed from some time on. Said again, it
//! is neither signed nor logged again by a key.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bulla_claims::identity::{Identity, LoggedAs};
use bulla_claims::revocation::{Revocation, Revoked};
use bulla_rekor::client::v1::{EntryId, Options, RekorV1};
use bulla_tlog::{Hash, leaf_hash, sha256};
use jiff::Timestamp;
use sigstore_types::Bundle;

use super::sign::{Work, absolute};
use super::{Failure, Output};
use crate::keys::{Passwords, verification_key};
use crate::server::failure;
use crate::signing::{self, Api, Content, Log, Prefer, statement_of};
use crate::target::read_small;
use crate::text::subject_and_issuer;

// What can be said.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
    /// Since when, such as 2026-01-31T12:00:00Z; what was signed before still holds [default for an entry: always]
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Why, in a sentence that everybody can read
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Where the bundle is written [default: revocation-DIGEST.sigstore.json, by what is revoked]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    signing: signing::Args,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

// What is revoked.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// A key: a file, `env://NAME`, the URI of a key that is kept elsewhere, or sha256:DIGEST of its DER
    #[arg(id = "revoked_key", long = "revoked-key", value_name = "REF")]
    key: Option<String>,
    /// Everything that somebody signs: name and issuer in certificates; the last = divides them
    #[arg(id = "revoked_identity", long = "revoked-identity", value_name = "SUBJECT=ISSUER")]
    identity: Option<String>,
    /// One signature: its bundle, or the UUID of its entry in the v1 log
    #[arg(id = "revoked_entry", long = "revoked-entry", value_name = "BUNDLE|UUID")]
    entry: Option<String>,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut work = Work::new(args.signing.open(Prefer::Searchable).await?);
    let log = work.signing.log().ok_or_else(|| {
        Failure::usage("--tlog-upload=false: a revocation that is in no log is honoured by nobody")
    })?;
    let revoked = args.what.read(log).await?;
    let from = match (args.from, &revoked) {
        (Some(from), _) => from,
        (None, Revoked::Entry(_)) => Timestamp::UNIX_EPOCH,
        (None, _) => {
            let problem = "since when is what is revoked not to be believed? such as 2026-01-31T12:00:00Z";
            return Err(Failure::usage(format!("--from is missing: {problem}")));
        }
    };
    let revocation = Revocation { revoked, from, reason: args.reason };
    let statement =
        revocation.statement().map_err(|refusal| Failure::usage(format!("--reason: {refusal}")))?;
    if log.api == Api::V2 {
        eprintln!(
            "A v2 log cannot be searched for it: verifiers need the bundle, with `bulla verify --revocations FILE`."
        );
    }
    let digest = revocation.revoked.digest().to_string();
    let default = || PathBuf::from(format!("revocation-{}.sigstore.json", &digest[..16]));
    let out = args.bundle.unwrap_or_else(default);
    let slot = work.signing.slot(&[b"revoke", &absolute(&out), &statement])?;
    let target = format!("revocation of {}", revocation.revoked);
    let is_it = |bundle: &Bundle, spki: &[u8]| {
        statement_of(bundle, spki).is_some_and(|found| Revocation::of(&found).as_ref() == Ok(&revocation))
    };
    let written = work.write_for_file(&target, &out, slot, Content::Statement(statement), &is_it).await;
    work.ended(&target, written);
    work.finish(args.output)
}

impl What {
    async fn read(&self, log: &Log) -> Result<Revoked, Failure> {
        if let Some(reference) = &self.key {
            return key(reference).await.map(Revoked::Key);
        }
        if let Some(text) = &self.identity {
            let (subject, issuer) = subject_and_issuer(text)
                .map_err(|problem| Failure::usage(format!("--revoked-identity {text}: {problem}")))?;
            return Ok(Revoked::Identity(Identity { issuer, subject }));
        }
        let named = self.entry.as_deref().unwrap_or_default();
        if Path::new(named).is_file() { in_bundle(named) } else { in_log(named, log).await }
            .map(Revoked::Entry)
    }
}

async fn key(reference: &str) -> Result<Hash, Failure> {
    if let Some(digits) = reference.strip_prefix("sha256:") {
        let problem = "64 hexadecimal digits were expected after sha256:";
        return Hash::from_hex(digits)
            .ok_or_else(|| Failure::usage(format!("--revoked-key {reference}: {problem}")));
    }
    let key = verification_key(reference, &Passwords::new(None)).await?;
    Ok(sha256(key.spki()))
}

fn in_bundle(file: &str) -> Result<LoggedAs, Failure> {
    let refused = |problem: String| Failure::usage(format!("--revoked-entry {file}: {problem}"));
    let text = read_small(Path::new(file), LARGEST_BUNDLE)?;
    let bundle = Bundle::from_json(std::str::from_utf8(&text).unwrap_or_default())
        .map_err(|error| refused(error.to_string()))?;
    let [entry] = bundle.verification_material.tlog_entries.as_slice() else {
        let len = bundle.verification_material.tlog_entries.len();
        return Err(refused(format!("has {len} entries, one was expected: revoke the key or the identity")));
    };
    let log_id = entry.log_id.key_id.as_bytes().try_into().map(Hash);
    let log_id = log_id.map_err(|_| refused("the ID of its log is not 32 bytes".to_owned()))?;
    Ok(LoggedAs { log_id, leaf_hash: leaf_hash(entry.canonicalized_body.as_bytes()) })
}

/// The entry of that name, once the log has proved that it has it.
async fn in_log(name: &str, log: &Log) -> Result<LoggedAs, Failure> {
    let refused = |problem: String| Failure::usage(format!("--revoked-entry {name}: {problem}"));
    let id =
        EntryId::parse(name).map_err(|problem| refused(format!("is no file, and as a UUID: {problem}")))?;
    if log.api == Api::V2 {
        return Err(refused("v2 logs do not know entries by UUID: name the bundle".to_owned()));
    }
    let client = RekorV1::new(&log.url, &Options::default()).map_err(failure)?;
    let entry = client.entry(&id).await.map_err(failure)?;
    let entry = entry.ok_or_else(|| refused(format!("{} has no such entry", log.url)))?;
    let key = log.key_v1(&entry.log_id)?;
    entry.check(Some(&id), &key).map_err(|error| Failure::check(format!("{}: {error}", log.url)))?;
    Ok(LoggedAs { log_id: key.log_id(), leaf_hash: entry.id.uuid })
}

const LARGEST_BUNDLE: u64 = 64 << 20;
