//! What can be said about the authorities: the sections `[ca]`, `[ct]`, `[tsa]` and `[tuf]` of the file of options.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bulla_authority::api::ct::Submissions;

use tokio::net::TcpListener;

use super::named_key::NamedKeys;
use crate::command::Failure;
use crate::service::http;
use crate::text;

#[derive(Clone, clap::Args)]
#[group(skip)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Args {
    /// Certify identities, as Fulcio does; keys and certificates are made when they are not there
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", help_heading = "Certificate authority"
    )]
    pub(super) ca_serve: bool,
    /// Private key of the authority: pkcs11:, awskms://, gcpkms://, azurekms:// or hashivault:// in builds that have it, or
    /// a file [default: DIR/ca/ca.key, made when it is not there]
    #[arg(long, value_name = "URI", help_heading = "Certificate authority")]
    pub(super) ca_key: Option<String>,
    /// TOML file with the issuers of identity tokens that are believed
    #[arg(long, value_name = "FILE", help_heading = "Certificate authority")]
    pub(super) ca_issuers: Option<PathBuf>,
    /// How long a certificate is valid
    #[arg(
        long, value_name = "TIME", default_value = "10m", value_parser = text::duration,
        help_heading = "Certificate authority"
    )]
    pub(super) ca_lifetime: Duration,
    /// Kinds of keys that are certified: ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa, ed25519, separated by commas
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "ecdsa-p256,ecdsa-p384,ecdsa-p521,rsa,ed25519",
        help_heading = "Certificate authority"
    )]
    pub(super) ca_key_algorithms: Vec<String>,
    /// Refuse a token that was used with another key before
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", help_heading = "Certificate authority"
    )]
    pub(super) ca_single_use: bool,
    /// Private key of the root, to make a new authority with when DIR/offline/root.key was taken away
    #[arg(long, value_name = "FILE", help_heading = "Certificate authority")]
    pub(super) ca_root_key: Option<PathBuf>,
    /// Address of its own to serve it on [default: the log's]
    #[arg(long, value_name = "ADDR", help_heading = "Certificate authority")]
    pub(super) ca_http: Option<SocketAddr>,

    /// Keep a certificate transparency log; without it certificates are logged where the first --ct-url says
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", help_heading = "Certificate transparency"
    )]
    pub(super) ct_serve: bool,
    /// Whose certificates are taken over HTTP
    #[arg(long, value_enum, default_value_t = Submitters::Closed, help_heading = "Certificate transparency")]
    pub(super) ct_submissions: Submitters,
    /// Address of its own to serve it on [default: the log's, below /ct]
    #[arg(long, value_name = "ADDR", help_heading = "Certificate transparency")]
    pub(super) ct_http: Option<SocketAddr>,

    /// Attest times (RFC 3161)
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", help_heading = "Timestamps"
    )]
    pub(super) tsa_serve: bool,
    /// Private key of the authority: pkcs11:, awskms://, gcpkms://, azurekms:// or hashivault:// in builds that have it, or
    /// a file [default: DIR/tsa/tsa.key, made when it is not there]
    #[arg(long, value_name = "URI", help_heading = "Timestamps")]
    pub(super) tsa_key: Option<String>,
    /// Object identifier of the policy that timestamps are made under
    #[arg(long, value_name = "OID", default_value = "1.3.6.1.4.1.57264.2", help_heading = "Timestamps")]
    pub(super) tsa_policy: String,
    /// Another policy that may be asked for; may be repeated
    #[arg(long, value_name = "OID", help_heading = "Timestamps")]
    pub(super) tsa_accept_policy: Vec<String>,
    /// What timestamps say about how exact they are, 1ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = accuracy, help_heading = "Timestamps")]
    pub(super) tsa_accuracy: Duration,
    /// A server to compare the clock with: `HOST:PORT` of an NTP server, or a URL of https; may be repeated
    #[arg(long, value_name = "URL", help_heading = "Timestamps")]
    pub(super) tsa_time_source: Vec<String>,
    /// Attest nothing while the clock is further off than this
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = text::duration, help_heading = "Timestamps")]
    pub(super) tsa_time_bound: Duration,
    /// Address of its own to serve it on [default: the log's]
    #[arg(long, value_name = "ADDR", help_heading = "Timestamps")]
    pub(super) tsa_http: Option<SocketAddr>,

    /// Hand the trust files out as a repository of The Update Framework
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", help_heading = "Trust repository"
    )]
    pub(super) tuf_serve: bool,
    /// How long the list of files is valid without being signed again; the server signs it again at half that time
    #[arg(long, value_name = "TIME", default_value = "2d", value_parser = text::duration, help_heading = "Trust repository")]
    pub(super) tuf_timestamp_lifetime: Duration,
    /// Address of its own to serve it on [default: the log's, below /tuf]
    #[arg(long, value_name = "ADDR", help_heading = "Trust repository")]
    pub(super) tuf_http: Option<SocketAddr>,
}

