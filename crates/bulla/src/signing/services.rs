//! Where to sign: which certificate authority, issuer, timestamp authority and log, and the keys that the log's answers are
//! believed by. The two files that say it are those of every client (sigstore protobuf-specs, `SigningConfig` and
//! `TrustedRoot`); a `bulla up` hands both out.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::judge::TrustedRoot;
use bulla_claims::keys::public_key_pem;
use bulla_rekor::client::v1::LogKey;
use bulla_tlog::note::Verifier;
use bulla_tlog::{Hash, sha256};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::command::Failure;
use crate::materials::read;
use crate::trust::{self, Network, Pinned, Purpose, Whom};

// Options that say where to sign.
#[derive(clap::Args)]
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

/// Which API a log is spoken with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
pub(crate) enum Api {
    /// promises, and the time that the log says
    V1,
    /// tiles, and the time that a timestamp authority says
    V2,
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
    pub(crate) root: Option<TrustedRoot>,
}

/// A log, and whom to believe about it.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Without `/api/…`.
    pub(crate) url: String,
    /// How it is spoken with.
    pub(crate) api: Api,
    trusted: Vec<Trusted>,
}

/// The key of a log as a trusted root has it.
#[derive(Clone, Debug)]
struct Trusted {
    host: String,
    spki: Vec<u8>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    media_type: String,
    ca_urls: Vec<Service>,
    oidc_urls: Vec<Service>,
    rekor_tlog_urls: Vec<Service>,
    tsa_urls: Vec<Service>,
    #[serde(rename = "rekorTlogConfig")]
    of_logs: Selection,
    #[serde(rename = "tsaConfig")]
    of_tsas: Selection,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    url: String,
    major_api_version: u32,
    #[serde(default)]
    valid_for: Validity,
    #[serde(default)]
    operator: String,
}

/// How many of those that are listed.
#[derive(Default, Deserialize)]
struct Selection {
    #[serde(default)]
    selector: String,
    #[serde(default)]
    count: u32,
}

#[derive(Default, Deserialize)]
struct Validity {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    tlogs: Vec<Tlog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tlog {
    base_url: String,
    public_key: TlogKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TlogKey {
    raw_bytes: String,
    #[serde(default)]
    valid_for: Validity,
}

impl Args {
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
        config.check()?;
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
                None => config.tsas(now)?,
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
            let trusted = parse::<Root>(&name, &bytes)?.trusted(now)?;
            services.logs = urls.into_iter().map(|url| Log { url, api, trusted: trusted.clone() }).collect();
        }
        let root = TrustedRoot::parse(&bytes).map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        services.root = Some(root);
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
        let services = config.of_logs.select("rekorTlogConfig", list, now, wanted)?;
        let Some(first) = services.first() else {
            let api = self.log_api.map_or("v1 or v2", Api::name);
            return Err(Failure::usage(format!("no log with API {api} is listed that takes entries now")));
        };
        let api = if first.major_api_version == 1 { Api::V1 } else { Api::V2 };
        Ok((services.iter().map(|service| service.url.trim_end_matches('/').to_owned()).collect(), api))
    }
}

impl Api {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl Config {
    fn check(&self) -> Result<(), Failure> {
        if !self.media_type.is_empty() && self.media_type != SIGNING_CONFIG {
            let problem = format!("mediaType is {:?}, {SIGNING_CONFIG:?} was expected", self.media_type);
            return Err(Failure::usage(format!("signing configuration: {problem}")));
        }
        Ok(())
    }

