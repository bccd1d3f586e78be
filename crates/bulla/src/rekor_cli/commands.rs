//! What each command of rekor-cli does and prints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::HashAlgorithm;
use bulla_rekor::client::v1::{
    ClientError, Created, Entry, Head, LogKey, Options, Proposal, RekorV1, Retrieve, Search, SearchKey,
    Shard, Unsound, expected_body,
};
use bulla_tlog::Hash;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::entry::{Shown, Verified, json_line, tle};
use super::options::{Cli, Format, Parts, Search as SearchArgs, What, Which};
use super::{note, state};
use crate::command::Failure;
use crate::materials::{Care, LARGEST_KEY, digest_of, read};

/// Runs a command; what it prints is the result.
pub(super) async fn run(cli: Cli) -> Result<String, Failure> {
    let Cli { global, command, server_public_key } = cli;
    if global.format == Format::Tle && !matches!(command, What::Get(_)) {
        return Err(Failure::usage("format tle is only valid for get"));
    }
    let options =
        Options { user_agent: user_agent(), timeout: global.timeout, retries: global.retry, token: None };
    let log = Log {
        client: RekorV1::new(&global.rekor_server, &options).map_err(Failure::usage)?,
        server: global.rekor_server,
        key: server_public_key,
        format: global.format,
        keeps_state: global.store_tree_state,
    };
    match command {
        What::Upload(parts) => log.upload(&parts).await,
        What::Verify { parts, which } => log.verify(&parts, &which).await,
        What::Get(which) => log.get(&which).await,
        What::Search(args) => log.search(&args).await,
        What::Loginfo => log.info().await,
        What::Logproof { first_size, last_size, tree_id } => log.proof(first_size, last_size, tree_id).await,
        What::Version { json } => Ok(version(json)),
    }
}

struct Log {
    client: RekorV1,
    server: String,
    key: Option<String>,
    format: Format,
    keeps_state: bool,
}

impl Log {
    async fn upload(&self, parts: &Parts) -> Result<String, Failure> {
        let sources = parts.sources();
        if sources.is_empty() {
            return Err(Failure::usage(NOTHING_GIVEN));
        }
        let proposals = sources.proposals(Care::AsGiven).await?;
        if let Some(proposal) = proposals.first().filter(|_| sources.entry.is_none()) {
            expected_body(proposal).map_err(|fault| Failure::usage(format!("error: {fault}")))?;
        }
        let refused = |error: &ClientError| note(&format!("failed to upload entry: {}", said(error)));
        let created = self.client.create_any(&proposals, refused).await;
        let (created, proposal) = created.map_err(|error| failure(&error))?;
        let (exists, location, index) = match created {
            Created::Exists { location, .. } => (true, location, 0),
            Created::New { entry, location } => {
                let unsure = |error: Unsound| {
                    Failure::check(format!("unable to verify entry was added to log: {error}"))
                };
                entry.check_id(None).map_err(unsure)?;
                let key = self.key_of(&entry).await?;
                entry.check(None, &key).map_err(unsure)?;
                if let Ok(Some(body)) = expected_body(proposal) {
                    entry.check_body(&body).map_err(unsure)?;
                }
                (false, location, entry.log_index)
            }
        };
        let server = &self.server;
        Ok(match self.format {
            Format::Json => format!(
                "{{\"AlreadyExists\":{exists},\"Location\":{},\"Index\":{index}}}\n",
                Value::from(location)
            ),
            _ if exists => format!("Entry already exists; available at: {server}{location}\n"),
            _ => format!("Created entry at index {index}, available at: {server}{location}\n"),
        })
    }

    async fn verify(&self, parts: &Parts, which: &Which) -> Result<String, Failure> {
        let sources = parts.sources();
        let mut query = Retrieve::default();
        let mut proposals = Vec::new();
        if let Some(id) = which.uuid {
            query.ids.push(id.to_string());
        } else if let Some(index) = which.log_index {
            query.log_indexes.push(index);
        } else if sources.is_empty() {
            return Err(Failure::usage(NOTHING_GIVEN));
        } else {
            proposals = sources.proposals(Care::AsGiven).await?;
            query.entries = proposals.iter().map(|proposal| &*proposal.json).collect();
        }
        let mut found = self.client.retrieve(&query).await.map_err(|error| failure(&error))?;
        let entry = match (found.pop(), found.is_empty()) {
            (None, _) => return Err(Failure::check("entry in log cannot be located")),
            (Some(_), false) => {
                return Err(Failure::check("multiple entries returned; this should not happen"));
            }
            (Some(entry), true) => entry,
        };
        let invalid = |error: Unsound| Failure::check(format!("validating entry: {error}"));
        is_asked_for(&entry, which).map_err(invalid)?;
        let key = self.key_of(&entry).await?;
        entry.check(None, &key).map_err(invalid)?;
        let bodies: Vec<_> = proposals.iter().filter_map(body).collect();
        if let Some(first) = bodies.first().filter(|_| !bodies.contains(&entry.body)) {
            entry.check_body(first).map_err(invalid)?;
        }
        let verified = Verified::new(&entry);
        Ok(if self.format == Format::Json { json_line(&verified) } else { verified.lines() })
    }

