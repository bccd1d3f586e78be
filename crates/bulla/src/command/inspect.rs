//! `bulla inspect`: shows a person what is in a log: its checkpoint, a tile, a bundle, an entry, a proof.
//!
//! What has a proof is verified before it is shown; the rest is shown as served, and `bulla fsck` judges it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::{Facts, Material, describe};
use bulla_ledger::fsck::{Bundle, Objects};
use bulla_tlog::note::{Note, Signature};
use bulla_tlog::tlog_proof::TlogProof;
use bulla_tlog::{
    Checkpoint, Hash, Plan, TileId, TileKind, WIDTH, leaf_hash, sha256, verify_inclusion, widest,
};
use serde_json::{Value, json};

use super::Failure;
use super::Output;
use crate::target::{self, Target, failure};
use crate::text::{hex, line};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// What it looks like
    #[arg(long, value_enum, default_value_t = Output::Human, global = true)]
    output: Output,
}

#[derive(clap::Subcommand)]
enum What {
    /// The signed tree head and who signed it
    Checkpoint {
        #[command(flatten)]
        target: target::Args,
    },
    /// The hashes of a tile
    Tile {
        #[command(flatten)]
        target: target::Args,
        /// Path such as 0/000, tile/1/003 or tile/0/273.p/112; without a width, as wide as the log has it
        path: String,
    },
    /// The entries of a bundle, one line each
    Bundle {
        #[command(flatten)]
        target: target::Args,
        /// Number of the bundle: its entries begin at 256 times that
        number: u64,
    },
    /// What an entry says
    Entry {
        #[command(flatten)]
        target: target::Args,
        /// Index in the log
        index: u64,
    },
    /// The inclusion proof of an entry, verified
    Proof {
        #[command(flatten)]
        target: target::Args,
        /// Index in the log
        index: u64,
        /// Also write the proof to this file, to be kept and verified without the log (`.tlog-proof`)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What is shown, in both forms.
struct Shown {
    human: String,
    machine: Value,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let (What::Checkpoint { target }
    | What::Tile { target, .. }
    | What::Bundle { target, .. }
    | What::Entry { target, .. }
    | What::Proof { target, .. }) = &args.what;
    let target = target.open().await?;
    let log = Log::open(&target).await?;
    let shown = match &args.what {
        What::Checkpoint { .. } => log.checkpoint(),
        What::Tile { path, .. } => log.tile(path).await?,
        What::Bundle { number, .. } => log.bundle(*number).await?,
        What::Entry { index, .. } => log.entry(*index).await?,
        What::Proof { index, out, .. } => log.proof(*index, out.as_ref()).await?,
    };
    match args.output {
        Output::Human => print!("{}", shown.human),
        Output::Json => println!("{:#}", shown.machine),
    }
    Ok(ExitCode::SUCCESS)
}

/// A log at one of its checkpoints.
struct Log<'a> {
    target: &'a Target,
    objects: Objects<'a>,
    /// The checkpoint as served.
    text: String,
    note: Note,
    head: Checkpoint,
}

impl<'a> Log<'a> {
    async fn open(target: &'a Target) -> Result<Self, Failure> {
        let objects = Objects::new(target.source.as_ref());
        let text = objects.checkpoint().await.map_err(failure)?;
        let wrong = |error: &dyn std::fmt::Display| Failure::check(format!("checkpoint: {error}"));
        let (head, note) = if let Some(key) = &target.key {
            Checkpoint::open(&text, key).map_err(|error| wrong(&error))?
        } else {
            let note = Note::parse(&text).map_err(|error| wrong(&error))?;
            (Checkpoint::parse(&note.text).map_err(|error| wrong(&error))?, note)
        };
        Ok(Self { target, objects, text, note, head })
    }

    fn checkpoint(&self) -> Shown {
        let Checkpoint { origin, size, root, extensions } = &self.head;
        let mut human = String::new();
        line(&mut human, "origin", origin);
        line(&mut human, "size", size);
        line(&mut human, "root", format_args!("{root} ({})", root.to_base64()));
        for extension in extensions {
            line(&mut human, "extension", extension);
        }
        if self.head.is_frozen() {
            line(&mut human, "frozen", "this log has ended");
        }
        let mut signatures = Vec::new();
        for signature in &self.note.signatures {
            let verified = self.is_verified(signature);
            let (key_id, time) = (hex(&signature.key_id), cosigned_at(signature));
            let said = time.as_ref().map(|time| format!(", says {time}")).unwrap_or_default();
            let verdict = if verified { "verified" } else { "not verified, its key was not given" };
            line(&mut human, "signed", format_args!("{} {key_id}{said} ({verdict})", signature.name));
            signatures
                .push(json!({ "name": signature.name, "keyId": key_id, "verified": verified, "time": time }));
        }
        let machine = json!({
            "origin": origin, "size": size, "root": root.to_string(), "extensions": extensions,
            "frozen": self.head.is_frozen(), "signatures": signatures, "note": self.text,
        });
        Shown { human, machine }
    }

