//! Reports over Debian's docker-registry: everything that is below a name, as the registry itself lists it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::{bulla, run};
use crate::fake::{client, manifest, tag};
use crate::made::Maker;
use crate::real::Registry;
use crate::registry::{Client, Descriptor, Digest, EMPTY, Manifest, OCI_EMPTY, OCI_MANIFEST, Repository};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

async fn blob(client: &Client, repository: &Repository, media_type: &str, bytes: &[u8]) -> Descriptor {
    client.push_blob(repository, &bytes::Bytes::copy_from_slice(bytes)).await.expect("is written");
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        artifact_type: None,
        annotations: BTreeMap::new(),
        platform: None,
    }
}

async fn push(client: &Client, repository: &Repository, name: &str) -> Manifest {
    let config = blob(client, repository, OCI_EMPTY, EMPTY).await;
    let image = manifest(&json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [config], "annotations": { "made.for": name },
    }));
    client.push_manifest(repository, &tag(name), &image).await.expect("is written");
    image
}

#[ignore = "needs docker-registry: ./test registry"]
#[tokio::test(flavor = "multi_thread")]
async fn everything_below_a_name_is_reported_and_nothing_else() {
    let (registry, client, maker) = (Registry::open(), client(), Maker::new());
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("root.json"), maker.trusted_root(&[])).expect("is written");
    std::fs::write(dir.path().join("key.pub"), maker.pem()).expect("is written");
    let app = registry.repository("team/app");
    let signed = push(&client, &app, "1.0").await;
    push(&client, &app, "rc-1").await;
    push(&client, &registry.repository("team/web/front"), "2.0").await;
    push(&client, &registry.repository("teamster/other"), "1.0").await;
    let hash = bulla_tlog::sha256(&signed.bytes);
    let bundle = maker.statement(&hash, SIGN, &json!({})).to_string();
    let layer = blob(&client, &app, BUNDLE, bundle.as_bytes()).await;
    let config = blob(&client, &app, OCI_EMPTY, EMPTY).await;
    let referrer = manifest(&json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer],
        "subject": { "mediaType": OCI_MANIFEST, "digest": signed.digest, "size": signed.bytes.len() },
    }));
    client.push_manifest(&app, &crate::fake::by_digest(&referrer), &referrer).await.expect("is written");

    let report = |more: &[&str]| {
        let mut command = bulla();
        command.current_dir(dir.path()).args([
            "report",
            "--trusted-root",
            "root.json",
            "--key",
            "key.pub",
            "--output",
            "json",
        ]);
        let (code, said, errors) = run(command.args(more));
        assert_eq!(code, 0, "{said}{errors}");
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let images = said["images"].as_array().expect("a list").iter();
        let host = format!("{}/", registry.host);
        let name = |image: &Value| image["image_ref"].as_str().expect("text").replacen(&host, "", 1);
        images
            .map(|image| (name(image), image["status"].as_str().expect("text").to_owned()))
            .collect::<Vec<_>>()
    };
    let expected = |rows: &[(&str, &str)]| {
        rows.iter().map(|(name, status)| ((*name).to_owned(), (*status).to_owned())).collect::<Vec<_>>()
    };
    // The list of what refers to an image is a tag here, and is no image.
    assert_eq!(
        report(&["--registry", &format!("{}/team", registry.host)]),
        expected(&[
            ("team/app:1.0", "verified"),
            ("team/app:rc-1", "unsigned"),
            ("team/web/front:2.0", "unsigned")
        ])
    );
    assert_eq!(report(&["--registry", &registry.host]).len(), 4);
    assert_eq!(
        report(&["--registry", &registry.host, "--only", "team/*:*.0"]),
        expected(&[("team/app:1.0", "verified")])
    );
    // What a node says that it runs is what is judged, whatever the tag says by now.
    let pods = json!({ "items": [{
        "metadata": { "namespace": "shop", "name": "app-1" },
        "spec": { "containers": [{ "name": "app", "image": format!("{}/team/app:rc-1", registry.host) }] },
        "status": { "containerStatuses": [{ "name": "app", "imageID": format!("{}/team/app@{}", registry.host, signed.digest) }] },
    }] });
    std::fs::write(dir.path().join("pods.json"), pods.to_string()).expect("is written");
    let name = format!("team/app:rc-1@{}", signed.digest);
    assert_eq!(report(&["--cluster-dump", "pods.json"]), expected(&[(&name, "verified")]));
}
