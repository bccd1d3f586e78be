//! How this program asks others over HTTP: the same client everywhere, one reading of the authorities that the system
//! trusts, one way to say what failed.

mod authorities;
mod error;
mod loopback;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use authorities::Authorities;
pub use error::chain;
pub use loopback::is_loopback;

use authorities::WhenAsked;

/// What servers see of us.
pub const USER_AGENT: &str = concat!("bulla/", env!("CARGO_PKG_VERSION"));
/// To get a connection, unless a caller has less patience.
pub const CONNECT: Duration = Duration::from_secs(10);

/// A client that follows no redirects, says who it is, and believes the authorities of the system. The caller bounds the
/// time of an answer.
pub fn client() -> ClientBuilder {
    static TLS: LazyLock<ClientConfig> = LazyLock::new(|| configuration(&Authorities::default()));
    over(TLS.clone())
}

/// As [`client`], for servers of one's own authorities besides those of the system.
pub fn client_believing(authorities: &Authorities) -> ClientBuilder {
    if authorities.is_empty() { client() } else { over(configuration(authorities)) }
}

fn over(tls: ClientConfig) -> ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT)
        .redirect(Policy::none())
        .referer(false)
}

fn configuration(authorities: &Authorities) -> ClientConfig {
    let verifier = WhenAsked::new(authorities.clone(), provider());
    let mut tls = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites of both versions of TLS")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tls
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}
