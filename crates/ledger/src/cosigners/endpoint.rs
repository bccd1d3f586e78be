//! One witness server: the `add-checkpoint` exchange with it, and what is remembered of it between exchanges (C2SP
//! tlog-witness; a restart of the log costs one answer 409, for the remembered size is in memory only).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulla_tlog::Checkpoint;
use bulla_tlog::add_checkpoint::{self, BodyError, Request, SIZE_CONTENT_TYPE};
use bulla_tlog::cosignature::CosignatureVerifier;
use bulla_tlog::note::Signature;
use bulla_tlog::policy::Policy;
use bytes::Bytes;
use tokio::time::Instant;

use super::{Answer, Prove, Transport};
use crate::source::ReadError;

/// What every witness is asked.
pub(super) struct Question {
    pub(super) checkpoint: Checkpoint,
    /// The checkpoint as the log signed it.
    pub(super) note: String,
    pub(super) until: Instant,
    pub(super) prove: Arc<Prove>,
    pub(super) transport: Arc<dyn Transport>,
}

/// Why a witness did not cosign.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Miss {
    /// No answer by the deadline.
    #[error("no answer in time")]
    Late,
    /// It could not be reached.
    #[error("{0}")]
    Unreached(String),
    /// The answer is not made of signature lines.
    #[error("answer 200 is malformed: {0}")]
    Malformed(#[from] BodyError),
    /// The answer has no good cosignature by the policy's key.
    #[error("answer 200 has no good cosignature by its key")]
    Forged,
    /// It does not know the log's key.
    #[error("answer 403: the witness does not trust the log's key, it needs the log's vkey")]
    Untrusted,
    /// It does not know the log.
    #[error("answer 404: the witness does not know the log, or its URL is wrong")]
    Unknown,
    /// It wants to be asked less often.
    #[error("answer 429: the witness is asked too often")]
    TooOften,
    /// A status that the protocol has no other meaning for.
    #[error("answer {0}")]
    Status(u16),
    /// It contradicts itself about the size that it has.
    #[error("answer 409: it says that it has another size each time it is asked, now {known}")]
    Unsettled {
        /// The size it said last.
        known: u64,
    },
    /// Our own tree could not be read for the proof.
    #[error("no consistency proof to send: {0}")]
    Proof(ReadError),
    /// It says that it has cosigned a larger tree of this log: the log went back, or the witness lies.
    #[error("the witness has size {known}, the log only {size}: was the log restored from an old copy?")]
    Ahead {
        /// What the witness says.
        known: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// It says that it has cosigned another tree of this log.
    #[error("answer {status}: the witness has cosigned another tree of this log than the one of size {size}")]
    Fork {
        /// 409 or 422.
        status: u16,
        /// The checkpoint's size.
        size: u64,
    },
}

impl Miss {
    /// Whether it says that the log has shown two trees.
    pub fn is_alarm(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Fork { .. })
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Unreached(_) => "unreached",
            Self::Malformed(_) | Self::Forged => "forged",
            Self::Untrusted | Self::Unknown => "unknown",
            Self::TooOften => "too_often",
            Self::Status(_) | Self::Unsettled { .. } => "refused",
            Self::Proof(_) => "no_proof",
            Self::Ahead { .. } => "ahead",
            Self::Fork { .. } => "fork",
        }
    }
}

/// How a witness has done so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The policy's names of the witnesses behind this server, nearly always one.
    pub names: Vec<String>,
    /// The largest size it has cosigned for this process.
    pub acknowledged: u64,
    /// Failures since its last cosignature.
    pub failures: u32,
    /// Why it did not cosign the last time it did not, for people.
    pub last_miss: Option<String>,
    /// How often it said that the log has shown two trees.
    pub alarms: u64,
    retry_at: Option<Instant>,
    pushed_back: bool,
}

/// Whether a witness is worth asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Health {
    /// It has not failed since it last cosigned.
    Good,
    /// It failed, and it is time to try again.
    Retry,
    /// It failed a short while ago.
    Resting,
    /// It asked to be left alone.
    PushedBack,
}

