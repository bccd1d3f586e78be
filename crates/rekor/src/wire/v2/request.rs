//! What a v2 client posts: `CreateEntryRequest` as JSON or protobuf, read into a proposed entry.

use bulla_claims::{Dsse, HashedRekord, Material, Proposed, Refusal, Verifier};
use serde::Deserialize;
use serde::de::MapAccess;

use super::json::{Bytes, Enum, List, Message, Names, Text, impl_deserialize};
use super::protos::dev::sigstore::common::v1::PublicKeyDetails;
use super::protos::dev::sigstore::rekor::v2 as pb;

/// Why a request could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not the JSON of a request; the place and the problem.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// No entry in it, or none of a kind that this log records.
    #[error("invalid type, must be hashedrekord: {0}")]
    Type(&'static str),
    /// An entry with a part missing that its shape requires.
    #[error("invalid {kind} request: {refusal}")]
    Invalid {
        /// `hashedrekord` or `dsse`, as the reference's messages say it.
        kind: &'static str,
        /// Which part.
        refusal: Refusal,
    },
}

/// Reads the JSON of a request. Only the first JSON value counts, as in the reference; nothing at all is an empty request.
pub fn from_json(body: &[u8]) -> Result<Proposed, RequestError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(EMPTY);
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    // The plain pass is the one that real requests take; naming the field costs a second one.
    let request = CreateEntryRequest::deserialize(&mut json).map_err(|_| located(body))?;
    request.proposed()
}

/// Reads the protobuf of a request.
#[expect(deprecated, reason = "deployed clients still send the deprecated message")]
pub fn from_protobuf(request: pb::CreateEntryRequest) -> Result<Proposed, RequestError> {
    use pb::create_entry_request::Spec;
    if let Some(Spec::DsseRequestV002(dsse)) = &request.spec {
        let signatures = dsse.envelope.as_ref().map_or(0, |envelope| envelope.signatures.len());
        if signatures.max(dsse.verifiers.len()) > MAX_SIGNATURES {
            let problem = format!("dsseRequestV002: more than {MAX_SIGNATURES} signatures or verifiers");
            return Err(RequestError::Malformed(problem));
        }
    }
    CreateEntryRequest::from(request.spec.map(|spec| match spec {
        Spec::HashedRekordRequestV002(request) => One::HashedRekord(request.into()),
        Spec::DsseRequestV002(request) => One::Dsse(request.into()),
    }))
    .proposed()
}

const EMPTY: RequestError =
    RequestError::Type("the request has neither hashedRekordRequestV002 nor dsseRequestV002");

/// Parses once more to learn which field is wrong.
fn located(body: &[u8]) -> RequestError {
    /// Enough for a path and a reason, too little to send a request back.
    const LONGEST: usize = 300;
    let mut json = serde_json::Deserializer::from_slice(body);
    let Err(error) = serde_path_to_error::deserialize::<_, CreateEntryRequest>(&mut json) else {
        return RequestError::Malformed(String::from("not readable"));
    };
    let place = error.path().to_string();
    let problem = error.into_inner().to_string();
    let message = if place == "." { problem } else { format!("{place}: {problem}") };
    RequestError::Malformed(message.chars().take(LONGEST).collect())
}

#[derive(Default)]
struct CreateEntryRequest {
    spec: Option<One>,
}

/// The one-of of a request.
enum One {
    HashedRekord(HashedRekordRequest),
    Dsse(DsseRequest),
}

#[derive(Default)]
struct HashedRekordRequest {
    digest: Bytes,
    signature: Option<RequestSignature>,
}

#[derive(Default)]
struct RequestSignature {
    content: Bytes,
    verifier: Option<RequestVerifier>,
}

#[derive(Default)]
struct RequestVerifier {
    material: Option<Material>,
    key_details: Enum<PublicKeyDetails>,
}

#[derive(Default)]
struct RawBytes {
    raw_bytes: Bytes,
}

#[derive(Default)]
struct DsseRequest {
    envelope: Option<Envelope>,
    verifiers: List<RequestVerifier, MAX_SIGNATURES>,
}

#[derive(Default)]
struct Envelope {
    payload: Bytes,
    payload_type: Text,
    signatures: List<EnvelopeSignature, MAX_SIGNATURES>,
}

#[derive(Default)]
struct EnvelopeSignature {
    sig: Bytes,
}

/// What the reference allowed while it recorded envelopes.
const MAX_SIGNATURES: usize = 10;

impl_deserialize!(
    CreateEntryRequest,
    HashedRekordRequest,
    RequestSignature,
    RequestVerifier,
    RawBytes,
    DsseRequest,
    Envelope,
    EnvelopeSignature
);

