//! The log that a command looks at from outside: a directory or a URL, and the public key it is judged by.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_ledger::Source;
use bulla_ledger::fsck::{ObjectError, Objects};
use bulla_ledger::source::StaticDir;
use bulla_ledger::storage::file::DataDir;
use bulla_rekor::client::{OpenError, Remote};
use bulla_tlog::note::Verifier;

use crate::command::Failure;
use crate::home::{List, Listed};

// Which log, and its key.
#[derive(Clone, clap::Args)]
// Commands take these beside arguments of their own, and clap allows one group of the name `Args`.
#[group(skip)]
pub(crate) struct Args {
    /// Directory of a log (of `bulla serve`, or a static copy with `checkpoint` and `tile/`), or its URL
    #[arg(value_name = "DIR|URL")]
    target: String,
    /// The log's public key: a vkey, or a file with a vkey or a PEM or DER public key [default: DIR/log.vkey]
    #[arg(long, value_name = "VKEY|FILE")]
    key: Option<String>,
    /// The log's name, for a PEM or DER key, which has none [default: what the checkpoint says]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

/// A log that can be read.
pub(crate) struct Target {
    /// What it serves.
    pub(crate) source: Arc<dyn Source>,
    /// The key that was given or found.
    pub(crate) key: Option<Verifier>,
}

impl std::fmt::Display for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.target)
    }
}

impl Args {
    /// The log, shard by shard if it is one's own directory and no key says which of them is meant.
    pub(crate) fn shards(&self) -> Result<Vec<Self>, Failure> {
        let dir = Path::new(&self.target);
        let one = || vec![self.clone()];
        if self.key.is_some() || self.origin.is_some() || self.target.contains("://") {
            return Ok(one());
        }
        let Some(list) = List::read(dir)? else { return Ok(one()) };
        let target = |listed: &Listed| Self {
            target: crate::home::place(dir, &list, listed.tree).display().to_string(),
            key: None,
            origin: None,
        };
        Ok(list.shards.iter().map(target).collect())
    }

    /// Opens the log; the key stays unknown when none was given and none lies beside the log.
    pub(crate) async fn open(&self) -> Result<Target, Failure> {
        let source = self.source().await?;
        let key = match &self.key {
            Some(given) => Some(self.given_key(given, source.as_ref()).await?),
            None => self.key_beside()?,
        };
        let wrong = |key: &&Verifier| self.origin.as_deref().is_some_and(|origin| origin != key.name());
        if let Some(key) = key.as_ref().filter(wrong) {
            let origin = self.origin.as_deref().unwrap_or_default();
            return Err(Failure::usage(format!(
                "the key is of log {:?}, --origin is {origin:?}",
                key.name()
            )));
        }
        Ok(Target { source, key })
    }

    /// Opens the log with its key, without which nothing can be judged.
    pub(crate) async fn open_with_key(&self) -> Result<(Arc<dyn Source>, Verifier), Failure> {
        let Target { source, key } = self.open().await?;
        let missing = || {
            Failure::usage(
                "nothing is sound without the log's public key: pass --key VKEY, or --key FILE with a vkey or a \
                 PEM or DER public key",
            )
        };
        Ok((source, key.ok_or_else(missing)?))
    }

    async fn source(&self) -> Result<Arc<dyn Source>, Failure> {
        if self.target.contains("://") {
            let remote = Remote::open(&self.target).await.map_err(|error| match error {
                OpenError::Url { .. } => Failure::usage(error),
                OpenError::Read(_) => Failure::unavailable(error),
            })?;
            return Ok(Arc::new(remote));
        }
        let dir = Path::new(&self.target);
        if !dir.is_dir() {
            let problem = "is no directory, nor a URL such as https://log.example.org";
            return Err(Failure::usage(format!("{:?} {problem}", self.target)));
        }
        if DataDir::is_one(dir) {
            return Ok(Arc::new(DataDir::open(dir).map_err(Failure::usage)?));
        }
        Ok(Arc::new(StaticDir::new(dir)))
    }

    fn key_beside(&self) -> Result<Option<Verifier>, Failure> {
        let path = Path::new(&self.target).join(VKEY_FILE);
        if self.target.contains("://") || !path.is_file() {
            return Ok(None);
        }
        let bytes = read_small(&path, LARGEST_KEY)?;
        let vkey = String::from_utf8_lossy(&bytes);
        let refused = |error| Failure::usage(format!("{}: {error}", path.display()));
        Verifier::from_vkey(vkey.trim()).map(Some).map_err(refused)
    }

