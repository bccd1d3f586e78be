//! `bulla entry`: what is done with single entries through the v1 API of any log.

mod get;
mod search;
mod upload;
mod verify;

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_rekor::client::v1::{DEFAULT_KIND, Entry, EntryId};
use serde_json::{Value, json};

use super::Failure;
use crate::materials::Sources;
use crate::server::{Server, failure};
use crate::text::line;

/// What can be done.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Log a signature, and check the proof that comes back
    Upload(upload::Args),
    /// Show an entry, after checking that it is in the log
    Get(get::Args),
    /// Find entries by digest, artifact, key, e-mail address or subject
    Search(search::Args),
    /// Check signature, inclusion, checkpoint, promise, and that the log kept to its past
    Verify(verify::Args),
}

pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Upload(args) => upload::run(args).await,
        Command::Get(args) => get::run(args).await,
        Command::Search(args) => search::run(args).await,
        Command::Verify(args) => verify::run(args).await,
    }
}

// What an entry is made of.
#[derive(clap::Args)]
#[group(skip)]
struct Parts {
    /// What was signed; for dsse and intoto the envelope, for helm the provenance file, for tuf the metadata
    #[arg(long, value_name = "FILE|URL")]
    artifact: Option<String>,
    /// Digest of what was signed: sha256, sha384 or sha512 in hex, with or without its name and a colon before it
    #[arg(long, value_name = "DIGEST")]
    artifact_hash: Option<String>,
    /// The signature, as bytes or in base64
    #[arg(long, value_name = "FILE|URL")]
    signature: Option<String>,
    /// Public key or certificate that verifies; may be given several times. For tuf the root metadata
    #[arg(long, value_name = "FILE|URL")]
    public_key: Vec<String>,
    /// Kind of entry, and its version if not the usual one: alpine, cose, dsse, hashedrekord, helm, intoto, jar, rekord,
    /// rfc3161, rpm or tuf
    #[arg(long, value_name = "KIND[:VERSION]", default_value = DEFAULT_KIND)]
    kind: String,
    /// Form of signature and key in an entry of kind rekord
    #[arg(long, value_name = "FORMAT", default_value = "x509", value_parser = ["x509", "pgp", "minisign", "ssh"])]
    pki_format: String,
    /// What was signed beside a COSE message, in base64
    #[arg(long, value_name = "BASE64", value_parser = aad)]
    aad: Option<Vec<u8>>,
    /// A proposed entry as JSON, in place of all of these
    #[arg(long, value_name = "FILE|URL", conflicts_with_all = ["artifact", "artifact_hash", "signature", "public_key", "aad"])]
    entry: Option<String>,
}

impl Parts {
    fn sources(&self) -> Sources {
        Sources {
            entry: self.entry.clone(),
            kind: self.kind.clone(),
            artifact: self.artifact.clone(),
            artifact_hash: self.artifact_hash.clone(),
            signature: self.signature.clone(),
            public_keys: self.public_key.clone(),
            pki_format: self.pki_format.clone(),
            aad: self.aad.clone(),
        }
    }
}

fn aad(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|_| "standard base64 with padding was expected".to_owned())
}

/// Which entry: by its name, or by its index across all trees.
#[derive(Clone, Copy, Debug)]
enum Which {
    Id(EntryId),
    Index(u64),
}

/// Reads an ID, an index, or an address that ends in an ID.
fn which(text: &str) -> Result<Which, String> {
    let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if last.len() < 64
        && let Ok(index) = last.parse()
    {
        return Ok(Which::Index(index));
    }
    let wrong = |problem| format!("it has {problem}, or an index");
    EntryId::parse(last).map(Which::Id).map_err(wrong)
}

/// Asks for an entry and makes sure that it is the one; what else holds of it is for the caller to check.
async fn fetch(server: &Server, which: Which) -> Result<Entry, Failure> {
    let found = match which {
        Which::Id(id) => server.client.entry(&id).await,
        Which::Index(index) => server.client.entry_at(index).await,
    };
    let nothing = || {
        let named = match which {
            Which::Id(id) => id.to_string(),
            Which::Index(index) => format!("at index {index}"),
        };
        Failure::check(format!("{} has no entry {named}", server.url))
    };
    let entry = found.map_err(failure)?.ok_or_else(nothing)?;
    let asked = match which {
        Which::Id(id) => Some(id),
        Which::Index(_) => None,
    };
    entry.check_id(asked.as_ref()).map_err(Failure::check)?;
    match which {
        Which::Index(asked) if asked != entry.log_index => {
            let said = entry.log_index;
            Err(Failure::check(bulla_rekor::client::v1::Unsound::OtherIndex { asked, said }))
        }
        _ => Ok(entry),
    }
}

/// Everything that a log must show for an entry, or the first thing that does not hold; the head is remembered.
async fn believe(server: &mut Server, entry: &Entry) -> Result<String, Failure> {
    let (key, trust) = server.key_of(entry).await?;
    let head = entry.check(None, &key).map_err(Failure::check)?;
    let continuity = server.follow(&head).await?;
    Ok(format!("in the tree of {} entries; {continuity}; log key {} ({trust})", head.size, key.log_id()))
}

/// What an entry says of itself, for a person.
fn describe(human: &mut String, entry: &Entry) {
    let time = i64::try_from(entry.integrated_time).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    line(human, "entry", entry.id);
    line(human, "index", entry.log_index);
    line(human, "time", time.map_or_else(|| "no time".to_owned(), |time| time.to_string()));
    line(human, "kind", kind(entry));
}

fn kind(entry: &Entry) -> String {
    let body: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
    // From elsewhere, and for a terminal.
    format!("{} {}", text("kind"), text("apiVersion")).escape_debug().to_string()
}

/// The same for a program.
fn machine(entry: &Entry) -> Value {
    json!({
        "id": entry.id.to_string(),
        "treeID": entry.id.tree.map(|tree| tree.to_string()),
        "logIndex": entry.log_index,
        "integratedTime": entry.integrated_time,
        "logID": entry.log_id,
        "body": serde_json::from_slice::<Value>(&entry.body).unwrap_or_default(),
    })
}
