//! How the trust files reach clients: as files in the data directory, and as a repository of The Update Framework that is signed
//! again before it grows stale.
//!
//! ```text
//! DIR/clients/…            the trust files, for those who take files
//! DIR/tuf/repository/…     the repository, as it is served
//! DIR/tuf/online.key       signs it from day to day
//! DIR/offline/tuf-root.key its root: needed to make it and to change keys, never to run it
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulla_authority::PrivateKey;
use bulla_authority::tuf::{Expiries, OnlineRotation, Repository, RepositoryError};
use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;
use bulla_rekor::trust::Apis;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::files::{missing, secret};
use super::staged::{self, Plan, SINCE};
use crate::command::Failure;
use crate::home::{make_directory, note, read_key};
use crate::service::trust::Documents;

/// Where the trust files go.
#[derive(Clone)]
pub(crate) struct Trusted {
    dir: PathBuf,
    /// How long the newest list is valid, if there is a repository.
    lifetime: Option<Duration>,
    repository: Arc<Mutex<Option<Repository>>>,
}

/// The shortest life of a list that is looked at so often.
const SHORTEST: Duration = Duration::from_mins(30);
/// How often the repository is looked at.
const EVERY: Duration = Duration::from_mins(10);

impl Trusted {
    pub(super) fn new(dir: &Path, lifetime: Option<Duration>) -> Self {
        Self { dir: dir.to_owned(), lifetime, repository: Arc::default() }
    }

    /// Where the repository is, if there is one.
    pub(super) fn repository(&self) -> Option<PathBuf> {
        self.lifetime.map(|_| self.dir.join("tuf/repository"))
    }

    /// Hands out what the documents say now.
    pub(crate) async fn publish(&self, documents: &Documents) -> Result<(), Failure> {
        let trusted_root = documents.trusted_root()?;
        let signing_config = documents.signing_config(Apis::Both)?;
        let clients = self.dir.join("clients");
        make_directory(&clients)?;
        note(&clients, TRUSTED_ROOT, &trusted_root)?;
        note(&clients, SIGNING_CONFIG, &signing_config)?;
        note(&clients, "client_trust_config.json", &documents.client_trust_config()?)?;
        let targets = BTreeMap::from([
            (TRUSTED_ROOT.to_owned(), trusted_root.into_bytes()),
            (SIGNING_CONFIG.to_owned(), signing_config.into_bytes()),
            (
                "signing_config_rekor_v1.v0.2.json".to_owned(),
                documents.signing_config(Apis::V1)?.into_bytes(),
            ),
            (
                "signing_config_rekor_v2.v0.2.json".to_owned(),
                documents.signing_config(Apis::V2)?.into_bytes(),
            ),
        ]);
        let Some(lifetime) = self.lifetime else { return Ok(()) };
        let mut repository = self.repository.lock().await;
        if repository.is_none() {
            *repository = Some(self.open(lifetime, &targets).await?);
        }
        if let Some(repository) = repository.as_ref() {
            repository.publish(&targets, Timestamp::now()).await.map_err(Failure::usage)?;
        }
        Ok(())
    }

