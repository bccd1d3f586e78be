//! The authorities of a private stack: opened from the data directory, served beside the log, named in its trust files.

mod args;
pub(crate) mod clients;
mod ct;
mod expiry;
mod files;
mod fulcio;
pub(crate) mod members;
mod named_key;
pub(crate) mod report;
pub(crate) mod rotation;
mod staged;
pub(crate) mod staging;
mod tsa;
mod tuf;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use bulla_authority::api::fulcio::Fulcio;
use bulla_authority::ct::{CtLog, RemoteCtLog};
use bulla_authority::dev::DevIssuer;
use bulla_authority::{api, oidc};
use bulla_claims::pki::x509;
use jiff::Timestamp;
use tokio::task::JoinSet;

pub(crate) use args::{Args, Listeners};

use self::ct::CertificateLogs;
use self::files::{CA, Hierarchy, TSA};
use self::members::Members;
use self::tsa::Timestamps;
pub(crate) use self::tuf::Trusted;
use crate::command::Failure;

/// What the authorities are told about the place they are in.
pub(crate) struct Place<'a> {
    /// The data directory.
    pub(crate) dir: &'a Path,
    /// Public base URL of the log.
    pub(crate) url: &'a str,
    /// In the names of certificates.
    pub(crate) organization: &'a str,
    /// Whether the issuer for laptops is included.
    pub(crate) dev: bool,
    /// URL and key file of a certificate transparency log elsewhere.
    pub(crate) outside_ct: Option<(&'a str, &'a Path)>,
}

/// Routes, and the listener that they have to themselves, if any.
pub(crate) struct Served {
    /// Its address.
    pub(crate) own: Option<SocketAddr>,
    /// What is there.
    pub(crate) routes: Router,
}

/// The authorities that run.
pub(crate) struct Authorities {
    dir: PathBuf,
    fulcio: Option<Arc<Fulcio>>,
    ct: Option<Arc<CertificateLogs>>,
    /// A log elsewhere, for those who keep none.
    outside_ct: Option<Arc<dyn CtLog>>,
    tsa: Option<Timestamps>,
    trusted: Trusted,
    dev: Option<Arc<DevIssuer>>,
    args: Args,
}

impl Authorities {
    /// Opens what is asked for. What it needs and is not there is made.
    pub(crate) async fn open(args: &Args, place: &Place<'_>) -> Result<Self, Failure> {
        let now = Timestamp::now();
        let hierarchy = Hierarchy {
            root_key: args.ca_root_key.as_deref(),
            keys: args.keys(),
            ..Hierarchy::new(place.dir, place.organization)
        };
        for role in [&CA, &TSA] {
            if staged::is_begun(place.dir, role) {
                tracing::warn!(authority = role.dir, "a rotation was interrupted: ending it");
                staged::turn(place.dir, role)?;
            }
        }
        let dev = if place.dev { Some(dev_issuer(place.url)?) } else { None };
        let ca = if args.ca_serve { Some(hierarchy.open(&CA, now).await?) } else { None };
        let ct = if args.ct_serve {
            Some(Arc::new(CertificateLogs::open(place.dir, args, place.url).await?))
        } else {
            None
        };
        let outside_ct = match place.outside_ct {
            Some((url, key)) if ca.is_some() && ct.is_none() => {
                Some(Arc::new(outside_ct(url, key)?) as Arc<dyn CtLog>)
            }
            _ => None,
        };
        if ca.is_some() && ct.is_none() && outside_ct.is_none() {
            tracing::warn!(
                "certificates are logged nowhere, and most clients refuse them: pass --ct-serve, or --ct-url \
                 and --ct-key of a log elsewhere"
            );
        }
        let tsa = if args.tsa_serve { Some(Timestamps::open(args, &hierarchy, now).await?) } else { None };
        let trusted = Trusted::new(place.dir, args.tuf_serve.then_some(args.tuf_timestamp_lifetime));
        let dir = place.dir.to_owned();
        let mut authorities =
            Self { dir, fulcio: None, ct, outside_ct, tsa, trusted, dev, args: args.clone() };
        if let Some(ca) = ca {
            let authority = fulcio::authority(args, ca, authorities.submit()?)?;
            authorities.fulcio = Some(Arc::new(fulcio::open(args, authority, authorities.dev.as_deref())?));
        }
        Ok(authorities)
    }

