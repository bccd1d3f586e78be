//! What can be said on a command line about how registries are spoken with.

use std::path::PathBuf;

use bulla_web::Authorities;

use super::client::Client;
use super::credentials::Credentials;
use super::transport::Options;

// Options of every command that speaks with registries. Who we are there is what Docker's and Podman's files say.
#[derive(Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Speak plain HTTP with registries that do not speak TLS; with those on this machine that is always done
    #[arg(long)]
    pub(crate) allow_http_registry: bool,
    /// Certificate authorities that registries are believed by, in PEM, besides those of the system
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_ca: Option<PathBuf>,
}

impl Args {
    /// The client that these options describe, with the credentials of whoever runs the program.
    pub(crate) fn client(&self) -> Result<Client, String> {
        Client::new(Options {
            allow_http: self.allow_http_registry,
            authorities: self.authorities()?,
            credentials: Credentials::from_environment(|name| std::env::var_os(name)),
            ..Options::default()
        })
    }
    /// Who vouches for registries besides whom the system believes.
    pub(crate) fn authorities(&self) -> Result<Authorities, String> {
        let Some(path) = &self.registry_ca else { return Ok(Authorities::default()) };
        let named = |problem: String| format!("--registry-ca {}: {problem}", path.display());
        let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        Authorities::from_pem(&pem).map_err(named)
    }
}
