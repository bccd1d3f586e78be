//! What is looked at, once, before anything is judged: files, servers, variables and a directory. This is the only part that
//! reaches out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bulla_authority::client::tsa::{TsaClient, TsaClientError, said_time};
use bulla_tlog::sha256;
use jiff::Timestamp;
use serde_json::Value;

use super::data::Directory;
use super::images::Looked;
use super::probe::{self, Probe};
use super::token::Token;
use super::{Said, Standing};
use crate::home::Identity;
use crate::registry::Image;

/// What is to be looked at.
pub(crate) struct Asked {
    /// A server of ours, or of others who hand out their trust files as we do.
    pub(crate) url: Option<String>,
    /// `trusted_root.json`.
    pub(crate) trusted_root: Option<PathBuf>,
    /// `signing_config.v0.2.json`.
    pub(crate) signing_config: Option<PathBuf>,
    /// An image in a registry.
    pub(crate) image: Option<Image>,
    /// The directory of a server.
    pub(crate) data: Option<PathBuf>,
    /// What the server that writes there wants to be free.
    pub(crate) disk_reserve: u64,
}

/// What was seen.
pub(crate) struct Seen {
    pub(super) now: Timestamp,
    /// Every variable whose value is text.
    pub(super) environment: BTreeMap<String, String>,
    /// Tokens that are in variables, or in files that these name.
    pub(super) tokens: Vec<Token>,
    /// The server that was asked for.
    pub(super) url: Option<String>,
    /// Whether it answers, if it is one that must.
    pub(super) server: Option<Said>,
    /// Whom clients believe.
    pub(super) root: Option<Document>,
    /// Whom the server says that they should.
    pub(super) handed_out: Option<Document>,
    /// Where clients sign.
    pub(super) config: Option<Document>,
    pub(super) logs: Vec<Log>,
    pub(super) cas: Vec<Ca>,
    pub(super) tsas: Vec<Tsa>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) repository: Option<Repository>,
    pub(super) image: Option<Looked>,
    pub(super) data: Option<Directory>,
}

/// A trust file.
pub(super) struct Document {
    /// Where it is.
    pub(super) name: String,
    pub(super) bytes: Result<Vec<u8>, String>,
    /// Null if it is no JSON.
    pub(super) value: Value,
}

/// A log, and what it says of itself.
pub(super) struct Log {
    pub(super) url: String,
    /// The version of its API.
    pub(super) api: u64,
    pub(super) head: Probe,
}

/// A certificate authority.
pub(super) struct Ca {
    pub(super) bundle: Probe,
    pub(super) configuration: Probe,
}

/// A timestamp authority.
pub(super) struct Tsa {
    pub(super) url: String,
    pub(super) chain: Probe,
    /// What its clock said, and ours at the same time; or why it gave no timestamp.
    pub(super) stamped: Result<Option<(Timestamp, Timestamp)>, Unstamped>,
}

/// Why there is no timestamp.
pub(super) enum Unstamped {
    /// There may be one another time.
    Passing(String),
    /// Requests are to be posted elsewhere: the status, and where.
    Moved(u16, String),
    /// There will be none.
    Never(String),
}

impl From<TsaClientError> for Unstamped {
    fn from(error: TsaClientError) -> Self {
        match &error {
            TsaClientError::Unavailable(..) => Self::Passing(error.to_string()),
            TsaClientError::Status { status, .. } if probe::passing(*status) => {
                Self::Passing(error.to_string())
            }
            TsaClientError::Status { status, location: Some(to), .. } => Self::Moved(*status, to.to_string()),
            _ => Self::Never(error.to_string()),
        }
    }
}

/// An issuer of identity tokens.
pub(super) struct Issuer {
    pub(super) url: String,
    pub(super) discovery: Probe,
    pub(super) keys: Option<Probe>,
}

/// A repository of trust files.
pub(super) struct Repository {
    /// Its address.
    pub(super) base: String,
    /// Whether somebody named it.
    pub(super) named: bool,
    /// What cosign remembers.
    pub(super) remembered: Option<Remembered>,
    pub(super) timestamp: Probe,
    /// The newest root, snapshot and targets.
    pub(super) below: Vec<Probe>,
}

/// What cosign remembers of a repository on this machine.
pub(super) struct Remembered {
    /// Where: the directory that is wiped by `cosign initialize`.
    pub(super) dir: PathBuf,
    /// Which repository it asks.
    pub(super) mirror: String,
    /// The newest version of `timestamp.json` that it has seen there.
    pub(super) version: Option<u64>,
}

