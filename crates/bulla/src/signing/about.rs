//! What a signature is about, as verifiers judge it: a bundle that they would refuse is none to give out, nor one to take for
//! a signature that is there already.

use bulla_claims::attestation::{COSIGN_SIGN, PAYLOAD_TYPE, Statement, WantedType};
use bulla_claims::identity::{IdentityPattern, Pattern};
use bulla_claims::judge::{
    self, Artifact, Check, Judged, Layer, Need, Outcome, Policy, TrustedRoot, judge_bundle, judge_layer,
};
use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::x509::{KeyType, PublicKey};
use bulla_tlog::Hash;
use bytes::Bytes;

use super::Content;
use crate::home::unix_now;
use crate::registry::Descriptor;

/// What is signed.
pub(crate) struct About {
    /// The bytes, where they are what is signed.
    message: Option<Bytes>,
    /// The hash that a statement is about.
    subject: Hash,
    content: judge::Content,
}

impl About {
    /// None if it is about something that has no SHA-256, which is not judged here.
    pub(crate) fn of(content: &Content) -> Option<Self> {
        let statement = match content {
            Content::Message(message) => {
                let subject = bulla_tlog::sha256(message);
                let content = judge::Content::Signature;
                return Some(Self { message: Some(message.clone()), subject, content });
            }
            Content::Statement(statement) => Statement::parse(PAYLOAD_TYPE, statement).ok()?,
        };
        let subject = statement.subjects.iter().find_map(|subject| subject.digest.get("sha256"))?;
        let content = match statement.predicate_type.as_str() {
            COSIGN_SIGN => judge::Content::Signature,
            other => judge::Content::Attestation(WantedType::Exact(other.to_owned())),
        };
        Some(Self { message: None, subject: Hash::from_hex(subject)?, content })
    }

    /// Why a bundle by that key, or by anybody's certificate, would not be verified.
    pub(super) fn distrusted(
        &self,
        bundle: &[u8],
        root: &TrustedRoot,
        key: Option<&[u8]>,
        log: Need,
    ) -> Option<String> {
        if key.is_some_and(has_another_hash) {
            return None;
        }
        let artifact = match &self.message {
            Some(message) => Artifact::Bytes(message),
            None => Artifact::Sha256(self.subject),
        };
        failed(&judge_bundle(bundle, &artifact, root, &self.policy(key, log), unix_now() + SKEW))
    }

    /// The same of a layer of an image with that digest, as cosign kept signatures before bundles.
    pub(super) fn distrusted_layer(
        &self,
        layer: &Descriptor,
        payload: &[u8],
        image: &Hash,
        root: &TrustedRoot,
        key: &[u8],
        log: Need,
    ) -> Option<String> {
        if has_another_hash(key) {
            return None;
        }
        let layer = Layer { media_type: &layer.media_type, payload, annotations: &layer.annotations };
        failed(&judge_layer(layer, image, root, &self.policy(Some(key), log), unix_now() + SKEW))
    }

    fn policy(&self, key: Option<&[u8]>, log: Need) -> Policy {
        let any = || Pattern::glob("**").ok();
        let anybody = any().zip(any()).map(|(issuer, subject)| IdentityPattern { issuer, subject });
        Policy {
            keys: key.map(<[u8]>::to_vec).into_iter().collect(),
            identities: if key.is_none() { anybody.into_iter().collect() } else { Vec::new() },
            content: self.content.clone(),
            log,
            sct: Need::NotRequired,
        }
    }
}

/// Keys on P-384 and P-521 sign other hashes, which the judgement does not take: of theirs the log's answer was judged alone.
fn has_another_hash(spki: &[u8]) -> bool {
    let key = PublicKey::parse(public_key_pem(spki).as_bytes());
    key.is_ok_and(|key| matches!(key.key_type(), KeyType::P384 | KeyType::P521))
}

fn failed(judged: &Judged) -> Option<String> {
    match judged.failed() {
        Some(Check { name, outcome: Outcome::Failed(problem), .. }) => Some(format!("{name}: {problem}")),
        _ => None,
    }
}

/// Seconds that the clock of an authority may be ahead of ours.
const SKEW: u64 = 60;
