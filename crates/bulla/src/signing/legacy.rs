//! Signatures and attestations as cosign stored them before bundles: layers of an image under a tag that is made of the
//! digest, with signature, certificate and promise in annotations.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::attestation::Statement;
use bulla_claims::judge::LAYER_PROOF;
use bulla_claims::keys::pem;
use bulla_claims::simple_signing::{self, SimpleSigning};
use bytes::Bytes;
use serde_json::{Value, json};
use sigstore_types::{DsseEnvelope, SignatureContent};

use super::bundle::Signed;
use super::image::Subject;
use super::log::envelope_text;
use super::signer::verifies;
use crate::command::Failure;
use crate::command::image::failure;
use crate::registry::{
    Client, Content, Descriptor, Digest, Manifest, Name, OCI_MANIFEST, Repository, Source, Tag, present,
};
use crate::text::hex;

/// The image that holds the signatures of another, under its tag.
pub(crate) struct Legacy<'a> {
    client: &'a Client,
    repository: &'a Repository,
    tag: Name,
}

impl std::fmt::Display for Legacy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl<'a> Legacy<'a> {
    /// The signatures (`sig`) or attestations (`att`) of a subject, which is in a registry.
    pub(crate) fn of(subject: &'a Subject, suffix: &str) -> Result<Self, Failure> {
        let Source::Registry(client, repository) = &subject.source else {
            return Err(Failure::usage("--compat legacy is for registries: image layouts hold bundles"));
        };
        let digest = &subject.descriptor.digest;
        let tag = Tag::parse(&format!("{}-{}.{suffix}", digest.algorithm(), digest.hex()));
        Ok(Self { client, repository, tag: Name::Tag(tag.map_err(Failure::usage)?) })
    }

    /// Whether there is a signature of that key for that digest, with these annotations, that `believed` takes for one.
    pub(crate) async fn has_signature(
        &self,
        spki: &[u8],
        digest: &Digest,
        annotations: &BTreeMap<String, String>,
        believed: impl Fn(&Descriptor, &[u8]) -> bool,
    ) -> Result<bool, Failure> {
        for layer in self.layers(simple_signing::MEDIA_TYPE).await? {
            let signature = layer.annotations.get(SIGNATURE).and_then(|text| STANDARD.decode(text).ok());
            let Some(signature) = signature.filter(|_| layer.size <= LARGEST_PAYLOAD) else { continue };
            let payload =
                self.client.blob(self.repository, &layer, LARGEST_PAYLOAD).await.map_err(failure)?;
            if !verifies(spki, &payload, &signature) {
                continue;
            }
            let is_it = |signed: &SimpleSigning| {
                signed.digest == digest.to_string() && signed.lacks(annotations).is_none()
            };
            let is_ours = SimpleSigning::parse(&payload).is_ok_and(|signed| is_it(&signed));
            if is_ours && believed(&layer, &payload) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The envelopes that are attached and that `believed` takes for what they are.
    pub(crate) async fn envelopes(
        &self,
        believed: impl Fn(&Descriptor, &[u8]) -> bool,
    ) -> Result<Vec<DsseEnvelope>, Failure> {
        let mut envelopes = Vec::new();
        for layer in self.layers(ENVELOPE).await?.iter().filter(|layer| layer.size <= LARGEST_ENVELOPE) {
            let blob = self.client.blob(self.repository, layer, LARGEST_ENVELOPE).await.map_err(failure)?;
            if believed(layer, &blob) {
                envelopes.extend(serde_json::from_slice::<DsseEnvelope>(&blob));
            }
        }
        Ok(envelopes)
    }

    /// Adds a layer for what was signed, unless it is there; `payload` is what the signature of a message is over. Another
    /// writer in the same moment can still take it away, so it is looked for afterwards.
    pub(crate) async fn store(&self, signed: &Signed, payload: &[u8]) -> Result<Digest, Failure> {
        let (media_type, blob, signature) = match &signed.bundle.content {
            SignatureContent::MessageSignature(message) => {
                let signature = STANDARD.encode(message.signature.as_bytes());
                (simple_signing::MEDIA_TYPE, payload.to_vec(), signature)
            }
            SignatureContent::DsseEnvelope(envelope) => {
                (ENVELOPE, envelope_text(envelope).into_bytes(), String::new())
            }
            _ => return Err(Failure::check("the bundle has neither an envelope nor a signature")),
        };
        let mut annotations = annotations(signed, signature);
        if let SignatureContent::DsseEnvelope(envelope) = &signed.bundle.content
            && let Ok(statement) = Statement::parse(&envelope.payload_type, envelope.payload.as_bytes())
        {
            annotations.insert(PREDICATE_TYPE.to_owned(), statement.predicate_type);
        }
        let blob = Bytes::from(blob);
        let digest = self.client.push_blob(self.repository, &blob).await.map_err(failure)?;
        let layer = Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size: blob.len() as u64,
            artifact_type: None,
            annotations,
            platform: None,
        };
        let is_there = |layers: &[Descriptor]| {
            layers.iter().any(|other| other.digest == layer.digest && other.annotations == layer.annotations)
        };
        for _ in 0..MOST_ATTEMPTS {
            let current = present(self.client.manifest(self.repository, &self.tag).await).map_err(failure)?;
            if let Some(manifest) = &current
                && let Content::Image { layers, .. } = &manifest.content
                && is_there(layers)
            {
                return Ok(manifest.digest.clone());
            }
            let longer = self.longer(current.as_ref(), &layer).await?;
            self.client.push_manifest(self.repository, &self.tag, &longer).await.map_err(failure)?;
        }
        let problem =
            format!("others changed {}:{} {MOST_ATTEMPTS} times meanwhile", self.repository, self.tag);
        Err(Failure::unavailable(problem))
    }

    /// The image with one more layer, and with everything that others wrote into it as it was.
    async fn longer(&self, current: Option<&Manifest>, layer: &Descriptor) -> Result<Manifest, Failure> {
        let place = format!("{}:{}", self.repository, self.tag);
        let wrong = |problem: &dyn std::fmt::Display| Failure::check(format!("{place}: {problem}"));
        let (mut document, mut config) = match current {
            None => (
                json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [] }),
                json!({
                    "architecture": "", "created": NO_TIME, "history": [], "os": "",
                    "rootfs": { "type": "layers", "diff_ids": [] }, "config": {},
                }),
            ),
            Some(manifest) => {
                let Content::Image { config, .. } = &manifest.content else {
                    return Err(wrong(&"is an index, and no image that holds signatures"));
                };
                let config =
                    self.client.blob(self.repository, config, LARGEST_PAYLOAD).await.map_err(failure)?;
                let read =
                    |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|error| wrong(&error));
                (read(&manifest.bytes)?, read(&config)?)
            }
        };
        // Readers of images want a line of history and a digest for each layer.
        for (path, added) in
            [("/rootfs/diff_ids", json!(layer.digest)), ("/history", json!({ "created": NO_TIME }))]
        {
            if let Some(list) = config.pointer_mut(path).and_then(Value::as_array_mut) {
                list.push(added);
            }
        }
        let config = Bytes::from(config.to_string());
        let digest = self.client.push_blob(self.repository, &config).await.map_err(failure)?;
        let media_type = "application/vnd.oci.image.config.v1+json";
        let kept =
            document.pointer("/config/mediaType").and_then(Value::as_str).unwrap_or(media_type).to_owned();
        document["config"] = json!({ "mediaType": kept, "digest": digest, "size": config.len() });
        let layers = document.get_mut("layers").and_then(Value::as_array_mut);
        layers.ok_or_else(|| wrong(&"has no layers"))?.push(json!(layer));
        let bytes = Bytes::from(document.to_string());
        let digest = Digest::of(&bytes);
        Manifest::parse(bytes, digest, None).map_err(|problem| wrong(&problem))
    }

    async fn layers(&self, media_type: &str) -> Result<Vec<Descriptor>, Failure> {
        let found = present(self.client.manifest(self.repository, &self.tag).await).map_err(failure)?;
        match found.map(|manifest| manifest.content) {
            Some(Content::Image { layers, .. }) => Ok(layers
                .into_iter()
                .filter(|layer| layer.media_type == media_type)
                .take(MOST_READ)
                .collect()),
            _ => Ok(Vec::new()),
        }
    }
}