    async fn given_key(&self, given: &str, source: &dyn Source) -> Result<Verifier, Failure> {
        let path = PathBuf::from(given);
        if !path.is_file() {
            let refused = |error| Failure::usage(format!("--key is no file, and as a vkey: {error}"));
            return Verifier::from_vkey(given.trim()).map_err(refused);
        }
        let bytes = read_small(&path, LARGEST_KEY)?;
        let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{given}: {problem}"));
        let text = std::str::from_utf8(&bytes).ok().map(str::trim);
        let spki = match text {
            Some(text) if text.starts_with("-----BEGIN ") => {
                from_pem(text).ok_or_else(|| failed(&"is not the PEM of one PUBLIC KEY"))?
            }
            Some(text) if text.contains('+') => {
                return Verifier::from_vkey(text).map_err(|error| failed(&error));
            }
            _ => bytes,
        };
        let name = match &self.origin {
            Some(origin) => origin.clone(),
            None => origin_of(source).await?,
        };
        Verifier::from_spki(&name, &spki).map_err(|error| failed(&error))
    }
}

/// What the checkpoint calls the log; that only names the key, which then must have signed that very checkpoint.
async fn origin_of(source: &dyn Source) -> Result<String, Failure> {
    let note = Objects::new(source).checkpoint().await.map_err(failure)?;
    let origin = note.lines().next().unwrap_or_default();
    // A v1 log signs as its host, and its checkpoints say the tree's number after it.
    Ok(origin.split_once(" - ").map_or(origin, |(host, _)| host).to_owned())
}

/// What went wrong with an object of the log, as the end of a command.
pub(crate) fn failure(error: ObjectError) -> Failure {
    match error {
        ObjectError::Fault(fault) => Failure::check(fault),
        error @ ObjectError::Unavailable { .. } => Failure::unavailable(error),
    }
}

/// Reads a file that must not be larger than that.
pub(crate) fn read_small(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > most {
        return Err(failed(&format!("has more than {most} bytes")));
    }
    Ok(bytes)
}

fn from_pem(text: &str) -> Option<Vec<u8>> {
    let body = text.strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

const VKEY_FILE: &str = "log.vkey";
const LARGEST_KEY: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    // The keys and the checkpoint of reference rekor-v2 §10.1 and §10.6.
    const VKEY: &str = "log.example.org+b1db5813+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
    const SPKI: &str = "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    const CHECKPOINT: &str = "log.example.org\n3\nuR7rHeIPO61Oym6bEkiEIj/KWb3UC2xbXH4mdRZkUzI=\n\n\u{2014} log.example.org sdtYE4tMHHNkTJLYEgKD2kWfISwrLC+d5hUs3k+aCF3ajVXaVLscVz9Sj/LlhAC4i3TqZ80wM08FoES/pcB2ZZF8Xws=\n";

    fn args(dir: &Path, key: Option<String>, origin: Option<&str>) -> Args {
        Args { target: dir.display().to_string(), key, origin: origin.map(str::to_owned) }
    }

    #[tokio::test]
    async fn a_key_is_read_in_every_form() {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::write(dir.path().join("checkpoint"), CHECKPOINT).expect("write");
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).expect("write");
            Some(path.display().to_string())
        };
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{SPKI}\n-----END PUBLIC KEY-----\n");
        let der = STANDARD.decode(SPKI).expect("base64");
        let given = [
            Some(VKEY.to_owned()),
            file("key.txt", format!("{VKEY}\n").as_bytes()),
            file("key.pem", pem.as_bytes()),
            file("key.der", &der),
        ];
        for key in given {
            let (_, found) = args(dir.path(), key.clone(), None).open_with_key().await.expect("a key");
            assert_eq!(found.vkey(), VKEY, "{key:?}");
        }
        let key = file("key.pem", pem.as_bytes());
        let (_, found) = args(dir.path(), key, Some("other")).open_with_key().await.expect("a key");
        assert_eq!(found.name(), "other");
        assert!(args(dir.path(), None, None).open().await.expect("a log").key.is_none());
        file(VKEY_FILE, VKEY.as_bytes());
        let found = args(dir.path(), None, None).open().await.expect("a log").key;
        assert_eq!(found.expect("a key").vkey(), VKEY);
    }

    #[tokio::test]
    async fn what_is_no_key_or_no_log_is_refused() {
        let dir = tempfile::tempdir().expect("directory");
        let private = dir.path().join("key");
        std::fs::write(&private, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
            .expect("write");
        for (key, problem) in [
            ("nothing".to_owned(), "--key is no file, and as a vkey: "),
            (private.display().to_string(), "is not the PEM of one PUBLIC KEY"),
        ] {
            let failure = args(dir.path(), Some(key), None).open().await.err().expect("refused");
            assert!(failure.to_string().contains(problem), "{failure}");
        }
        let failure =
            args(dir.path(), Some(VKEY.to_owned()), Some("other")).open().await.err().expect("refused");
        assert_eq!(failure.to_string(), "the key is of log \"log.example.org\", --origin is \"other\"");
        let failure = args(dir.path(), None, None).open_with_key().await.err().expect("refused");
        assert!(failure.to_string().contains("--key"), "{failure}");
        let failure = args(&dir.path().join("none"), None, None).open().await.err().expect("refused");
        assert!(failure.to_string().ends_with("is no directory, nor a URL such as https://log.example.org"));
    }
}