impl Message for CreateEntryRequest {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("hashedRekordRequestV002", "hashed_rekord_request_v002"),
        ("dsseRequestV002", "dsse_request_v002"),
    ];

    fn field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error> {
        let value = match field {
            0 => map.next_value::<Option<_>>()?.map(One::HashedRekord),
            _ => map.next_value::<Option<_>>()?.map(One::Dsse),
        };
        set_one_of(
            &mut self.spec,
            value,
            "only one of hashedRekordRequestV002 and dsseRequestV002 may be set",
        )
    }
}

impl Message for HashedRekordRequest {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("digest", "digest"), ("signature", "signature")];

    fn field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error> {
        match field {
            0 => self.digest = map.next_value()?,
            _ => self.signature = map.next_value()?,
        }
        Ok(())
    }
}

impl Message for RequestSignature {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("content", "content"), ("verifier", "verifier")];

    fn field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error> {
        match field {
            0 => self.content = map.next_value()?,
            _ => self.verifier = map.next_value()?,
        }
        Ok(())
    }
}

impl Message for RequestVerifier {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("publicKey", "public_key"),
        ("x509Certificate", "x509_certificate"),
        ("keyDetails", "key_details"),
    ];

    fn field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error> {
        let value = match field {
            0 => map.next_value::<Option<RawBytes>>()?.map(|key| Material::PublicKey(key.raw_bytes.0)),
            1 => map.next_value::<Option<RawBytes>>()?.map(|cert| Material::Certificate(cert.raw_bytes.0)),
            _ => {
                self.key_details = map.next_value()?;
                return Ok(());
            }
        };
        set_one_of(&mut self.material, value, "only one of publicKey and x509Certificate may be set")
    }
}

impl Message for RawBytes {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("rawBytes", "raw_bytes")];

    fn field<'de, A: MapAccess<'de>>(&mut self, _: usize, map: &mut A) -> Result<(), A::Error> {
        self.raw_bytes = map.next_value()?;
        Ok(())
    }
}

impl Message for DsseRequest {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("envelope", "envelope"), ("verifiers", "verifiers")];

    fn field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error> {
        match field {
            0 => self.envelope = map.next_value()?,
            _ => self.verifiers = map.next_value()?,
        }
        Ok(())
    }
}

impl Message for Envelope {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("payload", "payload"), ("payloadType", "payloadType"), ("signatures", "signatures")];

    fn field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error> {
        match field {
            0 => self.payload = map.next_value()?,
            1 => self.payload_type = map.next_value()?,
            _ => self.signatures = map.next_value()?,
        }
        Ok(())
    }
}

impl Message for EnvelopeSignature {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("sig", "sig"), ("keyid", "keyid")];

    fn field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error> {
        match field {
            0 => self.sig = map.next_value()?,
            // Read for its shape only: a key ID is a hint to the reader of the envelope and is not recorded.
            _ => _ = map.next_value::<Text>()?,
        }
        Ok(())
    }
}

impl Names for PublicKeyDetails {
    fn number(name: &str) -> Option<i32> {
        Self::from_str_name(name).map(i32::from)
    }
}

/// Sets a member of a one-of; null sets nothing.
fn set_one_of<T, E: serde::de::Error>(
    slot: &mut Option<T>,
    value: Option<T>,
    both: &'static str,
) -> Result<(), E> {
    if slot.is_some() && value.is_some() {
        return Err(E::custom(both));
    }
    if value.is_some() {
        *slot = value;
    }
    Ok(())
}

impl From<Option<One>> for CreateEntryRequest {
    fn from(spec: Option<One>) -> Self {
        Self { spec }
    }
}

impl CreateEntryRequest {
    fn proposed(self) -> Result<Proposed, RequestError> {
        match self.spec.ok_or(EMPTY)? {
            One::HashedRekord(request) => {
                request.proposed().map_err(|refusal| RequestError::Invalid { kind: "hashedrekord", refusal })
            }
            One::Dsse(request) => {
                request.proposed().map_err(|refusal| RequestError::Invalid { kind: "dsse", refusal })
            }
        }
    }
}

impl HashedRekordRequest {
    fn proposed(self) -> Result<Proposed, Refusal> {
        let signature = self.signature.ok_or_else(|| {
            refusal("hashedRekordRequestV002.signature", "missing, a signature is required")
        })?;
        let verifier = match signature.verifier {
            Some(verifier) => Some(verifier.proposed("hashedRekordRequestV002.signature.verifier")?),
            None => None,
        };
        let entry = HashedRekord { digest: self.digest.0, signature: signature.content.0, verifier };
        Ok(Proposed::HashedRekord(entry))
    }
}

