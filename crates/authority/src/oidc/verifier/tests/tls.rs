//! Issuers over TLS whose certificates nobody else vouches for.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Serves an issuer over TLS until the test is over; returns its URL and its certificate in PEM.
fn serve(keys: Value) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], private).expect("a server");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    let configuration = json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream.expect("a stream"));
            let mut request = [0; 1024];
            // Who does not believe the certificate is gone.
            let Ok(read) = stream.read(&mut request) else { continue };
            let body = if request[..read].starts_with(b"GET /keys ") {
                keys.to_string()
            } else {
                configuration.clone()
            };
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body.as_bytes()))
                .expect("is sent");
            stream.conn.send_close_notify();
            stream.flush().expect("is sent");
        }
    });
    (url, made.cert.pem())
}

fn verifier(folder: &Path, url: &str, ca_file: &str) -> Verifier {
    let path = folder.join("issuers.toml");
    std::fs::write(&path, format!("[[issuer]]\nurl = {url:?}\ntype = \"email\"\n{ca_file}"))
        .expect("is written");
    let issuers = Issuers::read(&path).expect("issuers");
    Verifier::new(issuers, &HttpSettings::default()).expect("a verifier")
}

#[tokio::test]
async fn a_root_of_its_own_is_believed_for_its_issuer() {
    let signer = Signer::p256();
    let (url, pem) = serve(json!({"keys": [signer.jwk("a")]}));
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("ca.pem"), pem).expect("is written");
    let token = signer.token("a", &claims(&url));
    let error = verifier(folder.path(), &url, "").verify(&token, at(0)).await.expect_err("is refused");
    assert!(
        matches!(&error, TokenError::Unreachable { cause, .. } if cause.contains("certificate")),
        "{error}"
    );
    let believing = verifier(folder.path(), &url, "ca-file = \"ca.pem\"");
    believing.verify(&token, at(0)).await.expect("is believed");
}
