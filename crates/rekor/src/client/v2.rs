//! A client that writes to v2 logs. It believes nothing: what is answered is judged by [`Proved::check`], under keys that
//! the caller has from elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::{Material, Verifier as Key};
use bulla_ledger::ReadError;
use bulla_ledger::fsck::{ObjectError, Objects};
use bulla_tlog::note::Verifier;
use bulla_tlog::{Checkpoint, Hash, OpenError as Unsigned, Plan, ProofError, leaf_hash, verify_inclusion};
use bulla_web::{CONNECT, chain};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, StatusCode};
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::json;

use super::exchange::{self, BodyError};
use super::tiles::{OpenError, Remote};
use super::v1::{ClientError, Options, message};
use crate::wire::v2::request;

/// A v2 log that takes entries.
#[derive(Clone, Debug)]
pub struct RekorV2 {
    base: Url,
    client: Client,
    retries: u32,
}

/// A `hashedrekord` to be logged: the request, and the leaf that it must become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    json: String,
    /// The leaf: canonical JSON.
    pub body: Vec<u8>,
}

/// An entry as the log tells of it; nothing is verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proved {
    /// Its index.
    pub index: u64,
    /// The signed note of the tree head.
    pub checkpoint: String,
    /// Siblings, beside the leaf first.
    pub hashes: Vec<Hash>,
}

/// What was proved: that a leaf is in a tree that one of the keys signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sound {
    /// The whole key hash of the log.
    pub log_id: Hash,
    /// The size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Why an answer is not believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsound {
    /// No key that is known signed the checkpoint.
    #[error("checkpoint is signed by none of the {known} logs that are trusted")]
    Stranger {
        /// How many are.
        known: usize,
    },
    /// It is not a checkpoint, or one under another name.
    #[error("checkpoint: {0}")]
    Checkpoint(Unsigned),
    /// The path does not lead to the root.
    #[error("inclusion proof: {0}")]
    Inclusion(ProofError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    log_index: String,
    inclusion_proof: Inclusion,
}

#[derive(Deserialize)]
struct Inclusion {
    #[serde(default)]
    hashes: Vec<String>,
    checkpoint: Note,
}

#[derive(Deserialize)]
struct Note {
    envelope: String,
}

impl Proposal {
    /// An entry about a digest, which the key signed. What a log would refuse is refused here, with the same words.
    pub fn new(digest: &[u8], signature: &[u8], key: &Key) -> Result<Self, String> {
        let raw = json!({ "rawBytes": STANDARD.encode(key.material.raw_bytes()) });
        let details = bulla_claims::PublicKeyDetails::from_number(key.key_details);
        let mut verifier = json!({ "keyDetails": details.map(bulla_claims::PublicKeyDetails::name) });
        match key.material {
            Material::PublicKey(_) => verifier["publicKey"] = raw,
            Material::Certificate(_) => verifier["x509Certificate"] = raw,
        }
        let json = json!({ "hashedRekordRequestV002": {
            "digest": STANDARD.encode(digest),
            "signature": { "content": STANDARD.encode(signature), "verifier": verifier },
        }})
        .to_string();
        let proposed = request::from_json(json.as_bytes()).map_err(|error| error.to_string())?;
        let admitted = bulla_claims::admit(&proposed, &bulla_claims::Rules::default());
        let body = admitted.map_err(|refusal| refusal.to_string())?.body;
        Ok(Self { json, body })
    }
}

impl Proved {
    /// Whether the leaf is in a tree that one of these logs signed.
    pub fn check(&self, body: &[u8], logs: &[Verifier]) -> Result<Sound, Unsound> {
        let mut other = Unsound::Stranger { known: logs.len() };
        for log in logs {
            match Checkpoint::open(&self.checkpoint, log) {
                Ok((head, _)) => {
                    let leaf = leaf_hash(body);
                    verify_inclusion(&leaf, self.index, head.size, &self.hashes, &head.root)
                        .map_err(Unsound::Inclusion)?;
                    return Ok(Sound { log_id: log.log_id(), size: head.size, root: head.root });
                }
                Err(Unsigned::Unsigned { .. }) => {}
                Err(error) => other = Unsound::Checkpoint(error),
            }
        }
        Err(other)
    }
}

