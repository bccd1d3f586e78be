//! A data directory as the roof sees it: the ledger's files, and beside them the log's key and what is known of it.
//!
//! ```text
//! DIR/log.key      private key, PEM PKCS#8, owner only; absent when --key names another file
//! DIR/log.pub      public key, PEM
//! DIR/log.vkey     public key with the origin, as note verifiers take it (C2SP signed-note)
//! DIR/v1.key       private key of the v1 door, PEM PKCS#8, owner only; absent when --v1-key names another file
//! DIR/v1.pub       its public key, PEM
//! DIR/log.url      where the log said it is, for the trust files
//! DIR/shards.json  the shards, oldest first; the first lies in DIR itself
//! DIR/shards/TREE  a later shard: the ledger's files and keys as in DIR
//! ```

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::x509;
use bulla_claims::{LogSigner, SigningKey};
use bulla_ledger::storage::file::{FileStorage, Format, OpenError};
use bulla_tlog::note::{NameError, Verifier, valid_origin};

use bulla_rekor::wire::v1::id::TreeId;

use crate::command::Failure;
use crate::keys::KeyText;
use crate::whole_file::{Old, Readers, put};

mod list;

pub(crate) use list::{List, Listed, Next, new_tree, place};

// Where a log lives and whose it is: the options that every command about one's own log has.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Directory that holds the log; made, with a key, when it is not there
    #[arg(long, value_name = "DIR", default_value = "bulla-data", help_heading = "The log")]
    pub(crate) data: PathBuf,
    /// Name that the log signs under: the host name of its public URL [default: the directory's, at first localhost]
    #[arg(long, value_name = "NAME", help_heading = "The log")]
    pub(crate) origin: Option<String>,
    /// Private key: PEM of PKCS#8, SEC1 or PKCS#1, encrypted or not [default: DIR/log.key, made when it is not there]
    #[arg(long, value_name = "FILE", help_heading = "The log")]
    pub(crate) key: Option<PathBuf>,
    /// Private key that signs promises and heads for v1 clients; they expect ECDSA P-256 [default: DIR/v1.key, made when it
    /// is not there]
    #[arg(long, value_name = "FILE", help_heading = "The log")]
    pub(crate) v1_key: Option<PathBuf>,
    /// File with the password of the private keys
    #[arg(long, value_name = "FILE", help_heading = "The log")]
    pub(crate) key_password_file: Option<PathBuf>,
    /// Password of the private keys; other users of the machine can see flags, so set `BULLA_KEY_PASSWORD` instead
    #[arg(long, value_name = "PASSWORD", conflicts_with = "key_password_file", help_heading = "The log")]
    pub(crate) key_password: Option<String>,
}

impl Args {
    /// That directory and nothing else.
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            data: dir.to_owned(),
            origin: None,
            key: None,
            v1_key: None,
            key_password: None,
            key_password_file: None,
        }
    }
}

/// What may happen to a directory that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is made, with a key.
    Create,
    /// It is refused.
    Refuse,
}

/// A directory whose keys are at hand.
pub(crate) struct Home {
    dir: PathBuf,
    new: bool,
    list: List,
    trees: Vec<Tree>,
}

/// One shard of a log as it lies in its directory: the ledger's files, and the keys that sign for it.
pub(crate) struct Tree {
    /// Its ID.
    pub(crate) id: TreeId,
    /// When it ended, in Unix seconds, if it has.
    pub(crate) ended: Option<u64>,
    url: Option<String>,
    dir: PathBuf,
    format: Format,
    signer: LogSigner,
    v1_key: SigningKey,
}

/// A shard whose files are open.
pub(crate) struct OpenTree {
    /// What signs for it.
    pub(crate) tree: Tree,
    /// Its ledger's files.
    pub(crate) storage: FileStorage,
}

impl Home {
    /// Finds the directory, its origin and its keys, and makes what is missing.
    pub(crate) fn find(args: &Args, absent: Absent) -> Result<Self, Failure> {
        if let Some(origin) = &args.origin {
            check_origin(origin)?;
        }
        let dir = args.data.clone();
        let existing = read_format(&dir)?;
        if existing.is_none() && absent == Absent::Refuse {
            return Err(Failure::usage(format!("{} holds no log: pass --data DIR", dir.display())));
        }
        let new = existing.is_none();
        if new {
            make_directory(&dir)?;
        }
        let list = List::read_or_begin(&dir, new)?;
        let mut trees = Vec::with_capacity(list.shards.len());
        for listed in &list.shards {
            let at = list::place(&dir, &list, listed.tree);
            if at != dir && !at.is_dir() {
                let (tree, at) = (listed.tree, at.display());
                let problem = format!("shard {tree} is listed, but {at} is missing: restore it from a copy");
                return Err(Failure::check(problem));
            }
            let active = listed.ended.is_none();
            let origin = args.origin.as_deref().filter(|_| active);
            let tree = if at == dir {
                Tree::find(&at, origin, args, listed)?
            } else {
                if read_format(&at)?.is_none() {
                    // Its first day is over: it must not get new keys and begin anew under the same ID.
                    let (tree, at) = (listed.tree, at.display());
                    let problem = format!(
                        "shard {tree} is in shards.json, but {at} holds no log: restore it from a copy"
                    );
                    return Err(Failure::check(problem));
                }
                // The options about keys are about the first shard's: later ones have their own.
                Tree::find(&at, origin, &Args::of(&at), listed)?
            };
            trees.push(tree);
        }
        Ok(Self { dir, new, list, trees })
    }

