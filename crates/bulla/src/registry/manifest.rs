//! Manifests and indexes as data: what the bytes of a manifest say, within bounds, once their digest holds.
//! <https://github.com/opencontainers/image-spec>.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// An OCI image manifest: of images, and of artifacts such as signatures.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI index: manifests for several platforms, or what refers to something.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The config of an artifact that has none; its bytes are [`EMPTY`].
pub(crate) const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// An empty JSON object.
pub(crate) const EMPTY: &[u8] = b"{}";
/// What registries must take, and we read.
pub(crate) const LARGEST_MANIFEST: u64 = 4 << 20;
/// Layers of an image, members of an index, what refers to one digest.
pub(crate) const MOST_ENTRIES: usize = 4096;

/// How a manifest names other content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    pub(crate) media_type: String,
    /// Its name.
    pub(crate) digest: Digest,
    /// Bytes.
    pub(crate) size: u64,
    /// For what it is made, if it is an artifact; said by who made the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    /// Said by who made the list; believed by nobody.
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    /// Such as `amd64`.
    pub(crate) architecture: String,
    /// Such as `linux`.
    pub(crate) os: String,
    /// Such as `v8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// A manifest whose bytes have its digest.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// The digest of the bytes.
    pub(crate) digest: Digest,
    /// What it is.
    pub(crate) media_type: String,
    /// As they were served, to be kept and hashed as they are.
    pub(crate) bytes: Bytes,
    /// What refers to something says to what.
    pub(crate) subject: Option<Descriptor>,
    /// Its own, or that of its config.
    pub(crate) artifact_type: Option<String>,
    /// Said by who made it.
    pub(crate) annotations: BTreeMap<String, String>,
    /// What it is made of.
    pub(crate) content: Content,
}

/// What a manifest is made of.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// An image for one platform, or an artifact.
    Image {
        /// What describes it.
        config: Descriptor,
        /// Its parts.
        layers: Vec<Descriptor>,
    },
    /// A list of manifests.
    Index(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "or_none")]
    annotations: BTreeMap<String, String>,
}

/// Some programs write `null` where they have nothing.
fn or_none<'de, D, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Manifest {
    /// Reads a manifest of that digest, which is not checked here. `said` is the media type that came with it.
    pub(crate) fn parse(bytes: Bytes, digest: Digest, said: Option<&str>) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|error| format!("manifest is not readable: {error}"))?;
        if document.schema_version != 2 {
            let version = document.schema_version;
            return Err(format!("manifest has schemaVersion {version}, 2 was expected: push the image anew"));
        }
        let said = said.map(|said| said.split(';').next().unwrap_or_default().trim());
        let said = said.filter(|said| is_list(said).is_some());
        let content_type = match (document.media_type.as_deref(), said) {
            (Some(own), Some(said)) if own != said => {
                return Err(format!("manifest has mediaType {own:?} and came as {said:?}"));
            }
            (Some(own), _) => own,
            (None, Some(said)) => said,
            // The OCI specification lets the member be left out; what there is says what it is.
            (None, None) if document.manifests.is_some() => OCI_INDEX,
            (None, None) => OCI_MANIFEST,
        };
        let listed = is_list(content_type).ok_or_else(|| {
            format!("manifest has mediaType {content_type:?}, which is not that of an image")
        })?;
        let bounded = |what: &str, entries: &[Descriptor]| match entries.len() {
            len if len > MOST_ENTRIES => {
                Err(format!("manifest has {len} {what}, at most {MOST_ENTRIES} are read"))
            }
            _ => Ok(()),
        };
        let content = match (listed, document.config, document.layers, document.manifests) {
            // Programs write `null` for a list with nothing in it.
            (true, None, None, manifests) => {
                let manifests = manifests.unwrap_or_default();
                bounded("manifests", &manifests)?;
                Content::Index(manifests)
            }
            (false, Some(config), layers, None) => {
                let layers = layers.unwrap_or_default();
                bounded("layers", &layers)?;
                Content::Image { config, layers }
            }
            // What could be read as both would be signed as one and run as the other.
            (true, ..) => return Err("index has config or layers, which are those of an image".to_owned()),
            (false, ..) => {
                return Err(
                    "manifest has no config, or has manifests, which are those of an index".to_owned()
                );
            }
        };
        let of_config = match &content {
            Content::Image { config, .. } => Some(config.media_type.clone()),
            Content::Index(_) => None,
        };
        Ok(Self {
            digest,
            media_type: content_type.to_owned(),
            subject: document.subject,
            artifact_type: document.artifact_type.filter(|text| !text.is_empty()).or(of_config),
            annotations: document.annotations,
            content,
            bytes,
        })
    }

    /// How others name it; with its type and annotations, as lists of what refers to something must have them.
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
            artifact_type: self.artifact_type.clone(),
            annotations: self.annotations.clone(),
            platform: None,
        }
    }

    /// The members of an index, none of an image.
    pub(crate) fn manifests(&self) -> &[Descriptor] {
        match &self.content {
            Content::Index(manifests) => manifests,
            Content::Image { .. } => &[],
        }
    }
}

