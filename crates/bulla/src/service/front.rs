//! What a log says to the person who started it and to the one who opens its address: who it is, where things are, what
//! to type next.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bulla_rekor::Shards;
use bulla_rekor::wire::v1::id::TreeId;
use bulla_tlog::Hash;
use bulla_tlog::note::Verifier;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use bulla_claims::keys::public_key_pem;

use crate::text::shell_word;

/// A log that listens.
pub(crate) struct Front {
    /// Its key under its origin.
    pub(crate) verifier: Verifier,
    /// Its public base URL.
    pub(crate) url: String,
    /// Its active tree.
    pub(crate) tree: TreeId,
    /// What v1 clients know it by.
    pub(crate) v1_log_id: Hash,
}

/// Where everything is, for whoever started the log.
pub(crate) struct Places {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// That of the active shard.
    pub(crate) shard: PathBuf,
    /// Bound addresses.
    pub(crate) http: SocketAddr,
    /// See above.
    pub(crate) grpc: Option<SocketAddr>,
    /// See above.
    pub(crate) metrics: Option<SocketAddr>,
    /// Of the tag proxy.
    pub(crate) proxy: Option<SocketAddr>,
}

impl Front {
    /// The greeting on standard output.
    pub(crate) fn greeting(&self, state: &str, places: &Places) -> String {
        let verifier = &self.verifier;
        let off = || "off".to_owned();
        let address =
            |at: Option<SocketAddr>, rest: &str| at.map_or_else(off, |at| format!("http://{at}{rest}"));
        let mut lines = String::new();
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _infallible = writeln!(lines, "  {name:<11} {value}");
        };
        line("data", &places.data.display().to_string());
        line("HTTP", &address(Some(places.http), ""));
        line("gRPC", &address(places.grpc, ""));
        line("metrics", &address(places.metrics, "/metrics"));
        if let Some(proxy) = places.proxy {
            line("tag proxy", &format!("http://{proxy}"));
        }
        line("public URL", &self.url);
        line("tree", &self.tree.to_string());
        line("v2 log ID", &verifier.log_id().to_base64());
        line("", &verifier.log_id().to_string());
        line("vkey", &verifier.vkey());
        line("v1 log ID", &self.v1_log_id.to_string());
        let (origin, key) = (verifier.name(), public_key_pem(verifier.spki()));
        let near = near(places.http);
        let vkey = places.shard.join("log.vkey");
        format!(
            "bulla {}: {state} \"{origin}\"\n\n{lines}\n{key}\nLog the signature of a file:\n\n{}\n\nCheck the whole log:\n\n\
             bulla fsck {near} --key {}\n\n",
            env!("CARGO_PKG_VERSION"),
            example(&near),
            shell_word(&vkey.display().to_string()),
        )
    }

    /// The page at the root, one screen of plain text.
    pub(crate) fn routes(shards: Arc<Shards>) -> Router {
        let page = move || {
            let active = shards.active();
            let size = active.base() + active.log().reader().published().size;
            let page = format!(
                "This is the transparency log \"{origin}\", with {size} entries.\n\n\
                 tree    {tree}\nv1 log  {v1_id}\nv2 log  {id}\nvkey    {vkey}\n\n\
                 POST /api/v1/log/entries                log a signature (Rekor v1)\n\
                 GET  /api/v1/log/entries?hash=HEX       search by digest; also email=, identity=, key=, kind=, since=, until=\n\
                 GET  /api/v1/log/entries/UUID           an entry with its proof\n\
                 GET  /api/v1/log                        the trees and their heads\n\
                 GET  /swagger.json                      the Rekor v1 API, described\n\
                 POST /api/v2/log/entries                log a signature (Rekor v2)\n\
                 GET  /api/v2/log/entries/INDEX          an entry with its proof\n\
                 GET  /api/v2/log/entries?leafHash=HEX   the same, by leaf hash\n\
                 GET  /checkpoint                        the signed tree head (C2SP tlog-checkpoint)\n\
                 GET  /tile/LEVEL/INDEX[.p/WIDTH]        hash tiles (C2SP tlog-tiles)\n\
                 GET  /tile/entries/INDEX[.p/WIDTH]      entry bundles\n\
                 GET  /trusted_root.json                 whom clients are to believe\n\
                 GET  /signing_config.v0.2.json          where clients are to send things\n\
                 GET  /healthz, /readyz                  whether it is alive, whether it is well\n",
                origin = active.verifier().name(),
                tree = active.tree(),
                id = active.v2_log_id().to_base64(),
                vkey = active.verifier().vkey(),
                v1_id = active.v1_log_id(),
            );
            async move {
                let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
                (headers, page)
            }
        };
        Router::new().route("/", get(page))
    }
}

/// A URL for this machine.
pub(crate) fn near(http: SocketAddr) -> String {
    if http.ip().is_unspecified() {
        format!("http://localhost:{}", http.port())
    } else {
        format!("http://{http}")
    }
}

/// Commands that need nothing but openssl and curl, and can be pasted as they are.
fn example(url: &str) -> String {
    format!(
        r#"echo hello > hello.txt
openssl ecparam -name prime256v1 -genkey -noout -out hello.key
printf '{{"hashedRekordRequestV002":{{"digest":"%s","signature":{{"content":"%s","verifier":{{"publicKey":{{"rawBytes":"%s"}},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}}}}' \
  "$(openssl dgst -sha256 -binary hello.txt | openssl base64 -A)" \
  "$(openssl dgst -sha256 -sign hello.key hello.txt | openssl base64 -A)" \
  "$(openssl pkey -in hello.key -pubout -outform DER | openssl base64 -A)" |
  curl -sS -d @- {url}/api/v2/log/entries"#
    )
}
