//! Where to sign, as a command line says it: which certificate authority, issuer, timestamp authority and log. Two files say
//! it where nothing is named, which are those of every client (sigstore protobuf-specs, `SigningConfig` and `TrustedRoot`); a
//! `bulla up` hands both out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulla_claims::judge::TrustedRoot;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::signing_config::{Config, Service, newest};
use super::trusted_log::{Api, Log, Root};
use crate::command::Failure;
use crate::materials::read;
use crate::trust::{self, Network, Pinned, Purpose, Whom};

// Options that say where to sign.
#[derive(Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Address of a `bulla up`, which says where to sign and whom to believe [default: `http://localhost:3000`, unless
    /// files, addresses or a trust repository say it]
    #[arg(long, value_name = "URL", conflicts_with = "signing_config", help_heading = "Where to sign")]
    url: Option<String>,
    /// Trust repository that says both, one that was added with `bulla trust add` [default: what is configured, or the
    /// only one that was added]
    #[arg(long, value_name = "URL", conflicts_with_all = ["url", "signing_config"], help_heading = "Where to sign")]
    instance: Option<String>,
    /// Where to sign: `signing_config.v0.2.json`
    #[arg(long, value_name = "FILE", help_heading = "Where to sign")]
    signing_config: Option<PathBuf>,
    /// Whom to believe: `trusted_root.json`
    #[arg(long, value_name = "FILE", help_heading = "Where to sign")]
    trusted_root: Option<PathBuf>,
    /// Certificate authority, in place of the one that is named elsewhere
    #[arg(long, value_name = "URL", env = "COSIGN_FULCIO_URL", help_heading = "Where to sign")]
    fulcio_url: Option<String>,
    /// Log, likewise; spoken with through its v1 API unless --log-api says otherwise
    #[arg(long, value_name = "URL", env = "COSIGN_REKOR_URL", help_heading = "Where to sign")]
    rekor_url: Option<String>,
    /// Timestamp authority, likewise: the whole URL that requests are posted to
    #[arg(long, value_name = "URL", env = "COSIGN_TIMESTAMP_SERVER_URL", help_heading = "Where to sign")]
    timestamp_server_url: Option<String>,
    /// Issuer to sign in at, likewise
    #[arg(long, value_name = "URL", env = "COSIGN_OIDC_ISSUER", help_heading = "Where to sign")]
    oidc_issuer: Option<String>,
    /// API of the log [default: the newest that it is listed with]
    #[arg(long, value_enum, value_name = "API", help_heading = "Where to sign")]
    log_api: Option<Api>,
    /// Whether signatures are logged; without it only a key can sign
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, help_heading = "Where to sign")]
    tlog_upload: bool,
}

/// Which log is taken where several are listed and nothing else is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Prefer {
    /// The one with the newest API.
    Newest,
    /// One that can be searched: of v1.
    Searchable,
}

/// Where to sign.
pub(crate) struct Services {
    /// The base of a certificate authority.
    pub(crate) ca: Option<String>,
    /// An issuer to sign in at.
    pub(crate) issuer: Option<String>,
    /// The whole URLs of the timestamp authorities that are all asked.
    pub(crate) tsas: Vec<String>,
    /// The logs that all get it, spoken with alike; none if nothing is to be logged.
    pub(crate) logs: Vec<Log>,
    /// Whom to believe: what is made here must be verified by it.
    pub(crate) root: Option<Arc<TrustedRoot>>,
}

impl Args {
    /// At a server that says whom to believe and is the log.
    pub(super) fn of(url: &str) -> Self {
        Self {
            url: Some(url.to_owned()),
            instance: None,
            signing_config: None,
            trusted_root: None,
            fulcio_url: None,
            rekor_url: Some(url.to_owned()),
            timestamp_server_url: None,
            oidc_issuer: None,
            log_api: Some(Api::V1),
            tlog_upload: true,
        }
    }

