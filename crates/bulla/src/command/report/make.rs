//! `bulla report`: the images are judged, and what came of it is written in each form that was asked for, signed, and told to
//! the pipeline.

use std::io::{self, BufWriter, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bulla_claims::judge::Content;
use clap::Parser as _;
use serde_json::{Value, json};

use crate::command::sign::{absolute, beside};
use crate::command::{Failure, unless_gone};
use crate::home::unix_now;
use crate::registry::Args as RegistryArgs;
use crate::reporting::{
    self, AskedFor, Grounds, Having, Keep, NamedArgs, Page, Row, SCHEMA, Spool, Status, Stock, Summary,
    WitnessArgs,
};
use crate::signing;
use crate::target::read_small;
use crate::verification::Terms;
use crate::whole_file::{self, Old, Readers};

// Which images, on which terms, and what is written.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[command(flatten)]
    named: NamedArgs,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    witnesses: WitnessArgs,
    /// Open no connection: image layouts only
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Images that are judged at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// What is printed [default: human]
    #[arg(long, value_enum, value_name = "FORM", help_heading = "The report")]
    output: Option<Form>,
    /// File that the report is written to, in the form that its name ends with: .json, .html, .csv or .sarif; repeat for more
    #[arg(long, value_name = "FILE", help_heading = "The report")]
    out: Vec<PathBuf>,
    /// Leave the signatures themselves out of the JSON: it is smaller, and nobody can judge them again
    #[arg(long, help_heading = "The report")]
    without_evidence: bool,
    /// End with exit code 1 if there are such images; with 3 if there are only undetermined ones
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT", help_heading = "The report")]
    fail_on: Vec<FailOn>,
    #[command(flatten)]
    signature: Signature,
}

// By whom the report is signed.
#[derive(clap::Args)]
struct Signature {
    /// Sign the JSON report and log the signature, as `bulla sign FILE` does; the bundle is written beside it
    #[arg(long, help_heading = "The report's signature")]
    sign: bool,
    /// Private key that signs it; without one an authority certifies a key of the moment, as with `bulla sign`
    #[arg(long, value_name = "KEY", requires = "sign", help_heading = "The report's signature")]
    sign_key: Option<String>,
    /// Address of a `bulla up` to sign with [default: `http://localhost:3000`]
    #[arg(
        long,
        value_name = "URL",
        requires = "sign",
        conflicts_with = "sign_config",
        help_heading = "The report's signature"
    )]
    sign_url: Option<String>,
    /// Where to sign it: `signing_config.v0.2.json`
    #[arg(long, value_name = "FILE", requires = "sign", help_heading = "The report's signature")]
    sign_config: Option<PathBuf>,
}

/// What a report looks like.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// for a person
    Human,
    /// the report with its evidence
    Json,
    /// one page to print
    Html,
    /// a row for each image
    Csv,
    /// each image that is not verified, for pages that show findings
    Sarif,
}