    fn is_verified(&self, line: &Signature) -> bool {
        self.target.key.as_ref().is_some_and(|key| {
            line.name == key.name()
                && line.key_id == key.key_id()
                && key.verify(self.note.text.as_bytes(), &line.bytes)
        })
    }

    async fn tile(&self, path: &str) -> Result<Shown, Failure> {
        let path = if path.starts_with("tile/") { path.to_owned() } else { format!("tile/{path}") };
        let mut id = TileId::parse(&path).map_err(Failure::usage)?;
        if id.is_full() {
            id = self.widest(id.kind, id.index)?;
        }
        let TileKind::Hashes(level) = id.kind else { return self.bundle_of(id).await };
        let object = self.objects.hashes(id).await.map_err(failure)?;
        let (mut human, mut hashes) = (String::new(), Vec::new());
        line(&mut human, "file", &object.file);
        line(&mut human, "hashes", id.width);
        // How many leaves each hash is the root of; the last level of the largest tree still fits.
        let leaves = WIDTH.saturating_pow(level.into());
        for (number, hash) in (id.index * WIDTH..).zip(object.bytes.as_chunks::<32>().0) {
            let (first, hash) = (number.saturating_mul(leaves), Hash(*hash));
            let last = first.saturating_add(leaves - 1);
            let covers =
                if level == 0 { format!("entry {first}") } else { format!("entries {first} to {last}") };
            line(&mut human, "", format_args!("{hash}  {covers}"));
            hashes.push(hash.to_string());
        }
        let machine = json!({
            "file": object.file, "level": level, "index": id.index, "width": id.width, "hashes": hashes,
        });
        Ok(Shown { human, machine })
    }

    async fn bundle(&self, number: u64) -> Result<Shown, Failure> {
        self.bundle_of(self.widest(TileKind::Entries, number)?).await
    }

    async fn bundle_of(&self, id: TileId) -> Result<Shown, Failure> {
        let bundle = self.objects.bundle(id).await.map_err(failure)?;
        let (mut human, mut entries) = (String::new(), Vec::new());
        line(&mut human, "file", &bundle.object.file);
        line(&mut human, "entries", bundle.width());
        for (number, (index, body)) in (id.index * WIDTH..).zip(bodies(&bundle)).enumerate() {
            let (start, _) = bundle.record(number).unwrap_or_default();
            let summary = describe(&body).map_or_else(|error| error.to_string(), |facts| summary(&facts));
            let hash = leaf_hash(&body);
            line(&mut human, "", format_args!("{index}  byte {start}, {} bytes  {summary}", body.len()));
            entries.push(json!({
                "index": index, "offset": start, "bytes": body.len(), "leafHash": hash.to_string(),
                "summary": summary,
            }));
        }
        let machine = json!({ "file": bundle.object.file, "width": bundle.width(), "entries": entries });
        Ok(Shown { human, machine })
    }

    async fn entry(&self, index: u64) -> Result<Shown, Failure> {
        let (bundle, number) = self.bundle_with(index).await?;
        let (start, end) = bundle.record(number).unwrap_or_default();
        let body = bundle.entry(number).unwrap_or_default();
        let hash = leaf_hash(&body);
        let mut human = String::new();
        line(&mut human, "index", index);
        line(&mut human, "leaf hash", hash);
        line(&mut human, "file", format_args!("{}, bytes {start} to {}", bundle.object.file, end - 1));
        let described = describe(&body);
        match &described {
            Ok(facts) => show_facts(&mut human, facts),
            Err(error) => line(&mut human, "unreadable", error),
        }
        let text = String::from_utf8_lossy(&body);
        line(&mut human, "body", format_args!("{} bytes", body.len()));
        // A stranger's bytes may not steer the terminal.
        writeln!(human, "{}", text.escape_debug().to_string().replace("\\\"", "\"")).unwrap_or_default();
        let machine = json!({
            "index": index, "leafHash": hash.to_string(), "file": bundle.object.file, "offset": start,
            "facts": described.as_ref().ok().map(facts_json),
            "unreadable": described.as_ref().err().map(ToString::to_string),
            "body": STANDARD.encode(&body),
        });
        Ok(Shown { human, machine })
    }

