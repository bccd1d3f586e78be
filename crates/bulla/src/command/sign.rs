//! `bulla sign`: signs files and images so that every Sigstore client verifies it. Said again, nothing is signed or logged
//! again that a key has signed already, and what was interrupted is ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bulla_claims::attestation::{self, COSIGN_SIGN, Statement, StatementType};
use bulla_claims::judge::Need;
use bulla_claims::simple_signing;
use bytes::Bytes;
use serde_json::{Value, json};
use sigstore_types::Bundle;

use super::{Failure, Output, say};
use crate::materials::read;
use crate::registry::{Args as RegistryArgs, Descriptor};
use crate::signing::{
    self, About, Api, Content, Legacy, Origin, Prefer, Signing, Slot, Subject, Target, find, is_message_of,
    statement_of,
};
use crate::text::line;
use crate::whole_file::{Old, Readers, put};

// What can be said.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files, and images such as ghcr.io/org/app:1.2 or oci:DIR:TAG; a path that is there, or begins with / or ., is a file
    #[arg(required = true, value_name = "FILE|IMAGE")]
    targets: Vec<String>,
    /// Where the bundle of a file is written [default: FILE.sigstore.json]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Sign the members of an index too, each by its digest
    #[arg(long)]
    recursive: bool,
    /// Something else to say of images; may be given several times
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = annotation)]
    annotation: Vec<(String, String)>,
    #[command(flatten)]
    shared: Shared,
}

// What signing and attesting have in common.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Shared {
    /// In which form signatures of images are stored
    #[arg(long, value_enum, default_value_t = Compat::Bundle, value_name = "FORM")]
    pub(super) compat: Compat,
    #[command(flatten)]
    pub(super) signing: signing::Args,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
}

/// In which form signatures of images are stored.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Compat {
    /// under a tag made of the digest, as cosign did before version 3; the log must have a v1 API
    Legacy,
    /// bundles that refer to the image
    Bundle,
    /// both
    Both,
}

/// What became of one thing.
pub(super) struct Done {
    pub(super) target: String,
    pub(super) form: &'static str,
    /// None if it was there already.
    pub(super) origin: Option<Origin>,
    pub(super) index: Option<u64>,
    pub(super) stored: String,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let files = args.targets.len();
    if args.bundle.is_some() && files > 1 {
        return Err(Failure::usage(format!("--bundle is one file, {files} things are to be signed")));
    }
    let annotations: BTreeMap<_, _> = args.annotation.iter().cloned().collect();
    let mut work = Work::open(&args.shared).await?;
    let client = args.shared.registry.client().map_err(Failure::usage)?;
    for (at, text) in args.targets.iter().enumerate() {
        progress(at, files, text);
        let result = async {
            match find(text, &client, args.recursive).await? {
                Target::File(file) if annotations.is_empty() => {
                    work.file(&file, args.bundle.as_deref()).await
                }
                Target::File(_) => {
                    Err(Failure::usage("--annotation is for images: a file's bundle has no place for it"))
                }
                Target::Image(_) if args.bundle.is_some() => Err(Failure::usage(BUNDLE_IS_FOR_FILES)),
                Target::Image(subjects) => work.image(&subjects, &annotations).await,
            }
        };
        let result = result.await;
        work.ended(text, result);
    }
    work.finish(args.shared.output)
}

/// One run over several things: what fails does not keep the others from being signed.
pub(super) struct Work {
    pub(super) signing: Signing,
    compat: Compat,
    pub(super) done: Vec<Done>,
    failed: Option<(String, Failure)>,
}

impl Work {
    pub(super) async fn open(shared: &Shared) -> Result<Self, Failure> {
        let signing = shared.signing.open(Prefer::Newest).await?;
        if shared.compat != Compat::Bundle && signing.api() == Some(Api::V2) {
            return Err(Failure::usage(
                "--compat legacy has no place for the proof of a v2 log: pass --log-api v1, or --compat bundle",
            ));
        }
        Ok(Self { compat: shared.compat, ..Self::new(signing) })
    }

    /// With nothing done yet; bundles are stored.
    pub(super) fn new(signing: Signing) -> Self {
        Self { signing, compat: Compat::Bundle, done: Vec::new(), failed: None }
    }

    /// Keeps the first failure, and tells of the others.
    pub(super) fn ended(&mut self, text: &str, result: Result<(), Failure>) {
        let Err(failure) = result else { return };
        match &self.failed {
            None => self.failed = Some((text.to_owned(), failure)),
            Some(_) => eprintln!("{text}: {failure}"),
        }
    }

    /// Whether bundles are stored, and whether tags are.
    pub(super) fn forms(&self) -> (bool, bool) {
        (self.compat != Compat::Legacy, self.compat != Compat::Bundle)
    }

