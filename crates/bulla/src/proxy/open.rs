//! How the parts of the proxy are put together, and the key of its own that it makes where none is named.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;
use bulla_rekor::guard::{Allowance, Network};
use bulla_web::Authorities;

use super::args::{Args, As};
use super::front::Front;
use super::images::Images;
use super::keeper::{Keeper, State};
use super::known::Store;
use super::manifests::Manifests;
use super::place::Fixed;
use super::policy::TagPolicy;
use super::seen::Seen;
use super::upstream::Upstream;
use crate::command::Failure;
use crate::registry::{Args as RegistryArgs, Client, Credentials, Host, Options, Reach, Repository};
use crate::signing::{self, Api, Prefer};
use crate::tags::{Propose, TagLog};
use crate::whole_file::{Old, Readers, put};

/// Where the proxy keeps what it has, and what it is told besides.
pub(crate) struct Opened<'a> {
    /// Its directory, which is there.
    pub(crate) dir: &'a Path,
    /// Who signs records, and where.
    pub(crate) signing: signing::Args,
    /// How registries are spoken with.
    pub(crate) registry: &'a RegistryArgs,
    /// Whose word is taken for whom they speak.
    pub(crate) trusted_proxies: Vec<Network>,
    /// What the log is shown, if it wants to know who writes.
    pub(crate) token: Option<String>,
    /// Where people find the log, if not where the proxy does.
    pub(crate) public_url: Option<String>,
}

/// Puts everything together. The log must answer.
pub(crate) async fn open(args: &Args, opened: Opened<'_>) -> Result<Arc<Front>, Failure> {
    let Opened { dir, signing, registry, trusted_proxies, token, public_url } = opened;
    let (fixed, hosts) = args.hosts()?;
    if args.verify_policy.is_some() && args.upstream_as == As::Client {
        return Err(Failure::usage(
            "--verify-policy with --upstream-as client: signatures are read by the proxy, which is nobody there",
        ));
    }
    let only =
        args.only_named.then(|| hosts.iter().map(|host| host.as_str().to_owned()).collect::<BTreeSet<_>>());
    let client = client(args, registry, &hosts)?;
    let policy = TagPolicy::open(args.tag_policy.as_deref())?;
    let images = match &args.verify_policy {
        Some(path) => Some(Images::open(path).await?),
        None => None,
    };
    let mut roles = args.roles.read().await?;
    let open = signing.open(Prefer::Searchable).await?;
    let log = open
        .log()
        .ok_or_else(|| Failure::usage("--tlog-upload=false: a tag that is in no log is no record"))?;
    if log.api != Api::V1 {
        let problem = "has no v1 API, which records of tags are searched with: name another with --rekor-url";
        return Err(Failure::usage(format!("log {} {problem}", log.url)));
    }
    match open.kept_key() {
        Some(key) => roles.recorders.keys.push(key.to_vec()),
        None if roles.recorders.identities.is_empty() => {
            return Err(Failure::usage(
                "records are signed as whom a token is about: say who with --recorder-identity SUBJECT=ISSUER",
            ));
        }
        None => {}
    }
    let root = open.root().ok_or_else(|| Failure::usage("--trusted-root is missing: no log is believed"))?;
    let log_url = log.url.clone();
    let log = TagLog::with_token(&log_url, roles, root, Some(signing.clone()), token)?;
    let store = Store::open(&dir.join(RECORDS)).map_err(Failure::unavailable)?;
    let keeper = Keeper {
        upstream: Upstream::new(client, only, args.upstream_as == As::Client),
        policy,
        log,
        log_url: public_url.unwrap_or(log_url),
        propose: Propose::new(signing, open),
        store,
        manifests: Manifests::new(args.manifest_cache),
        unknown: args.unknown,
        recheck: args.recheck,
        new_tags: args.new_tags().map(Allowance::new),
        seen: Seen::default(),
        state: State::default(),
    };
    let (keeper, upstream_as) = (Arc::new(keeper), args.upstream_as);
    Ok(Arc::new(Front { keeper, fixed, upstream_as, images, trusted_proxies }))
}

impl Args {
    /// The one registry, and all that are named.
    fn hosts(&self) -> Result<(Option<Fixed>, Vec<Host>), Failure> {
        let fixed = self.upstream.as_deref().map(Fixed::parse).transpose();
        let fixed = fixed.map_err(|problem| Failure::usage(format!("--upstream: {problem}")))?;
        let mut hosts = Vec::new();
        for registry in self.registry.iter().map(String::as_str).chain(fixed.as_ref().map(Fixed::host)) {
            let wrong = |problem: String| Failure::usage(format!("--registry {registry}: {problem}"));
            let named = registry.contains(['.', ':', '[']) || registry == "localhost";
            let of = Repository::parse(&format!("{registry}/a")).map_err(|error| wrong(error.to_string()))?;
            if !named || registry.contains('/') {
                return Err(wrong("a registry such as ghcr.io or localhost:5000 was expected".to_owned()));
            }
            hosts.push(of.host().clone());
        }
        if self.only_named && hosts.is_empty() {
            return Err(Failure::usage("--only-named names nobody: pass --registry or --upstream"));
        }
        Ok((fixed, hosts))
    }
}

fn client(args: &Args, registry: &RegistryArgs, hosts: &[Host]) -> Result<Client, Failure> {
    let credentials = match args.upstream_as {
        As::Ourselves => Credentials::from_environment(|name| std::env::var_os(name)),
        As::Anonymous | As::Client => Credentials::anonymous(),
    };
    let authorities: Authorities = registry.authorities().map_err(Failure::usage)?;
    let options = Options {
        allow_http: registry.allow_http_registry,
        authorities,
        credentials,
        timeout: args.upstream_timeout,
        // Whoever waits for the proxy can ask again by themselves.
        patience: std::time::Duration::ZERO,
        reach: Reach::public_and(hosts),
    };
    Client::new(options).map_err(Failure::usage)
}

/// The private key in a directory, made when it is not there. A directory whose key was lost is not given another one: what the
/// old one recorded would be as if it had never been, and a tag that moved would be taken for a new one.
pub(crate) fn own_key(dir: &Path) -> Result<PathBuf, Failure> {
    let (private, public) = (dir.join("proxy.key"), dir.join("proxy.pub"));
    if private.is_file() {
        return Ok(private);
    }
    if public.exists() || dir.join(RECORDS).exists() {
        return Err(Failure::usage(format!(
            "{} is missing, and {} was used before: restore the key from a copy, or move proxy.pub and {RECORDS} away and name \
             the old key with --recorder-key, so that its records go on to count",
            private.display(),
            dir.display()
        )));
    }
    let pem = SigningKey::generate_ecdsa_p256_pem();
    let key = SigningKey::from_pem(&pem, None).map_err(Failure::unavailable)?;
    let failed = |path: &Path, error: &io::Error| Failure::file(path, error);
    let public_pem = public_key_pem(key.spki());
    put(&private, pem.as_bytes(), Readers::Owner, Old::Kept).map_err(|error| failed(&private, &error))?;
    put(&public, public_pem.as_bytes(), Readers::Anybody, Old::Replaced)
        .map_err(|error| failed(&public, &error))?;
    Ok(private)
}

/// The file of what is known, in the directory of a proxy.
pub(crate) const RECORDS: &str = "records.redb";
