//! What clients are told to believe and where to send things: this log, with the authorities that its operator names.

use std::path::{Path, PathBuf};

use bulla_rekor::trust::{Apis, Authorities, LogIdentity, Services, signing_config, trusted_root};
use bulla_rekor::{Document, Trust};
use jiff::Timestamp;

use crate::command::Failure;
use crate::home::{Identity, public_url};
use crate::service::authorities::members::{Members, add};

// The outside authorities, which only go into the trust files.
#[derive(Clone, clap::Args)]
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

impl Args {
    /// The first certificate transparency log elsewhere: its URL and the file with its key.
    pub(crate) fn outside_ct(&self) -> Option<(&str, &Path)> {
        Some((self.ct_url.first()?, self.ct_key.first()?))
    }

    /// Who runs the log, if that was said.
    pub(crate) fn operator(&self) -> Option<&str> {
        self.operator.as_deref()
    }
}

/// Where the active one of the shards is: the URL given, or one made of its name and the port it listens on.
pub(crate) fn url(shards: &[Identity], given: Option<&str>, port: u16) -> Result<String, Failure> {
    let active = shards.last().ok_or_else(no_shard)?;
    public_url(active.verifier.name(), given, port)
}

fn no_shard() -> Failure {
    Failure::check("a log without a shard has no trust files")
}

/// Writes the documents of a log.
pub(crate) struct Documents {
    /// Its shards, oldest first.
    shards: Vec<LogIdentity>,
    authorities: Authorities,
    services: Services,
}

impl Documents {
    /// Reads every file named, and what the data directory says of the stack's own authorities. `url` is where the active shard is, `port` where it listens, should nobody have said more.
    pub(crate) fn new(
        shards: &[Identity],
        url: Option<&str>,
        port: u16,
        args: &Args,
        data: &Path,
    ) -> Result<Self, Failure> {
        let url = self::url(shards, url, port)?;
        let (active, ended) = shards.split_last().ok_or_else(no_shard)?;
        let mut all = Vec::with_capacity(shards.len());
        for shard in ended {
            let was = shard.url.clone().map_or_else(|| with_host(&url, shard.verifier.name()), Ok)?;
            all.push(log_identity(shard, was)?);
        }
        all.push(log_identity(active, url)?);
        let log = &all[all.len() - 1];
        let mut services = Services {
            ca_urls: args.ca_url.clone(),
            oidc_urls: args.oidc_url.clone(),
            tsa_urls: args.tsa_url.clone(),
            operator: args.operator.clone().unwrap_or_else(|| log.origin.clone()),
        };
        let start = all[0].start;
        let mut authorities = authorities(args, start)?;
        Members::read(data)?.add_to(data, start, &mut authorities, &mut services)?;
        Ok(Self { authorities, shards: all, services })
    }

    /// Where clients reach the active shard.
    pub(crate) fn url(&self) -> &str {
        self.shards.last().map_or("", |shard| &shard.base_url)
    }

    /// `trusted_root.json`.
    pub(crate) fn trusted_root(&self) -> Result<String, Failure> {
        trusted_root(&self.shards, &self.authorities).map_err(Failure::usage)
    }

    /// `signing_config.v0.2.json`.
    pub(crate) fn signing_config(&self, apis: Apis) -> Result<String, Failure> {
        let active = self.shards.last().ok_or_else(|| Failure::check("a log has a shard"))?;
        signing_config(active, &self.services, apis).map_err(Failure::usage)
    }

    /// Both in one, as sigstore-python and what uses it read them.
    pub(crate) fn client_trust_config(&self) -> Result<String, Failure> {
        let (root, config) = (self.trusted_root()?, self.signing_config(Apis::Both)?);
        Ok(format!(
            "{{\n\"mediaType\": \"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json\",\n\"trustedRoot\": {},\n\
             \"signingConfig\": {}\n}}\n",
            root.trim_end(),
            config.trim_end()
        ))
    }

    /// Both, as the log serves them.
    pub(crate) fn served(&self) -> Result<Trust, Failure> {
        let trusted_root = Document::from(self.trusted_root()?);
        Ok(Trust { trusted_root, signing_config: Document::from(self.signing_config(Apis::Both)?) })
    }
}

fn log_identity(shard: &Identity, base_url: String) -> Result<LogIdentity, Failure> {
    let time = |seconds: u64| {
        let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.ok_or_else(|| Failure::check(format!("shard {} begins or ends after the year 9999", shard.tree)))
    };
    Ok(LogIdentity {
        origin: shard.verifier.name().to_owned(),
        base_url,
        spki: shard.verifier.spki().to_vec(),
        log_id: shard.verifier.log_id(),
        v1_spki: shard.v1_spki.clone(),
        start: time(shard.created)?,
        end: shard.ended.map(time).transpose()?,
    })
}

/// The same URL on another host.
fn with_host(url: &str, host: &str) -> Result<String, Failure> {
    let refused = |problem: &dyn std::fmt::Display| Failure::usage(format!("--url \"{url}\": {problem}"));
    let mut url: reqwest::Url = url.parse().map_err(|error| refused(&error))?;
    url.set_host(Some(host)).map_err(|error| refused(&error))?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn authorities(args: &Args, start: Timestamp) -> Result<Authorities, Failure> {
    let mut all = Authorities::default();
    let url = |urls: &[String], position: usize| urls.get(position).cloned().unwrap_or_default();
    for path in &args.trust_with {
        add(path, |text| all.merge_trusted_root(text))?;
    }
    for (i, path) in args.ca_chain.iter().enumerate() {
        add(path, |text| all.add_certificate_authority(text, &url(&args.ca_url, i), None))?;
    }
    for (i, path) in args.ct_key.iter().enumerate() {
        add(path, |text| all.add_ct_log(text, &url(&args.ct_url, i), start, None))?;
    }
    for (i, path) in args.tsa_chain.iter().enumerate() {
        add(path, |text| all.add_timestamp_authority(text, &url(&args.tsa_url, i), None))?;
    }
    Ok(all)
}
