//! What can be said to rekor-cli: flags over environment (`REKOR_…`) over its file of options over defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_rekor::client::v1::{DEFAULT_KIND, EntryId, KINDS};
use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _};

use super::{note, yaml};
use crate::materials::{Sources, is_url, named_digest};
use crate::target::read_small;

/// What a command line asks for.
pub(super) enum Parsed {
    /// To run this.
    Run(Box<Cli>),
    /// To print this.
    Show(String),
}

/// Rekor command line interface tool
#[derive(clap::Parser, Debug)]
#[command(name = "rekor-cli", disable_version_flag = true, max_term_width = 110)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: What,
    /// The log's key, which no flag gives.
    #[arg(skip)]
    pub(super) server_public_key: Option<String>,
}

#[derive(clap::Args, Debug)]
pub(super) struct Global {
    /// config file (default is $HOME/.rekor.yaml)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// whether to keep the head of the log between invocations, for more verification
    #[arg(long = "store_tree_state", global = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", value_parser = boolean)]
    pub(super) store_tree_state: bool,
    /// address of the server
    #[arg(long = "rekor_server", global = true, default_value = "https://rekor.sigstore.dev", value_parser = server)]
    pub(super) rekor_server: String,
    /// form of the output
    #[arg(long, global = true, default_value = "default")]
    pub(super) format: Format,
    /// time limit of an HTTP request
    #[arg(long, global = true, default_value = "30s", value_parser = go_duration)]
    pub(super) timeout: Duration,
    /// how often HTTP requests are repeated
    #[arg(long, global = true, default_value = "3")]
    pub(super) retry: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Format {
    Default,
    Json,
    Tle,
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum What {
    /// Upload an artifact to Rekor
    Upload(Parts),
    /// Verify that an entry is in the log
    Verify {
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        which: Which,
    },
    /// Get an entry of the log
    Get(Which),
    /// Find entries in the index of the log
    Search(Search),
    /// Print and verify the heads of the log
    Loginfo,
    /// Print a consistency proof
    Logproof {
        /// the size of the log where the proof begins
        #[arg(long, default_value = "1")]
        first_size: u64,
        /// the size of the log where the proof ends
        #[arg(long)]
        last_size: u64,
        /// the tree
        #[arg(long)]
        tree_id: Option<u64>,
    },
    /// Print the version
    Version {
        /// as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct Parts {
    /// file or URL of the artifact
    #[arg(long, value_parser = file_or_url)]
    artifact: Option<String>,
    /// digest of the artifact, in hex
    #[arg(long, value_parser = named_digest)]
    artifact_hash: Option<String>,
    /// file or URL of the detached signature
    #[arg(long, value_parser = file_or_url)]
    signature: Option<String>,
    /// file or URL of the public key; several with commas between them or given several times
    #[arg(long, value_delimiter = ',', value_parser = file_or_url)]
    public_key: Vec<String>,
    /// form of signature and key
    #[arg(long, default_value = "x509", value_parser = FORMATS)]
    pki_format: String,
    /// type of the entry, type or type:version
    #[arg(long = "type", default_value = DEFAULT_KIND, value_parser = kind)]
    kind: String,
    /// file or URL of a proposed entry
    #[arg(long, value_parser = file_or_url)]
    entry: Option<String>,
    /// more that was signed, in base64
    #[arg(long, value_parser = base64)]
    aad: Option<std::sync::Arc<[u8]>>,
}

impl Parts {
    pub(super) fn sources(&self) -> Sources {
        Sources {
            entry: self.entry.clone(),
            kind: self.kind.clone(),
            artifact: self.artifact.clone(),
            artifact_hash: self.artifact_hash.clone(),
            signature: self.signature.clone(),
            public_keys: self.public_key.clone(),
            pki_format: self.pki_format.clone(),
            aad: self.aad.as_ref().map(|aad| aad.to_vec()),
        }
    }
}

#[derive(clap::Args, Debug)]
pub(super) struct Which {
    /// UUID of the entry
    #[arg(long, value_parser = EntryId::parse)]
    pub(super) uuid: Option<EntryId>,
    /// index of the entry
    #[arg(long)]
    pub(super) log_index: Option<u64>,
}

#[derive(clap::Args, Debug)]
pub(super) struct Search {
    /// file or URL of the artifact
    #[arg(long, value_parser = file_or_url)]
    pub(super) artifact: Option<String>,
    /// the SHA512, SHA256 or SHA1 of the artifact
    #[arg(long, value_parser = named_digest)]
    pub(super) sha: Option<String>,
    /// file or URL of the public key
    #[arg(long, value_parser = file_or_url)]
    pub(super) public_key: Option<String>,
    /// form of the public key
    #[arg(long, default_value = "x509", value_parser = FORMATS)]
    pub(super) pki_format: String,
    /// e-mail address in the key or certificate
    #[arg(long, value_parser = email)]
    pub(super) email: Option<String>,
    /// subject of the certificate
    #[arg(long, value_parser = subject)]
    pub(super) subject: Option<String>,
    /// and or or
    #[arg(long, value_parser = ["and", "or"])]
    pub(super) operator: Option<String>,
}

/// Reads everything. Errors are texts for standard error.
pub(super) fn parse(args: &[OsString]) -> Result<Parsed, String> {
    if args.len() == 1 {
        return Ok(Parsed::Show(Cli::command().render_help().to_string()));
    }
    let environment = environment();
    let early = Cli::command().ignore_errors(true).try_get_matches_from(args);
    let given = early.ok().and_then(|found| found.try_get_one::<PathBuf>("config").ok().flatten().cloned());
    let given = given.or_else(|| environment.get("config").map(PathBuf::from));
    let file = file(given.as_deref())?;
    let values: BTreeMap<&str, &str> = match &file {
        Some((_, values)) => {
            values.iter().chain(&environment).map(|(k, v)| (k.as_str(), v.as_str())).collect()
        }
        None => environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
    };
    let matches = match with_values(Cli::command(), &values).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Parsed::Show(error.to_string())),
        Err(error) => return Err(error.to_string()),
    };
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    if let Some((path, _)) = file.as_ref().filter(|_| cli.global.format == Format::Default) {
        note(&format!("Using config file: {}", path.display()));
    }
    cli.server_public_key = values.get("rekor_server_public_key").map(|key| (*key).to_owned());
    Ok(Parsed::Run(Box::new(cli)))
}

/// What the environment says, by the names of the flags without their dashes.
fn environment() -> BTreeMap<String, String> {
    let set = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str()?.strip_prefix("REKOR_")?.to_ascii_lowercase();
        Some((name, value.into_string().ok().filter(|value| !value.is_empty())?))
    });
    set.collect()
}

