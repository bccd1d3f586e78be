//! `bulla attest`: signs a statement about files and images. The predicate is judged by its type before anything is signed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bulla_claims::attestation::{self, Statement, StatementType, WantedType, custom_predicate};
use bulla_tlog::sha256;
use jiff::Timestamp;
use sigstore_types::Bundle;

use super::Failure;
use super::sign::{BUNDLE_IS_FOR_FILES, Done, Shared, Work, absolute, beside, kept, progress};
use crate::materials::{digest_of, read};
use crate::registry::Descriptor;
use crate::signing::{Content, Legacy, Subject, Target, find, statement_in, statement_of};

// What can be said.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files and images, as `bulla sign` takes them
    #[arg(required = true, value_name = "FILE|IMAGE")]
    targets: Vec<String>,
    /// What is stated: JSON, of type custom any text
    #[arg(long, value_name = "FILE")]
    predicate: String,
    /// Of which type that is: custom, slsaprovenance, slsaprovenance1, spdxjson, cyclonedx, link, vuln, openvex, revocation,
    /// or a URI
    #[arg(long = "type", value_name = "TYPE", default_value = "custom", value_parser = wanted)]
    wanted: WantedType,
    /// Where the bundle of a file is written [default: FILE.att.sigstore.json]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Attest the members of an index too, each by its digest
    #[arg(long)]
    recursive: bool,
    #[command(flatten)]
    shared: Shared,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let files = args.targets.len();
    if args.bundle.is_some() && files > 1 {
        return Err(Failure::usage(format!("--bundle is one file, {files} things are to be attested")));
    }
    let given = read(&args.predicate, LARGEST_PREDICATE).await?;
    let stated = Stated::new(&args.wanted, given)
        .map_err(|problem| Failure::usage(format!("{}: {problem}", args.predicate)))?;
    let mut work = Work::open(&args.shared).await?;
    let client = args.shared.registry.client().map_err(Failure::usage)?;
    for (at, text) in args.targets.iter().enumerate() {
        progress(at, files, text);
        let result = async {
            match find(text, &client, args.recursive).await? {
                Target::File(file) => stated.about_file(&mut work, &file, args.bundle.as_deref()).await,
                Target::Image(_) if args.bundle.is_some() => Err(Failure::usage(BUNDLE_IS_FOR_FILES)),
                Target::Image(subjects) => {
                    for subject in &subjects {
                        stated.about_image(&mut work, subject).await?;
                    }
                    Ok(())
                }
            }
        };
        let result = result.await;
        work.ended(text, result);
    }
    work.finish(args.shared.output)
}

/// A predicate that was found good.
struct Stated<'a> {
    uri: &'a str,
    /// What was given.
    given: Vec<u8>,
    /// What is stated, JSON.
    predicate: String,
}

impl<'a> Stated<'a> {
    fn new(wanted: &'a WantedType, given: Vec<u8>) -> Result<Self, String> {
        let uri = wanted.uri();
        let text = std::str::from_utf8(&given).map_err(|_| "is not text".to_owned())?;
        let predicate = match wanted {
            WantedType::Family(known) if known.names.contains(&"custom") => {
                custom_predicate(text, Timestamp::now()).to_string()
            }
            _ => text.to_owned(),
        };
        let stated = Self { uri, given, predicate };
        // Judged with any subject: what is wrong is to be known before anybody signs in.
        let any = attestation::Subject::sha256(Some("any"), &sha256(b"").to_string());
        stated.statement(StatementType::V1, &any)?;
        Ok(stated)
    }

    fn statement(&self, version: StatementType, about: &attestation::Subject) -> Result<Vec<u8>, String> {
        let subjects = std::slice::from_ref(about);
        Statement::write(version, subjects, self.uri, &self.predicate).map_err(|refusal| refusal.to_string())
    }