    async fn proof(&self, index: u64, out: Option<&PathBuf>) -> Result<Shown, Failure> {
        let (bundle, number) = self.bundle_with(index).await?;
        let hash = leaf_hash(&bundle.entry(number).unwrap_or_default());
        let Checkpoint { size, root, .. } = self.head;
        let plan = Plan::inclusion(index, size).ok_or_else(|| self.beyond(index))?;
        let hashes = self.objects.proof(&plan, size).await.map_err(failure)?;
        verify_inclusion(&hash, index, size, &hashes, &root).map_err(|error| {
            Failure::check(format!("entry {index} is not proven: {error}; `bulla fsck` finds the place"))
        })?;
        let by = if self.target.key.is_some() {
            "signed checkpoint"
        } else {
            "checkpoint, whose key was not given"
        };
        let mut human = String::new();
        line(&mut human, "index", index);
        line(&mut human, "leaf hash", hash);
        line(&mut human, "size", size);
        line(&mut human, "root", root);
        for hash in &hashes {
            line(&mut human, "proof", hash);
        }
        line(&mut human, "verified", format_args!("the entry is in the tree of the {by}"));
        let proof = TlogProof { extra: None, index, hashes, checkpoint: self.text.clone() };
        if let Some(path) = out {
            let failed = |error| Failure::usage(format!("{}: {error}", path.display()));
            std::fs::write(path, proof.to_string()).map_err(failed)?;
            line(&mut human, "written", path.display());
        }
        let machine = json!({
            "index": index, "leafHash": hash.to_string(), "size": size, "root": root.to_string(),
            "hashes": proof.hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "checkpointVerified": self.target.key.is_some(),
            "tlogProof": proof.to_string(),
        });
        Ok(Shown { human, machine })
    }

    async fn bundle_with(&self, index: u64) -> Result<(Bundle, usize), Failure> {
        if index >= self.head.size {
            return Err(self.beyond(index));
        }
        let id = self.widest(TileKind::Entries, index / WIDTH)?;
        Ok((self.objects.bundle(id).await.map_err(failure)?, (index % WIDTH) as usize))
    }

    fn beyond(&self, index: u64) -> Failure {
        Failure::usage(format!("there is no entry {index}: the log has {} entries", self.head.size))
    }

    fn widest(&self, kind: TileKind, index: u64) -> Result<TileId, Failure> {
        let beyond = || {
            let path = TileId { kind, index, width: WIDTH as u16 }.path();
            Failure::usage(format!("there is no {path}: the log has {} entries", self.head.size))
        };
        widest(kind, index, self.head.size).ok_or_else(beyond)
    }
}

fn bodies(bundle: &Bundle) -> impl Iterator<Item = bytes::Bytes> {
    (0..bundle.width()).filter_map(|number| bundle.entry(number))
}

fn show_facts(human: &mut String, facts: &Facts) {
    line(human, "kind", format_args!("{} {}", facts.kind, facts.version));
    if let Some(digest) = &facts.digest {
        line(human, "digest", format_args!("{} {}", digest.algorithm, hex(&digest.bytes)));
    }
    for signature in &facts.signatures {
        line(human, "signature", STANDARD.encode(&signature.bytes));
        let (container, raw) = container(&signature.material);
        line(human, container, format_args!("{}, SHA-256 {}", signature.key_details, sha256(raw)));
        match signature.material.key() {
            Ok(key) => line(human, "key", format_args!("{:?}", key.algorithm())),
            Err(error) => line(human, "key", error),
        }
    }
}

fn facts_json(facts: &Facts) -> Value {
    let signature = |signature: &bulla_claims::FactsSignature| {
        let (container, raw) = container(&signature.material);
        json!({
            "content": STANDARD.encode(&signature.bytes),
            "keyDetails": signature.key_details,
            container: STANDARD.encode(raw),
        })
    };
    json!({
        "kind": facts.kind,
        "version": facts.version,
        "digest": facts.digest.as_ref().map(|digest| json!({
            "algorithm": digest.algorithm, "hex": hex(&digest.bytes),
        })),
        "signatures": facts.signatures.iter().map(signature).collect::<Vec<_>>(),
    })
}

fn summary(facts: &Facts) -> String {
    let digest = facts.digest.as_ref().map(|digest| format!("  {}:{}", digest.algorithm, hex(&digest.bytes)));
    format!("{} {}{}", facts.kind, facts.version, digest.unwrap_or_default())
}

fn container(material: &Material) -> (&'static str, &[u8]) {
    match material {
        Material::PublicKey(raw) => ("publicKey", raw),
        Material::Certificate(raw) => ("certificate", raw),
    }
}

/// The time in a line that has the length of a cosignature with Ed25519 or ML-DSA-44 (C2SP tlog-cosignature).
fn cosigned_at(line: &Signature) -> Option<String> {
    let (time, rest) = line.bytes.split_first_chunk::<8>()?;
    let seconds =
        i64::try_from(u64::from_be_bytes(*time)).ok().filter(|_| matches!(rest.len(), 64 | 2420))?;
    Some(jiff::Timestamp::from_second(seconds).ok()?.to_string())
}
