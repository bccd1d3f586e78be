//! A key in AWS KMS: `awskms://[ENDPOINT]/KEY`, where the key is an ID, an ARN, or `alias/NAME`.
//!
//! Region and credentials are looked for where every program of AWS does: variables (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, …), the
//! profile of the shared files, a web identity, the metadata of a container or a machine.

use std::error::Error;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Region;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::get_public_key::GetPublicKeyOutput;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyUsageType, MessageType, SigningAlgorithmSpec};
use bulla_claims::PublicKeyDetails;

use super::BoxFuture;
use super::host::base;
use super::kept::{Found, Keeper, PublicHalf, Trouble, hashed, other_kind, patiently};

struct AwsKey {
    client: Client,
    /// What an alias stood for when it was opened.
    id: String,
    algorithm: SigningAlgorithmSpec,
    details: PublicKeyDetails,
}

/// Opens the key that the rest of a URI names.
pub(super) async fn open(rest: &str) -> Result<Found, Trouble> {
    let (endpoint, id) = parse(rest)?;
    let loader = aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled());
    let loader = match region_in(id) {
        Some(region) => loader.region(Region::new(region.to_owned())),
        None => loader,
    };
    let loader = match endpoint {
        Some(endpoint) => loader.endpoint_url(endpoint),
        None => loader,
    };
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Trouble::Refused(
            "no region is known: set AWS_REGION, or name the key by its ARN".to_owned(),
        ));
    }
    let client = Client::new(&config);
    let key: GetPublicKeyOutput =
        patiently(async || client.get_public_key().key_id(id).send().await.map_err(|error| trouble(&error)))
            .await?;
    if key.key_usage() != Some(&KeyUsageType::SignVerify) {
        let usage = key.key_usage().map_or("nothing", KeyUsageType::as_str);
        return Err(other_kind(&format!("a key for {usage}")));
    }
    let Some(spki) = key.public_key() else {
        return Err(Trouble::Refused("its answer has no public key".to_owned()));
    };
    let public = PublicHalf::judge(spki.as_ref().to_vec())?;
    let algorithm = match public.details {
        PublicKeyDetails::PkixEcdsaP256Sha256 => SigningAlgorithmSpec::EcdsaSha256,
        PublicKeyDetails::PkixEcdsaP384Sha384 => SigningAlgorithmSpec::EcdsaSha384,
        PublicKeyDetails::PkixEcdsaP521Sha512 => SigningAlgorithmSpec::EcdsaSha512,
        PublicKeyDetails::PkixEd25519 => SigningAlgorithmSpec::Ed25519Sha512,
        _ => SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
    };
    let id = key.key_id().unwrap_or(id).to_owned();
    let details = public.details;
    Ok(Found { public, keeper: Box::new(AwsKey { client, id, algorithm, details }) })
}

impl Keeper for AwsKey {
    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
        Box::pin(async move {
            let request = self.client.sign().key_id(&self.id).signing_algorithm(self.algorithm.clone());
            let request = match hashed(self.details, message) {
                Some(digest) => request.message_type(MessageType::Digest).message(Blob::new(digest.as_ref())),
                None => request.message_type(MessageType::Raw).message(Blob::new(message)),
            };
            let answer = request.send().await.map_err(|error| trouble(&error))?;
            let signature =
                answer.signature.ok_or_else(|| Trouble::Refused("its answer has no signature".to_owned()))?;
            Ok(signature.into_inner())
        })
    }
}

/// The endpoint, if one is named, and the key.
fn parse(rest: &str) -> Result<(Option<String>, &str), Trouble> {
    let expected = "awskms://[ENDPOINT]/KEY was expected, such as awskms:///alias/NAME";
    let (endpoint, id) = rest.split_once('/').ok_or_else(|| Trouble::Uri(expected.to_owned()))?;
    let known = |character: char| character.is_ascii_alphanumeric() || ":/_-".contains(character);
    if id.is_empty() || !id.chars().all(known) {
        return Err(Trouble::Uri(format!("it names no key: {expected}")));
    }
    if endpoint.is_empty() {
        return Ok((None, id));
    }
    let url = base(endpoint)
        .ok_or_else(|| Trouble::Uri(format!("endpoint {endpoint:?} is not HOST or HOST:PORT: {expected}")))?;
    Ok((Some(url.to_string()), id))
}

/// `arn:PARTITION:kms:REGION:…`
fn region_in(id: &str) -> Option<&str> {
    id.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
}

/// Whose fault it is. What the service says names keys and callers, never credentials.
fn trouble<E>(error: &SdkError<E>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let SdkError::ServiceError(context) = error else {
        let mut said = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            said = format!("{said}: {cause}");
            source = cause.source();
        }
        return match error {
            SdkError::ConstructionFailure(_) => Trouble::Refused(said),
            _ => Trouble::Unavailable(said),
        };
    };
    let status = context.raw().status().as_u16();
    let code = error.code().unwrap_or_default();
    let parts = [Some(code).filter(|code| !code.is_empty()), error.message()];
    let said = parts
        .into_iter()
        .flatten()
        .fold(format!("it answers {status}"), |said, part| format!("{said}: {part}"));
    if status >= 500 || status == 429 || PASSING.contains(&code) {
        Trouble::Unavailable(said)
    } else {
        Trouble::Refused(said)
    }
}

/// Errors of status 400 after which asking again may help.
const PASSING: [&str; 3] = ["ThrottlingException", "LimitExceededException", "KeyUnavailableException"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_every_spelling_are_read() {
        let arn = "arn:aws:kms:eu-central-1:1:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let with_arn = format!("/{arn}");
        for (rest, endpoint, id) in [
            (with_arn.as_str(), None, arn),
            ("/alias/ca", None, "alias/ca"),
            ("/1234abcd-12ab-34cd-56ef-1234567890ab", None, "1234abcd-12ab-34cd-56ef-1234567890ab"),
            ("localhost:4566/alias/ca", Some("http://localhost:4566/"), "alias/ca"),
            ("kms.example.org/alias/ca", Some("https://kms.example.org/"), "alias/ca"),
        ] {
            assert_eq!(parse(rest), Ok((endpoint.map(str::to_owned), id)));
        }
        assert_eq!(region_in(arn), Some("eu-central-1"));
        assert_eq!(region_in("alias/ca"), None);
        for (rest, problem) in [
            ("alias", "awskms://[ENDPOINT]/KEY was expected, such as awskms:///alias/NAME"),
            ("/", "it names no key: awskms://[ENDPOINT]/KEY was expected, such as awskms:///alias/NAME"),
            ("/a b", "it names no key: awskms://[ENDPOINT]/KEY was expected, such as awskms:///alias/NAME"),
            (
                "a@b/c",
                "endpoint \"a@b\" is not HOST or HOST:PORT: awskms://[ENDPOINT]/KEY was expected, such as awskms:///alias/NAME",
            ),
        ] {
            assert_eq!(parse(rest), Err(Trouble::Uri(problem.to_owned())));
        }
    }
}
