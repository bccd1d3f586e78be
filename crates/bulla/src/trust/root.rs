//! The root by which a trust repository is believed first, as its owner hands it out: that a file is one is known before its
//! server is asked, so that nobody looks for the fault there. The Update Framework, §4.3.

use serde_json::Value;
use tough::schema::{Root, Signed};

/// Refuses what is no root of a trust repository, or is not signed by the keys that it names.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(format!("is empty, {EXPECTED}"));
    }
    let file: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("is not JSON ({error}), {EXPECTED}"))?;
    if file["mediaType"].as_str().is_some_and(|said| said.starts_with(TRUSTED_ROOT)) {
        return Err(format!("is a trusted root, as --trusted-root takes it; {EXPECTED}"));
    }
    match &file["signed"]["_type"] {
        Value::String(said) if said == "root" => {}
        Value::String(said) => {
            return Err(format!("has the _type {said:?}, \"root\" is needed: {EXPECTED}"));
        }
        _ => return Err(format!("has no _type, \"root\" is needed: {EXPECTED}")),
    }
    let root: Signed<Root> =
        serde_json::from_slice(bytes).map_err(|error| format!("is no root ({error}), {EXPECTED}"))?;
    root.signed
        .verify_role(&root)
        .map_err(|error| format!("is not signed by the keys that it names ({error}), {EXPECTED}"))
}

const TRUSTED_ROOT: &str = "application/vnd.dev.sigstore.trustedroot";
const EXPECTED: &str = "the root.json of a trust repository was expected";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_of_another_program_is_one() {
        let root = include_bytes!("../../../claims/tests/vectors/packages/root.json");
        assert_eq!(check(root), Ok(()));
        let changed = String::from_utf8_lossy(root).replace("2030-", "2031-");
        let problem = check(changed.as_bytes()).expect_err("is not what was signed");
        assert!(problem.starts_with("is not signed by the keys that it names ("), "{problem}");
    }
}
