//! The result of a scan for vulnerabilities
//! (<https://github.com/sigstore/cosign/blob/main/specs/COSIGN_VULN_ATTESTATION_SPEC.md>).

use super::{At, PredicateType};
use crate::entry::Refusal;

pub(super) const PREDICATE: PredicateType = PredicateType {
    names: &["vuln"],
    uri: "https://cosign.sigstore.dev/attestation/vuln/v1",
    versions: &[],
    judge,
};

fn judge(predicate: &At<'_>) -> Result<(), Refusal> {
    if let Some(invocation) = predicate.optional("invocation")? {
        for name in ["uri", "event_id", "builder.id"] {
            invocation.optional(name)?.map_or(Ok(""), |value| value.any_text())?;
        }
    }
    let scanner = predicate.member("scanner")?;
    scanner.member("uri")?.text()?;
    scanner.optional("version")?.map_or(Ok(""), |value| value.any_text())?;
    if let Some(database) = scanner.optional("db")? {
        for name in ["uri", "version"] {
            database.optional(name)?.map_or(Ok(""), |value| value.any_text())?;
        }
    }
    scanner.member("result")?;
    let metadata = predicate.member("metadata")?;
    metadata.member("scanStartedOn")?.time()?;
    metadata.member("scanFinishedOn")?.time().map(drop)
}