    /// The timestamp authorities. None need be listed.
    fn tsas(&self, now: Timestamp) -> Result<Vec<String>, Failure> {
        if self.tsa_urls.is_empty() {
            return Ok(Vec::new());
        }
        let services = self.of_tsas.select("tsaConfig", &self.tsa_urls, now, |version| version == 1)?;
        Ok(services.into_iter().map(|service| service.url.clone()).collect())
    }
}

impl Selection {
    /// Those of the highest version that has any, of each operator the one that began last; of these as many as are wanted.
    /// Where any will do it is the newest: the same when the command is said again.
    fn select<'a>(
        &self,
        name: &str,
        list: &'a [Service],
        now: Timestamp,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Vec<&'a Service>, Failure> {
        let version = newest(list, now, wanted).map(|service| service.major_api_version);
        let mut operators: BTreeMap<&str, &Service> = BTreeMap::new();
        for service in list.iter().filter(|service| service.valid_for.holds(now)) {
            if Some(service.major_api_version) == version {
                let place = operators.entry(&service.operator).or_insert(service);
                if service.valid_for.start > place.valid_for.start {
                    *place = service;
                }
            }
        }
        let mut services: Vec<_> = operators.into_values().collect();
        services.sort_by_key(|service| Reverse(service.valid_for.start));
        let (len, count) = (services.len(), self.count as usize);
        let refused =
            |problem: String| Err(Failure::usage(format!("signing configuration: {name} {problem}")));
        match self.selector.as_str() {
            "" | "ANY" | "SERVICE_SELECTOR_UNDEFINED" => services.truncate(1),
            "ALL" if len > MOST_SERVICES => {
                return refused(format!("wants ALL of {len}, at most {MOST_SERVICES} are asked"));
            }
            "ALL" => {}
            "EXACT" if (1..=len.min(MOST_SERVICES)).contains(&count) => services.truncate(count),
            "EXACT" => {
                return refused(format!("wants EXACT {count}, {len} are listed that can be asked now"));
            }
            other => return refused(format!("wants {other:?}, ANY, ALL or EXACT was expected")),
        }
        Ok(services)
    }
}

impl Root {
    fn trusted(self, now: Timestamp) -> Result<Vec<Trusted>, Failure> {
        let wrong = |problem: String| Failure::usage(format!("trusted root: {problem}"));
        if !self.media_type.starts_with(TRUSTED_ROOT) {
            return Err(wrong(format!("mediaType is {:?}, {TRUSTED_ROOT:?}… was expected", self.media_type)));
        }
        let current = self.tlogs.into_iter().filter(|log| log.public_key.valid_for.holds(now));
        let trusted: Vec<_> = current
            .map(|log| {
                let host =
                    url::Url::parse(&log.base_url).ok().and_then(|url| url.host_str().map(str::to_owned));
                let host = host.ok_or_else(|| wrong(format!("baseUrl {:?} has no host", log.base_url)))?;
                let spki = STANDARD.decode(&log.public_key.raw_bytes);
                let spki = spki.map_err(|_| wrong(format!("the key of {host} is not base64")))?;
                Ok(Trusted { host, spki })
            })
            .collect::<Result<_, Failure>>()?;
        if trusted.is_empty() {
            Err(wrong("it has no log that is valid now".to_owned()))
        } else {
            Ok(trusted)
        }
    }
}

impl Validity {
    fn holds(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now) && self.end.is_none_or(|end| now < end)
    }
}

impl Log {
    /// The key of the v1 log that an entry says to be of.
    pub(crate) fn key_v1(&self, log_id: &str) -> Result<LogKey, Failure> {
        let trusted = self.trusted.iter().find(|log| sha256(&log.spki).to_string() == log_id);
        let trusted = trusted.ok_or_else(|| {
            let ids: Vec<_> = self.trusted.iter().map(|log| sha256(&log.spki).to_string()).collect();
            let (url, ids) = (&self.url, ids.join(", "));
            Failure::check(format!("{url} answers as log {log_id}, the trusted root has {ids}"))
        })?;
        LogKey::from_pem(&public_key_pem(&trusted.spki))
            .map_err(|problem| Failure::usage(format!("trusted root: the key of log {log_id} {problem}")))
    }

    /// The logs of v2 that are believed. What cannot sign a checkpoint is passed over.
    pub(crate) fn keys_v2(&self) -> Vec<Verifier> {
        self.trusted.iter().filter_map(|log| Verifier::from_spki(&log.host, &log.spki).ok()).collect()
    }
}

