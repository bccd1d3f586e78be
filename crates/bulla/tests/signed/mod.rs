//! An image in a directory and those who sign it, and a registry that answers as it is told.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bulla_claims::simple_signing;
use bulla_tlog::{Hash, sha256};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::bulla;
use crate::made::{self, Maker};

pub(crate) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// An image in a directory, with the files that its verification needs.
pub(crate) struct Image {
    pub(crate) dir: TempDir,
    pub(crate) digest: Hash,
    pub(crate) maker: Maker,
    pub(crate) listed: Vec<Value>,
}

impl Image {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let maker = Maker::new();
        fs::write(dir.path().join("root.json"), maker.trusted_root(&[])).expect("writes");
        fs::write(dir.path().join("key.pub"), maker.pem()).expect("writes");
        fs::create_dir_all(dir.path().join("image/blobs/sha256")).expect("makes");
        fs::write(dir.path().join("image/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("writes");
        let mut image = Self { dir, digest: Hash([0; 32]), maker, listed: Vec::new() };
        let config = image.blob(MANIFEST, b"{}");
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [] });
        image.digest = sha256(manifest.to_string().as_bytes());
        image.list(&manifest, "1.0");
        image
    }

    pub(crate) fn layout(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        fs::write(self.layout().join(format!("blobs/sha256/{digest}")), bytes).expect("writes");
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    fn list(&mut self, manifest: &Value, tag: &str) {
        let mut entry = self.blob(MANIFEST, manifest.to_string().as_bytes());
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        self.listed.push(entry);
        let index = json!({ "schemaVersion": 2, "manifests": self.listed });
        fs::write(self.layout().join("index.json"), index.to_string()).expect("writes");
    }

    /// A bundle that refers to it.
    pub(crate) fn refer(&self, bundle: &Value) {
        let layer = self.blob(BUNDLE, bundle.to_string().as_bytes());
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}");
        let subject =
            json!({ "mediaType": MANIFEST, "digest": format!("sha256:{}", self.digest), "size": 1 });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer], "subject": subject,
        });
        self.blob(MANIFEST, manifest.to_string().as_bytes());
    }

    /// Signatures of before bundles: the same one so many times.
    pub(crate) fn tag(&mut self, times: usize) {
        self.layers(times, Maker::proved_annotations);
    }

    /// A signature as cosign keeps it, without the proof of its entry. Returns the entry.
    pub(crate) fn tag_promised(&mut self, times: usize) -> String {
        self.layers(times, Maker::annotations)
    }

    fn layers(
        &mut self,
        times: usize,
        annotations: fn(&Maker, &[u8], &str) -> BTreeMap<String, String>,
    ) -> String {
        let payload = simple_signing::payload("r", &format!("sha256:{}", self.digest), &BTreeMap::new())
            .expect("is one");
        let signature = self.maker.key.sign(&payload).expect("signs");
        let body = made::body(&sha256(&payload), &signature, &self.maker.pem());
        let mut layer = self.blob(simple_signing::MEDIA_TYPE, &payload);
        layer["annotations"] = json!(annotations(&self.maker, &signature, &body));
        let config = self.blob("application/vnd.oci.image.config.v1+json", b"{}");
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": vec![layer; times] });
        let tag = format!("sha256-{}.sig", self.digest);
        self.list(&manifest, &tag);
        body
    }

    pub(crate) fn command(&self, verb: &str, subject: &str) -> Command {
        let mut command = bulla();
        command.current_dir(self.dir.path()).args([
            verb,
            subject,
            "--trusted-root",
            "root.json",
            "--key",
            "key.pub",
        ]);
        command
    }

    pub(crate) fn statement(&self, predicate_type: &str, predicate: &Value) -> Value {
        self.maker.statement(&self.digest, predicate_type, predicate)
    }
}
