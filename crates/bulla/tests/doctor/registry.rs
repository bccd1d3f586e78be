//! What stands between us and a registry.

use std::fs;

use serde_json::json;

use crate::proxy::Proxy;
use crate::stack::{Stack, nobody};

/// An address of this machine that is not loopback, where plain HTTP is not a matter of course.
fn outside() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect("198.51.100.1:9").expect("a route: this test needs an address that is not loopback");
    socket.local_addr().expect("an address").ip().to_string()
}

#[test]
fn what_stands_between_us_and_a_registry_is_found() {
    let stack = Stack::start();
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let manifest =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\ncontent-length: {}\r\n\r\n{manifest}",
        manifest.len()
    );
    let registry = Proxy::start_at(&format!("{}:0", outside()), &stack.served.http, move |_, said| {
        *said = answer.clone().into_bytes();
    });
    let image = format!("{}/team/app:1", registry.host());
    let fix = stack.one("registry", &["--registry", &image]);
    assert_eq!(
        fix,
        format!(
            "bulla doctor --registry {image} --allow-http-registry # and that option wherever the image is named"
        )
    );
    stack.follow(&fix);
    let http = ["--registry", &image, "--allow-http-registry"];
    assert_eq!(stack.found(&http), []);
    // A program that keeps passwords and is not there, and a file that is none.
    fs::create_dir(stack.path(".docker")).expect("is made");
    let docker = |text: &str| fs::write(stack.path(".docker/config.json"), text).expect("is written");
    docker(&json!({ "credHelpers": { registry.host(): "nobody" } }).to_string());
    let fix = stack.one("registry-credentials", &http);
    assert!(fix.starts_with("install docker-credential-nobody, or take it out of credHelpers"), "{fix}");
    docker("{");
    assert!(stack.one("registry-credentials", &http).contains("docker login"));
    docker("{}");
    assert_eq!(stack.found(&http), []);
    // Nobody there, and nobody for us.
    let nobody = nobody().replace("http://", "");
    assert!(
        stack
            .one("registry", &["--registry", &format!("{nobody}/app@{digest}")])
            .contains("start the registry")
    );
    let closed = stack.proxy(|_, said| {
        *said =
            b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"r\"\r\ncontent-length: 0\r\n\r\n"
                .to_vec();
    });
    let fix = stack.one("registry", &["--registry", &format!("{}/team/app:1", closed.host())]);
    assert_eq!(fix, format!("docker login {}", closed.host()));
    let busy = stack.proxy(|_, said| {
        *said = b"HTTP/1.1 503 Busy\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n".to_vec();
    });
    let found = stack.found(&["--registry", &format!("{}/team/app:1", busy.host())]);
    assert_eq!(
        found.iter().map(|one| (one.0.as_str(), one.1.as_str())).collect::<Vec<_>>(),
        [("registry", "unknown")]
    );
}