/// What a pipeline stops at.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// images without signatures
    Unsigned,
    /// images whose signatures are not enough
    NotVerified,
    /// images of which not everything could be read
    Undetermined,
    /// images without provenance
    NoProvenance,
    /// images without a bill of materials
    NoSbom,
    /// images without a statement of which vulnerabilities matter
    NoVex,
    /// images without the result of a scan
    NoVulnerabilityScan,
    /// a log that contradicts itself
    Contradiction,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let forms = args
        .out
        .iter()
        .map(|file| Ok((file.as_path(), form_of(file).and_then(|form| has_place(file).map(|()| form))?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let signed = forms.iter().find(|(_, form)| *form == Form::Json).map(|(file, _)| *file);
    if args.signature.sign && signed.is_none() {
        return Err(Failure::usage("--sign signs the JSON report: name its file with --out FILE.json"));
    }
    let witnesses = args.witnesses.read()?;
    let asked = args.terms.read(Content::Any, args.offline).await?;
    asked.notes.iter().for_each(|note| tracing::warn!("{note}"));
    let client = if args.offline { None } else { Some(args.registry.client().map_err(Failure::usage)?) };
    let named = reporting::named(&args.named, client.as_ref()).await?;
    let is_json = forms.iter().any(|(_, form)| *form == Form::Json) || args.output == Some(Form::Json);
    let keep = if is_json && !args.without_evidence { Keep::Evidence } else { Keep::Findings };
    let unwritable =
        |error: io::Error| Failure::unavailable(format!("the report cannot be written: {error}"));
    let dir = forms.first().and_then(|(file, _)| file.parent()).filter(|dir| !dir.as_os_str().is_empty());
    let mut spool = Spool::new(dir).map_err(unwritable)?;
    let mut stock = Stock::default();
    let mut generated_at = String::new();
    let sink = |row: Row| {
        stock.add(&row);
        generated_at.clone_from(&row.generated_at);
        spool.add(&row).map_err(unwritable)
    };
    let grounds = Arc::new(Grounds { asked, witnesses, now: unix_now(), keep });
    reporting::survey(named, &grounds, args.jobs.into(), sink).await?;
    let mut summary = stock.summary();
    if !args.offline {
        reporting::prove(&mut summary.logs, &grounds.asked.root).await;
    }
    let report = Report { generated_at, sources: args.named.sources(), grounds: &grounds, summary: &summary };
    let mut evidence = None;
    // The evidence first: what is made of it names it.
    for (file, form) in forms
        .iter()
        .filter(|(_, form)| *form == Form::Json)
        .chain(forms.iter().filter(|(_, form)| *form != Form::Json))
    {
        let written =
            reporting::atomically(file, |out| report.write(*form, out, &mut spool, evidence.clone()));
        let failed = |error: io::Error| Failure::unavailable(format!("{}: {error}", file.display()));
        written.map_err(failed)?;
        if *form == Form::Json {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            evidence = Some((name, reporting::sha256_file(file).map_err(failed)?.to_string()));
        }
    }
    let mut out = BufWriter::new(stdout().lock());
    report
        .write(args.output.unwrap_or(Form::Human), &mut out, &mut spool, evidence)
        .and_then(|()| out.flush())
        .or_else(unless_gone)
        .map_err(|error| Failure::unavailable(format!("standard output: {error}")))?;
    drop(out);
    let judged = judge(&summary, &args.fail_on);
    if let Some(file) = signed.filter(|_| args.signature.sign) {
        match (sign(file, &args.signature, args.terms.trust.file()).await, &judged) {
            (Ok(bundle), _) => tracing::info!(bundle = %bundle.display(), "the report is signed"),
            // What was found in images is not made unknown by that.
            (Err(failure), Err(found)) if found.is_check() => {
                tracing::error!(%failure, "the report is not signed");
            }
            (Err(failure), _) => return Err(failure),
        }
    }
    judged
}

fn form_of(file: &Path) -> Result<Form, Failure> {
    match file.extension().and_then(|suffix| suffix.to_str()) {
        Some("json") => Ok(Form::Json),
        Some("html" | "htm") => Ok(Form::Html),
        Some("csv") => Ok(Form::Csv),
        Some("sarif") => Ok(Form::Sarif),
        _ => Err(Failure::usage(format!(
            "--out {}: the form of a report is what its name ends with, .json, .html, .csv or .sarif was expected",
            file.display()
        ))),
    }
}

/// It is too late to say so when all images are judged.
fn has_place(file: &Path) -> Result<(), Failure> {
    match file.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()) {
        Some(dir) => {
            let (file, dir) = (file.display(), dir.display());
            Err(Failure::usage(format!("--out {file}: {dir} is no directory: make it first")))
        }
        None => Ok(()),
    }
}

/// Everything but the rows.
struct Report<'a> {
    generated_at: String,
    sources: Vec<String>,
    grounds: &'a Grounds,
    summary: &'a Summary,
}