type Values = BTreeMap<String, String>;

/// The file of options: one that was named must be there.
fn file(given: Option<&Path>) -> Result<Option<(PathBuf, Values)>, String> {
    let home = || {
        let home = std::env::var_os("HOME").unwrap_or_default();
        let mut names = [".rekor.yaml", ".rekor.yml"].map(|name| Path::new(&home).join(name)).into_iter();
        names.find(|path| path.is_file())
    };
    let Some(path) = given.map(Path::to_owned).or_else(home) else { return Ok(None) };
    let bytes = read_small(&path, LARGEST).map_err(|failure| failure.to_string())?;
    let values = yaml::read(&String::from_utf8_lossy(&bytes));
    let values = values.map_err(|problem| format!("{}: {problem}", path.display()))?;
    Ok(Some((path, values.into_iter().map(|(name, value)| (name.replace('-', "_"), value)).collect())))
}

/// What is set becomes the default of its flag, and so is judged as if it had been typed.
fn with_values(command: Command, values: &BTreeMap<&str, &str>) -> Command {
    let with_value = |arg: Arg| {
        let name = arg.get_long().map(|long| long.replace('-', "_"));
        match name.and_then(|name| values.get(name.as_str())).filter(|value| !value.is_empty()) {
            Some(value) => arg.required(false).default_value((*value).to_owned()),
            None => arg,
        }
    };
    command.mut_args(with_value).mut_subcommands(|sub| with_values(sub, values))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false was expected".to_owned()),
    }
}

fn server(text: &str) -> Result<String, String> {
    if is_url(text) {
        Ok(text.to_owned())
    } else {
        Err("http://HOST or https://HOST was expected".to_owned())
    }
}

fn file_or_url(text: &str) -> Result<String, String> {
    if is_url(text) || Path::new(text).exists() {
        return Ok(text.to_owned());
    }
    Err("there is no such file, and it is no URL".to_owned())
}

fn kind(text: &str) -> Result<String, String> {
    let (kind, version) = text.split_once(':').map_or((text, None), |(kind, version)| (kind, Some(version)));
    let known = KINDS.iter().find(|(name, _)| *name == kind);
    let Some((_, versions)) = known else {
        let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        return Err(format!("unknown type {kind}, known are {}", names.join(", ")));
    };
    match version.filter(|version| !versions.contains(version)) {
        Some(version) => Err(format!("type {kind} does not support version {version}")),
        None => Ok(text.to_owned()),
    }
}

fn base64(text: &str) -> Result<std::sync::Arc<[u8]>, String> {
    STANDARD.decode(text).map(Into::into).map_err(|_| "standard base64 was expected".to_owned())
}

fn email(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    parts.map(|_| text.to_owned()).ok_or_else(|| "an e-mail address was expected".to_owned())
}

fn subject(text: &str) -> Result<String, String> {
    let fits = (1..=512).contains(&text.chars().count());
    if fits { Ok(text.to_owned()) } else { Err("1 to 512 characters were expected".to_owned()) }
}

/// Reads a duration as Go writes them: `30s`, `1m30s`, `1.5h`.
fn go_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration such as 30s or 1m30s was expected".to_owned();
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        seconds += number
            * match &after[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(wrong()),
            };
        rest = &after[end..];
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero()).ok_or_else(wrong)
}

const FORMATS: [&str; 6] = ["x509", "pgp", "minisign", "ssh", "pkcs7", "tuf"];
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in
            [("30s", 30_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("250ms", 250), ("1h0m1s", 3_601_000)]
        {
            assert_eq!(go_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "30", "s", "1d", "-1s", "0s", "1..s", "99999999999999999999h"] {
            assert!(go_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