/// Listeners that authorities have to themselves.
#[derive(Default)]
pub(crate) struct Listeners(Vec<(SocketAddr, TcpListener)>);

impl Listeners {
    /// The one at that address.
    pub(crate) fn take(&mut self, at: SocketAddr) -> Option<TcpListener> {
        let place = self.0.iter().position(|(bound, _)| *bound == at)?;
        Some(self.0.swap_remove(place).1)
    }
}

impl Args {
    /// Opens the listeners, before anything says where they are. A port that was left to the system is known from then on.
    pub(crate) async fn bind(&mut self) -> Result<Listeners, Failure> {
        let mut listeners = Listeners::default();
        let served = [
            ("--ca-http", self.ca_serve, &mut self.ca_http),
            ("--ct-http", self.ct_serve, &mut self.ct_http),
            ("--tsa-http", self.tsa_serve, &mut self.tsa_http),
            ("--tuf-http", self.tuf_serve, &mut self.tuf_http),
        ];
        for (option, _, at) in served.into_iter().filter(|(_, serve, _)| *serve) {
            if let Some(at) = at {
                let (listener, bound) = http::bind(option, *at).await?;
                *at = bound;
                listeners.0.push((bound, listener));
            }
        }
        Ok(listeners)
    }

    /// Keys of authorities that are kept elsewhere.
    pub(super) fn keys(&self) -> NamedKeys<'_> {
        NamedKeys { ca: self.ca_key.as_deref(), tsa: self.tsa_key.as_deref() }
    }

    /// Everything is served.
    pub(crate) fn everything(&mut self) {
        for serve in [&mut self.ca_serve, &mut self.ct_serve, &mut self.tsa_serve, &mut self.tuf_serve] {
            *serve = true;
        }
    }

    /// Base URL of the certificate authority.
    pub(super) fn ca_url(&self, url: &str) -> String {
        elsewhere(url, self.ca_http)
    }

    /// Submission prefix of the certificate transparency log.
    pub(super) fn ct_url(&self, url: &str) -> String {
        format!("{}/ct", elsewhere(url, self.ct_http))
    }

    /// Base URL of the timestamp authority.
    pub(super) fn tsa_url(&self, url: &str) -> String {
        elsewhere(url, self.tsa_http)
    }
}

/// Who may submit certificates.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Submitters {
    /// our own authority alone
    Closed,
    /// everybody whose chain leads to our root; what is logged stays for ever
    Open,
}

impl From<Submitters> for Submissions {
    fn from(submitters: Submitters) -> Self {
        match submitters {
            Submitters::Closed => Self::Closed,
            Submitters::Open => Self::Open,
        }
    }
}

/// How exact a clock may be said to be. A timestamp that is exact to nothing, or to a day, attests nothing.
fn accuracy(text: &str) -> Result<Duration, String> {
    let accuracy = text::duration(text)?;
    let known = Duration::from_millis(1)..=Duration::from_hours(1);
    if known.contains(&accuracy) {
        Ok(accuracy)
    } else {
        Err("1ms to 1h was expected, such as 1s".to_owned())
    }
}

/// The URL of the log, or of another listener on the same host.
fn elsewhere(url: &str, own: Option<SocketAddr>) -> String {
    let other = own.and_then(|own| {
        let mut other: reqwest::Url = url.parse().ok()?;
        other.set_port(Some(own.port())).ok()?;
        Some(other.as_str().trim_end_matches('/').to_owned())
    });
    other.unwrap_or_else(|| url.to_owned())
}