impl RekorV2 {
    /// A log at a URL, which may have a path before `/api/v2`.
    pub fn new(url: &str, options: &Options) -> Result<Self, ClientError> {
        let refused = |problem: String| ClientError::Url { url: url.to_owned(), problem };
        let base = exchange::base_url(url).map_err(refused)?;
        let client = bulla_web::client()
            .user_agent(&options.user_agent)
            .connect_timeout(CONNECT.min(options.timeout))
            .timeout(options.timeout);
        let client = client.build().map_err(|error| refused(chain(&error)))?;
        Ok(Self { base, client, retries: options.retries })
    }

    /// Logs an entry, or finds it where it is already; with its proof.
    pub async fn create(&self, proposal: &Proposal) -> Result<Proved, ClientError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), ENTRIES));
        let wrong = |problem: String| ClientError::Answer { url: url.to_string(), problem };
        let mut attempt = 0;
        let body = loop {
            let (cause, asked) = match self.attempt(&url, proposal).await? {
                Attempt::Logged(body) => break body,
                Attempt::Exists(index) => return self.existing(index).await,
                Attempt::Again { cause, asked } => (cause, asked),
            };
            if attempt == self.retries {
                return Err(ClientError::Unavailable { url: url.to_string(), cause });
            }
            exchange::pause(attempt, asked).await;
            attempt += 1;
        };
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| wrong(format!("the answer is not as it must be: {error}")))?;
        let index = answer.log_index.parse();
        let index = index.map_err(|_| wrong(format!("logIndex is {:?}, no number", answer.log_index)))?;
        let hashes = answer.inclusion_proof.hashes.iter().map(|hash| Hash::from_base64(hash));
        let hashes: Option<_> = hashes.collect();
        let hashes =
            hashes.ok_or_else(|| wrong("a hash of the proof is not base64 of 32 bytes".to_owned()))?;
        Ok(Proved { index, checkpoint: answer.inclusion_proof.checkpoint.envelope, hashes })
    }

    /// The proof of an entry that was there first, from the tiles.
    async fn existing(&self, index: u64) -> Result<Proved, ClientError> {
        let url = self.base.as_str();
        let log = Remote::open(url).await.map_err(|error| match error {
            OpenError::Url { url, problem } => ClientError::Url { url, problem },
            OpenError::Read(error) => unread(url, error),
        })?;
        let objects = Objects::new(&log);
        let unread = |error: ObjectError| match error {
            ObjectError::Unavailable { file, cause } => {
                ClientError::Unavailable { url: format!("{url}{file}"), cause }
            }
            ObjectError::Fault(fault) => {
                ClientError::Answer { url: url.to_owned(), problem: fault.to_string() }
            }
        };
        let checkpoint = objects.checkpoint().await.map_err(unread)?;
        let head = checkpoint.split_once("\n\n").map(|(text, _)| Checkpoint::parse(&format!("{text}\n")));
        let size = match head {
            Some(Ok(head)) => head.size,
            _ => 0,
        };
        let plan = Plan::inclusion(index, size).ok_or_else(|| ClientError::Answer {
            url: url.to_owned(),
            problem: format!("entry {index} is said to be in the log, whose checkpoint has {size} entries"),
        })?;
        let hashes = objects.proof(&plan, size).await.map_err(unread)?;
        Ok(Proved { index, checkpoint, hashes })
    }

    async fn attempt(&self, url: &Url, proposal: &Proposal) -> Result<Attempt, ClientError> {
        let sent = self.client.post(url.clone()).header(ACCEPT, JSON).header(CONTENT_TYPE, JSON);
        let response = match sent.body(proposal.json.clone()).send().await {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Again { cause: chain(&error), asked: None }),
        };
        let status = response.status();
        let index = response.headers().get("x-log-index");
        let index = index.and_then(|value| value.to_str().ok()?.parse().ok());
        if let (StatusCode::CONFLICT, Some(index)) = (status, index) {
            return Ok(Attempt::Exists(index));
        }
        if exchange::is_for_now(status) && status != StatusCode::NOT_IMPLEMENTED {
            let asked = exchange::retry_after(&response);
            let said = message(response).await;
            return Ok(Attempt::Again { cause: format!("answered {status}: {said}"), asked });
        }
        if !matches!(status, StatusCode::CREATED | StatusCode::OK) {
            let message = match exchange::redirect(&response) {
                Some(to) => format!("redirects to {to}, give the URL of the log itself"),
                None => message(response).await,
            };
            return Err(ClientError::Refused { method: Method::POST, route: ENTRIES, status, message });
        }
        match exchange::read_body(response, LARGEST_ANSWER).await {
            Ok(body) => Ok(Attempt::Logged(body)),
            Err(BodyError::Broken(cause)) => Ok(Attempt::Again { cause, asked: None }),
            Err(BodyError::TooLong) => {
                let problem = format!("the answer has more than the {LARGEST_ANSWER} bytes that it can have");
                Err(ClientError::Answer { url: url.to_string(), problem })
            }
        }
    }
}