impl DsseRequest {
    fn proposed(self) -> Result<Proposed, Refusal> {
        let envelope = self
            .envelope
            .ok_or_else(|| refusal("dsseRequestV002.envelope", "missing, an envelope is required"))?;
        let verifiers = self.verifiers.0.into_iter().enumerate();
        Ok(Proposed::Dsse(Dsse {
            payload: envelope.payload.0,
            payload_type: envelope.payload_type.0,
            signatures: envelope.signatures.0.into_iter().map(|signature| signature.sig.0).collect(),
            verifiers: verifiers
                .map(|(i, verifier)| verifier.proposed(&format!("dsseRequestV002.verifiers[{i}]")))
                .collect::<Result<_, _>>()?,
        }))
    }
}

impl RequestVerifier {
    fn proposed(self, place: &str) -> Result<Verifier, Refusal> {
        match self.material {
            Some(material) => Ok(Verifier { material, key_details: self.key_details.number() }),
            None => Err(refusal(place, "has neither publicKey nor x509Certificate, one of them is required")),
        }
    }
}

fn refusal(field: &str, problem: &str) -> Refusal {
    Refusal { field: field.to_owned(), problem: problem.to_owned() }
}

impl From<pb::HashedRekordRequestV002> for HashedRekordRequest {
    fn from(request: pb::HashedRekordRequestV002) -> Self {
        Self {
            digest: Bytes(request.digest),
            signature: request.signature.map(|signature| RequestSignature {
                content: Bytes(signature.content),
                verifier: signature.verifier.map(RequestVerifier::from),
            }),
        }
    }
}

impl From<pb::Verifier> for RequestVerifier {
    fn from(verifier: pb::Verifier) -> Self {
        use pb::verifier::Verifier;
        Self {
            material: verifier.verifier.map(|material| match material {
                Verifier::PublicKey(key) => Material::PublicKey(key.raw_bytes),
                Verifier::X509Certificate(certificate) => Material::Certificate(certificate.raw_bytes),
            }),
            key_details: Enum::from(verifier.key_details),
        }
    }
}

impl From<pb::DsseRequestV002> for DsseRequest {
    fn from(request: pb::DsseRequestV002) -> Self {
        Self {
            envelope: request.envelope.map(|envelope| Envelope {
                payload: Bytes(envelope.payload),
                payload_type: Text(envelope.payload_type),
                signatures: List(
                    envelope
                        .signatures
                        .into_iter()
                        .map(|signature| EnvelopeSignature { sig: Bytes(signature.sig) })
                        .collect(),
                ),
            }),
            verifiers: List(request.verifiers.into_iter().map(RequestVerifier::from).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_SIGNATURES, RequestError, from_json, from_protobuf, pb};

    #[test]
    fn a_message_does_not_send_the_request_back() {
        let long = "x".repeat(1 << 20);
        for body in [
            format!("{{\"{long}\":1}}"),
            format!("{{\"hashedRekordRequestV002\":\"{long}\"}}"),
            format!("{{\"hashedRekordRequestV002\":{{\"digest\":[\"{long}\"]}}}}"),
            format!(
                "{{\"hashedRekordRequestV002\":{{\"signature\":{{\"verifier\":{{\"keyDetails\":\"{long}\"}}}}}}}}"
            ),
            "[".repeat(1 << 20),
            "{\"dsseRequestV002\":".repeat(1 << 16),
        ] {
            let Err(error) = from_json(body.as_bytes()) else { panic!("{}", &body[..40]) };
            assert!(matches!(error, RequestError::Malformed(_)), "{}", &body[..40]);
            assert!(error.to_string().chars().count() < 400, "{}", &body[..40]);
        }
    }

    #[test]
    fn lists_are_bounded_in_protobuf_too() {
        let verifiers = vec![pb::Verifier::default(); MAX_SIGNATURES + 1];
        let dsse = pb::DsseRequestV002 { envelope: None, verifiers };
        #[expect(deprecated, reason = "deployed clients still send the deprecated message")]
        let spec = pb::create_entry_request::Spec::DsseRequestV002(dsse);
        let Err(error) = from_protobuf(pb::CreateEntryRequest { spec: Some(spec) }) else {
            panic!("accepted")
        };
        assert!(error.to_string().contains("more than 10"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body: Vec<u8>) {
            let _ = from_json(&body);
        }

        #[test]
        fn anything_json_like_is_read_or_refused(body in "[{}\\[\\]\":,0-9a-z \\\\]{0,80}") {
            let _ = from_json(body.as_bytes());
            let nested = format!("{{\"hashedRekordRequestV002\":{body}}}");
            let _ = from_json(nested.as_bytes());
        }
    }
}
