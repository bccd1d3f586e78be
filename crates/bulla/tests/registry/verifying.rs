//! Images in Debian's docker-registry, which has no list of referrers of its own, signed in both forms and verified by the
//! program. `./test registry` installs it and runs these.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bulla_claims::simple_signing;
use bulla_tlog::{Hash, sha256};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::common::{bulla, run};
use crate::fake::{by_digest, client, manifest, tag};
use crate::made::{self, Maker};
use crate::real::Registry;
use crate::registry::{Client, Digest, EMPTY, Manifest, OCI_EMPTY, OCI_MANIFEST, Repository};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A repository that somebody signs in.
struct Signed {
    registry: Registry,
    repository: Repository,
    client: Client,
    maker: Maker,
    image: Manifest,
    dir: tempfile::TempDir,
}

impl Signed {
    async fn new() -> Self {
        let registry = Registry::open();
        let (repository, client, maker) = (registry.repository("team/app"), client(), Maker::new());
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("root.json"), maker.trusted_root(&[])).expect("is written");
        std::fs::write(dir.path().join("key.pub"), maker.pem()).expect("is written");
        let config = blob(&client, &repository, OCI_EMPTY, EMPTY).await;
        let image =
            json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [config] });
        let image = manifest(&image);
        client.push_manifest(&repository, &tag("1.0"), &image).await.expect("is written");
        Self { registry, repository, client, maker, image, dir }
    }

    fn hash(&self) -> Hash {
        sha256(&self.image.bytes)
    }

    async fn refer(&self, bundle: &Value) {
        let layer = blob(&self.client, &self.repository, BUNDLE, bundle.to_string().as_bytes()).await;
        let config = blob(&self.client, &self.repository, OCI_EMPTY, EMPTY).await;
        let referrer = manifest(&json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer],
            "subject": { "mediaType": OCI_MANIFEST, "digest": self.image.digest, "size": self.image.bytes.len() },
        }));
        let pushed = self.client.push_manifest(&self.repository, &by_digest(&referrer), &referrer).await;
        pushed.expect("is written");
    }

    async fn tag(&self, by: &Maker) {
        let payload = simple_signing::payload("team/app", &self.image.digest.to_string(), &BTreeMap::new());
        let payload = payload.expect("is one");
        let signature = by.key.sign(&payload).expect("signs");
        let body = made::body(&sha256(&payload), &signature, &by.pem());
        let mut layer = blob(&self.client, &self.repository, simple_signing::MEDIA_TYPE, &payload).await;
        layer["annotations"] = json!(by.proved_annotations(&signature, &body));
        let config = blob(&self.client, &self.repository, OCI_EMPTY, EMPTY).await;
        let image = manifest(
            &json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer] }),
        );
        let name = tag(&format!("sha256-{}.sig", self.hash()));
        self.client.push_manifest(&self.repository, &name, &image).await.expect("is written");
    }

    fn verify(&self, verb: &str, more: &[&str]) -> (i32, String, String) {
        let mut command = bulla();
        let name = format!("{}/team/app:1.0", self.registry.host);
        run(with_trust(command.arg(verb).arg(name).args(more), self.dir.path()))
    }
}

fn with_trust<'c>(command: &'c mut Command, dir: &Path) -> &'c mut Command {
    command
        .args(["--output", "json", "--trusted-root"])
        .arg(dir.join("root.json"))
        .arg("--key")
        .arg(dir.join("key.pub"))
}

async fn blob(client: &Client, repository: &Repository, media_type: &str, bytes: &[u8]) -> Value {
    let bytes = Bytes::copy_from_slice(bytes);
    client.push_blob(repository, &bytes).await.expect("is written");
    json!({ "mediaType": media_type, "digest": Digest::of(&bytes), "size": bytes.len() })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry"]
async fn an_image_is_verified_by_both_forms_of_its_signatures() {
    let signed = Signed::new().await;
    assert_eq!(signed.verify("verify", &[]).0, 1, "nobody signed it yet");
    signed
        .refer(&signed.maker.statement(&signed.hash(), "https://sigstore.dev/cosign/sign/v1", &json!({})))
        .await;
    signed.tag(&signed.maker).await;
    let (code, said, errors) = signed.verify("verify", &[]);
    assert_eq!(code, 0, "{said}{errors}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let verified: Vec<_> =
        said["signatures"].as_array().expect("a list").iter().map(|one| &one["verified"]).collect();
    assert_eq!(verified, [&json!(true), &json!(true)]);
    assert_eq!(said["listedBy"], "tag");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry"]
async fn an_image_that_a_stranger_signed_is_not_verified() {
    let signed = Signed::new().await;
    signed.tag(&Maker::new()).await;
    let (code, said, errors) = signed.verify("verify", &[]);
    assert_eq!(code, 1, "{said}{errors}");
    // Somebody's scan of another image is no statement about this one.
    signed
        .refer(&signed.maker.statement(&sha256(b"another"), "https://example.org/scan", &json!({ "a": 1 })))
        .await;
    assert_eq!(signed.verify("verify-attestation", &["--type", "https://example.org/scan"]).0, 1);
    signed
        .refer(&signed.maker.statement(&signed.hash(), "https://example.org/scan", &json!({ "a": 1 })))
        .await;
    let (code, said, errors) = signed.verify("verify-attestation", &["--type", "https://example.org/scan"]);
    assert_eq!(code, 0, "{said}{errors}");
}
