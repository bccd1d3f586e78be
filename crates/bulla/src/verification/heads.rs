//! Whether logs keep to their past: the head that a bundle has is compared with the one that is remembered of that log, and
//! with one that was given. Of one size there is one root; of two sizes a log must prove that the larger continues the smaller.
//! What could not be proved is said, and nothing is made of it.

use std::path::{Path, PathBuf};

use bulla_claims::judge::{Judged, LogHead, Outcome, TrustedRoot};
use bulla_tlog::Checkpoint;
use bulla_tlog::note::Note;
use bulla_tlog::policy::Policy;

use super::continuity::{Continuity, Log, continuity};
use super::found::{Candidate, Found, Unread};
use super::proofs::Logs;
use crate::command::Failure;
use crate::remembered::Remembered;
use crate::target::read_small;

// What can be said.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Checkpoint of the log, such as one that witnesses cosigned: the log must be consistent with it
    #[arg(long, value_name = "FILE", help_heading = "The log's past")]
    checkpoint: Option<PathBuf>,
    /// Witnesses that must have cosigned that checkpoint, or without one those of the signatures: a policy file as logs have it
    #[arg(long, value_name = "FILE", help_heading = "The log's past")]
    witness_policy: Option<PathBuf>,
}

/// What is known of logs. By default nothing is.
#[derive(Default)]
pub(crate) struct Heads {
    given: Option<(String, LogHead)>,
    policy: Option<Policy>,
}

/// What came of comparing one signature's heads with all that is known.
#[derive(Default)]
struct Compared {
    evidence: Vec<(&'static str, String)>,
    broken: Option<String>,
    /// That it keeps to what is remembered.
    unproved: Option<String>,
    /// That it is consistent with what was given, which must hold.
    unknown: Option<String>,
}

impl Args {
    pub(super) fn read(&self, root: &TrustedRoot) -> Result<Heads, Failure> {
        let text =
            |file: &Path| Ok::<_, Failure>(String::from_utf8_lossy(&read_small(file, LARGEST)?).into_owned());
        let refused = |file: &Path, problem: &dyn std::fmt::Display| {
            Failure::usage(format!("{}: {problem}", file.display()))
        };
        let policy = match &self.witness_policy {
            Some(file) => Some(Policy::parse(&text(file)?).map_err(|error| refused(file, &error))?),
            None => None,
        };
        let given = match &self.checkpoint {
            Some(file) => {
                let head = root.head(&text(file)?).map_err(|problem| refused(file, &problem))?;
                Some((file.display().to_string(), head))
            }
            None => None,
        };
        if let (Some(policy), Some((file, head))) = (&policy, &given) {
            cosigned(policy, head).map_err(|problem| Failure::check(format!("{file}: {problem}")))?;
        }
        Ok(Heads { given, policy })
    }
}

impl Heads {
    /// Compares the heads of every signature that is verified, and remembers them. What could not be proved is returned, for
    /// people to read.
    pub(crate) async fn weigh(
        &self,
        found: &mut Found,
        root: &TrustedRoot,
        logs: &Logs,
    ) -> Result<Vec<String>, Failure> {
        let mut notes = Vec::new();
        if found.candidates.iter().all(|candidate| !candidate.judged.verified()) {
            return Ok(notes);
        }
        let mut remembered = Remembered::read()?;
        for Candidate { place, judged, .. } in &mut found.candidates {
            let compared = self.compared(judged, &mut remembered, root, logs).await?;
            let Compared { evidence, broken, unproved, unknown } = compared;
            let outcome = match (broken, unknown, unproved) {
                (Some(problem), ..) => Outcome::Failed(problem),
                (None, Some(problem), _) => {
                    found.unread.push(Unread { place: place.clone(), problem: problem.clone() });
                    Outcome::Failed(problem)
                }
                (None, None, Some(problem)) => {
                    notes.push(format!("{place}: {problem}"));
                    Outcome::Skipped(problem)
                }
                (None, None, None) if evidence.is_empty() => continue,
                (None, None, None) => Outcome::Passed,
            };
            judged.weigh_consistency(outcome, evidence);
        }
        // A place that cannot be written to is no reason to believe less, only one to know less the next time.
        notes.extend(
            remembered.write().err().map(|failure| format!("the heads are not remembered: {failure}")),
        );
        Ok(notes)
    }