impl Remembered {
    /// What lies in `TUF_ROOT`, else in `~/.sigstore/root`.
    fn read(environment: &BTreeMap<String, String>) -> Option<Self> {
        let dir = match (environment.get("TUF_ROOT"), environment.get("HOME")) {
            (Some(dir), _) if !dir.is_empty() => PathBuf::from(dir),
            (_, Some(home)) => PathBuf::from(home).join(".sigstore/root"),
            _ => return None,
        };
        let json = |path: PathBuf| -> Option<Value> {
            serde_json::from_slice(&crate::target::read_small(&path, LARGEST_FILE).ok()?).ok()
        };
        let mirror = json(dir.join("remote.json"))?["mirror"].as_str()?.trim_end_matches('/').to_owned();
        let bare = mirror.trim_start_matches("https://").trim_start_matches("http://");
        let place = dir.join(bare.replace(['/', ':'], "-").to_lowercase());
        let version = json(place.join("timestamp.json")).and_then(|file| file["signed"]["version"].as_u64());
        Some(Self { dir, mirror, version })
    }
}

impl Document {
    fn of(name: String, bytes: Result<Vec<u8>, String>) -> Self {
        let value =
            bytes.as_ref().ok().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        Self { name, bytes, value }
    }

    fn from_file(path: &std::path::Path) -> Self {
        let bytes = crate::target::read_small(path, LARGEST_FILE).map_err(|failure| failure.to_string());
        Self::of(path.display().to_string(), bytes)
    }

    /// None where no such file is handed out.
    fn from_probe(probe: Probe) -> Option<Self> {
        match probe.result {
            Ok(answer) if answer.status == 200 => Some(Self::of(probe.url, Ok(answer.body))),
            _ => None,
        }
    }

    /// The members of one of its lists.
    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.value[name].as_array().map_or(&[], Vec::as_slice)
    }
}

impl Seen {
    /// Looks at everything; `now` is what clocks and ends are compared with.
    pub(crate) async fn look(asked: Asked, now: Timestamp) -> Result<Self, String> {
        let environment: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let client = probe::client()?;
        let url = asked.url.map(|url| url.trim_end_matches('/').to_owned());
        let at = |name: &str| url.as_ref().map(|url| format!("{url}/{name}"));
        let (server, handed_out) = match at("trusted_root.json") {
            Some(url) => {
                let probe = probe::get(&client, &url).await;
                // Servers of others need not hand it out.
                (Some(probe.judged("server", &[200, 404])), Document::from_probe(probe))
            }
            None => (None, None),
        };
        let in_data = |name: &str| {
            let path = asked.data.as_ref()?.join("clients").join(name);
            path.exists().then(|| Document::from_file(&path))
        };
        let root = match &asked.trusted_root {
            Some(path) => Some(Document::from_file(path)),
            None => handed_out.as_ref().map(|root| Document::of(root.name.clone(), root.bytes.clone())),
        };
        let root = root.or_else(|| in_data("trusted_root.json"));
        let config = match (&asked.signing_config, at("signing_config.v0.2.json")) {
            (Some(path), _) => Some(Document::from_file(path)),
            (None, Some(url)) => Document::from_probe(probe::get(&client, &url).await),
            (None, None) => None,
        };
        let config = config.or_else(|| in_data("signing_config.v0.2.json"));
        let mut seen = Self {
            now,
            url: url.clone(),
            server,
            root,
            handed_out,
            config,
            logs: Vec::new(),
            cas: Vec::new(),
            tsas: Vec::new(),
            issuers: Vec::new(),
            repository: None,
            image: None,
            data: asked.data.map(|dir| Directory::look(dir, asked.disk_reserve)),
            tokens: Token::look(&environment),
            environment,
        };
        seen.services(&client).await;
        seen.repository = seen.trust_repository(&client).await;
        if let Some(image) = asked.image {
            seen.image = Some(Looked::at(image).await);
        }
        Ok(seen)
    }

    /// The value of a variable, if it has one.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All probes that have the time of a server.
    pub(super) fn probes(&self) -> impl Iterator<Item = &Probe> {
        let logs = self.logs.iter().map(|log| &log.head);
        let cas = self.cas.iter().map(|ca| &ca.bundle);
        let tsas = self.tsas.iter().map(|tsa| &tsa.chain);
        let issuers = self.issuers.iter().map(|issuer| &issuer.discovery);
        logs.chain(cas).chain(tsas).chain(issuers).chain(self.repository.iter().map(|it| &it.timestamp))
    }

