//! `bulla report verify`: a report is judged again by who believes neither it nor its maker.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bulla_claims::judge::{Content, Outcome, Verdict, verdict};
use jiff::Timestamp;
use serde_json::json;

use crate::command::sign::beside;
use crate::command::verify::of_file;
use crate::command::{Failure, Output, say};
use crate::home::unix_now;
use crate::reporting::{
    self, Contents, Finding, LookedUp, Reader, Recheck, Status, Summary, WitnessArgs, Witnessed,
};
use crate::text::{line, printable};
use crate::verification::{Asked, Terms};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Report, as JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Bundle with the signature of the report [default: FILE.sigstore.json]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    witnesses: WitnessArgs,
    /// Judge what is in a report that nobody signed; that it is whole, and whose it is, is not known then
    #[arg(long)]
    skip_signature_unsafe: bool,
    /// Open no connection, as it is unless --rekor-url names a log to search for revocations of the report's own signature and for
    /// every entry that the report lists
    #[arg(long)]
    offline: bool,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let failed = |error: io::Error| Failure::usage(format!("{}: {error}", args.file.display()));
    let witnesses = args.witnesses.read()?;
    let mut checked = Checked::default();
    let (own, revocations) = if args.skip_signature_unsafe {
        let (root, root_json, revocations) = args.terms.read_revocations().await?;
        ((root, root_json), revocations)
    } else {
        // Nobody is asked for a key.
        let asked = args.terms.read(Content::Signature, true).await?;
        checked.signature(args, &asked).await?;
        ((asked.root, asked.root_json), asked.revocations)
    };
    match Contents::open(&args.file).map_err(failed)? {
        Err(broken) => checked.findings.extend(broken.into_iter().map(Finding::from)),
        Ok(contents) => {
            let reader = Reader {
                root: own,
                revocations: &revocations,
                witnesses: witnesses.as_ref(),
                signed: checked.signed_at,
                now: unix_now(),
                lists: args.terms.rekor_url().is_some(),
            };
            let mut again = reporting::recheck(&contents, reader).map_err(failed)?;
            checked.findings.extend(again.findings.iter().cloned());
            if let Some(url) = args.terms.rekor_url() {
                let looked_up = reporting::look_up(url, &std::mem::take(&mut again.listed)).await;
                checked.findings.extend(looked_up.absent.iter().cloned());
                checked.looked_up = Some((url.to_owned(), looked_up));
            }
            checked.again = Some(again);
        }
    }
    say(&match args.output {
        Output::Human => checked.human(&args.file),
        Output::Json => checked.machine(&args.file),
    });
    let file = args.file.display();
    match (checked.findings.first(), checked.unanswered()) {
        (None, None) => Ok(ExitCode::SUCCESS),
        (Some(Finding { member, problem }), _) => {
            Err(Failure::check(format!("{file}: not verified: {member}: {problem}")))
        }
        (None, Some(problem)) => {
            Err(Failure::unavailable(format!("{file}: not every entry could be looked up: {problem}")))
        }
    }
}

/// What is known of a report.
#[derive(Default)]
struct Checked {
    signed_by: Option<String>,
    /// When the first trusted clock saw that.
    signed_at: Option<Timestamp>,
    findings: Vec<Finding>,
    again: Option<Recheck>,
    /// What the log said that was asked for the entries.
    looked_up: Option<(String, LookedUp)>,
}

impl Checked {
    async fn signature(&mut self, args: &Args, asked: &Asked) -> Result<(), Failure> {
        let bundle = beside(&args.file, args.bundle.as_deref(), ".sigstore.json");
        if !bundle.exists() {
            let fix = "sign reports with --sign, or judge what is in this one with --skip-signature-unsafe";
            return Err(Failure::usage(format!(
                "{}: there is no signature of the report: {fix}",
                bundle.display()
            )));
        }
        let (mut found, _) = of_file(Some(&bundle), &args.file, asked)?;
        asked.revocations.weigh(&mut found, None, &asked.policy, &asked.root).await;
        let judged = found.candidates.iter().map(|candidate| &candidate.judged);
        let verified = judged.clone().find(|judged| judged.verified());
        self.signed_at = verified.and_then(|judged| judged.times.iter().min().copied());
        let signed = verified.and_then(|judged| judged.signed.as_ref());
        self.signed_by = signed.map(|signed| match &signed.identity {
            Some(identity) => identity.to_string(),
            None => format!("the key of sha256 {}", bulla_tlog::sha256(&signed.spki)),
        });
        if verdict(&asked.requires, judged.clone(), found.unread.len()) != Verdict::Verified {
            let mut judged = judged;
            let failed = judged.find_map(|judged| judged.failed());
            let problem = failed.map_or_else(
                || "is not by enough of those who must have signed".to_owned(),
                |check| match &check.outcome {
                    Outcome::Failed(problem) => format!("{}: {problem}", check.name),
                    _ => check.name.to_owned(),
                },
            );
            self.findings.push(Finding { member: "signature".to_owned(), problem });
        }
        Ok(())
    }