impl Report<'_> {
    fn write(
        &self,
        form: Form,
        out: &mut impl io::Write,
        spool: &mut Spool,
        evidence: Option<(String, String)>,
    ) -> io::Result<()> {
        match form {
            Form::Human => out.write_all(reporting::human(self.summary, spool)?.as_bytes()),
            Form::Json => reporting::write_json(out, &self.head(), spool),
            Form::Csv => reporting::table(out, spool),
            Form::Sarif => out.write_all(reporting::findings(self.summary, spool)?.as_bytes()),
            Form::Html => {
                let page = Page {
                    generated_at: &self.generated_at,
                    sources: &self.sources,
                    terms: &self.asked_for().lines(),
                    summary: self.summary,
                    revocations: &reporting::revocations(&self.grounds.asked),
                    controls: &reporting::pointers(self.summary),
                    evidence,
                };
                reporting::page(out, &page, spool)
            }
        }
    }

    fn asked_for(&self) -> AskedFor {
        AskedFor::of(&self.grounds.asked, self.grounds.witnesses.as_ref())
    }

    /// What stands before the images.
    fn head(&self) -> [(&'static str, Value); reporting::HEAD.len()] {
        let root = String::from_utf8_lossy(&self.grounds.asked.root_json);
        let hash = bulla_tlog::sha256(root.as_bytes()).to_string();
        let Summary { totals, signers, logs } = self.summary;
        let members = [
            json!(SCHEMA),
            json!(self.generated_at),
            json!({ "name": "bulla", "version": env!("CARGO_PKG_VERSION") }),
            json!(reporting::ABOUT),
            json!(self.sources),
            json!(self.asked_for()),
            json!({ "sha256": hash, "json": root }),
            json!(totals),
            json!(signers),
            json!(logs),
            json!(reporting::revocations(&self.grounds.asked)),
            json!(reporting::pointers(self.summary)),
        ];
        let mut members = members.into_iter();
        reporting::HEAD.map(|name| (name, members.next().unwrap_or_default()))
    }
}

/// What a pipeline is told.
fn judge(summary: &Summary, fail_on: &[FailOn]) -> Result<ExitCode, Failure> {
    let totals = &summary.totals;
    let coverage = &totals.coverage;
    let contradictions = summary.logs.iter().filter(|log| log.contradiction.is_some()).count() as u64;
    if contradictions > 0 {
        tracing::error!(
            logs = contradictions,
            "a log contradicts itself: it shows different histories to different people"
        );
    }
    let images = (totals.undetermined, Status::Undetermined.name());
    // Of each condition the images that meet it, and those of which nobody knows whether they do.
    let counts: Vec<_> = fail_on
        .iter()
        .map(|what| match what {
            FailOn::Unsigned => ((totals.unsigned, Status::Unsigned.name()), images),
            FailOn::NotVerified => ((totals.not_verified, Status::NotVerified.name()), images),
            FailOn::Undetermined => ((0, Status::Undetermined.name()), images),
            FailOn::NoProvenance => without(&coverage.provenance, "without provenance"),
            FailOn::NoSbom => without(&coverage.sbom, "without SBOM"),
            FailOn::NoVex => without(&coverage.vex, "without VEX"),
            FailOn::NoVulnerabilityScan => {
                without(&coverage.vulnerability_scan, "without vulnerability scan")
            }
            FailOn::Contradiction => ((contradictions, "from a log that contradicts itself"), (0, "")),
        })
        .collect();
    let found: Vec<_> = counts.iter().map(|(found, _)| *found).filter(|(count, _)| *count > 0).collect();
    let mut unknown: Vec<_> =
        counts.iter().map(|(_, unknown)| *unknown).filter(|(count, _)| *count > 0).collect();
    unknown.dedup();
    let message = |said: &[(u64, &str)]| {
        let said: Vec<_> = said.iter().map(|(count, what)| format!("{count} {what}")).collect();
        format!("of {} images {}", totals.images, said.join(", "))
    };
    match (found.is_empty(), unknown.is_empty()) {
        (true, true) => Ok(ExitCode::SUCCESS),
        (true, false) => Err(Failure::unavailable(message(&unknown))),
        // What is known is said with what is not, if that was asked for.
        (false, _) => {
            let asked = fail_on.contains(&FailOn::Undetermined) && images.0 > 0;
            Err(Failure::check(message(&[found, asked.then_some(images).into_iter().collect()].concat())))
        }
    }
}