    async fn file(&mut self, file: &Path, bundle: Option<&Path>) -> Result<(), Failure> {
        let name = file.display().to_string();
        let bytes = Bytes::from(read(&name, LARGEST_FILE).await?);
        let out = beside(file, bundle, ".sigstore.json");
        let slot = self.signing.slot(&[b"sign file", &absolute(&out), &bytes])?;
        let is_it = |bundle: &Bundle, spki: &[u8]| is_message_of(bundle, spki, &bytes);
        let content = Content::Message(bytes.clone());
        self.write_for_file(&name, &out, slot, content, &is_it).await
    }

    /// Writes a bundle for a file, unless the one that is there is ours.
    pub(super) async fn write_for_file(
        &mut self,
        name: &str,
        out: &Path,
        slot: Slot,
        content: Content,
        is_it: &dyn Fn(&Bundle, &[u8]) -> bool,
    ) -> Result<(), Failure> {
        let stored = out.display().to_string();
        let mut done = Done { target: name.to_owned(), form: "bundle", origin: None, index: None, stored };
        if out.exists() {
            let text = crate::target::read_small(out, LARGEST_BUNDLE)?;
            let bundle = Bundle::from_json(std::str::from_utf8(&text).unwrap_or_default()).ok();
            let pending = slot.read()?;
            let same = |bundle: &Bundle| {
                pending.as_ref().is_some_and(|pending| pending.bundle == *bundle)
                    || self
                        .signing
                        .kept_key()
                        .is_some_and(|spki| self.is_complete(bundle) && is_it(bundle, spki))
            };
            let ours = bundle.filter(same);
            if let Some(problem) =
                ours.as_ref().map(|bundle| self.distrust(bundle, &content)).transpose()?.flatten()
            {
                return Err(Failure::usage(format!(
                    "{}: is there already and would not be verified: {problem}: move it away, or pass --bundle",
                    done.stored
                )));
            }
            let Some(bundle) = ours else {
                let stored = &done.stored;
                let problem = format!(
                    "{stored}: is there already and is not this signature: move it away, or pass --bundle"
                );
                return Err(Failure::usage(problem));
            };
            done.index = index_in(&bundle);
            self.done.push(done);
            return slot.done();
        }
        let (signed, origin) = self.signing.sign(&slot, content).await?;
        (done.origin, done.index) = (Some(origin), index_in(&signed.bundle));
        let text = format!("{}\n", signed.json()?);
        put(out, text.as_bytes(), Readers::Anybody, Old::Replaced)
            .map_err(|error| kept(&Failure::file(out, &error)))?;
        self.done.push(done);
        slot.done()
    }

    async fn image(
        &mut self,
        subjects: &[Subject],
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let (bundle, legacy) = self.forms();
        for (at, subject) in subjects.iter().enumerate() {
            if at > 0 {
                progress(at - 1, subjects.len() - 1, &subject.to_string());
            }
            if bundle {
                self.signed_by_bundle(subject, annotations).await?;
            }
            if legacy {
                self.signed_by_tag(subject, annotations).await?;
            }
        }
        Ok(())
    }

    async fn signed_by_bundle(
        &mut self,
        subject: &Subject,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let digest = &subject.descriptor.digest;
        let said =
            annotations.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        let about = attestation::Subject {
            name: None,
            digest: BTreeMap::from([(digest.algorithm().to_owned(), digest.hex().to_owned())]),
            annotations: said,
        };
        let subjects = std::slice::from_ref(&about);
        let statement =
            Statement::write(StatementType::V1, subjects, COSIGN_SIGN, "{}").map_err(Failure::usage)?;
        let is_it = |found: &Statement| found.predicate_type == COSIGN_SIGN && found.subjects == subjects;
        self.store_for_image(subject, COSIGN_SIGN, &[&statement], statement.clone(), &is_it).await
    }

    /// Stores a statement about an image as a bundle, unless the key has stored it already. `asked` is what is the same
    /// whenever the same is asked for.
    pub(super) async fn store_for_image(
        &mut self,
        subject: &Subject,
        predicate_type: &str,
        asked: &[&[u8]],
        statement: Vec<u8>,
        is_it: &dyn Fn(&Statement) -> bool,
    ) -> Result<(), Failure> {
        let target = subject.to_string();
        let name = [&[b"bundle".as_slice(), target.as_bytes(), predicate_type.as_bytes()], asked].concat();
        let slot = self.signing.slot(&name)?;
        let mut done = Done { target, form: "bundle", origin: None, index: None, stored: String::new() };
        if let Some(spki) = self.signing.kept_key() {
            let bundles = subject.bundles().await?;
            let content = Content::Statement(statement.clone());
            let is_ours = |bundle: &Bundle| {
                self.is_complete(bundle)
                    && statement_of(bundle, spki).is_some_and(|found| is_it(&found))
                    && matches!(self.distrust(bundle, &content), Ok(None))
            };
            let found = bundles.into_iter().find(|(_, bundle)| is_ours(bundle));
            if let Some((digest, bundle)) = found {
                (done.stored, done.index) = (digest.to_string(), index_in(&bundle));
                self.done.push(done);
                return slot.done();
            }
        }
        let (signed, origin) = self.signing.sign(&slot, Content::Statement(statement)).await?;
        (done.origin, done.index) = (Some(origin), index_in(&signed.bundle));
        done.stored =
            subject.store(&signed, predicate_type).await.map_err(|failure| kept(&failure))?.to_string();
        self.done.push(done);
        slot.done()
    }