    async fn compared(
        &self,
        judged: &Judged,
        remembered: &mut Remembered,
        root: &TrustedRoot,
        logs: &Logs,
    ) -> Result<Compared, Failure> {
        let mut compared = Compared::default();
        if !judged.verified() {
            return Ok(compared);
        }
        compared.broken = self.out_of_place(judged);
        for head in &judged.heads {
            if let (Some(policy), None) = (&self.policy, &self.given) {
                match cosigned(policy, head) {
                    Ok(names) => compared.evidence.extend(names.into_iter().map(|name| ("witness", name))),
                    Err(problem) => compared.broken = Some(problem),
                }
            }
            let log = Log { url: logs.url(root, &head.log_id) };
            if let Some((file, given)) = &self.given
                && is_of_the_same_tree(head, given)
            {
                let came = continuity(head, given, &log).await;
                compared.note("checkpoint", file, head, given, came);
                compared.unknown = compared.unproved.take();
            }
            // What is refused here must not be the past that the next is measured by.
            let is_refused = compared.broken.is_some() || compared.unknown.is_some();
            let Some(known) = remembered.head(head, root)? else {
                if !is_refused {
                    remembered.learn(head, None);
                }
                continue;
            };
            if remembered.is_proved(head) {
                compared.evidence.push(("proved before", format!("{} entries", head.size)));
                continue;
            }
            let came = continuity(head, &known, &log).await;
            if came == Continuity::Holds && !is_refused {
                remembered.learn(head, Some(&known));
            }
            compared.note("remembered", "what is remembered", head, &known, came);
        }
        Ok(compared)
    }

    /// Why what must be compared cannot be: a signature that has no head, or none of the tree that the checkpoint is of.
    fn out_of_place(&self, judged: &Judged) -> Option<String> {
        let Some(head) = judged.heads.first() else {
            let wanted = match (&self.given, &self.policy) {
                (Some((file, _)), _) => format!("could be compared with {file}"),
                (None, Some(_)) => "witnesses could have cosigned".to_owned(),
                (None, None) => return None,
            };
            return Some(format!("the signature has no head of a log that {wanted}"));
        };
        let (file, given) = self.given.as_ref()?;
        let is_there = judged.heads.iter().any(|head| is_of_the_same_tree(head, given));
        let (its, other) = (&given.origin, &head.origin);
        (!is_there).then(|| format!("{file} is of the log {its:?}, the signature's entry of {other:?}"))
    }
}

impl Compared {
    fn note(&mut self, name: &'static str, place: &str, head: &LogHead, known: &LogHead, came: Continuity) {
        let (size, before) = (head.size, known.size);
        match came {
            Continuity::Holds => self.evidence.push((name, format!("{before} entries"))),
            Continuity::Broken(problem) => {
                self.broken = Some(format!(
                    "the log {:?} does not keep to its past: its head of {size} entries and that of {before} in {place}: {problem}",
                    head.origin
                ));
            }
            Continuity::Unproved(why) => {
                self.unproved = Some(format!(
                    "its log's head has {size} entries, that in {place} {before}: that one continues the other is not proved, \
                     {why}"
                ));
            }
        }
    }
}

/// Both doors of one log tell of one tree, under its host's name, the older with the number of the tree after it.
fn is_of_the_same_tree(one: &LogHead, other: &LogHead) -> bool {
    let host = |head: &LogHead| head.origin.split(" - ").next().unwrap_or_default().to_owned();
    let is_same_form = one.origin.contains(" - ") == other.origin.contains(" - ");
    if is_same_form {
        one.log_id == other.log_id && one.origin == other.origin
    } else {
        host(one) == host(other)
    }
}

/// The witnesses that cosigned a head, if they are enough.
fn cosigned(policy: &Policy, head: &LogHead) -> Result<Vec<String>, String> {
    let note = Note::parse(&head.note).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(&note.text).map_err(|error| error.to_string())?;
    let names = policy.cosigned(&checkpoint, &note.signatures);
    if policy.satisfied(&names) {
        return Ok(names.into_iter().map(str::to_owned).collect());
    }
    let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    Err(format!(
        "the head of {} entries is cosigned by {names}, which the witness policy does not take for enough",
        head.size
    ))
}

const LARGEST: u64 = 1 << 20;
