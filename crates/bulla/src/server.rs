//! A v1 server with what is known of it: whose key its answers are judged by, and whether it keeps to its past.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bulla_rekor::client::v1::{ClientError, Entry, Head, LogKey, Options, RekorV1, Unsound};

use crate::command::Failure;
use crate::known::Known;
use crate::target::read_small;

// Which server, and its key.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Address of the log's v1 API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    server: String,
    /// The log's public key: PEM, or a file with PEM; several for a log of several trees [default: what the server said
    /// when it was first asked, which is remembered]
    #[arg(long, value_name = "PEM|FILE")]
    key: Option<String>,
}

/// A server that can be asked.
pub(crate) struct Server {
    pub(crate) client: RekorV1,
    pub(crate) url: String,
    pinned: Option<Vec<Rc<LogKey>>>,
    keys: HashMap<u64, (Rc<LogKey>, Trust)>,
    pub(crate) known: Known,
}

/// Why a key is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    /// It was given.
    Pinned,
    /// The server had it before.
    Remembered,
    /// The server has it now, and was never asked before.
    FirstUse,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pinned => "given with --key",
            Self::Remembered => "remembered",
            Self::FirstUse => "trusted on first use, remembered from now on",
        })
    }
}

/// How a head goes with the one that is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Continuity {
    /// None is.
    FirstSight,
    /// It is the same.
    Same,
    /// It continues it.
    Continues {
        /// The size of the remembered one.
        from: u64,
    },
    /// It is older: the remembered one continues it.
    Before {
        /// The size of the remembered one.
        remembered: u64,
    },
}

impl fmt::Display for Continuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstSight => f.write_str("the first head seen of this tree, remembered from now on"),
            Self::Same => f.write_str("the head that is remembered"),
            Self::Continues { from } => write!(f, "continues the remembered head of {from} entries"),
            Self::Before { remembered } => {
                write!(f, "the remembered head of {remembered} entries continues it")
            }
        }
    }
}

impl Args {
    /// Opens it; nothing is asked yet.
    pub(crate) fn open(&self) -> Result<Server, Failure> {
        let pinned = self.key.as_deref().map(pinned).transpose()?;
        let client = RekorV1::new(&self.server, &Options::default()).map_err(failure)?;
        let known = Known::read(&self.server)?;
        let url = self.server.trim_end_matches('/').to_owned();
        Ok(Server { client, url, pinned, keys: HashMap::new(), known })
    }
}

impl Server {
    /// The key of a tree. A server that has another key than it had is not believed.
    pub(crate) async fn key(&mut self, tree: u64) -> Result<(Rc<LogKey>, Trust), Failure> {
        if let Some(known) = self.keys.get(&tree) {
            return Ok(known.clone());
        }
        let now = self.client.public_key(Some(tree)).await.map_err(failure)?;
        let found = match (&self.pinned, self.known.tree(tree).map(|tree| tree.key.as_str())) {
            (Some(pinned), _) => {
                let key = pinned.iter().find(|key| key.pem() == now.pem());
                let key = key.ok_or_else(|| {
                    let given: Vec<_> = pinned.iter().map(|key| key.log_id().to_string()).collect();
                    let (now, given) = (now.log_id(), given.join(" and "));
                    Failure::check(format!("tree {tree} has the log key {now}, --key is {given}"))
                })?;
                (Rc::clone(key), Trust::Pinned)
            }
            (None, Some(before)) if before == now.pem() => (Rc::new(now), Trust::Remembered),
            (None, Some(before)) => {
                let before =
                    LogKey::from_pem(before).map_or_else(|problem| problem, |key| key.log_id().to_string());
                let (now, path) = (now.log_id(), self.known.path().display());
                return Err(Failure::check(format!(
                    "the log key of tree {tree} was {before} and is {now} now: if the log's owner says that this is \
                     right, pass the new key with --key, or remove the old one from {path}"
                )));
            }
            (None, None) => (Rc::new(now), Trust::FirstUse),
        };
        self.keys.insert(tree, found.clone());
        Ok(found)
    }

    /// The key for an entry: that of the tree it says to be in.
    pub(crate) async fn key_of(&mut self, entry: &Entry) -> Result<(Rc<LogKey>, Trust), Failure> {
        let tree = entry.id.tree.ok_or_else(|| {
            Failure::check(format!("the server named the entry {} without its tree", entry.id))
        })?;
        self.key(tree).await
    }

    /// Whether a signed head goes with the remembered one of its tree; the later of the two is remembered.
    pub(crate) async fn follow(&mut self, head: &Head) -> Result<Continuity, Failure> {
        let (key, _) = self.key(head.tree).await?;
        let Some(old) = self.known.tree(head.tree) else {
            self.known.learn(head, &key);
            return Ok(Continuity::FirstSight);
        };
        // The key may have been changed by --key since; what it signed before is judged by the one of then.
        let broken = |problem: String| {
            let path = self.known.path().display();
            Failure::usage(format!("{path}: the remembered head of tree {}: {problem}", head.tree))
        };
        let old_key = LogKey::from_pem(&old.key).map_err(broken)?;
        let old = old_key.open(&old.checkpoint).map_err(|error| broken(error.to_string()))?;
        let (first, last) = if head.size < old.size { (head, &old) } else { (&old, head) };
        let unsound = |error: Unsound| {
            let (old, new) = (old.size, head.size);
            Failure::check(format!("the head of {new} entries and the remembered one of {old}: {error}"))
        };
        if last.needs_proof_since(first).map_err(unsound)? {
            let proof = self.client.proof(first.size, last.size, Some(head.tree)).await.map_err(failure)?;
            last.check_consistency(first, &proof.hashes).map_err(unsound)?;
        }
        if head.size < old.size {
            return Ok(Continuity::Before { remembered: old.size });
        }
        self.known.learn(head, &key);
        Ok(if head.size == old.size { Continuity::Same } else { Continuity::Continues { from: old.size } })
    }
}

/// What a server did not do, as the end of a command.
pub(crate) fn failure(error: ClientError) -> Failure {
    match &error {
        ClientError::Answer { .. } => Failure::check(error),
        ClientError::Unavailable { .. } => Failure::unavailable(error),
        ClientError::Refused { status, .. } if status.is_server_error() => Failure::unavailable(error),
        ClientError::Url { .. } | ClientError::Refused { .. } => Failure::usage(error),
    }
}

/// The keys in an argument or in the file it names.
fn pinned(given: &str) -> Result<Vec<Rc<LogKey>>, Failure> {
    let text = if given.contains("-----BEGIN ") {
        given.to_owned()
    } else {
        String::from_utf8_lossy(&read_small(Path::new(given), LARGEST_KEY)?).into_owned()
    };
    let wrong = |problem: String| Failure::usage(format!("--key {problem}"));
    let end = "-----END PUBLIC KEY-----";
    let blocks = text.split_inclusive(end).filter(|block| block.contains("-----BEGIN "));
    let keys: Vec<_> =
        blocks.map(|block| LogKey::from_pem(block).map(Rc::new).map_err(wrong)).collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(wrong("has no PEM of a PUBLIC KEY".to_owned())) } else { Ok(keys) }
}

const LARGEST_KEY: u64 = 64 << 10;
