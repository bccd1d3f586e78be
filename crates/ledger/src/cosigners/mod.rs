//! The log's side of witnessing: asks the witnesses of a policy for cosignatures of a checkpoint before it is published.
//! <https://c2sp.org/tlog-witness> <https://c2sp.org/tlog-policy>
//!
//! All witnesses are asked at once, and nobody is waited for once the quorum is met. An answer that comes later still
//! counts for the next question. A witness that failed is left alone for a while, longer each time, so that a dead one
//! does not delay every publication.

mod endpoint;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bulla_tlog::note::{Note, Signature};
use bulla_tlog::policy::Policy;
use bulla_tlog::{Checkpoint, Hash};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use self::endpoint::{Endpoint, Question};
pub use self::endpoint::{Miss, Standing};
use crate::BoxFuture;
use crate::source::ReadError;

/// How a witness is reached. The ledger speaks the protocol and leaves HTTP to whoever opens the log.
pub trait Transport: Send + Sync {
    /// Sends `body` by POST and returns the answer, whatever its status.
    ///
    /// An implementer follows no redirect, reads at most [`bulla_tlog::add_checkpoint::MAX_RESPONSE`] bytes of the answer
    /// (more is an error), and gives up after `deadline`. The error says for a person why there is no answer.
    fn post<'a>(
        &'a self,
        url: &'a str,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Answer, String>>;
}

/// What came back over a [`Transport`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The `Content-Type`, if there was one.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

/// What happens to a checkpoint that the quorum has not cosigned by the deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailMode {
    /// It is published with the cosignatures that there are.
    Open,
    /// It is not published, and those who wait for it are told to come back.
    Closed,
}

/// A policy whose quorum cannot be reached by asking.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the quorum needs witnesses without a URL: {}", names.join(", "))]
pub struct Unreachable {
    /// The policy's names of the witnesses without a URL.
    pub names: Vec<String>,
}

/// Why a checkpoint may not be published: too few cosignatures by the deadline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuorumMissed {
    /// Names of those who cosigned.
    pub cosigned: Vec<String>,
    /// Names of the others, each with the reason.
    pub missed: Vec<(String, String)>,
}

impl fmt::Display for QuorumMissed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the witness quorum was not reached")?;
        for name in &self.cosigned {
            write!(f, "; {name}: cosigned")?;
        }
        self.missed.iter().try_for_each(|(name, reason)| write!(f, "; {name}: {reason}"))
    }
}

impl std::error::Error for QuorumMissed {}

/// Consistency proofs from one size of the log's tree to another, not yet published one.
type Prove = dyn Fn(u64, u64) -> BoxFuture<'static, Result<Vec<Hash>, ReadError>> + Send + Sync;

/// The witnesses of a policy, and what is known of each.
pub struct Cosigners {
    policy: Policy,
    mode: FailMode,
    deadline: Duration,
    transport: Arc<dyn Transport>,
    endpoints: Vec<Arc<Endpoint>>,
    /// The last checkpoint was published without a quorum, and that was said.
    short: AtomicBool,
}

impl Cosigners {
    /// Witnesses to ask by `transport`, each question answered or given up within `deadline`.
    pub fn new(
        policy: Policy,
        mode: FailMode,
        deadline: Duration,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, Unreachable> {
        let (reachable, mute): (Vec<_>, Vec<_>) =
            policy.witnesses.iter().partition(|witness| witness.url.is_some());
        if !policy.satisfied(&names(&reachable)) {
            return Err(Unreachable { names: mute.iter().map(|witness| witness.name.clone()).collect() });
        }
        let endpoints = Endpoint::all(&policy).into_iter().map(Arc::new).collect();
        Ok(Self { policy, mode, deadline, transport, endpoints, short: AtomicBool::new(false) })
    }

    /// How each witness's server has done, in the policy's order.
    pub fn standings(&self) -> Vec<Standing> {
        self.endpoints.iter().map(|endpoint| endpoint.standing()).collect()
    }

    /// Cosignatures of a checkpoint, verified, in the policy's order. `checkpoint_note` bears the log's signature, and
    /// `prove` gives consistency proofs between sizes up to the checkpoint's.
    ///
    /// Returns as soon as the quorum is met, or cannot be met any more, or the deadline is over. A policy that asks for
    /// nobody (`quorum none`) gets nobody. Needs a Tokio runtime.
    pub async fn gather<P>(
        &self,
        checkpoint_note: &Note,
        checkpoint: &Checkpoint,
        prove: &P,
    ) -> Result<Vec<Signature>, QuorumMissed>
    where
        P: Fn(u64, u64) -> BoxFuture<'static, Result<Vec<Hash>, ReadError>> + Clone + Send + Sync + 'static,
    {
        if self.policy.satisfied::<&str>(&[]) {
            return Ok(Vec::new());
        }
        let question = Arc::new(Question {
            checkpoint: checkpoint.clone(),
            note: checkpoint_note.to_string(),
            until: Instant::now() + self.deadline,
            prove: Arc::new(prove.clone()),
            transport: self.transport.clone(),
        });
        let mut round = Round::new(self);
        let mut answers: FuturesUnordered<_> = self
            .calls()
            .into_iter()
            .filter(|(_, call)| *call != Call::Spare)
            .map(|(number, call)| {
                round.awaited[number] = call == Call::Await;
                let asked = Endpoint::ask(self.endpoints[number].clone(), question.clone());
                async move { (number, asked.await) }
            })
            .collect();
        while !round.met() && round.may_be_met() {
            match answers.next().await {
                Some((number, answer)) => round.take(number, answer),
                None => break,
            }
        }
        self.conclude(round)
    }

    /// Whom to ask now, and whether to wait for the answer.
    fn calls(&self) -> Vec<(usize, Call)> {
        let now = Instant::now();
        let numbered = || self.endpoints.iter().enumerate();
        match self.mode {
            // Whoever failed last time is tried again without waiting: if it answers, it is waited for next time.
            FailMode::Open => numbered()
                .map(|(number, endpoint)| {
                    let call = match endpoint.health(now) {
                        endpoint::Health::Good => Call::Await,
                        endpoint::Health::Retry => Call::Try,
                        endpoint::Health::Resting | endpoint::Health::PushedBack => Call::Spare,
                    };
                    (number, call)
                })
                .collect(),
            // Whoever failed is spared only while the quorum does not depend on it.
            FailMode::Closed => {
                let health: Vec<_> = numbered().map(|(_, endpoint)| endpoint.health(now)).collect();
                let fresh = |number: usize| {
                    matches!(health[number], endpoint::Health::Good | endpoint::Health::Retry)
                };
                let enough = self.policy.satisfied(&self.names_behind(fresh));
                let call = |number: usize| match health[number] {
                    endpoint::Health::PushedBack => Call::Spare,
                    endpoint::Health::Resting if enough => Call::Spare,
                    _ => Call::Await,
                };
                (0..self.endpoints.len()).map(|number| (number, call(number))).collect()
            }
        }
    }

    /// Names of the witnesses behind the endpoints that `chosen` picks by number.
    fn names_behind(&self, chosen: impl Fn(usize) -> bool) -> Vec<&str> {
        let endpoints = self.endpoints.iter().enumerate().filter(|(number, _)| chosen(*number));
        endpoints.flat_map(|(_, endpoint)| endpoint.names()).collect()
    }

    fn conclude(&self, round: Round<'_>) -> Result<Vec<Signature>, QuorumMissed> {
        if round.met() {
            self.short.store(false, Ordering::Relaxed);
            return Ok(round.signatures());
        }
        metrics::counter!("bulla_cosign_quorum_missed_total").increment(1);
        let missed = round.missed();
        match self.mode {
            FailMode::Closed => Err(missed),
            FailMode::Open => {
                // Publications may be many a second: the beginning and the end of such a time are news.
                if !self.short.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%missed, "publishing without the quorum, as the policy allows");
                }
                Ok(round.signatures())
            }
        }
    }
}