    /// Opens the ledgers' files, oldest first, and, now that they are known to be these keys', writes down who the log is.
    /// If another process has them, the failure ends with `in_use`: what to do then.
    pub(crate) fn open(self, in_use: &str) -> Result<Vec<OpenTree>, Failure> {
        let opened = self.trees.into_iter().map(|tree| tree.open(in_use)).collect::<Result<_, _>>()?;
        self.list.write(&self.dir)?;
        Ok(opened)
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The shard that an interrupted rotation was about to begin.
    pub(crate) fn next(&self) -> Option<Next> {
        self.list.next.clone()
    }

    /// Whether this is the log's first day.
    pub(crate) fn is_new(&self) -> bool {
        self.new
    }
}

/// Remembers where the log in a directory is, so that the trust files can say so.
pub(crate) fn remember_url(dir: &Path, url: &str) -> Result<(), Failure> {
    note(dir, "log.url", &format!("{url}\n"))
}

impl Tree {
    /// Finds a shard's origin and keys; a new one's are made.
    fn find(dir: &Path, origin: Option<&str>, args: &Args, listed: &Listed) -> Result<Self, Failure> {
        let existing = read_format(dir)?;
        let new = existing.is_none();
        let origin =
            origin.or(existing.as_ref().map(|format| format.origin.as_str())).unwrap_or(FIRST_ORIGIN);
        let password = password(args)?;
        let key = key_file(dir, args.key.as_deref(), &LOG_KEY, new)?;
        let signer = LogSigner::new(origin, read_key(&key, password.as_deref())?)
            .map_err(|error| Failure::usage(format!("key file {}: {error}", key.display())))?;
        let v1_path = key_file(dir, args.v1_key.as_deref(), &V1_KEY, new)?;
        let v1_key = read_key(&v1_path, password.as_deref())?;
        if !new && known_v1_key(dir).is_some_and(|known| known != v1_key.spki()) {
            let problem = "is not the key of this log's v1 door, whose public half is in";
            let remedy = "promises given so far could not be verified any more, pass the right --v1-key";
            let (key, known) = (v1_path.display(), dir.join(V1_PUBLIC).display().to_string());
            return Err(Failure::usage(format!("key file {key} {problem} {known}: {remedy}")));
        }
        if v1_key.spki() == signer.key().spki() {
            let problem =
                "is the log's v2 key too: clients would take the two logs for one; pass another --v1-key";
            return Err(Failure::usage(format!("key file {} {problem}", v1_path.display())));
        }
        let created = existing.as_ref().map_or_else(unix_now, |format| format.created);
        let format = Format::new(origin, signer.verifier().log_id(), created);
        Ok(Self {
            id: listed.tree,
            ended: listed.ended,
            url: listed.url.clone(),
            dir: dir.to_owned(),
            format,
            signer,
            v1_key,
        })
    }

    /// A shard that is to follow those of the log in `dir`, with keys of its own; finds what an interrupted attempt made.
    pub(crate) fn next(dir: &Path, next: &Next) -> Result<Self, Failure> {
        check_origin(&next.origin)?;
        let at = list::later_place(dir, next.tree);
        make_directory(&at)?;
        Self::find(
            &at,
            Some(&next.origin),
            &Args::of(&at),
            &Listed { tree: next.tree, ended: None, url: None },
        )
    }

    /// Opens its files.
    pub(crate) fn open(self, in_use: &str) -> Result<OpenTree, Failure> {
        let storage = FileStorage::open(&self.dir, &self.format).map_err(|error| match error {
            OpenError::InUse(dir) => {
                Failure::usage(format!("{} is in use by another process: {in_use}", dir.display()))
            }
            other => open_failure(other),
        })?;
        let verifier = self.signer.verifier();
        note(&self.dir, "log.pub", &public_key_pem(verifier.spki()))?;
        note(&self.dir, "log.vkey", &format!("{}\n", verifier.vkey()))?;
        note(&self.dir, V1_PUBLIC, &public_key_pem(self.v1_key.spki()))?;
        Ok(OpenTree { tree: self, storage })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What signs: the v2 key under its origin, and the v1 key.
    pub(crate) fn into_signers(self) -> (LogSigner, SigningKey) {
        (self.signer, self.v1_key)
    }

    /// What others may know of it.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            tree: self.id,
            verifier: self.signer.verifier().clone(),
            v1_spki: self.v1_key.spki().to_vec(),
            created: self.format.created,
            ended: self.ended,
            url: self.url.clone(),
        }
    }
}

