//! `bulla key`: makes key pairs, takes over those that are there, and shows public keys. The files are those of cosign: the private
//! key under a password, which any client of Sigstore opens, and the public key beside it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::x509::PublicKey;
use bulla_claims::{KeyFileError, KeyKind, SigningKey};
use bulla_tlog::sha256;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use serde_json::{Value, json};

use super::{Failure, Output, say};
use crate::keys::{KeyText, Passwords, verification_key};
use crate::text::line;
use crate::whole_file::{Old, Readers, put};

/// What can be done.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key pair
    Generate(Generate),
    /// Write a private key that is there as a key pair under a password
    Import(Import),
    /// Print the public key of a key
    Public(Public),
}

#[derive(clap::Args)]
pub(crate) struct Generate {
    /// Kind of key. Every client of Sigstore can verify the first
    #[arg(long, value_name = "KIND", default_value = KeyKind::P256.flag(),
        value_parser = PossibleValuesParser::new(KeyKind::ALL.map(KeyKind::flag)).try_map(|name| name.parse::<KeyKind>()))]
    kind: KeyKind,
    #[command(flatten)]
    pair: Pair,
}

#[derive(clap::Args)]
pub(crate) struct Import {
    /// Private key in PEM: PKCS#8, PKCS#1, SEC 1, encrypted PKCS#8, or a key file of cosign
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File with the password that FILE has. Else `BULLA_SOURCE_KEY_PASSWORD`, the terminal, or a line of standard input
    #[arg(long, value_name = "FILE")]
    source_password_file: Option<PathBuf>,
    #[command(flatten)]
    pair: Pair,
}

#[derive(clap::Args)]
pub(crate) struct Public {
    /// Path of a private key, a public key or a certificate, `env://NAME`, or the URI of a key that somebody keeps: `pkcs11:`,
    /// `awskms://`, `gcpkms://`, `azurekms://`, `hashivault://`
    #[arg(value_name = "KEY")]
    key: String,
    /// File with the password of a private key. Else `BULLA_KEY_PASSWORD`, `COSIGN_PASSWORD`, the terminal, or a line of standard
    /// input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// For whom to write
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

// What is written, and how.
#[derive(clap::Args)]
struct Pair {
    /// Path of the files, to which .key and .pub are added
    #[arg(long, value_name = "PREFIX", default_value = "bulla")]
    output_key_prefix: PathBuf,
    /// Form of the private key
    #[arg(long, value_enum, default_value_t = Format::Sigstore)]
    format: Format,
    /// File with the new password. Else `BULLA_KEY_PASSWORD`, `COSIGN_PASSWORD`, the terminal, or a line of standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Replace files that are there. A key that is replaced is gone, and nothing can be signed with it any more
    #[arg(long)]
    force: bool,
    /// For whom to write
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// the key file of cosign, which clients of Sigstore read
    Sigstore,
    /// encrypted PKCS#8, which OpenSSL reads
    Pkcs8,
}

pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Generate(Generate { kind, pair }) => {
            let files = pair.files()?;
            let password = pair.password(&files)?;
            let key = SigningKey::generate(kind).map_err(Failure::unavailable)?;
            pair.write(&files, &key, &password)?;
        }
        Command::Import(Import { file, source_password_file, pair }) => {
            let files = pair.files()?;
            let key = KeyText::in_file(&file)?.private_or_ask(&Passwords::of_source(source_password_file))?;
            let password = pair.password(&files)?;
            pair.write(&files, &key, &password)?;
        }
        Command::Public(Public { key, password_file, output }) => {
            let key = verification_key(&key, &Passwords::new(password_file)).await?;
            say(&match output {
                Output::Human => public_key_pem(key.spki()),
                Output::Json => format!("{}\n", described(&key)),
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a key pair goes.
struct Files {
    folder: PathBuf,
    private: String,
    public: String,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        if self.folder == Path::new(".") { PathBuf::from(name) } else { self.folder.join(name) }
    }
}

impl Pair {
    /// Where the files go. What is there is looked at before anybody is asked for a password.
    fn files(&self) -> Result<Files, Failure> {
        let prefix = &self.output_key_prefix;
        let name = prefix.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Failure::usage(format!(
                "--output-key-prefix \"{}\" names no file, a path such as keys/release was expected",
                prefix.display()
            ))
        })?;
        let folder = prefix.parent().filter(|folder| !folder.as_os_str().is_empty());
        let files = Files {
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            private: format!("{name}.key"),
            public: format!("{name}.pub"),
        };
        for name in [&files.private, &files.public] {
            let path = files.path(name);
            if !self.force && path.symlink_metadata().is_ok() {
                return Err(is_there(&path));
            }
        }
        Ok(files)
    }

    fn password(&self, files: &Files) -> Result<Vec<u8>, Failure> {
        let name = files.path(&files.private);
        Passwords::new(self.password_file.clone()).new_for(&format!("key file {}", name.display()))
    }

    /// Writes both files or none, and says so.
    fn write(&self, files: &Files, key: &SigningKey, password: &[u8]) -> Result<(), Failure> {
        let sealed: Result<String, KeyFileError> = match self.format {
            Format::Sigstore => key.to_sigstore_pem(password),
            Format::Pkcs8 => key.to_encrypted_pkcs8_pem(password),
        };
        let sealed = sealed.map_err(Failure::unavailable)?;
        let old = if self.force { Old::Replaced } else { Old::Kept };
        let write = |name: &str, text: &str, readers| {
            let path = files.path(name);
            put(&path, text.as_bytes(), readers, old).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => is_there(&path),
                _ => Failure::file(&path, &error),
            })
        };
        write(&files.private, &sealed, Readers::Owner)?;
        let public = public_key_pem(key.spki());
        if let Err(failure) = write(&files.public, &public, Readers::Anybody) {
            if old == Old::Kept {
                // It was not there before, and without its other half it would be in the way.
                let _gone = std::fs::remove_file(files.path(&files.private));
            }
            return Err(failure);
        }
        let read = PublicKey::parse(public.as_bytes()).map_err(|error| Failure::check(error.problem))?;
        let (private, public) = (files.path(&files.private), files.path(&files.public));
        say(&match self.output {
            Output::Json => {
                let mut json = described(&read);
                json["privateKeyFile"] = private.display().to_string().into();
                json["publicKeyFile"] = public.display().to_string().into();
                format!("{json}\n")
            }
            Output::Human => {
                let mut lines = String::new();
                line(&mut lines, "private key", private.display());
                line(&mut lines, "public key", public.display());
                line(&mut lines, "kind", read.key_type());
                line(&mut lines, "sha256", sha256(read.spki()));
                lines
            }
        });
        Ok(())
    }
}

fn is_there(path: &Path) -> Failure {
    Failure::usage(format!(
        "{} is there already: choose another --output-key-prefix, or replace it with --force, which loses the old key",
        path.display()
    ))
}

/// A public key for a program: its name in bundles is the hint, in logs and revocations the digest.
fn described(key: &PublicKey) -> Value {
    let digest = sha256(key.spki());
    json!({
        "publicKey": public_key_pem(key.spki()), "kind": key.key_type().to_string(),
        "sha256": digest.to_string(), "hint": STANDARD.encode(digest),
    })
}
