//! Who may write, and how often: what is asked of a client before the body of its request is read (rate, token), and of an
//! entry after it was admitted (its signers). Reading is free for everybody.

mod address;
mod rate;
mod signers;
mod tokens;

pub use address::{Network, Peer, client_address};
pub use signers::{Fingerprint, Issuer, Pattern, Signers};
pub use tokens::Tokens;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;
use tonic::Code;

use self::rate::{Rate, Standing};

/// What an operator may choose about writing. The default lets everybody write.
#[derive(Default)]
pub struct Protection {
    /// Writes that one address may make in a minute; a batch is one write.
    pub writes_per_minute: Option<NonZeroU32>,
    /// Proxies that are believed when they say for whom they speak.
    pub trusted_proxies: Vec<Network>,
    /// If given, writes need one of them.
    pub tokens: Option<Tokens>,
    /// If given, writes with one of these are taken however many there are: those of services of the same process.
    pub own: Option<Tokens>,
    /// Whose entries are taken.
    pub signers: Signers,
}

/// Stands at the write path of both doors.
pub struct Guard {
    rate: Option<Rate>,
    proxies: Vec<Network>,
    tokens: Option<Tokens>,
    own: Option<Tokens>,
    signers: Signers,
    began: Instant,
}

impl Guard {
    /// A guard with these orders.
    pub fn new(protection: Protection) -> Self {
        let Protection { writes_per_minute, trusted_proxies, tokens, own, signers } = protection;
        let rate = writes_per_minute.map(Rate::new);
        Self { rate, proxies: trusted_proxies, tokens, own, signers, began: Instant::now() }
    }

    /// Decides about a write from the head of its request. One that is let in, or has no good token, counts.
    pub(crate) fn admission(&self, headers: &HeaderMap, extensions: &Extensions) -> Admission {
        if self.own.as_ref().is_some_and(|own| own.bearer(headers.get(AUTHORIZATION)).is_ok()) {
            return Admission::free();
        }
        // A request that came over no connection is nobody's in particular.
        let peer = extensions.get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| *address);
        let address = client_address(peer, headers, &self.proxies);
        let mut standing = None;
        if let Some(rate) = &self.rate {
            let (now_at, wait_seconds) = rate.take(address, self.began.elapsed());
            standing = Some(now_at);
            if let Some(wait_seconds) = wait_seconds {
                tracing::debug!(%address, "too many writes");
                let verdict = Err(Denied::Rate { limit: now_at.limit, wait_seconds });
                return Admission { standing, verdict };
            }
        }
        let verdict = match &self.tokens {
            None => Ok(()),
            Some(tokens) => match tokens.bearer(headers.get(AUTHORIZATION)) {
                Ok(name) => {
                    tracing::debug!(%address, token = name, "write token accepted");
                    Ok(())
                }
                Err(denied) => Err(denied),
            },
        };
        Admission { standing, verdict }
    }

    /// Decides about an entry from the body that it was admitted with.
    pub(crate) fn judge(&self, body: &[u8]) -> Result<(), Denied> {
        self.signers.judge(body).map_err(Denied::Signer)
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(Protection::default())
    }
}

/// How often one address may have something done, where other things than writes are counted.
pub struct Allowance {
    rate: Rate,
    began: Instant,
}

impl Allowance {
    /// So often in a minute, and as often at once after a quiet one.
    pub fn new(per_minute: NonZeroU32) -> Self {
        Self { rate: Rate::new(per_minute), began: Instant::now() }
    }

    /// Takes one, or says after how many seconds there will be one.
    pub fn take(&self, address: IpAddr) -> Option<u64> {
        self.rate.take(address, self.began.elapsed()).1
    }
}

/// What was decided about a write.
pub(crate) struct Admission {
    standing: Option<Standing>,
    /// Whether it is let in.
    pub(crate) verdict: Result<(), Denied>,
}

impl Admission {
    /// For what is no write.
    pub(crate) fn free() -> Self {
        Self { standing: None, verdict: Ok(()) }
    }

    /// Says in an answer how its client stands.
    pub(crate) fn note_on(&self, headers: &mut HeaderMap) {
        let Some(Standing { limit, remaining, reset_seconds }) = self.standing else { return };
        headers.insert(LIMIT, HeaderValue::from(limit));
        headers.insert(REMAINING, HeaderValue::from(remaining));
        headers.insert(RESET, HeaderValue::from(reset_seconds));
    }
}

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Why a write is not let in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// The address wrote too often.
    #[error(
        "too many writes from your address, at most {limit} a minute are taken: try again in {wait_seconds} s"
    )]
    Rate { limit: u32, wait_seconds: u64 },
    /// No token, or in no form that is known.
    #[error("writing to this log needs a token: send it as Authorization: Bearer TOKEN")]
    NoToken,
    /// Not one of ours.
    #[error("the write token in Authorization is not known here")]
    Token,
    /// Nobody who may write signed the entry.
    #[error("{0}")]
    Signer(String),
}

impl Denied {
    /// HTTP status, gRPC code, and the reason as the metrics label it.
    pub(crate) fn row(&self) -> (StatusCode, Code, &'static str) {
        match self {
            Self::Rate { .. } => (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, "rate"),
            Self::NoToken | Self::Token => (StatusCode::UNAUTHORIZED, Code::Unauthenticated, "token"),
            Self::Signer(_) => (StatusCode::FORBIDDEN, Code::PermissionDenied, "signer"),
        }
    }

    /// What the client is told beside the message.
    pub(crate) fn note_on(&self, headers: &mut HeaderMap) {
        match self {
            Self::Rate { wait_seconds, .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*wait_seconds));
            }
            Self::NoToken | Self::Token => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Signer(_) => {}
        }
    }
}