/// The key that the v1 door of a shard was served with last; `None` if nothing readable says so.
fn known_v1_key(dir: &Path) -> Option<Vec<u8>> {
    let key = x509::PublicKey::parse(&fs::read(dir.join(V1_PUBLIC)).ok()?).ok()?;
    Some(key.spki().to_vec())
}

/// A shard that lies in a directory, has entries and is in no list, if there is one. Without entries it is what is left of a
/// rotation that failed before it began.
pub(crate) fn unlisted(dir: &Path, list: &List) -> Option<PathBuf> {
    let known = |tree: TreeId| {
        list.shards.iter().any(|listed| listed.tree == tree)
            || list.next.as_ref().is_some_and(|next| next.tree == tree)
    };
    let mut places = fs::read_dir(dir.join("shards")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    places.find(|at| {
        let tree = at.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        tree.is_some_and(|tree| !known(tree)) && has_entries(at)
    })
}

/// Whether anything was ever committed to the ledger in a directory: the files of its journal begin as zeros.
fn has_entries(dir: &Path) -> bool {
    ["journal/0", "journal/1"].iter().any(|name| {
        let mut start = [0; 8];
        let read = File::open(dir.join(name)).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && start != [0; 8]
    })
}

/// Where the public key of the v1 door is written down.
const V1_PUBLIC: &str = "v1.pub";

/// Writes a small public file, unless it says that already.
pub(crate) fn note(dir: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = dir.join(name);
    if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let unfinished = dir.join(format!("{name}.new"));
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(|error| not_writable(dir, &error))
}

/// What others may know of a shard.
#[derive(Clone)]
pub(crate) struct Identity {
    /// Its ID.
    pub(crate) tree: TreeId,
    /// Its public key under its origin.
    pub(crate) verifier: Verifier,
    /// The public key of its promises and v1 checkpoints, DER.
    pub(crate) v1_spki: Vec<u8>,
    /// When it began, in Unix seconds.
    pub(crate) created: u64,
    /// When it ended, if it has.
    pub(crate) ended: Option<u64>,
    /// Where it was when it ended.
    pub(crate) url: Option<String>,
}

impl Identity {
    /// Reads those of all shards, oldest first, without a private key; the log may be running.
    pub(crate) fn read_all(dir: &Path) -> Result<Vec<Self>, Failure> {
        let nothing = || {
            Failure::usage(format!(
                "{} holds no log: pass --data DIR, or start one with `bulla serve`",
                dir.display()
            ))
        };
        read_format(dir)?.ok_or_else(nothing)?;
        let list = List::read(dir)?.ok_or_else(nothing)?;
        list.shards.iter().map(|listed| Self::read(&list::place(dir, &list, listed.tree), listed)).collect()
    }

    fn read(dir: &Path, listed: &Listed) -> Result<Self, Failure> {
        let path = dir.join("log.vkey");
        let failed = |path: &Path, problem: &dyn std::fmt::Display| {
            Failure::usage(format!("{}: {problem}: `bulla serve` writes it anew", path.display()))
        };
        let format = read_format(dir)?.ok_or_else(|| failed(&dir.join("format"), &"is missing"))?;
        let vkey = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        let verifier = Verifier::from_vkey(vkey.trim_end()).map_err(|error| failed(&path, &error))?;
        if verifier.log_id() != format.log_id {
            return Err(failed(&path, &"is not the key of the log in this directory"));
        }
        let path = dir.join(V1_PUBLIC);
        let pem = fs::read(&path).map_err(|error| failed(&path, &error))?;
        let key = x509::PublicKey::parse(&pem).map_err(|error| failed(&path, &error.problem))?;
        let Listed { tree, ended, url } = listed.clone();
        Ok(Self { tree, verifier, v1_spki: key.spki().to_vec(), created: format.created, ended, url })
    }

    /// Where the log said it is, when it ran last.
    pub(crate) fn url(dir: &Path) -> Option<String> {
        Some(fs::read_to_string(dir.join("log.url")).ok()?.trim_end().to_owned())
    }
}

/// The public base URL of a log: the one given, checked, else the one that clients would guess.
pub(crate) fn public_url(origin: &str, given: Option<&str>, port: u16) -> Result<String, Failure> {
    let Some(given) = given else {
        let local = origin == FIRST_ORIGIN;
        return Ok(if local { format!("http://{origin}:{port}") } else { format!("https://{origin}") });
    };
    let refused = |problem: String| Failure::usage(format!("--url \"{given}\" {problem}"));
    let url = reqwest::Url::parse(given).map_err(|error| refused(format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("is not the http or https address of a log".to_owned()));
    }
    let host = url.host_str().unwrap_or_default();
    if host != origin {
        return Err(refused(format!(
            "has the host \"{host}\", the log signs as \"{origin}\": clients expect these to be the same, \
             so pass --origin {host} to a new log, or the URL https://{origin}"
        )));
    }
    // Clients in Python and JavaScript append a path that begins with a slash.
    Ok(given.trim_end_matches('/').to_owned())
}

/// Refuses an origin that clients could not find in the host name of a URL.
fn check_origin(origin: &str) -> Result<(), Failure> {
    let Err(error) = valid_origin(origin) else { return Ok(()) };
    let bare = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    let bare = bare.split([' ', '+', ':', '/']).find(|part| !part.is_empty()).unwrap_or(FIRST_ORIGIN);
    let problem = match error {
        NameError::Character { character: ' ', .. } => "a space".to_owned(),
        NameError::Character { character, .. } => format!("'{character}'"),
        other => return Err(Failure::usage(format!("--origin \"{origin}\": {other}"))),
    };
    Err(Failure::usage(format!(
        "--origin \"{origin}\" has {problem}: clients take the origin from the host name in the log's URL, \
         pass that alone, such as --origin {bare}"
    )))
}

pub(crate) fn read_format(dir: &Path) -> Result<Option<Format>, Failure> {
    let path = dir.join("format");
    match fs::symlink_metadata(&path) {
        Ok(_) => Format::read(dir).map(Some).map_err(open_failure),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(Failure::usage(format!("{}: {error}", path.display()))),
    }
}

pub(crate) fn make_directory(dir: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| not_writable(dir, &error))
}

