//! How a statement about a tag stands in a leaf. A v1 log keeps of an `intoto` 0.0.2 entry the hash of what was signed, not what
//! was signed; it does keep the key ID beside each signature, a text that is the signer's to choose. So the key ID has the
//! payload: whoever has the leaf has the statement, from this log or any other of that API, and nothing beside the tree is asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::sha256;
use serde::Deserialize;

use crate::attestation::{PAYLOAD_TYPE, Statement};

/// Before the payload, in base64.
const CARRIED: &str = "payload:";
/// The longest payload that is read; statements about tags are a tenth of it.
const MAX_PAYLOAD: usize = 16 << 10;

/// The key ID that carries a payload.
pub fn carrying(payload: &[u8]) -> String {
    format!("{CARRIED}{}", STANDARD.encode(payload))
}

#[derive(Deserialize)]
struct Body {
    kind: String,
    #[serde(rename = "apiVersion")]
    version: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    content: Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    envelope: Envelope,
    payload_hash: PayloadHash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
}

#[derive(Deserialize)]
struct PayloadHash {
    value: String,
}

/// The statement that a leaf carries and its bytes, if it carries one: that is what was signed, for the leaf has its hash. Nothing
/// of it is verified beyond that.
pub fn carried(body: &[u8]) -> Option<(Vec<u8>, Statement)> {
    // Most leaves are others, and are not read.
    if !body.windows(CARRIED.len()).any(|part| part == CARRIED.as_bytes()) {
        return None;
    }
    let Body { kind, version, spec: Spec { content } } = serde_json::from_slice(body).ok()?;
    let [only] = content.envelope.signatures.as_slice() else { return None };
    let text = only.keyid.strip_prefix(CARRIED)?;
    if (kind.as_str(), version.as_str()) != ("intoto", "0.0.2")
        || content.envelope.payload_type != PAYLOAD_TYPE
        || text.len() > MAX_PAYLOAD * 4 / 3 + 4
    {
        return None;
    }
    let payload = STANDARD.decode(text).ok()?;
    if sha256(&payload).to_string() != content.payload_hash.value {
        return None;
    }
    let statement = Statement::parse(PAYLOAD_TYPE, &payload).ok()?;
    Some((payload, statement))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::RECORD;
    use super::*;

    fn body(payload: &[u8]) -> Value {
        json!({ "kind": "intoto", "apiVersion": "0.0.2", "spec": { "content": {
            "envelope": { "payloadType": PAYLOAD_TYPE, "signatures": [{ "keyid": carrying(payload), "sig": "", "publicKey": "" }] },
            "payloadHash": { "algorithm": "sha256", "value": sha256(payload).to_string() },
        } } })
    }

    fn statement() -> Vec<u8> {
        let digest = sha256(b"a/b:1").to_string();
        json!({
            "_type": "https://in-toto.io/Statement/v1", "predicateType": RECORD,
            "subject": [{ "digest": { "sha256": digest } }], "predicate": { "tag": "a/b:1" },
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn a_leaf_carries_what_was_signed() {
        let payload = statement();
        let (found, read) = carried(body(&payload).to_string().as_bytes()).expect("it carries one");
        assert_eq!((found, read.predicate_type.as_str()), (payload, RECORD));
    }

    #[test]
    fn what_was_not_signed_is_not_carried() {
        let payload = statement();
        let mut other = payload.clone();
        other.push(b' ');
        let sound = body(&payload);
        let with = |path: &str, value: Value| {
            let mut changed = sound.clone();
            *changed.pointer_mut(path).expect("is there") = value;
            carried(changed.to_string().as_bytes())
        };
        let signature = "/spec/content/envelope/signatures";
        assert_eq!(with(&format!("{signature}/0/keyid"), carrying(&other).into()), None);
        assert_eq!(with(&format!("{signature}/0/keyid"), "payload:%".into()), None);
        assert_eq!(with(&format!("{signature}/0/keyid"), "".into()), None);
        assert_eq!(with("/kind", "dsse".into()), None);
        assert_eq!(with("/apiVersion", "0.0.1".into()), None);
        assert_eq!(with("/spec/content/envelope/payloadType", "text/plain".into()), None);
        let twice = json!([sound.pointer(signature).expect("is there")[0], { "keyid": carrying(&payload) }]);
        assert_eq!(with(signature, twice), None);
        assert_eq!(carried(body(&vec![b' '; 2 * MAX_PAYLOAD]).to_string().as_bytes()), None);
    }

    proptest! {
        #[test]
        fn never_panics(noise in proptest::collection::vec(any::<u8>(), 0..80), at in any::<prop::sample::Index>(), with: u8) {
            let mut text = body(&statement()).to_string().into_bytes();
            let place = at.index(text.len());
            text[place] = with;
            let _any = carried(&text);
            let _any = carried(&noise);
        }
    }
}