    /// Why it is not known of all entries whether the log has them.
    fn unanswered(&self) -> Option<&str> {
        self.looked_up.as_ref().and_then(|(_, came)| came.unanswered.as_deref())
    }

    fn verdict(&self) -> &'static str {
        match (self.findings.is_empty(), self.unanswered()) {
            (true, None) => "verified",
            (true, Some(_)) => "undetermined",
            (false, _) => "not-verified",
        }
    }

    fn human(&self, file: &Path) -> String {
        let mut text = String::new();
        line(&mut text, self.verdict(), file.display());
        let nobody = "nobody who was asked for";
        line(&mut text, "signed by", printable(self.signed_by.as_deref().unwrap_or(nobody)));
        if let Some(again) = &self.again {
            line(&mut text, "made", printable(&again.generated_at));
            let (images, judged) = (again.images, again.judged);
            line(
                &mut text,
                "judged",
                format_args!(
                    "{judged} signatures and statements of {images} images again, under your trusted root"
                ),
            );
            if again.without_evidence > 0 {
                line(
                    &mut text,
                    "not judged",
                    format_args!("{}, the report does not carry them along", again.without_evidence),
                );
            }
            again.terms.iter().for_each(|term| line(&mut text, "accepted", printable(term)));
            if let Some(Summary { totals, .. }) = &again.summary {
                let counts = [
                    (totals.verified, Status::Verified),
                    (totals.not_verified, Status::NotVerified),
                    (totals.unsigned, Status::Unsigned),
                    (totals.undetermined, Status::Undetermined),
                ];
                let counts: Vec<_> =
                    counts.iter().map(|(count, status)| format!("{count} {}", status.name())).collect();
                line(&mut text, "says", counts.join(", "));
            }
            for (origin, Witnessed { entries, enough, by }) in &again.witnessed {
                let by: Vec<_> = by.iter().map(|(name, entries)| format!("{name} {entries}")).collect();
                let by = if by.is_empty() { "nobody".to_owned() } else { by.join(", ") };
                let said =
                    format!("{origin}: {enough} of {entries} entries by enough of your witnesses: {by}");
                line(&mut text, "witnessed", printable(&said));
            }
            again.notes.iter().for_each(|note| line(&mut text, "note", printable(note)));
        }
        if let Some((url, came)) = &self.looked_up {
            line(
                &mut text,
                "looked up",
                printable(&format!("{} of {} entries are in {url}", came.found, came.asked)),
            );
            if came.elsewhere > 0 {
                let said = format!("{} others are not there, nor proved to be in that log", came.elsewhere);
                line(&mut text, "note", said);
            }
        }
        if let Some(problem) = self.unanswered() {
            line(&mut text, "unknown", printable(&format!("not every entry could be looked up: {problem}")));
        }
        for Finding { member, problem } in &self.findings {
            line(&mut text, "FAILED", printable(&format!("{member}: {problem}")));
        }
        text
    }

    fn machine(&self, file: &Path) -> String {
        let again = self.again.as_ref();
        let findings = self
            .findings
            .iter()
            .map(|Finding { member, problem }| json!({ "member": member, "problem": problem }));
        let document = json!({
            "schema": "bulla.report-verify/v1",
            "verdict": self.verdict(),
            "report": file.display().to_string(),
            "signed_by": self.signed_by,
            "findings": findings.collect::<Vec<_>>(),
            "generated_at": again.map(|again| &again.generated_at),
            "images": again.map(|again| again.images),
            "judged_entries": again.map(|again| again.judged),
            "entries_without_evidence": again.map(|again| again.without_evidence),
            "terms": again.map(|again| &again.terms),
            "notes": again.map(|again| &again.notes),
            "witnessed": again.map(|again| again.witnessed.iter().map(|(origin, seen)| json!({
                "origin": origin, "entries": seen.entries, "enough": seen.enough, "witnesses": seen.by,
            })).collect::<Vec<_>>()),
            "looked_up": self.looked_up.as_ref().map(|(url, came)| json!({
                "log": url, "entries": came.asked, "found": came.found, "absent": came.absent.len(),
                "elsewhere": came.elsewhere, "unanswered": came.unanswered,
            })),
        });
        format!("{document:#}\n")
    }
}