    /// Where certificates are logged.
    fn submit(&self) -> Result<Option<Arc<dyn CtLog>>, Failure> {
        let Some(ct) = &self.ct else { return Ok(self.outside_ct.clone()) };
        let open = ct.log().ok_or_else(|| {
            Failure::check(format!("every certificate transparency log in {} has ended", self.dir.display()))
        });
        open.map(Some)
    }

    /// Where they are, for the trust files.
    pub(crate) fn members(&self, url: &str) -> Members {
        Members {
            ca: self.fulcio.as_ref().map(|_| self.args.ca_url(url)),
            ct: self.ct.as_ref().map(|_| self.args.ct_url(url)),
            tsa: self.tsa.as_ref().map(|_| format!("{}/api/v1/timestamp", self.args.tsa_url(url))),
            oidc: self.dev.as_ref().map(|dev| dev.url().to_owned()),
            ..Members::default()
        }
    }

    /// What hands the trust files out.
    pub(crate) fn trusted(&self) -> Trusted {
        self.trusted.clone()
    }

    /// Everything that is served over HTTP.
    pub(crate) fn served(&self) -> Vec<Served> {
        let mut all = Vec::new();
        let mut serve = |own, routes| all.push(Served { own, routes });
        if let Some(fulcio) = &self.fulcio {
            serve(self.args.ca_http, api::fulcio::routes(fulcio.clone()));
        }
        if let Some(ct) = &self.ct {
            serve(self.args.ct_http, ct.routes());
        }
        if let Some(tsa) = &self.tsa {
            serve(self.args.tsa_http, tsa.routes());
        }
        if let Some(repository) = self.trusted.repository() {
            let routes = Router::new().nest("/tuf", api::tuf::routes(repository.into()));
            serve(self.args.tuf_http, routes);
        }
        if let Some(dev) = &self.dev {
            let routes = Router::new().nest("/oidc", api::dev::routes(dev.clone()));
            serve(None, routes.layer(axum::middleware::map_request(with_peer)));
        }
        all
    }

    /// The certificate authority for gRPC.
    pub(crate) fn fulcio(&self) -> Option<Arc<Fulcio>> {
        self.fulcio.clone()
    }

    /// Starts what watches and renews.
    pub(crate) fn keep(&self, background: &mut JoinSet<()>) {
        if let Some(tsa) = &self.tsa {
            tsa.keep(background);
        }
        let trusted = self.trusted.clone();
        background.spawn(async move { trusted.keep_fresh().await });
        let dir = self.dir.clone();
        background.spawn(async move { expiry::watch(&dir).await });
    }

    /// Stops what writes.
    pub(crate) async fn stop(&self) -> Result<(), Failure> {
        match &self.ct {
            Some(ct) => ct.stop().await,
            None => Ok(()),
        }
    }
}

/// The issuer for laptops asks for the address in its own words.
async fn with_peer(mut request: axum::extract::Request) -> axum::extract::Request {
    if let Some(bulla_rekor::guard::Peer(peer)) = request.extensions().get().copied() {
        request.extensions_mut().insert(api::dev::Peer(peer));
    }
    request
}

fn dev_issuer(url: &str) -> Result<Arc<DevIssuer>, Failure> {
    let issuer = DevIssuer::with_new_key(&format!("{url}/oidc"));
    issuer.map(Arc::new).map_err(|problem| Failure::usage(format!("--dev: {problem}")))
}

fn outside_ct(url: &str, key: &Path) -> Result<RemoteCtLog, Failure> {
    let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", key.display()));
    let text = std::fs::read(key).map_err(|error| failed(&error))?;
    let key = x509::PublicKey::parse(&text).map_err(|error| failed(&error.problem))?;
    RemoteCtLog::new(url, key.spki()).map_err(|problem| Failure::usage(format!("--ct-url: {problem}")))
}

/// How often an issuer is asked, and how long it has.
fn http_settings() -> oidc::HttpSettings {
    oidc::HttpSettings::default()
}