/// A key that a shard has.
struct KeyFile {
    name: &'static str,
    option: &'static str,
    generate: fn() -> String,
    lost: &'static str,
}

const LOG_KEY: KeyFile = KeyFile {
    name: "log.key",
    option: "--key",
    generate: SigningKey::generate_ed25519_pem,
    lost: "put the log's key back",
};
const V1_KEY: KeyFile = KeyFile {
    name: "v1.key",
    option: "--v1-key",
    generate: SigningKey::generate_ecdsa_p256_pem,
    lost: "put the key of the v1 door back",
};

/// The file with a private key: the one named, else the directory's own, which a new log makes.
fn key_file(dir: &Path, named: Option<&Path>, kind: &KeyFile, new: bool) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let key = dir.join(kind.name);
    if key.exists() {
        return Ok(key);
    }
    if !new {
        let (lost, option) = (kind.lost, kind.option);
        let problem = format!("is missing: {lost}, or pass {option} FILE; a new key would be a new log");
        return Err(Failure::usage(format!("{} {problem}", key.display())));
    }
    make_secret(dir, kind.name, &(kind.generate)()).map_err(|error| not_writable(dir, &error))
}

/// Makes a private file. One that is there is left as it is.
pub(crate) fn make_secret(dir: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = dir.join(name);
    match put(&path, text.as_bytes(), Readers::Owner, Old::Kept) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(path),
    }
}

pub(crate) fn read_key(path: &Path, password: Option<&[u8]>) -> Result<SigningKey, Failure> {
    KeyText::in_file(path)?.private(password)
}

fn password(args: &Args) -> Result<Option<Vec<u8>>, Failure> {
    match &args.key_password_file {
        None => Ok(args.key_password.as_ref().map(|password| password.as_bytes().to_vec())),
        Some(path) => password_in(path).map(Some),
    }
}

/// The first line of a file with a password.
pub(crate) fn password_in(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::usage(format!("password file {}: {error}", path.display()));
    let text = fs::read(path).map_err(failed)?;
    let line = text.strip_suffix(b"\n").unwrap_or(&text);
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

pub(crate) fn open_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Storage(_) => Failure::unavailable(error),
        OpenError::InUse(_)
        | OpenError::Newer { .. }
        | OpenError::Older { .. }
        | OpenError::OtherOrigin { .. }
        | OpenError::OtherKey { .. }
        | OpenError::NotALog(_)
        | OpenError::NotWritable { .. } => Failure::usage(error),
    }
}

pub(crate) fn not_writable(dir: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot write to {}: {error}", dir.display()))
}

/// The time in Unix seconds.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a log is called that nobody named.
const FIRST_ORIGIN: &str = "localhost";
