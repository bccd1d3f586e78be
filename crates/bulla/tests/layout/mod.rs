//! An image layout with many images, each with what a test gives it, and the files that their verification needs.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::fs;
use std::path::{Path, PathBuf};

use bulla_tlog::{Hash, sha256};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::made::Maker;

pub(crate) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A directory with `images`, an image layout; `root.json` and `key.pub` of who signs in it.
pub(crate) struct Layout {
    pub(crate) dir: TempDir,
    pub(crate) maker: Maker,
    listed: Vec<Value>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        Self::inside(TempDir::new().expect("a directory"))
    }

    /// In a directory that may outlive it.
    pub(crate) fn inside(dir: TempDir) -> Self {
        let maker = Maker::new();
        fs::write(dir.path().join("root.json"), maker.trusted_root(&[])).expect("writes");
        fs::write(dir.path().join("key.pub"), maker.pem()).expect("writes");
        let layout = dir.path().join("images");
        fs::create_dir_all(layout.join("blobs/sha256")).expect("makes");
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("writes");
        Self { dir, maker, listed: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        fs::write(self.file(&format!("images/blobs/sha256/{digest}")), bytes).expect("writes");
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    /// A new image under a tag.
    pub(crate) fn image(&mut self, tag: &str) -> Hash {
        let hash = self.unlisted(tag);
        self.write_index();
        hash
    }

    /// The same, for who makes many and writes the list at the end.
    pub(crate) fn unlisted(&mut self, tag: &str) -> Hash {
        let config = self.blob("application/vnd.oci.image.config.v1+json", b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [], "annotations": { "made.for": tag },
        });
        self.add(&manifest, tag)
    }

    /// Lists a manifest under a tag.
    pub(crate) fn list(&mut self, manifest: &Value, tag: &str) -> Hash {
        let hash = self.add(manifest, tag);
        self.write_index();
        hash
    }

    /// A new image that only an index lists, and its entry there.
    pub(crate) fn member(&self, name: &str, architecture: &str) -> (Hash, Value) {
        let config = self.blob("application/vnd.oci.image.config.v1+json", b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [],
            "annotations": { "made.for": name, "architecture": architecture },
        });
        let bytes = manifest.to_string();
        let mut entry = self.blob(MANIFEST, bytes.as_bytes());
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        (sha256(bytes.as_bytes()), entry)
    }

    fn add(&mut self, manifest: &Value, tag: &str) -> Hash {
        let bytes = manifest.to_string();
        let mut entry = self.blob(manifest["mediaType"].as_str().unwrap_or(MANIFEST), bytes.as_bytes());
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        self.listed.push(entry);
        sha256(bytes.as_bytes())
    }

    pub(crate) fn write_index(&self) {
        let index = json!({ "schemaVersion": 2, "manifests": self.listed });
        fs::write(self.file("images/index.json"), index.to_string()).expect("writes");
    }

    /// A bundle that refers to an image.
    pub(crate) fn refer(&self, image: &Hash, bundle: &Value) {
        let layer = self.blob(BUNDLE, bundle.to_string().as_bytes());
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}");
        let subject = json!({ "mediaType": MANIFEST, "digest": format!("sha256:{image}"), "size": 1 });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer],
            "subject": subject,
        });
        self.blob(MANIFEST, manifest.to_string().as_bytes());
    }

    /// A statement about an image that refers to it.
    pub(crate) fn state(&self, image: &Hash, predicate_type: &str) {
        self.refer(image, &self.maker.statement(image, predicate_type, &json!({})));
    }
}
