//! What a certificate says of whom it is about: its one name, and the extensions 1.3.6.1.4.1.57264.1.N
//! (<https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>).

use der::asn1::{Ia5String, ObjectIdentifier, Utf8StringRef};
use der::{Any, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

use super::issue::IssueError;
use super::x509::extension;
use crate::oidc::{Extensions, Name};

/// The most bytes of a name or of the value of an extension.
const MAX_VALUE: usize = 4096;

/// The extension with the one subject alternative name. Critical, since the subject is empty (RFC 5280 §4.2.1.6).
pub(super) fn name(name: &Name) -> Result<Extension, IssueError> {
    let name = match name {
        Name::Email(email) => GeneralName::Rfc822Name(ia5("e-mail address", judged_email(email)?)?),
        Name::Uri(uri) => GeneralName::UniformResourceIdentifier(ia5("URI", judged_uri(uri)?)?),
        Name::Username(name) => {
            bounded("username", name)?;
            let value = Any::encode_from(&Utf8StringRef::new(name)?)?;
            GeneralName::OtherName(OtherName { type_id: of(7), value })
        }
    };
    Ok(extension(true, &SubjectAltName(vec![name]))?)
}

fn ia5(what: &str, value: &str) -> Result<Ia5String, IssueError> {
    Ia5String::new(value).map_err(|_| IssueError::Refused(format!("{what} {value:?} is not ASCII")))
}

/// Addresses beyond ASCII would need a name of another type (RFC 9598), which no verifier of these certificates reads.
fn judged_email(email: &str) -> Result<&str, IssueError> {
    bounded("e-mail address", email)?;
    let refused = |expected: &str| Err(IssueError::Refused(format!("e-mail address {email:?} {expected}")));
    if !email.is_ascii() {
        return refused("has characters outside ASCII, which a certificate cannot name");
    }
    if email.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return refused("has a space or control character, none was expected");
    }
    match email.split_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {
            Ok(email)
        }
        _ => refused("is no address, NAME@DOMAIN was expected"),
    }
}

/// The characters of RFC 3986, a scheme and something after it.
fn judged_uri(uri: &str) -> Result<&str, IssueError> {
    bounded("URI", uri)?;
    let refused = |expected: &str| Err(IssueError::Refused(format!("URI {uri:?} {expected}")));
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if !uri.bytes().all(is_allowed) {
        return refused("has a character that a URI cannot have unescaped");
    }
    let mut escapes = uri.split('%').skip(1);
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.all(is_escape) {
        return refused("has a % without two hexadecimal digits");
    }
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match uri.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) && !rest.is_empty() => Ok(uri),
        _ => refused("has no scheme, one like https://HOST/PATH was expected"),
    }
}

fn bounded(what: &str, value: &str) -> Result<(), IssueError> {
    if value.is_empty() {
        return Err(IssueError::Refused(format!("{what} is empty")));
    }
    if value.len() > MAX_VALUE {
        let problem = format!("{what} is {} bytes, at most {MAX_VALUE} were expected", value.len());
        return Err(IssueError::Refused(problem));
    }
    Ok(())
}

/// All other extensions about the identity, by number. Empty values are not written, as if they were not there.
pub(super) fn values(extensions: &Extensions) -> Result<Vec<Extension>, IssueError> {
    bounded("token issuer", &extensions.issuer)?;
    bounded("token subject", &extensions.subject)?;
    let mut written = Vec::with_capacity(24);
    for (number, value) in [
        (1, Some(&extensions.issuer)),
        (2, extensions.github_workflow_trigger.as_ref()),
        (3, extensions.github_workflow_sha.as_ref()),
        (4, extensions.github_workflow_name.as_ref()),
        (5, extensions.github_workflow_repository.as_ref()),
        (6, extensions.github_workflow_ref.as_ref()),
        (8, Some(&extensions.issuer)),
        (9, extensions.build_signer_uri.as_ref()),
        (10, extensions.build_signer_digest.as_ref()),
        (11, extensions.runner_environment.as_ref()),
        (12, extensions.source_repository_uri.as_ref()),
        (13, extensions.source_repository_digest.as_ref()),
        (14, extensions.source_repository_ref.as_ref()),
        (15, extensions.source_repository_identifier.as_ref()),
        (16, extensions.source_repository_owner_uri.as_ref()),
        (17, extensions.source_repository_owner_identifier.as_ref()),
        (18, extensions.build_config_uri.as_ref()),
        (19, extensions.build_config_digest.as_ref()),
        (20, extensions.build_trigger.as_ref()),
        (21, extensions.run_invocation_uri.as_ref()),
        (22, extensions.source_repository_visibility_at_signing.as_ref()),
        (23, extensions.deployment_environment.as_ref()),
        (24, Some(&extensions.subject)),
    ] {
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        bounded(&format!("value of extension {}", of(number)), value)?;
        // The first six are older than the rule that the value of an extension is DER.
        let raw =
            if number <= 6 { value.as_bytes().to_vec() } else { Utf8StringRef::new(value)?.to_der()? };
        written.push(super::x509::raw_extension(of(number), false, raw)?);
    }
    Ok(written)
}

/// 1.3.6.1.4.1.57264.1.N
fn of(number: u32) -> ObjectIdentifier {
    ARC.push_arc(number).expect("eleven arcs fit an identifier")
}

const ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");
