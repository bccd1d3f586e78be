//! rfc3161 0.0.1: the response of a timestamp authority (RFC 3161 §2.4.2), stored whole.

use der::asn1::AnyRef;
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::content::{self, Stored, VERSION, refuse};
use super::{Admitted, Fault, Kind, Refusal, Rules, member};
use crate::entry::DescribeError;
use crate::pki::pkcs7;
use crate::traces::{Door, KeyCache, Traces};

pub(super) const KIND: Kind = Kind { name: "rfc3161", version: VERSION, admit, template, traces };

#[derive(Deserialize)]
struct Proposed {
    tsr: Option<content::Proposed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    tsr: Stored,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let Proposed { tsr } = member::spec(spec)?;
    let tsr = content::bytes(tsr, "spec.tsr")?;
    if tsr.len() > MAX_RESPONSE {
        return Err(wrong(&format!("is {} bytes, at most {MAX_RESPONSE} were expected", tsr.len())).into());
    }
    let (status, token) = parts(&tsr).map_err(|_| wrong("is not DER of a TimeStampResp"))?;
    if !GRANTED.contains(&status) {
        let problem =
            format!("has status {status}, 0 (granted) or 1 (granted with modifications) was expected");
        return Err(wrong(&problem).into());
    }
    let token = token.ok_or_else(|| wrong("has no timestamp token"))?;
    let token = pkcs7::Signed::parse(&token).and_then(|token| token.verify(None));
    token.map_err(|error| wrong(&format!("has a token whose {}", error.problem)))?;
    let body = body::write(KIND.name, VERSION, &Spec { tsr: Stored::new(&tsr) });
    Ok(Admitted { body, named: Vec::new(), attestation: None })
}

/// The status, and the DER of the token.
fn parts(tsr: &[u8]) -> der::Result<(i64, Option<Vec<u8>>)> {
    let response = AnyRef::from_der(tsr)?;
    response.tag().assert_eq(Tag::Sequence)?;
    let mut members = SliceReader::new(response.value())?;
    let info = AnyRef::decode(&mut members)?;
    info.tag().assert_eq(Tag::Sequence)?;
    let status = i64::decode(&mut SliceReader::new(info.value())?)?;
    let token = if members.is_finished() { None } else { Some(AnyRef::decode(&mut members)?.to_der()?) };
    members.finish((status, token))
}

fn wrong(problem: &str) -> Fault {
    refuse("spec.tsr.content", format!("timestamp response {problem}"))
}

/// A body has all that is needed to make it again.
fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    admit(spec, rules).map(|admitted| admitted.body)
}

fn traces(body: &[u8], _: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { tsr } = content::read(body)?;
    let digests = vec![Hash::of(&tsr.bytes(KIND.name)?).trace()];
    Ok(Traces { door: Door::V1, kind: KIND.name, digests, keys: Vec::new() })
}

/// The most bytes of a response.
const MAX_RESPONSE: usize = 10 * 1024;
const GRANTED: [i64; 2] = [0, 1];