/// One server, which answers for one witness, or for one that has several keys.
pub(super) struct Endpoint {
    /// Where to post.
    url: String,
    /// Its keys: number of the witness in the policy, its name there, the key.
    keys: Vec<(usize, String, CosignatureVerifier)>,
    standing: Mutex<Standing>,
    /// Held during an exchange: a witness is asked one thing at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

type Cosignatures = Vec<(usize, Signature)>;

impl Endpoint {
    /// The servers of a policy.
    pub(super) fn all(policy: &Policy) -> Vec<Self> {
        let mut endpoints: Vec<Self> = Vec::new();
        for (number, witness) in policy.witnesses.iter().enumerate() {
            let Some(url) = &witness.url else { continue };
            let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
            let key = (number, witness.name.clone(), witness.verifier.clone());
            match endpoints.iter_mut().find(|endpoint| endpoint.url == url) {
                Some(endpoint) => {
                    endpoint.lock().names.push(witness.name.clone());
                    endpoint.keys.push(key);
                }
                None => endpoints.push(Self {
                    url,
                    standing: Mutex::new(Standing::new(witness.name.clone())),
                    keys: vec![key],
                    turn: Arc::default(),
                }),
            }
        }
        endpoints
    }

    /// The policy's names of its witnesses.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(_, name, _)| name.as_str())
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().clone()
    }

    pub(super) fn health(&self, now: Instant) -> Health {
        let standing = self.lock();
        match standing.retry_at {
            None => Health::Good,
            Some(at) if at <= now => Health::Retry,
            Some(_) if standing.pushed_back => Health::PushedBack,
            Some(_) => Health::Resting,
        }
    }

    /// Asks, once an earlier question is answered; ends by the question's deadline.
    ///
    /// An exchange begins with the call if nothing is before it, and goes on when nobody waits for it any more: then the
    /// connection stays whole and the size that the witness has is known next time. There is at most one at a time.
    pub(super) fn ask(
        endpoint: Arc<Self>,
        question: Arc<Question>,
    ) -> impl Future<Output = Result<Cosignatures, Miss>> {
        let start = |turn, endpoint: Arc<Self>, question: Arc<Question>| {
            tokio::spawn(async move {
                let answer = endpoint.exchange_and_note(&question).await;
                drop(turn);
                answer
            })
        };
        let free = endpoint.turn.clone().try_lock_owned().ok();
        let begun = free.map(|turn| start(turn, endpoint.clone(), question.clone()));
        async move {
            let task = match begun {
                Some(task) => task,
                None => {
                    match tokio::time::timeout_at(question.until, endpoint.turn.clone().lock_owned()).await {
                        Ok(turn) => start(turn, endpoint, question),
                        Err(_) => return Err(Miss::Late),
                    }
                }
            };
            // The runtime is going down when this fails.
            task.await.unwrap_or(Err(Miss::Late))
        }
    }

    async fn exchange_and_note(&self, question: &Question) -> Result<Cosignatures, Miss> {
        let begun = Instant::now();
        let answer = tokio::time::timeout_at(question.until, self.exchange(question)).await;
        let answer = answer.unwrap_or(Err(Miss::Late));
        let (url, size) = (self.url.as_str(), question.checkpoint.size);
        let outcome = answer.as_ref().map_or_else(Miss::label, |_| "cosigned");
        let labels = [("witness", self.lock().names.join(",")), ("outcome", outcome.to_owned())];
        metrics::counter!("bulla_cosign_requests_total", &labels).increment(1);
        metrics::histogram!("bulla_cosign_seconds", &labels[..1]).record(begun.elapsed());
        match &answer {
            Ok(_) => self.lock().cosigned(size),
            // Not the witness's fault, and whoever publishes meets the same error.
            Err(miss @ Miss::Proof(_)) => tracing::error!(url, size, %miss, "witness not asked"),
            Err(miss) => {
                let failures = self.lock().missed(miss, Instant::now());
                if miss.is_alarm() {
                    metrics::counter!("bulla_cosign_alarms_total", &labels[..1]).increment(1);
                    let (root, note) = (question.checkpoint.root, question.note.as_str());
                    tracing::error!(url, size, %root, note, %miss, "ALARM: witness contradicts the log");
                } else {
                    tracing::warn!(url, size, failures, %miss, "witness did not cosign");
                }
            }
        }
        answer
    }