enum Attempt {
    Logged(bytes::Bytes),
    Exists(u64),
    Again { cause: String, asked: Option<std::time::Duration> },
}

fn unread(url: &str, error: ReadError) -> ClientError {
    let url = url.to_owned();
    match error {
        ReadError::Unavailable(cause) => ClientError::Unavailable { url, cause },
        ReadError::Corrupt(problem) => ClientError::Answer { url, problem },
    }
}

const ENTRIES: &str = "/api/v2/log/entries";
const JSON: &str = "application/json";
const LARGEST_ANSWER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::Ed25519KeyPair;
    use bulla_claims::SigningKey;
    use bulla_tlog::note::Ed25519Signer;
    use bulla_tlog::sha256;

    use super::*;

    fn log(name: &str) -> Ed25519Signer {
        Ed25519Signer::new(name, Ed25519KeyPair::generate().expect("a key")).expect("a name")
    }

    fn proposal(signed: &[u8], digest_of: &[u8]) -> Result<Proposal, String> {
        let key = SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key");
        let signature = key.sign(signed).expect("signs");
        let material = Material::PublicKey(key.spki().to_vec());
        let key = Key { material, key_details: key.details() as i32 };
        Proposal::new(&sha256(digest_of).0, &signature, &key)
    }

    #[test]
    fn what_a_log_would_refuse_is_not_proposed() {
        assert!(proposal(b"artifact", b"artifact").is_ok());
        let refused = proposal(b"artifact", b"another").expect_err("is refused");
        assert!(refused.contains("signature"), "{refused}");
    }

    #[test]
    fn only_a_path_to_a_signed_root_is_believed() {
        let (ours, other) = (log("log.example.org"), log("log.example.org"));
        let body = b"a leaf";
        let (origin, root) = ("log.example.org".to_owned(), leaf_hash(body));
        let head = Checkpoint { origin, size: 1, root, extensions: Vec::new() };
        let checkpoint = head.sign(&ours).expect("signs").to_string();
        let proved = Proved { index: 0, checkpoint, hashes: Vec::new() };
        let known = || [log("other.example.org").verifier().clone(), ours.verifier().clone()];
        let sound = Sound { log_id: ours.verifier().log_id(), size: 1, root };
        assert_eq!(proved.check(body, &known()), Ok(sound));
        assert!(matches!(proved.check(b"another", &known()), Err(Unsound::Inclusion(_))));
        let moved = Proved { index: 1, ..proved.clone() };
        assert!(matches!(moved.check(body, &known()), Err(Unsound::Inclusion(_))));
        let longer = Proved { hashes: vec![root], ..proved.clone() };
        assert!(matches!(longer.check(body, &known()), Err(Unsound::Inclusion(_))));
        let stranger = proved.check(body, &[other.verifier().clone()]);
        assert_eq!(stranger, Err(Unsound::Stranger { known: 1 }));
        let nothing = Proved { checkpoint: "no note".to_owned(), ..proved };
        assert!(matches!(nothing.check(body, &known()), Err(Unsound::Checkpoint(_))));
    }
}