/// Images that lack something, and those of which nobody knows.
fn without<'a>(having: &Having, what: &'a str) -> ((u64, &'a str), (u64, &'a str)) {
    ((having.no, what), (having.undetermined, Status::Undetermined.name()))
}

/// Signing has its own words, which would mean other things among these.
#[derive(clap::Parser)]
struct SigningWords {
    #[command(flatten)]
    signing: signing::Args,
}

/// Signs the report, logs it, and writes the bundle beside it.
async fn sign(file: &Path, args: &Signature, trusted_root: Option<&Path>) -> Result<PathBuf, Failure> {
    let mut words: Vec<std::ffi::OsString> = vec!["sign".into()];
    let mut say = |name: &str, value: Option<std::ffi::OsString>| {
        words.extend(value.map(|value| [name.into(), value]).into_iter().flatten());
    };
    say("--key", args.sign_key.as_ref().map(Into::into));
    say("--url", args.sign_url.as_ref().map(Into::into));
    say("--signing-config", args.sign_config.as_ref().map(Into::into));
    // A `bulla up` says itself whom to believe; of other logs the answers are believed by the keys that the images are.
    let elsewhere = args.sign_config.is_some() || std::env::var_os("COSIGN_REKOR_URL").is_some();
    say("--trusted-root", trusted_root.filter(|_| elsewhere && args.sign_url.is_none()).map(Into::into));
    let words =
        SigningWords::try_parse_from(words).map_err(|error| Failure::usage(error.to_string().trim_end()))?;
    let mut signing = words.signing.open(signing::Prefer::Newest).await?;
    let bytes = read_to_sign(file)?;
    let bundle = beside(file, None, ".sigstore.json");
    let slot = signing.slot(&[b"report", &absolute(&bundle), &bulla_tlog::sha256(&bytes).0])?;
    let (signed, _) = signing.sign(&slot, signing::Content::Message(bytes.into())).await?;
    // A bundle that is there is that of the report before this one.
    let text = format!("{}\n", signed.json()?);
    let written = whole_file::put(&bundle, text.as_bytes(), Readers::Anybody, Old::Replaced);
    written.map_err(|error| Failure::file(&bundle, &error))?;
    slot.done()?;
    Ok(bundle)
}

/// A report as it is signed. Keys of some kinds sign messages and not digests, so the whole of it is in memory, once.
fn read_to_sign(file: &Path) -> Result<Vec<u8>, Failure> {
    read_small(file, LARGEST_SIGNED).map_err(|failure| {
        let fix = "make several reports, or one --without-evidence";
        Failure::with_code(failure.code(), format!("{failure}: {fix}"))
    })
}

/// A report of this size, of some 30,000 images, is signed within 300 MB.
const LARGEST_SIGNED: u64 = 160 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_too_large_to_be_signed_is_refused_with_what_to_do() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(LARGEST_SIGNED).expect("grows");
        assert_eq!(read_to_sign(file.path()).expect("is read").len() as u64, LARGEST_SIGNED);
        file.as_file().set_len(LARGEST_SIGNED + 1).expect("grows");
        let refused = read_to_sign(file.path()).expect_err("is refused").to_string();
        let expected = "has more than 167772160 bytes: make several reports, or one --without-evidence";
        assert!(refused.ends_with(expected), "{refused}");
    }
}