/// The one of the highest version that is wanted, and of those the one that began last.
fn newest(list: &[Service], now: Timestamp, wanted: impl Fn(u32) -> bool) -> Option<&Service> {
    let valid =
        list.iter().filter(|service| wanted(service.major_api_version) && service.valid_for.holds(now));
    valid.max_by_key(|service| (service.major_api_version, service.valid_for.start))
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

/// A key as logs of v1 name it.
pub(crate) fn key_hint(spki: &[u8]) -> String {
    let Hash(hash) = sha256(spki);
    STANDARD.encode(hash)
}

const DEFAULT_SERVER: &str = "http://localhost:3000";
const SIGNING_CONFIG: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
const TRUSTED_ROOT: &str = "application/vnd.dev.sigstore.trustedroot";
const LARGEST_FILE: u64 = 4 << 20;
/// For one signature.
const MOST_SERVICES: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(url: &str, version: u32, start: &str, end: Option<&str>) -> Service {
        let validity = json!({ "start": start, "end": end });
        let service = json!({ "url": url, "majorApiVersion": version, "validFor": validity });
        serde_json::from_value(service).expect("a service")
    }

    #[test]
    fn the_newest_version_is_chosen_and_of_it_the_latest() {
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        let list = [
            service("one", 1, "2026-05-01T00:00:00Z", None),
            service("old", 2, "2026-01-01T00:00:00Z", None),
            service("new", 2, "2026-03-01T00:00:00Z", None),
            service("ended", 2, "2026-04-01T00:00:00Z", Some("2026-05-31T00:00:00Z")),
            service("begins", 2, "2026-07-01T00:00:00Z", None),
            service("unknown", 3, "2026-01-01T00:00:00Z", None),
        ];
        let chosen = |wanted: fn(u32) -> bool| newest(&list, now, wanted).map(|service| service.url.as_str());
        assert_eq!(chosen(|version| version < 3), Some("new"));
        assert_eq!(chosen(|version| version == 1), Some("one"));
        assert_eq!(chosen(|version| version == 7), None);
    }

    #[test]
    fn as_many_as_are_wanted_of_different_operators_are_chosen() {
        let now = "2026-06-01T00:00:00Z".parse().expect("a time");
        let by = |url: &str, version: u32, start: &str, operator: &str| Service {
            operator: operator.to_owned(),
            ..service(url, version, start, None)
        };
        let list = [
            by("a-old", 2, "2026-01-01T00:00:00Z", "a"),
            by("a-new", 2, "2026-02-01T00:00:00Z", "a"),
            by("b", 2, "2026-03-01T00:00:00Z", "b"),
            by("c-one", 1, "2026-04-01T00:00:00Z", "c"),
        ];
        let chosen = |selector: &str, count: u32| {
            let selection = Selection { selector: selector.to_owned(), count };
            let services = selection.select("rekorTlogConfig", &list, now, |version| version < 3)?;
            Ok::<_, Failure>(
                services.iter().map(|service| service.url.as_str()).collect::<Vec<_>>().join(" "),
            )
        };
        assert_eq!(chosen("ANY", 0).expect("one"), "b");
        assert_eq!(chosen("", 0).expect("one"), "b");
        assert_eq!(chosen("ALL", 0).expect("two"), "b a-new");
        assert_eq!(chosen("EXACT", 1).expect("one"), "b");
        assert_eq!(chosen("EXACT", 2).expect("two"), "b a-new");
        for (selector, count, problem) in [
            ("EXACT", 3, "wants EXACT 3, 2 are listed that can be asked now"),
            ("EXACT", 0, "wants EXACT 0, 2 are listed that can be asked now"),
            ("SOME", 0, "wants \"SOME\", ANY, ALL or EXACT was expected"),
        ] {
            let error = chosen(selector, count).expect_err("is refused").to_string();
            assert_eq!(error, format!("signing configuration: rekorTlogConfig {problem}"));
        }
        let other: Config = serde_json::from_value(json!({ "mediaType": "text/plain" })).expect("JSON");
        assert!(other.check().expect_err("is refused").to_string().contains("mediaType is \"text/plain\""));
    }
}