    /// Where the services of a list are: those that the file names for now; without a file, the server itself may be all.
    fn listed(&self, list: &str) -> Vec<(String, u64)> {
        let Some(config) = &self.config else { return Vec::new() };
        let services =
            config.list(list).iter().filter(|service| super::trust::in_force(&service["validFor"], self.now));
        let mut all: Vec<_> = services
            .filter_map(|service| {
                let url = service["url"].as_str()?.trim_end_matches('/').to_owned();
                Some((url, service["majorApiVersion"].as_u64().unwrap_or(1)))
            })
            .take(MOST_SERVICES)
            .collect();
        all.dedup();
        all
    }

    async fn services(&mut self, client: &reqwest::Client) {
        let mut logs = self.listed("rekorTlogUrls");
        let answers = self.server.as_ref().is_some_and(|said| said.standing == Standing::Well);
        if self.config.is_none() && answers {
            logs.extend(self.url.iter().map(|url| (url.clone(), 2)));
        }
        // Others are not spoken here, and no client's.
        for (url, api) in logs.into_iter().filter(|(_, api)| matches!(api, 1 | 2)) {
            let path = if api == 1 { "api/v1/log" } else { "api/v2/checkpoint" };
            let head = probe::get(client, &format!("{url}/{path}")).await;
            self.logs.push(Log { url, api, head });
        }
        for (url, _) in self.listed("caUrls") {
            let bundle = probe::get(client, &format!("{url}/api/v2/trustBundle")).await;
            let configuration = probe::get(client, &format!("{url}/api/v2/configuration")).await;
            self.cas.push(Ca { bundle, configuration });
        }
        for (url, _) in self.listed("tsaUrls") {
            let chain = probe::get(client, &format!("{url}/certchain")).await;
            let stamped = stamped(&url).await.map_err(Unstamped::from);
            self.tsas.push(Tsa { url, chain, stamped });
        }
        let named = self.config.as_ref().map_or(&[][..], |config| config.list("oidcUrls"));
        // As it is written: with a slash at its end or without, it is another issuer.
        let issuers: Vec<_> =
            named.iter().filter_map(|issuer| issuer["url"].as_str()).map(str::to_owned).collect();
        for url in issuers.into_iter().take(MOST_SERVICES) {
            let path = format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'));
            let discovery = probe::get(client, &path).await;
            let keys = match discovery.json().and_then(|found| Some(found["jwks_uri"].as_str()?.to_owned())) {
                Some(keys) => Some(probe::get(client, &keys).await),
                None => None,
            };
            self.issuers.push(Issuer { url, discovery, keys });
        }
    }

    async fn trust_repository(&self, client: &reqwest::Client) -> Option<Repository> {
        let named = self.variable("TUF_MIRROR").map(str::to_owned);
        let (base, named) = match (named, &self.url) {
            (Some(mirror), _) => (mirror.trim_end_matches('/').to_owned(), true),
            (None, Some(url)) => (format!("{url}/tuf"), false),
            (None, None) => return None,
        };
        let timestamp = probe::get(client, &format!("{base}/timestamp.json")).await;
        let version_of =
            |probe: &Probe, file: &str| probe.json()?["signed"]["meta"][file]["version"].as_u64();
        let mut below = Vec::new();
        if let Some(version) = version_of(&timestamp, "snapshot.json") {
            let snapshot = probe::get(client, &format!("{base}/{version}.snapshot.json")).await;
            if let Some(version) = version_of(&snapshot, "targets.json") {
                below.push(probe::get(client, &format!("{base}/{version}.targets.json")).await);
            }
            below.push(snapshot);
            let mut newest = None;
            for version in 1..=MOST_ROOTS {
                let root = probe::get(client, &format!("{base}/{version}.root.json")).await;
                if root.body().is_none() {
                    break;
                }
                newest = Some(root);
            }
            below.extend(newest);
        }
        Some(Repository { base, named, remembered: Remembered::read(&self.environment), timestamp, below })
    }
}

/// Has a timestamp made, and says when that was.
async fn stamped(url: &str) -> Result<Option<(Timestamp, Timestamp)>, TsaClientError> {
    let client = TsaClient::new(url)?;
    let asked = Timestamp::now();
    let answer = client.timestamp(&sha256(b"bulla doctor").0).await?;
    let here = probe::between(asked, Timestamp::now());
    Ok(said_time(&answer).map(|there| (there, here)))
}

/// Where a server said that it is, which wrote into a directory.
pub(crate) fn url_of(data: &std::path::Path) -> Option<String> {
    Identity::url(data)
}

const LARGEST_FILE: u64 = 4 << 20;
/// Of one kind.
const MOST_SERVICES: usize = 16;
const MOST_ROOTS: u32 = 64;