    async fn get(&self, which: &Which) -> Result<String, Failure> {
        let (found, route, operation) = match (which.log_index, which.uuid) {
            (Some(index), _) => {
                (self.client.entry_at(index).await, "/api/v1/log/entries", "getLogEntryByIndexNotFound")
            }
            (None, Some(id)) => {
                let route = "/api/v1/log/entries/{entryUUID}";
                (self.client.entry(&id).await, route, "getLogEntryByUUIDNotFound")
            }
            (None, None) => return Err(Failure::usage("either --uuid or --log-index must be specified")),
        };
        let nothing = || Failure::check(format!("[GET {route}][404] {operation}"));
        let entry = found.map_err(|error| failure(&error))?.ok_or_else(nothing)?;
        let invalid = |error: Unsound| Failure::check(format!("unable to verify entry: {error}"));
        is_asked_for(&entry, which).map_err(invalid)?;
        let key = self.key_of(&entry).await?;
        entry.check(None, &key).map_err(invalid)?;
        Ok(match self.format {
            Format::Default => Shown::new(&entry).lines(),
            Format::Json => json_line(&Shown::new(&entry)),
            Format::Tle => json_line(&tle(&entry)),
        })
    }

    async fn search(&self, args: &SearchArgs) -> Result<String, Failure> {
        let mut query = Search {
            hash: args.sha.clone(),
            email: args.email.clone(),
            subject: args.subject.clone(),
            operator: args.operator.clone(),
            ..Search::default()
        };
        if let Some(artifact) = args.artifact.as_ref().filter(|_| args.sha.is_none()) {
            query.hash = Some(format!("sha256:{}", digest_of(artifact, HashAlgorithm::Sha256).await?));
        }
        if let Some(key) = &args.public_key {
            let content = STANDARD.encode(read(key, LARGEST_KEY).await?);
            query.public_key = Some(SearchKey { format: args.pki_format.clone(), content });
        }
        if query.hash.is_none()
            && query.email.is_none()
            && query.subject.is_none()
            && query.public_key.is_none()
        {
            let problem =
                "either 'sha' or 'artifact' or 'public-key' or 'email' or 'subject' must be specified";
            return Err(Failure::usage(problem));
        }
        let found = self.client.search(&query).await.map_err(|error| match error {
            ClientError::Refused { status: StatusCode::NOT_IMPLEMENTED, .. } => {
                Failure::unavailable(format!("search index not enabled on {}", self.server))
            }
            error => failure(&error),
        })?;
        let ids: Vec<_> = found.iter().map(ToString::to_string).collect();
        if ids.is_empty() {
            return Err(Failure::check("no matching entries found"));
        }
        if self.format == Format::Json {
            return Ok(json_line(&json!({ "UUIDs": ids })));
        }
        note("Found matching entries (listed by UUID):");
        Ok(format!("{}\n", ids.join("\n")))
    }

    async fn info(&self) -> Result<String, Failure> {
        let info = self.client.info().await.map_err(|error| failure(&error))?;
        let mut total = info.active.tree_size;
        for shard in &info.inactive_shards {
            self.follow(shard).await?;
            total = total.saturating_add(shard.tree_size);
        }
        self.follow(&info.active).await?;
        let Shard { root_hash: root, tree, tree_size: active, .. } = &info.active;
        Ok(match self.format {
            Format::Json => format!(
                "{{\"ActiveTreeSize\":{active},\"TotalTreeSize\":{total},\"RootHash\":\"{root}\",\"TreeID\":\"{tree}\"}}\n"
            ),
            _ => format!(
                "Verification Successful!\nActive Tree Size:       {active}\nTotal Tree Size:        {total}\n\
                 Root Hash:              {root}\nTreeID:                 {tree}\n"
            ),
        })
    }

    /// Verifies the head of a tree, that it continues the one that is kept, and keeps it.
    async fn follow(&self, shard: &Shard) -> Result<(), Failure> {
        let key = self.key(Some(shard.tree)).await?;
        let head = shard.check(&key).map_err(Failure::check)?;
        let tree = head.tree.to_string();
        // Older versions kept heads under the server alone; it may be another tree's by now.
        let kept = |name: &str| state::load(name).and_then(|note| key.open(&note).ok());
        let old = kept(&tree).or_else(|| kept(&self.server).filter(|old| old.tree == head.tree));
        match old {
            Some(old) => self.continues(&old, &head).await?,
            None => note("No previous log state stored, unable to prove consistency"),
        }
        if self.keeps_state
            && head.size > 0
            && let Err(problem) = state::keep(&[&tree, &self.server], &head.note)
        {
            note(&format!("Unable to store previous state: {problem}"));
        }
        Ok(())
    }