    async fn open(
        &self,
        lifetime: Duration,
        targets: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Repository, Failure> {
        let home = self.dir.join("tuf");
        let dir = home.join("repository");
        let began = dir.join("1.root.json").exists() || dir.join("root.json").exists();
        if began && !home.join(KEY).exists() {
            return Err(missing(&home.join(KEY)));
        }
        if lifetime < SHORTEST {
            return Err(Failure::usage(
                "--tuf-timestamp-lifetime must be at least 30m: it is looked at every 10 minutes",
            ));
        }
        let expiries = expiries(lifetime)?;
        if began {
            match turned(&self.dir, expiries).await {
                Ok(Some(repository)) => return Ok(repository),
                Ok(None) => {}
                Err(failure) => tracing::error!(%failure, "the trust repository's key cannot be rotated"),
            }
        }
        let online = Arc::new(read_key(&secret(&home, KEY, SigningKey::generate_ecdsa_p256_pem)?, None)?);
        if began {
            return Repository::open(&dir, online, expiries).map_err(Failure::usage);
        }
        // Written once the repository is whole.
        if home.join("begun").exists() {
            return Err(missing(&dir));
        }
        let offline = self.dir.join("offline");
        let root = read_key(&secret(&offline, "tuf-root.key", SigningKey::generate_ecdsa_p256_pem)?, None)?;
        let created = Repository::create(&dir, &[&root], online, targets, Timestamp::now(), expiries).await;
        let created = created.map_err(Failure::usage)?;
        note(
            &home,
            "begun",
            "The repository beside this was handed out. Without it, clients cannot be told anything new.\n",
        )?;
        Ok(created)
    }

    /// Puts a staged key in force, if there is one and a repository to sign with it. Says whether there was.
    pub(crate) async fn turn(&self) -> Result<bool, Failure> {
        let Some(lifetime) = self.lifetime else { return Ok(false) };
        let mut repository = self.repository.lock().await;
        let Some(turned) = turned(&self.dir, expiries(lifetime)?).await? else { return Ok(false) };
        *repository = Some(turned);
        Ok(true)
    }

    /// How long clients may believe a list before they look for another one, if there is a repository.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }

    /// Signs the repository again when it is time, for ever.
    pub(super) async fn keep_fresh(&self) {
        let mut looks = tokio::time::interval(EVERY);
        loop {
            looks.tick().await;
            let repository = self.repository.lock().await;
            let Some(repository) = repository.as_ref() else { continue };
            match repository.refresh(Timestamp::now()).await {
                Ok(refreshed) => {
                    let left = refreshed.timestamp_expires.duration_since(Timestamp::now());
                    metrics::gauge!("bulla_tuf_expires_seconds").set(left.as_secs_f64());
                    if refreshed.written {
                        tracing::info!(expires = %refreshed.timestamp_expires, "trust repository signed again");
                    }
                }
                Err(error) => tracing::error!(%error, "trust repository cannot be signed again"),
            }
        }
    }
}

fn expiries(lifetime: Duration) -> Result<Expiries, Failure> {
    let timestamp = SignedDuration::try_from(lifetime).map_err(Failure::usage)?;
    Ok(Expiries { timestamp, ..Expiries::default() })
}

/// Makes a new online key and, with these keys of the root, the roots that let it follow the one that there is, and lays all of
/// it beside the repository.
pub(super) async fn stage(
    data: &Path,
    root_keys: &[SigningKey],
    plan: &Plan,
    now: Timestamp,
) -> Result<(), Failure> {
    let (repository, place) = (data.join("tuf/repository"), data.join("tuf/next"));
    if place.join(KEY).exists() {
        return Err(staged::staged_already(&place));
    }
    let text = SigningKey::generate_ecdsa_p256_pem();
    let key = SigningKey::from_pem(&text, None).map_err(Failure::unavailable)?;
    let signers: Vec<&dyn PrivateKey> = root_keys.iter().map(|key| key as &dyn PrivateKey).collect();
    let life = Expiries::default().root;
    let rotation = OnlineRotation::prepare(&repository, key.spki(), &signers, now, life).await;
    let rotation = rotation.map_err(|error| match error {
        RepositoryError::Threshold { .. } => {
            Failure::check(format!("{error}: pass --root-key FILE for each key of the repository's root"))
        }
        other => Failure::usage(other),
    })?;
    let [both, alone] =
        [rotation.both, rotation.alone].map(|root| String::from_utf8(root).unwrap_or_default());
    staged::lay(
        &place,
        Some(plan),
        &[(KEY, &text)],
        &[(PUBLIC, &public_key_pem(key.spki())), (BOTH, &both), (ALONE, &alone)],
    )
}

/// Puts the staged key in force, or goes on with that. The old key is no more.
async fn turned(data: &Path, expiries: Expiries) -> Result<Option<Repository>, Failure> {
    let (home, place) = (data.join("tuf"), data.join("tuf/next"));
    if !place.exists() {
        return Ok(None);
    }
    let repository = if place.join(KEY).exists() {
        let read = |name: &str| {
            let path = place.join(name);
            std::fs::read(&path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
        };
        let rotation = OnlineRotation { both: read(BOTH)?, alone: read(ALONE)? };
        let key = Arc::new(read_key(&place.join(KEY), None)?);
        let turned = rotation.carry_out(&home.join("repository"), key, expiries, Timestamp::now()).await;
        let refused = |error| {
            let place = place.display();
            Failure::usage(format!(
                "{error}: what is staged in {place} no longer fits, take it away and rotate again"
            ))
        };
        let turned = turned.map_err(refused)?;
        staged::take(&place, &home, KEY)?;
        turned
    } else {
        let key = Arc::new(read_key(&home.join(KEY), None)?);
        Repository::open(&home.join("repository"), key, expiries).map_err(Failure::usage)?
    };
    note(&home, SINCE, &format!("{}\n", Timestamp::now()))?;
    staged::remove(&place)?;
    tracing::info!("the trust repository is signed by a new key");
    Ok(Some(repository))
}

const KEY: &str = "online.key";
/// The public half of a staged one.
pub(super) const PUBLIC: &str = "online.pub";
const BOTH: &str = "both.root.json";
const ALONE: &str = "alone.root.json";
const TRUSTED_ROOT: &str = "trusted_root.json";
const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