    async fn signed_by_tag(
        &mut self,
        subject: &Subject,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let (target, digest) = (subject.to_string(), &subject.descriptor.digest);
        let payload = simple_signing::payload(&subject.repository, &digest.to_string(), annotations);
        let payload = payload.map_err(Failure::usage)?;
        let slot = self.signing.slot(&[b"sig", target.as_bytes(), &payload])?;
        let legacy = Legacy::of(subject, "sig")?;
        let mut done = Done { target, form: "sig", origin: None, index: None, stored: legacy.to_string() };
        let believed = |layer: &Descriptor, payload: &[u8]| {
            let about = Content::Message(Bytes::copy_from_slice(payload));
            self.signing.believes_layer(layer, payload, &about, digest)
        };
        if let Some(spki) = self.signing.kept_key()
            && legacy.has_signature(spki, digest, annotations, believed).await?
        {
            self.done.push(done);
            return slot.done();
        }
        let (signed, origin) = self.signing.sign(&slot, Content::Message(payload.clone().into())).await?;
        (done.origin, done.index) = (Some(origin), index_in(&signed.bundle));
        legacy.store(&signed, &payload).await.map_err(|failure| kept(&failure))?;
        self.done.push(done);
        slot.done()
    }

    /// Whether a bundle has what this run would put there: what is not logged is no answer to who wants it logged.
    fn is_complete(&self, bundle: &Bundle) -> bool {
        bundle.verification_material.tlog_entries.len() >= self.signing.logs()
    }

    /// Why a bundle that is there would not be verified, if it would not.
    fn distrust(&self, bundle: &Bundle, content: &Content) -> Result<Option<String>, Failure> {
        let Some(about) = About::of(content) else { return Ok(None) };
        let key = bundle.signing_certificate().is_none().then(|| self.signing.kept_key()).flatten();
        self.signing.distrust(bundle, &about, key, Need::NotRequired)
    }

    /// Says what was done, and then what was not.
    pub(super) fn finish(self, output: Output) -> Result<ExitCode, Failure> {
        let log = self.signing.log_url();
        match output {
            Output::Human => self.done.iter().for_each(|done| say(&human(done, log))),
            Output::Json => {
                let done: Vec<_> = self.done.iter().map(machine).collect();
                say(&format!("{:#}\n", json!({ "log": log, "results": done })));
            }
        }
        match self.failed {
            None => Ok(ExitCode::SUCCESS),
            Some((text, failure)) => Err(Failure::with_code(failure.code(), format!("{text}: {failure}"))),
        }
    }
}

/// Says on standard error what is worked on, if it is one of several.
pub(super) fn progress(at: usize, of: usize, text: &str) {
    if of > 1 {
        eprintln!("[{}/{of}] {text}", at + 1);
    }
}

/// Where the bundle of a file is written.
pub(super) fn beside(file: &Path, given: Option<&Path>, suffix: &str) -> PathBuf {
    given.map_or_else(
        || {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            name.into()
        },
        Path::to_owned,
    )
}

/// A path that is the same wherever it is typed.
pub(super) fn absolute(path: &Path) -> Vec<u8> {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string().into_encoded_bytes()
}

/// The log's index of what is in a bundle.
fn index_in(bundle: &Bundle) -> Option<u64> {
    bundle.verification_material.tlog_entries.first().map(|entry| entry.log_index.get())
}

/// Says that the next run goes on from here.
pub(super) fn kept(failure: &Failure) -> Failure {
    let message = format!("{failure}; what was signed is kept, the same command stores it");
    Failure::with_code(failure.code(), message)
}

fn result(done: &Done) -> &'static str {
    match done.origin {
        None => "signed already",
        Some(Origin::New) => "signed",
        Some(Origin::Resumed) => "stored what an earlier run signed",
    }
}

fn human(done: &Done, log: Option<&str>) -> String {
    let mut text = String::new();
    line(&mut text, "signed", &done.target);
    line(&mut text, "result", result(done));
    if let (Some(index), Some(log)) = (done.index, log) {
        line(&mut text, "entry", format_args!("{index} of {log}"));
    }
    line(&mut text, done.form, &done.stored);
    text
}

fn machine(done: &Done) -> Value {
    json!({
        "target": done.target, "result": result(done), "form": done.form, "logIndex": done.index,
        "stored": done.stored,
    })
}

fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE was expected".to_owned()),
    }
}

/// Where a bundle goes is for whoever names a file to say.
pub(super) const BUNDLE_IS_FOR_FILES: &str = "--bundle is for files: the bundle of an image lies beside it";
/// A file is signed in memory.
const LARGEST_FILE: u64 = 1 << 30;
const LARGEST_BUNDLE: u64 = 64 << 20;
