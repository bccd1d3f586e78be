//! What clients are told to believe and where to send things: this log, with the authorities that its operator names.

use std::path::{Path, PathBuf};

use bulla_rekor::trust::{Authorities, LogIdentity, Services, TrustError, signing_config, trusted_root};
use jiff::Timestamp;

use crate::command::Failure;
use crate::home::Identity;

/// The outside authorities, which only go into the trust files.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Trust files")]
pub(crate) struct Args {
    /// Public base URL of the log [default: `https://ORIGIN`; for localhost where it listens]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A `trusted_root.json` whose authorities to take over; may be repeated
    #[arg(long, value_name = "FILE")]
    trust_with: Vec<PathBuf>,
    /// PEM chain of a certificate authority, issuing certificate first, root last; may be repeated
    #[arg(long, value_name = "FILE")]
    ca_chain: Vec<PathBuf>,
    /// URL of the certificate authority of the same position
    #[arg(long, value_name = "URL")]
    ca_url: Vec<String>,
    /// PEM public key of a certificate transparency log; may be repeated
    #[arg(long, value_name = "FILE")]
    ct_key: Vec<PathBuf>,
    /// URL of the certificate transparency log of the same position
    #[arg(long, value_name = "URL")]
    ct_url: Vec<String>,
    /// PEM chain of a timestamp authority, signing certificate first, root last; may be repeated
    #[arg(long, value_name = "FILE")]
    tsa_chain: Vec<PathBuf>,
    /// URL of the timestamp authority of the same position
    #[arg(long, value_name = "URL")]
    tsa_url: Vec<String>,
    /// URL of an issuer of identity tokens; may be repeated
    #[arg(long, value_name = "URL")]
    oidc_url: Vec<String>,
    /// Who runs the log and its authorities [default: the origin]
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
}

/// Writes the documents of one log.
pub(crate) struct Documents {
    log: LogIdentity,
    authorities: Authorities,
    services: Services,
}

impl Documents {
    /// Reads every file named.
    pub(crate) fn new(identity: &Identity, base_url: String, args: &Args) -> Result<Self, Failure> {
        let verifier = &identity.verifier;
        let start =
            i64::try_from(identity.created).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        let start =
            start.ok_or_else(|| Failure::check("the directory says the log began after the year 9999"))?;
        let log = LogIdentity {
            origin: verifier.name().to_owned(),
            base_url,
            spki: verifier.spki().to_vec(),
            log_id: verifier.log_id(),
            start,
            end: None,
        };
        let services = Services {
            ca_urls: args.ca_url.clone(),
            oidc_urls: args.oidc_url.clone(),
            tsa_urls: args.tsa_url.clone(),
            operator: args.operator.clone().unwrap_or_else(|| log.origin.clone()),
        };
        Ok(Self { authorities: authorities(args, start)?, log, services })
    }

    /// `trusted_root.json`.
    pub(crate) fn trusted_root(&self) -> Result<String, Failure> {
        trusted_root(&self.log, &self.authorities).map_err(Failure::usage)
    }

    /// `signing_config.v0.2.json`.
    pub(crate) fn signing_config(&self) -> Result<String, Failure> {
        signing_config(&self.log, &self.services).map_err(Failure::usage)
    }
}

fn authorities(args: &Args, start: Timestamp) -> Result<Authorities, Failure> {
    let mut all = Authorities::default();
    let url = |urls: &[String], position: usize| urls.get(position).cloned().unwrap_or_default();
    for path in &args.trust_with {
        add(path, |text| all.merge_trusted_root(text))?;
    }
    for (i, path) in args.ca_chain.iter().enumerate() {
        add(path, |text| all.add_certificate_authority(text, &url(&args.ca_url, i)))?;
    }
    for (i, path) in args.ct_key.iter().enumerate() {
        add(path, |text| all.add_ct_log(text, &url(&args.ct_url, i), start))?;
    }
    for (i, path) in args.tsa_chain.iter().enumerate() {
        add(path, |text| all.add_timestamp_authority(text, &url(&args.tsa_url, i)))?;
    }
    Ok(all)
}

fn add(path: &Path, take: impl FnOnce(&str) -> Result<(), TrustError>) -> Result<(), Failure> {
    let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    take(&text).map_err(|error| failed(&error))
}
