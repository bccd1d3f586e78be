//! A witness's directory, held by one process at a time, and the key in it.
//!
//! ```text
//! DIR/lock           held while a witness runs
//! DIR/witness.key    private key, PEM PKCS#8, owner only
//! DIR/witness.vkey   public key with the witness's name, as policies take it
//! DIR/logs/…         one record for each log, named by the hash of its origin
//! ```

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::cosignature::{CosignatureSigner, CosignatureVerifier};
use bulla_tlog::note::valid_name;

use bulla_claims::keys::pem;

/// Why a directory cannot be a witness's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{} is in use by another witness: stop that one first, or pass another --data DIR", .0.display())]
    InUse(PathBuf),
    #[error("{} holds a log, a witness needs a directory of its own: pass another --data DIR", .0.display())]
    Log(PathBuf),
    #[error("a new witness needs a name: pass --name NAME, a host name of yours such as witness.example.org")]
    Nameless,
    #[error("--name: {0}")]
    Name(String),
    #[error("{} is witness {here:?}, not {given:?}: leave --name out, or pass another --data DIR", dir.display())]
    OtherName { dir: PathBuf, here: String, given: String },
    #[error("{} {problem}", path.display())]
    Key { path: PathBuf, problem: String },
    #[error(
        "{} is damaged: {problem}. Put it back from a copy: without it the witness could cosign a second tree of that log",
        path.display()
    )]
    Record { path: PathBuf, problem: String },
}

/// A directory, held.
pub(crate) struct Home {
    dir: PathBuf,
    records: PathBuf,
    name: String,
    _lock: File,
}

impl Home {
    /// Takes a directory, and makes what is missing in it. The first time a name is needed.
    pub(crate) fn open(dir: &Path, name: Option<&str>) -> Result<Self, OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::File { path, error }
        };
        if let Some(name) = name {
            check_name(name)?;
        }
        if dir.join("format").exists() {
            return Err(OpenError::Log(dir.to_owned()));
        }
        let records = dir.join("logs");
        DirBuilder::new().recursive(true).mode(0o700).create(&records).map_err(at(&records))?;
        let lock = File::options().create(true).append(true).mode(0o600).open(dir.join("lock"));
        let lock = lock.map_err(at(dir))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(at(dir)(error)),
        }
        let key = dir.join("witness.key");
        let public = dir.join("witness.vkey");
        let here = match fs::read_to_string(&public) {
            Ok(vkey) => Some(own_name(&public, &vkey)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(at(&public)(error)),
        };
        let name = match (&here, name) {
            (Some(here), Some(given)) if here != given => {
                return Err(OpenError::OtherName {
                    dir: dir.to_owned(),
                    here: here.clone(),
                    given: given.to_owned(),
                });
            }
            (Some(here), _) => here.clone(),
            (None, Some(given)) => given.to_owned(),
            (None, None) => return Err(OpenError::Nameless),
        };
        if !key.exists() {
            if here.is_some() {
                let problem =
                    "is missing: put the witness's key back; a new key would be a new witness".to_owned();
                return Err(OpenError::Key { path: key, problem });
            }
            make_key(&key).map_err(at(&key))?;
        }
        let home = Self { dir: dir.to_owned(), records, name, _lock: lock };
        let vkey = home.signer()?.vkey();
        match here {
            // Beyond the name: the key in the directory is the one that policies know.
            Some(_) if fs::read_to_string(&public).map_err(at(&public))?.trim_end() != vkey => {
                let problem = format!("is of another key than {}", key.display());
                return Err(OpenError::Key { path: public, problem });
            }
            Some(_) => {}
            None => write_whole(&public, format!("{vkey}\n").as_bytes(), 0o644).map_err(at(&public))?,
        }
        // The name of the directory of records, and of everything made here.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
        Ok(home)
    }

    /// Where the records are.
    pub(super) fn records(&self) -> &Path {
        &self.records
    }

    /// The directory's key under its name.
    pub(crate) fn signer(&self) -> Result<CosignatureSigner, OpenError> {
        let path = self.dir.join("witness.key");
        let refused = |problem: String| OpenError::Key { path: path.clone(), problem };
        let read = || Ok((fs::metadata(&path)?.permissions().mode() & 0o777, fs::read_to_string(&path)?));
        let (mode, text) = read().map_err(|error: io::Error| refused(error.to_string()))?;
        if mode & 0o077 != 0 {
            let file = path.display();
            tracing::warn!(%file, "others can read the key file (mode {mode:03o}): run chmod 600 {file}");
        }
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = STANDARD.decode(body).ok().and_then(|der| Ed25519KeyPair::from_pkcs8(&der).ok());
        let key = key.ok_or_else(|| refused("is not an Ed25519 private key, PEM of PKCS#8".to_owned()))?;
        CosignatureSigner::new(&self.name, key).map_err(|error| refused(error.to_string()))
    }

    /// The other half of the key.
    pub(super) fn verifier(&self) -> Result<CosignatureVerifier, OpenError> {
        let vkey = self.signer()?.vkey();
        let problem = |error: bulla_tlog::note::VkeyError| error.to_string();
        CosignatureVerifier::from_vkey(&vkey)
            .map_err(|error| OpenError::Key { path: self.dir.join("witness.key"), problem: problem(error) })
    }
}

/// The name in a witness's own vkey file.
fn own_name(path: &Path, vkey: &str) -> Result<String, OpenError> {
    let verifier = CosignatureVerifier::from_vkey(vkey.trim_end());
    verifier
        .map(|verifier| verifier.name().to_owned())
        .map_err(|error| OpenError::Key { path: path.to_owned(), problem: format!("is damaged: {error}") })
}

/// Refuses a name that cannot stand in a signature line, or that no length byte can say.
fn check_name(name: &str) -> Result<(), OpenError> {
    valid_name(name).map_err(|error| OpenError::Name(error.to_string()))?;
    match name.len() {
        0..=255 => Ok(()),
        len => Err(OpenError::Name(format!("is {len} bytes, at most 255 were expected"))),
    }
}

fn make_key(path: &Path) -> io::Result<()> {
    let failed = |_| io::Error::other("no randomness for a key");
    let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(failed)?;
    write_whole(path, pem("PRIVATE KEY", key.as_ref()).as_bytes(), 0o600)
}

/// Writes a file that is complete under its name, with this mode from its first byte on, or not there at all.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