/// How a witness is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Its answer is waited for.
    Await,
    /// It is asked, and its answer taken if it comes before the others'.
    Try,
    /// It is not asked.
    Spare,
}

/// One question to all witnesses, and the answers so far.
struct Round<'a> {
    cosigners: &'a Cosigners,
    /// By endpoint: its answer is still to come and waited for.
    awaited: Vec<bool>,
    /// By endpoint: why it did not cosign.
    misses: Vec<Option<Miss>>,
    /// By witness of the policy.
    cosignatures: Vec<Option<Signature>>,
}

impl<'a> Round<'a> {
    fn new(cosigners: &'a Cosigners) -> Self {
        Self {
            cosigners,
            awaited: vec![false; cosigners.endpoints.len()],
            misses: vec![None; cosigners.endpoints.len()],
            cosignatures: vec![None; cosigners.policy.witnesses.len()],
        }
    }

    fn take(&mut self, number: usize, answer: Result<Vec<(usize, Signature)>, Miss>) {
        self.awaited[number] = false;
        match answer {
            Ok(cosignatures) => {
                for (witness, signature) in cosignatures {
                    self.cosignatures[witness] = Some(signature);
                }
            }
            Err(miss) => self.misses[number] = Some(miss),
        }
    }

    fn cosigned(&self) -> Vec<&'a str> {
        let witnesses = self.cosigners.policy.witnesses.iter().zip(&self.cosignatures);
        witnesses.filter(|(_, got)| got.is_some()).map(|(witness, _)| witness.name.as_str()).collect()
    }

    fn met(&self) -> bool {
        self.cosigners.policy.satisfied(&self.cosigned())
    }

    fn may_be_met(&self) -> bool {
        let mut names = self.cosigned();
        names.extend(self.cosigners.names_behind(|number| self.awaited[number]));
        self.cosigners.policy.satisfied(&names)
    }

    fn signatures(self) -> Vec<Signature> {
        self.cosignatures.into_iter().flatten().collect()
    }

    fn missed(&self) -> QuorumMissed {
        let cosigned: Vec<_> = self.cosigned().into_iter().map(str::to_owned).collect();
        let endpoints = self.cosigners.endpoints.iter().zip(&self.misses);
        let missed = endpoints
            .flat_map(|(endpoint, miss)| endpoint.names().map(move |name| (name, endpoint, miss)))
            .filter(|(name, _, _)| !cosigned.iter().any(|cosigned| cosigned == name))
            .map(|(name, endpoint, miss)| {
                let last = || endpoint.standing().last_miss;
                let reason = match miss {
                    Some(miss) => miss.to_string(),
                    None => last().map_or_else(
                        || "not waited for".to_owned(),
                        |last| format!("not waited for after {last}"),
                    ),
                };
                (name.to_owned(), reason)
            })
            .collect();
        QuorumMissed { cosigned, missed }
    }
}

fn names<'a>(witnesses: &[&'a bulla_tlog::policy::Witness]) -> Vec<&'a str> {
    witnesses.iter().map(|witness| witness.name.as_str()).collect()
}