/// Whether a media type is that of an index; none if it is that of no manifest.
fn is_list(media_type: &str) -> Option<bool> {
    match media_type {
        OCI_INDEX | DOCKER_LIST => Some(true),
        OCI_MANIFEST | DOCKER_MANIFEST => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(document: &Value, said: Option<&str>) -> Result<Manifest, String> {
        let bytes = Bytes::from(document.to_string());
        let digest = Digest::of(&bytes);
        Manifest::parse(bytes, digest, said)
    }

    fn descriptor(media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": Digest::of(b"{}"), "size": 2 })
    }

    #[test]
    fn manifests_and_indexes_are_read() {
        let config = descriptor(OCI_EMPTY);
        let image = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], "annotations": null,
            "subject": descriptor(OCI_MANIFEST), "unknown": [1],
        });
        let read =
            parse(&image, Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")).expect("reads");
        assert_eq!(read.artifact_type.as_deref(), Some(OCI_EMPTY), "the config says what it is for");
        assert_eq!(read.subject.as_ref().map(|subject| &subject.digest), Some(&Digest::of(b"{}")));
        let list = json!({ "schemaVersion": 2, "manifests": [image["subject"]] });
        let none = json!({ "schemaVersion": 2, "manifests": null });
        assert!(parse(&none, Some(OCI_INDEX)).expect("reads").manifests().is_empty());
        for said in [None, Some(DOCKER_LIST), Some("text/plain")] {
            let read = parse(&list, said).expect("reads");
            assert_eq!(read.manifests().len(), 1);
            assert_eq!(read.media_type, said.filter(|said| *said == DOCKER_LIST).unwrap_or(OCI_INDEX));
        }
    }

    #[test]
    fn what_could_be_two_things_is_refused() {
        let (config, part) = (descriptor(OCI_EMPTY), descriptor(OCI_MANIFEST));
        let image = json!({ "schemaVersion": 2, "config": config, "layers": [] });
        let with = |name: &str, value: Value| {
            let mut changed = image.clone();
            changed[name] = value;
            changed
        };
        let error = |document: &Value, said| parse(document, said).expect_err("is refused");
        assert_eq!(
            error(&with("manifests", json!([part])), Some(OCI_INDEX)),
            "index has config or layers, which are those of an image"
        );
        assert_eq!(
            error(&with("manifests", json!([part])), Some(OCI_MANIFEST)),
            "manifest has no config, or has manifests, which are those of an index"
        );
        assert_eq!(
            error(&with("mediaType", OCI_MANIFEST.into()), Some(OCI_INDEX)),
            format!("manifest has mediaType {OCI_MANIFEST:?} and came as {OCI_INDEX:?}")
        );
        assert_eq!(
            error(&with("schemaVersion", 1.into()), None),
            "manifest has schemaVersion 1, 2 was expected: push the image anew"
        );
        assert_eq!(
            error(&with("mediaType", "text/html".into()), None),
            "manifest has mediaType \"text/html\", which is not that of an image"
        );
        let many: Vec<_> = (0..=MOST_ENTRIES).map(|_| config.clone()).collect();
        assert_eq!(
            error(&with("layers", many.into()), None),
            "manifest has 4097 layers, at most 4096 are read"
        );
        let mut negative = part;
        negative["size"] = (-1).into();
        assert!(error(&with("layers", json!([negative])), None).starts_with("manifest is not readable: "));
    }
}
