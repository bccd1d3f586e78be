//! Bundles that refer to an image: how they are found, and how one more is stored. An artifact with one layer, whose type is
//! the bundle's (cosign 3, "bundle as OCI referrer").

use bytes::Bytes;
use serde_json::json;
use sigstore_types::Bundle;

use super::bundle::{ANY_MEDIA_TYPE, MEDIA_TYPE, Signed};
use crate::command::Failure;
use crate::command::image::failure;
use crate::registry::{Content, Descriptor, Digest, EMPTY, Manifest, Name, OCI_EMPTY, OCI_MANIFEST, Source};

/// An image, or one of its platforms, that is signed.
pub(crate) struct Subject {
    /// Where it is.
    pub(crate) source: Source,
    /// Its digest, with type and size.
    pub(crate) descriptor: Descriptor,
    /// The repository's name; of a directory, its path.
    pub(crate) repository: String,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.repository, self.descriptor.digest)
    }
}

impl Subject {
    /// The bundles that refer to it, with the digests of their manifests; verified by nobody. What is no bundle is passed
    /// over, what cannot be read is an error: not to know is not to have none.
    pub(crate) async fn bundles(&self) -> Result<Vec<(Digest, Bundle)>, Failure> {
        let listed = self.source.referrers(&self.descriptor.digest).await.map_err(failure)?;
        let mut bundles = Vec::new();
        for entry in listed.descriptors.iter().filter(|entry| may_be_bundle(entry)).take(MOST_READ) {
            let name = Name::Digest(entry.digest.clone());
            let Some(manifest) =
                crate::registry::present(self.source.manifest(&name).await).map_err(failure)?
            else {
                continue;
            };
            let Content::Image { layers, .. } = &manifest.content else { continue };
            let [layer] = layers.as_slice() else { continue };
            if !layer.media_type.starts_with(ANY_MEDIA_TYPE) || layer.size > LARGEST_BUNDLE {
                continue;
            }
            let blob = self.source.blob(layer, LARGEST_BUNDLE).await.map_err(failure)?;
            let text = std::str::from_utf8(&blob).unwrap_or_default();
            bundles.extend(Bundle::from_json(text).ok().map(|bundle| (manifest.digest.clone(), bundle)));
        }
        Ok(bundles)
    }

    /// Stores a bundle; the same one twice is stored once. Returns the digest of its manifest.
    pub(crate) async fn store(&self, signed: &Signed, predicate_type: &str) -> Result<Digest, Failure> {
        let bundle = Bytes::from(signed.json()?);
        let (empty, bundle_digest) = (Bytes::from_static(EMPTY), Digest::of(&bundle));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": MEDIA_TYPE,
            "config": { "mediaType": OCI_EMPTY, "digest": Digest::of(&empty), "size": empty.len() },
            "layers": [{ "mediaType": MEDIA_TYPE, "digest": bundle_digest, "size": bundle.len() }],
            "subject": {
                "mediaType": self.descriptor.media_type,
                "digest": self.descriptor.digest,
                "size": self.descriptor.size,
            },
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": predicate_type,
                "org.opencontainers.image.created": format!("{:.0}", signed.at),
            },
        });
        let bytes = Bytes::from(manifest.to_string());
        let digest = Digest::of(&bytes);
        let manifest = Manifest::parse(bytes, digest.clone(), None).map_err(Failure::check)?;
        for blob in [&empty, &bundle] {
            self.source.push_blob(blob).await.map_err(failure)?;
        }
        self.source.push_referrer(&manifest).await.map_err(failure)?;
        Ok(digest)
    }
}

/// Lists may leave the type out; then only the manifest tells.
fn may_be_bundle(entry: &Descriptor) -> bool {
    let other = |said: &String| !said.starts_with(ANY_MEDIA_TYPE) && said != OCI_EMPTY;
    !entry.artifact_type.as_ref().is_some_and(other)
}

/// Signatures of one image that are looked at.
const MOST_READ: usize = 1000;
/// Larger than a bundle with a bill of materials.
const LARGEST_BUNDLE: u64 = 32 << 20;
