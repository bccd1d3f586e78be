//! Who may write to a log, and what: the options about it, read before anything is opened.

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bulla_claims::entry::v1;
use bulla_rekor::guard::{Fingerprint, Issuer, Network, Pattern, Protection, Signers, Tokens};

use crate::command::Failure;
use crate::text;

// What is asked of writers. Reading is free for everybody.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Who may write")]
pub(crate) struct Args {
    /// Writes that one address may make in a minute, a batch being one; 0 sets no limit
    #[arg(long, value_name = "N", default_value = "100")]
    write_limit: u32,
    /// Proxy whose X-Forwarded-For or Forwarded is believed, an address or a network; can be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trusted_proxy: Vec<Network>,
    /// File with tokens, one a line as TOKEN or NAME:TOKEN; a write then needs one (Authorization: Bearer TOKEN)
    #[arg(long, value_name = "FILE")]
    write_token_file: Option<PathBuf>,
    /// Take entries that this key signed: SHA-256 of the key as PEM or DER; can be repeated
    #[arg(long, value_name = "FINGERPRINT", value_delimiter = ',')]
    allow_key: Vec<Fingerprint>,
    /// Take entries whose certificate or key names this identity, * standing for any characters; can be repeated
    #[arg(long, value_name = "PATTERN")]
    allow_identity: Vec<Pattern>,
    /// Take an identity only if its certificate names this OIDC issuer; can be repeated
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    allow_issuer: Vec<Issuer>,
    /// Kinds of entries that are taken, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    kinds: Vec<String>,
}

impl Args {
    /// The orders of the guard that they describe.
    pub(crate) fn open(&self) -> Result<Protection, Failure> {
        Ok(Protection {
            writes_per_minute: NonZeroU32::new(self.write_limit),
            trusted_proxies: self.trusted_proxy.clone(),
            tokens: self.write_token_file.as_deref().map(read_tokens).transpose()?,
            signers: Signers {
                keys: self.allow_key.clone(),
                identities: self.allow_identity.clone(),
                issuers: self.allow_issuer.clone(),
            },
            own: None,
        })
    }

    /// Who is believed about whom they speak for.
    pub(crate) fn trusted_proxies(&self) -> &[Network] {
        &self.trusted_proxy
    }

    /// The kinds that are taken.
    pub(crate) fn kinds(&self) -> Result<Vec<String>, Failure> {
        let known = v1::Rules::default().kinds;
        if self.kinds.is_empty() {
            return Ok(known);
        }
        if let Some(other) = self.kinds.iter().find(|kind| !known.contains(kind)) {
            let nearest = text::nearest(other, known.iter().map(String::as_str));
            let meant = nearest.map_or(String::new(), |name| format!(", did you mean \"{name}\"?"));
            return Err(Failure::usage(format!(
                "--kinds: \"{other}\" is none of {}{meant}",
                known.join(", ")
            )));
        }
        Ok(self.kinds.clone())
    }
}

const LARGEST_FILE: u64 = 2 << 20;

fn read_tokens(path: &Path) -> Result<Tokens, Failure> {
    let failed = |problem: &dyn std::fmt::Display| {
        Failure::usage(format!("write tokens {}: {problem}", path.display()))
    };
    let metadata = fs::metadata(path).map_err(|error| failed(&error))?;
    if metadata.len() > LARGEST_FILE {
        return Err(failed(&format!("is {} bytes, at most {LARGEST_FILE} were expected", metadata.len())));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let file = path.display();
        tracing::warn!(%file, "others can read the write tokens (mode {mode:03o}): run chmod 600 {file}");
    }
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let tokens = Tokens::parse(&text).map_err(|problem| failed(&problem))?;
    tracing::info!(tokens = tokens.count(), "writing needs a token");
    Ok(tokens)
}