    async fn continues(&self, old: &Head, new: &Head) -> Result<(), Failure> {
        if new.needs_proof_since(old).map_err(Failure::check)? {
            let proof = self
                .client
                .proof(old.size, new.size, Some(new.tree))
                .await
                .map_err(|error| failure(&error))?;
            new.check_consistency(old, &proof.hashes).map_err(Failure::check)?;
        }
        Ok(())
    }

    async fn proof(&self, first: u64, last: u64, tree: Option<u64>) -> Result<String, Failure> {
        if first == 0 {
            return Err(Failure::usage("first-size must be > 0"));
        }
        if last == 0 {
            return Err(Failure::usage("last-size must be > 0"));
        }
        if first > last {
            return Err(Failure::usage("last-size must be >= to first-size"));
        }
        let proof = self.client.proof(first, last, tree).await.map_err(|error| failure(&error))?;
        let hashes: Vec<_> = proof.hashes.iter().map(Hash::to_string).collect();
        let root = proof.root_hash;
        Ok(match self.format {
            Format::Json => format!("{{\"RootHash\":\"{root}\",\"Hashes\":{}}}\n", json!(hashes)),
            _ => format!("Current Root Hash: {root}\nHashes: [{}]\n", hashes.join(",")),
        })
    }

    async fn key_of(&self, entry: &Entry) -> Result<LogKey, Failure> {
        self.key(entry.id.tree).await
    }

    /// The key of a tree: the one that was set, else what the server says.
    async fn key(&self, tree: Option<u64>) -> Result<LogKey, Failure> {
        let Some(pem) = &self.key else {
            return self.client.public_key(tree).await.map_err(|error| failure(&error));
        };
        LogKey::from_pem(pem).map_err(|problem| Failure::usage(format!("rekor_server_public_key {problem}")))
    }
}

/// Whether it is the entry of that name and that index, before its key is asked for.
fn is_asked_for(entry: &Entry, which: &Which) -> Result<(), Unsound> {
    entry.check_id(which.uuid.as_ref())?;
    match which.log_index.filter(|asked| *asked != entry.log_index) {
        Some(asked) => Err(Unsound::OtherIndex { asked, said: entry.log_index }),
        None => Ok(()),
    }
}

fn body(proposal: &Proposal) -> Option<Vec<u8>> {
    expected_body(proposal).ok().flatten()
}

fn failure(error: &ClientError) -> Failure {
    let text = said(error);
    match error {
        ClientError::Unavailable { .. } => Failure::unavailable(text),
        _ => Failure::check(text),
    }
}

/// An error in the words of the program that this one stands for, which scripts search for the status and the message.
fn said(error: &ClientError) -> String {
    let ClientError::Refused { method, route, status, message } = error else { return error.to_string() };
    let operation = match (*route, method == Method::POST) {
        ("/api/v1/log/entries", true) => "createLogEntry",
        ("/api/v1/log/entries", false) => "getLogEntryByIndex",
        ("/api/v1/log/entries/{entryUUID}", _) => "getLogEntryByUUID",
        ("/api/v1/log/entries/retrieve", _) => "searchLogQuery",
        ("/api/v1/index/retrieve", _) => "searchIndex",
        ("/api/v1/log/publicKey", _) => "getPublicKey",
        ("/api/v1/log/proof", _) => "getLogProof",
        _ => "getLogInfo",
    };
    let kind = match *status {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::UNPROCESSABLE_ENTITY => "UnprocessableEntity",
        _ => " default",
    };
    let code = status.as_u16();
    let payload = json!({ "code": code, "message": message });
    format!("[{method} {route}][{code}] {operation}{kind} {payload}")
}

fn user_agent() -> String {
    format!("rekor-cli/{} ({}; {})", env!("CARGO_PKG_VERSION"), std::env::consts::OS, architecture())
}

/// The machine, as the names of their releases have it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn version(as_json: bool) -> String {
    let version = concat!("v1.5 (bulla ", env!("CARGO_PKG_VERSION"), ")");
    let platform = format!("{}/{}", std::env::consts::OS, architecture());
    if as_json {
        return format!("{:#}\n", json!({ "gitVersion": version, "platform": platform }));
    }
    format!("rekor-cli: Rekor CLI\n\nGitVersion:    {version}\nPlatform:      {platform}\n")
}

const NOTHING_GIVEN: &str = "either 'entry' or 'artifact' or 'artifact-hash' must be specified";
