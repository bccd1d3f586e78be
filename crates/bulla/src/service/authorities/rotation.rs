//! How staged keys come into force in a server: clients are told, and when they have had their time the new ones sign. Nobody
//! waits meanwhile: requests in work end with what they began with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::files::{CA, Hierarchy, Role, TSA};
use super::staged::{self, Plan};
use super::{Authorities, ct, expiry, fulcio};
use crate::command::Failure;

/// What a server did with a staged key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Taken {
    /// `ca`, `tsa`, `ct` or `tuf`.
    pub(crate) authority: String,
    /// From when it signs.
    pub(crate) from: Timestamp,
    /// How long clients may keep a trusted root without it, in seconds, if that is longer than they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown_seconds: Option<u64>,
}

/// Those that have certificates.
const CERTIFIED: [&Role; 2] = [&CA, &TSA];
/// The longest that a request in work is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whose, where, and what was planned.
type Staged = (&'static str, PathBuf, Plan);

/// What is staged, and not known to clients.
pub(crate) struct Unknown(Vec<Staged>);

impl Unknown {
    /// Whether there is nothing to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Authorities {
    /// Where something is staged.
    fn staged(&self) -> Result<Vec<Staged>, Failure> {
        let mut all = Vec::new();
        for role in CERTIFIED {
            let place = staged::place(&self.dir, role);
            all.extend(Plan::read(&place)?.map(|plan| (role.dir, place, plan)));
        }
        let logs = ct::Place::all(&self.dir)?;
        if let (_, Some(next)) = ct::Place::active(&logs) {
            all.extend(next.plan.clone().map(|plan| ("ct", next.dir.clone(), plan)));
        }
        Ok(all)
    }

    /// Opens what was staged and is not known to clients yet. If there is any, they are to be told.
    pub(crate) async fn welcome(&self) -> Result<Unknown, Failure> {
        let mut staged = self.staged()?;
        staged.retain(|(_, _, plan)| plan.published.is_none());
        if let Some(ct) = self.ct.as_ref().filter(|_| !staged.is_empty()) {
            ct.welcome().await?;
        }
        Ok(Unknown(staged))
    }

    /// Notes that clients were told of these. What was staged since is not among them.
    pub(crate) fn told(&self, unknown: Unknown) -> Result<Vec<Taken>, Failure> {
        let now = Timestamp::now();
        let mut taken = Vec::new();
        for (authority, place, plan) in unknown.0 {
            let plan = plan.publish(&place, now)?;
            let from = plan.from().unwrap_or(now);
            let kept = self.trusted.lifetime().map(|lifetime| lifetime.as_secs());
            let unknown_seconds = kept.filter(|kept| *kept > plan.overlap_seconds);
            if let Some(seconds) = unknown_seconds {
                tracing::warn!(
                    authority,
                    seconds,
                    "the overlap is shorter than clients may keep a trusted root: some will not know the new key when it \
                     begins to sign"
                );
            }
            tracing::info!(authority, %from, "a new key is staged, and clients are told");
            taken.push(Taken { authority: authority.to_owned(), from, unknown_seconds });
        }
        Ok(taken)
    }

    /// Puts everything in force that clients had time to learn of. Says whether there was any.
    pub(crate) async fn turn(&self) -> Result<bool, Failure> {
        let mut any = false;
        for (authority, _, plan) in self.staged()? {
            if !self.serves(authority) || !plan.is_due(Timestamp::now()) {
                continue;
            }
            match authority {
                "ca" => self.turn_ca().await?,
                "tsa" => self.turn_tsa().await?,
                _ => self.turn_ct().await?,
            }
            tracing::info!(authority, "a new key signs from now on");
            any = true;
        }
        if any {
            expiry::look(&self.dir, false);
        }
        Ok(any)
    }

    /// A log that is not served cannot end.
    fn serves(&self, authority: &str) -> bool {
        authority != "ct" || self.ct.is_some()
    }

    async fn turn_ca(&self) -> Result<(), Failure> {
        staged::turn(&self.dir, &CA)?;
        let Some(fulcio) = &self.fulcio else { return Ok(()) };
        let ca = self.hierarchy().open(&CA, Timestamp::now()).await?;
        fulcio.authority().replace(fulcio::authority(&self.args, ca, self.submit()?)?);
        Ok(())
    }

    async fn turn_tsa(&self) -> Result<(), Failure> {
        staged::turn(&self.dir, &TSA)?;
        let Some(tsa) = &self.tsa else { return Ok(()) };
        tsa.turn_to(self.hierarchy().open(&TSA, Timestamp::now()).await?)
    }

    /// To open what is there: nothing is made from it.
    fn hierarchy(&self) -> Hierarchy<'_> {
        Hierarchy { keys: self.args.keys(), ..Hierarchy::new(&self.dir, "") }
    }

    /// The authority turns to the new log first, and the old one ends once nobody submits to it any more.
    async fn turn_ct(&self) -> Result<(), Failure> {
        let Some(ct) = &self.ct else { return Ok(()) };
        if let (Some(fulcio), Some(next)) = (&self.fulcio, ct.next()) {
            let ca = self.hierarchy().open(&CA, Timestamp::now()).await?;
            let old = fulcio.authority().replace(fulcio::authority(&self.args, ca, Some(next))?);
            let idle = async {
                while Arc::strong_count(&old) > 1 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            if tokio::time::timeout(PATIENCE, idle).await.is_err() {
                tracing::warn!("requests for certificates that take too long are not logged any more");
            }
        }
        ct.end().await
    }

    /// When to look again at what is staged: when the next is to be put in force.
    pub(crate) fn next_turn(&self) -> Option<Timestamp> {
        let staged =
            self.staged().inspect_err(|failure| tracing::error!(%failure, "staged keys cannot be read"));
        let served = staged.unwrap_or_default().into_iter().filter(|(whose, _, _)| self.serves(whose));
        served.filter_map(|(_, _, plan)| plan.from()).min()
    }
}