/// What cosign writes beside a signature.
fn annotations(signed: &Signed, signature: String) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([(SIGNATURE.to_owned(), signature)]);
    let mut add = |name: &str, text: String| drop(annotations.insert(name.to_owned(), text));
    if let Some(certificate) = signed.bundle.signing_certificate() {
        add("dev.sigstore.cosign/certificate", pem("CERTIFICATE", certificate.as_bytes()));
        add("dev.sigstore.cosign/chain", signed.chain.concat());
    }
    if let Some(entry) = signed.entry()
        && let (Some(promise), Some(time)) = (&entry.inclusion_promise, entry.integrated_time)
    {
        let bundle = json!({
            "SignedEntryTimestamp": promise.signed_entry_timestamp.to_base64(),
            "Payload": {
                "body": entry.canonicalized_body.to_base64(),
                "integratedTime": time.as_second(),
                "logIndex": entry.log_index.get(),
                "logID": hex(entry.log_id.key_id.as_bytes()),
            },
        });
        add(PROMISE, bundle.to_string());
        // Cosign has no place for it, and passes over what it does not know.
        if let Some(proof) = &entry.inclusion_proof {
            add(LAYER_PROOF, json!(proof).to_string());
        }
    }
    if let Some(timestamp) = signed.timestamp() {
        let timestamp = json!({ "SignedRFC3161Timestamp": STANDARD.encode(timestamp) });
        add("dev.sigstore.cosign/rfc3161timestamp", timestamp.to_string());
    }
    annotations
}

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const PROMISE: &str = "dev.sigstore.cosign/bundle";
/// By which cosign chooses attestations before it reads them.
const PREDICATE_TYPE: &str = "predicateType";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const NO_TIME: &str = "0001-01-01T00:00:00Z";
const MOST_ATTEMPTS: usize = 5;
const MOST_READ: usize = 1000;
const LARGEST_PAYLOAD: u64 = 1 << 20;
const LARGEST_ENVELOPE: u64 = 32 << 20;
