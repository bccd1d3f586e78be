//! The tag proxy beside a log: its options, and how it is one of the log's own writers. It speaks with the log as every proxy
//! does, over HTTP, so there is one way to record a tag.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use axum::Router;
use bulla_rekor::guard::{Network, Protection, Tokens};
use tokio::net::TcpListener;

use super::front::near;
use super::http::At;
use crate::command::Failure;
use crate::keys::{Passwords, verification_key};
use crate::proxy::{self, Opened};
use crate::registry::Args as RegistryArgs;
use crate::signing;
use crate::text::hex;

// Options of a proxy beside a log.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "The proxy")]
pub(crate) struct Args {
    /// Address of a registry front that records which digest each tag pointed to, and refuses a tag that moved; or off
    #[arg(long, value_name = "ADDR", default_value = "off")]
    proxy: At,
    #[command(flatten)]
    how: proxy::Args,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// A proxy that is about to be.
pub(crate) struct Coming {
    listener: TcpListener,
    /// Where it listens.
    pub(crate) at: SocketAddr,
    dir: PathBuf,
    key: PathBuf,
    token: String,
}

impl Args {
    /// Listens, finds the proxy's key in a log's directory, and has the log's guard let it write. None if there is to be none.
    pub(crate) async fn begin(&self, data: &Path, guard: &mut Protection) -> Result<Option<Coming>, Failure> {
        let Some((listener, at)) = self.proxy.bind("--proxy").await? else { return Ok(None) };
        let dir = data.join("proxy");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|error| Failure::file(&dir, &error))?;
        let key = proxy::own_key(&dir)?;
        let public =
            verification_key(&dir.join("proxy.pub").display().to_string(), &Passwords::new(None)).await?;
        guard.signers.also(public.spki());
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| Failure::unavailable("the system gives no random bytes"))?;
        let token = hex(&random);
        guard.own = Some(Tokens::parse(&format!("proxy:{token}")).map_err(Failure::unavailable)?);
        Ok(Some(Coming { listener, at, dir, key, token }))
    }

    /// Opens it, if there is to be one, once the log answers there.
    pub(crate) async fn open(
        &self,
        coming: Option<Coming>,
        log: SocketAddr,
        public_url: &str,
        trusted_proxies: &[Network],
    ) -> Result<Option<(TcpListener, Router)>, Failure> {
        let Some(Coming { listener, dir, key, token, .. }) = coming else { return Ok(None) };
        let opened = Opened {
            dir: &dir,
            signing: signing::Args::of(&key, &near(log)),
            registry: &self.registry,
            trusted_proxies: trusted_proxies.to_vec(),
            token: Some(token),
            public_url: Some(public_url.to_owned()),
        };
        let front = proxy::open(&self.how, opened).await?;
        Ok(Some((listener, proxy::routes(front))))
    }
}