    async fn exchange(&self, question: &Question) -> Result<Cosignatures, Miss> {
        let size = question.checkpoint.size;
        let mut old = self.lock().acknowledged.min(size);
        for _ in 0..MAX_TRIES {
            let proof = if old == 0 || old == size {
                Vec::new()
            } else {
                (question.prove)(old, size).await.map_err(Miss::Proof)?
            };
            let request = Request { old, proof, checkpoint: question.note.clone() };
            let left = question.until.saturating_duration_since(Instant::now());
            let body = Bytes::from(request.to_string());
            let answer = question.transport.post(&self.url, body, left).await.map_err(|reason| {
                // The transport's own word for it would depend on whose timer is first.
                if Instant::now() >= question.until { Miss::Late } else { Miss::Unreached(reason) }
            })?;
            match answer.status {
                200 => return self.good(&question.checkpoint, &answer.body),
                409 if bears_size(&answer) => match add_checkpoint::parse_size(&answer.body) {
                    Some(known) if known > size => return Err(Miss::Ahead { known, size }),
                    // The size that we just said it has.
                    Some(known) if known == old => return Err(Miss::Unsettled { known }),
                    Some(known) => old = known,
                    None => return Err(Miss::Status(409)),
                },
                status @ (409 | 422) => return Err(Miss::Fork { status, size }),
                403 => return Err(Miss::Untrusted),
                404 => return Err(Miss::Unknown),
                429 => return Err(Miss::TooOften),
                status => return Err(Miss::Status(status)),
            }
        }
        Err(Miss::Unsettled { known: old })
    }

    /// The good cosignatures in an answer, one for each key.
    fn good(&self, checkpoint: &Checkpoint, body: &[u8]) -> Result<Cosignatures, Miss> {
        let lines = add_checkpoint::parse_response(body)?;
        let latest = |key: &CosignatureVerifier| {
            let timed = lines.iter().filter_map(|line| Some((key.verify(checkpoint, line)?, line)));
            timed.max_by_key(|(time, _)| *time).map(|(_, line)| line.clone())
        };
        let good: Vec<_> =
            self.keys.iter().filter_map(|(number, _, key)| Some((*number, latest(key)?))).collect();
        if good.is_empty() { Err(Miss::Forged) } else { Ok(good) }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn new(name: String) -> Self {
        Self {
            names: vec![name],
            acknowledged: 0,
            failures: 0,
            last_miss: None,
            alarms: 0,
            retry_at: None,
            pushed_back: false,
        }
    }

    fn cosigned(&mut self, size: u64) {
        self.acknowledged = size;
        self.failures = 0;
        self.retry_at = None;
        self.pushed_back = false;
    }

    fn missed(&mut self, miss: &Miss, now: Instant) -> u32 {
        let rest = FIRST_REST.saturating_mul(1 << self.failures.min(16)).min(LONGEST_REST);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + rest);
        self.pushed_back = *miss == Miss::TooOften;
        self.last_miss = Some(miss.to_string());
        self.alarms += u64::from(miss.is_alarm());
        self.failures
    }
}

/// Whether an answer says that its body is the size that the witness has.
fn bears_size(answer: &Answer) -> bool {
    let media = answer.content_type.as_deref().and_then(|value| value.split(';').next());
    media.is_some_and(|media| media.trim().eq_ignore_ascii_case(SIZE_CONTENT_TYPE))
}

/// A witness may learn of another size between our question and its answer, but not for ever.
const MAX_TRIES: usize = 3;
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_mins(1);