    /// Whether a statement is this one about that. Of type custom, each has a time of its own.
    fn is(&self, found: &Statement, about: &attestation::Subject) -> bool {
        let same = match found.predicate.get("Data") {
            Some(data) if found.predicate.get("Timestamp").is_some() => {
                data.as_str().map(str::as_bytes) == Some(&self.given)
            }
            _ => serde_json::from_str(&self.predicate)
                .is_ok_and(|ours: serde_json::Value| ours == found.predicate),
        };
        same && found.predicate_type == self.uri
            && found.subjects.iter().any(|subject| subject.digest == about.digest)
    }

    async fn about_file(&self, work: &mut Work, file: &Path, bundle: Option<&Path>) -> Result<(), Failure> {
        let path = file.display().to_string();
        let digest = digest_of(&path, bulla_claims::HashAlgorithm::Sha256).await?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let about = attestation::Subject::sha256(name.as_deref(), &digest);
        let statement = self.statement(StatementType::V1, &about).map_err(Failure::usage)?;
        let out = beside(file, bundle, ".att.sigstore.json");
        let asked: [&[u8]; 5] =
            [b"attest file", &absolute(&out), digest.as_bytes(), self.uri.as_bytes(), &self.given];
        let slot = work.signing.slot(&asked)?;
        let is_it = |bundle: &Bundle, spki: &[u8]| {
            statement_of(bundle, spki).is_some_and(|found| self.is(&found, &about))
        };
        work.write_for_file(&path, &out, slot, Content::Statement(statement), &is_it).await
    }

    async fn about_image(&self, work: &mut Work, subject: &Subject) -> Result<(), Failure> {
        let digest = &subject.descriptor.digest;
        let about = attestation::Subject {
            name: Some(subject.repository.clone()),
            digest: BTreeMap::from([(digest.algorithm().to_owned(), digest.hex().to_owned())]),
            annotations: BTreeMap::new(),
        };
        // What cosign writes, and all of its verifiers read.
        let statement = self.statement(StatementType::V01, &about).map_err(Failure::usage)?;
        let (bundle, legacy) = work.forms();
        if bundle {
            let asked = [self.given.as_slice()];
            let is_it = |found: &Statement| self.is(found, &about);
            work.store_for_image(subject, self.uri, &asked, statement.clone(), &is_it).await?;
        }
        if legacy {
            self.by_tag(work, subject, &about, statement).await?;
        }
        Ok(())
    }

    async fn by_tag(
        &self,
        work: &mut Work,
        subject: &Subject,
        about: &attestation::Subject,
        statement: Vec<u8>,
    ) -> Result<(), Failure> {
        let target = subject.to_string();
        let slot = work.signing.slot(&[b"att", target.as_bytes(), self.uri.as_bytes(), &self.given])?;
        let legacy = Legacy::of(subject, "att")?;
        let mut done = Done { target, form: "att", origin: None, index: None, stored: legacy.to_string() };
        if let Some(spki) = work.signing.kept_key() {
            let content = Content::Statement(statement.clone());
            let digest = &subject.descriptor.digest;
            let believed = |layer: &Descriptor, payload: &[u8]| {
                work.signing.believes_layer(layer, payload, &content, digest)
            };
            let envelopes = legacy.envelopes(believed).await?;
            let is_ours = |envelope| statement_in(envelope, spki).is_some_and(|found| self.is(&found, about));
            if envelopes.iter().any(is_ours) {
                work.done.push(done);
                return slot.done();
            }
        }
        let (signed, origin) = work.signing.sign(&slot, Content::Statement(statement)).await?;
        done.origin = Some(origin);
        done.index = signed.entry().map(|entry| entry.log_index.get());
        legacy.store(&signed, &[]).await.map_err(|failure| kept(&failure))?;
        work.done.push(done);
        slot.done()
    }
}

fn wanted(text: &str) -> Result<WantedType, String> {
    WantedType::parse(text).map_err(|error| error.to_string())
}

/// A large bill of materials.
const LARGEST_PREDICATE: u64 = 16 << 20;