    /// Reads what there is to read, from files or from the server; `now` is when services and keys must be valid.
    pub(crate) async fn services(&self, now: Timestamp, prefer: Prefer) -> Result<Services, Failure> {
        let instance = self.instance()?;
        let named = self.rekor_url.is_some() || self.signing_config.is_some() || instance.is_some();
        let server = match &self.url {
            Some(url) => Some(url.as_str()),
            None if named || !self.tlog_upload => None,
            None => Some(DEFAULT_SERVER),
        };
        let found = match (&self.signing_config, server, &instance) {
            (Some(file), ..) => Some(from_file(file).await?),
            (None, Some(server), _) => Some(from_server(server, trust::SIGNING_CONFIG).await?),
            (None, None, Some(instance)) => {
                Some(from_repository(instance, trust::SIGNING_CONFIG, now).await?)
            }
            (None, None, None) => None,
        };
        let config: Config = found.map(|(name, bytes)| parse(&name, &bytes)).transpose()?.unwrap_or_default();
        config.check().map_err(unusable)?;
        let choose = |given: &Option<String>, list: &[Service]| {
            given
                .clone()
                .or_else(|| newest(list, now, |version| version == 1).map(|service| service.url.clone()))
        };
        let mut services = Services {
            ca: choose(&self.fulcio_url, &config.ca_urls),
            issuer: choose(&self.oidc_issuer, &config.oidc_urls),
            tsas: match &self.timestamp_server_url {
                Some(url) => vec![url.clone()],
                None => config.tsas(now).map_err(unusable)?,
            },
            logs: Vec::new(),
            root: None,
        };
        let (name, bytes) = match (&self.trusted_root, server, &instance) {
            (Some(file), ..) => from_file(file).await?,
            (None, _, _) if !self.tlog_upload => return Ok(services),
            (None, Some(server), _) => from_server(server, trust::TRUSTED_ROOT).await?,
            (None, None, Some(instance)) => from_repository(instance, trust::TRUSTED_ROOT, now).await?,
            (None, None, None) => {
                let problem = "--trusted-root is missing: a log's answer is believed by the keys in it";
                return Err(Failure::usage(problem));
            }
        };
        if self.tlog_upload {
            let (urls, api) = self.logs(&config, now, prefer)?;
            let root: Root = parse(&name, &bytes)?;
            let trusted =
                root.trusted(now).map_err(|problem| Failure::usage(format!("trusted root: {problem}")))?;
            services.logs = urls.into_iter().map(|url| Log::new(url, api, trusted.clone())).collect();
        }
        let root = TrustedRoot::parse(&bytes).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        services.root = Some(Arc::new(root));
        Ok(services)
    }

    /// The trust repository that is asked, if one is: what is configured counts only where nothing is said.
    fn instance(&self) -> Result<Option<Pinned>, Failure> {
        let said = self.url.is_some() || self.signing_config.is_some() || self.rekor_url.is_some();
        if self.instance.is_none() && (said || !self.tlog_upload) {
            return Ok(None);
        }
        Ok(match trust::whom(Purpose::Sign, None, self.instance.as_deref())? {
            Some(Whom::Repository(pinned)) => Some(pinned),
            Some(Whom::File(_)) | None => None,
        })
    }

    fn logs(&self, config: &Config, now: Timestamp, prefer: Prefer) -> Result<(Vec<String>, Api), Failure> {
        if let Some(url) = &self.rekor_url {
            return Ok((vec![url.trim_end_matches('/').to_owned()], self.log_api.unwrap_or(Api::V1)));
        }
        let wanted = |version: u32| match self.log_api {
            Some(Api::V1) => version == 1,
            Some(Api::V2) => version == 2,
            None => matches!(version, 1 | 2),
        };
        let list = &config.rekor_tlog_urls;
        let searched = prefer == Prefer::Searchable && newest(list, now, |version| version == 1).is_some();
        let wanted = |version: u32| wanted(version) && (!searched || self.log_api.is_some() || version == 1);
        let services = config.of_logs.select("rekorTlogConfig", list, now, wanted).map_err(unusable)?;
        let Some(first) = services.first() else {
            let api = self.log_api.map_or("v1 or v2", Api::name);
            return Err(Failure::usage(format!("no log with API {api} is listed that takes entries now")));
        };
        let api = if first.major_api_version == 1 { Api::V1 } else { Api::V2 };
        Ok((services.iter().map(|service| service.url.trim_end_matches('/').to_owned()).collect(), api))
    }
}

/// The name of a document, and what is in it.
type Document = (String, Vec<u8>);

async fn from_file(file: &Path) -> Result<Document, Failure> {
    let name = file.display().to_string();
    let bytes = read(&name, LARGEST_FILE).await?;
    Ok((name, bytes))
}

/// Asked once the server answers at all; a private stack may be starting beside us.
async fn from_server(server: &str, name: &str) -> Result<Document, Failure> {
    let url = format!("{}/{name}", server.trim_end_matches('/'));
    let asked = tokio::time::timeout(PATIENCE, read(&url, LARGEST_FILE)).await;
    let silent = |_| Failure::unavailable(format!("{url}: no answer in {} s", PATIENCE.as_secs()));
    let bytes = asked.unwrap_or_else(|elapsed| Err(silent(elapsed))).map_err(|failure| {
        failure
            .or("is `bulla up` running there? --url, --instance or --signing-config say where else to sign")
    })?;
    Ok((url, bytes))
}

async fn from_repository(instance: &Pinned, name: &str, now: Timestamp) -> Result<Document, Failure> {
    let found = instance.target(name, Network::IfNeeded, now).await?;
    if let Some(note) = &found.note {
        eprintln!("{note}");
    }
    Ok((format!("{name} of {}", instance.url), found.bytes))
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::usage(format!("{name}: {error}")))
}

fn unusable(problem: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("signing configuration: {problem}"))
}

const DEFAULT_SERVER: &str = "http://localhost:3000";
const LARGEST_FILE: u64 = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
