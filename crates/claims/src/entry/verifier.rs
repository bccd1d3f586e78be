//! Judgement of a key and its label, the same in every kind (reference rekor-v2 §1.4.1 items 4 to 8).

use super::{LabelRule, MAX_BODY, Refusal, Rules};
use crate::keys::{Key, Material, PublicKeyDetails, Verifier};

/// A key that may sign entries of this log. Its label implies the hash function of its algorithm.
pub(super) struct Judged {
    pub(super) key: Key,
    pub(super) details: PublicKeyDetails,
}

/// Reads the key and compares it with its label and the log's rules. `field` is where the verifier stands.
pub(super) fn judge(field: &str, verifier: &Verifier, rules: &Rules) -> Result<Judged, Refusal> {
    let raw = verifier.material.raw_bytes();
    if raw.is_empty() {
        let problem = "verifier has no key, a publicKey or x509Certificate with rawBytes was expected";
        return Err(Refusal::new(field, problem));
    }
    let container = match verifier.material {
        Material::PublicKey(_) => "publicKey",
        Material::Certificate(_) => "x509Certificate",
    };
    let refuse_raw = |problem| Refusal::new(format!("{field}.{container}.rawBytes"), problem);
    if raw.len() > MAX_BODY {
        let problem = format!("rawBytes is {} bytes, an entry holds at most {MAX_BODY} in all", raw.len());
        return Err(refuse_raw(problem));
    }
    let key = verifier.material.key().map_err(|error| refuse_raw(error.problem))?;
    match label(verifier.key_details, &key, rules) {
        Ok(details) => Ok(Judged { key, details }),
        Err(problem) => Err(Refusal::new(format!("{field}.keyDetails"), problem)),
    }
}

/// The label, if it goes with the key.
fn label(number: i32, key: &Key, rules: &Rules) -> Result<PublicKeyDetails, String> {
    let algorithm = key.algorithm();
    let fitting = algorithm.details();
    let details = match PublicKeyDetails::from_number(number) {
        None => return Err(format!("keyDetails {number} is not known, {fitting} fits the key")),
        Some(PublicKeyDetails::Unspecified) => {
            return Err(format!("keyDetails is missing, {fitting} fits the key"));
        }
        Some(details) => details,
    };
    let fits = match rules.label {
        LabelRule::MustFit => details == fitting,
        LabelRule::AsLaxAsUpstream => details.hash() == Some(algorithm.hash()),
    };
    let name = algorithm.key_name();
    if !fits {
        return Err(match (details, details.hash(), rules.label) {
            (PublicKeyDetails::PkixEd25519, ..) if fitting == PublicKeyDetails::PkixEd25519Ph => format!(
                "keyDetails {details} signs the artifact itself, which the log does not see: sign with {fitting}"
            ),
            (_, Some(hash), LabelRule::AsLaxAsUpstream) => {
                let accepted = algorithm.hash();
                format!("keyDetails {details} implies {hash}, an {name} key is accepted with {accepted}")
            }
            _ => format!("keyDetails {details} does not fit the key, it is {name}: {fitting}"),
        });
    }
    if !rules.algorithms.contains(algorithm) {
        let accepted: Vec<_> = rules.algorithms.iter().map(|algorithm| algorithm.details().name()).collect();
        let accepted = accepted.join(", ");
        return Err(format!("an {name} key is not accepted by this log, it accepts {accepted}"));
    }
    Ok(details)
}
