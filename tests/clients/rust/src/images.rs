//! Signatures of an image in a registry: those of cosign before bundles judged by sigstore-rs, as a policy engine does it, and
//! bundles by sigstore-verify.

use std::{error::Error, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sigstore::cosign::verification_constraint::cert_subject_email_verifier::StringVerifier;
use sigstore::cosign::verification_constraint::{
    AnnotationVerifier, CertSubjectEmailVerifier, PublicKeyVerifier, VerificationConstraintVec,
};
use sigstore::cosign::{ClientBuilder, CosignCapabilities as _, verify_constraints};
use sigstore::crypto::SigningScheme;
use sigstore::registry::{Auth, ClientConfig, ClientProtocol, OciReference};
use sigstore::trust::ManualTrustRoot;
use sigstore_types::Bundle;

use crate::{IDENTITY, Outcome, Tap, read, verify_artifact};

/// DIR/image names it, DIR/manifest is its manifest, DIR/image-bundle.json a bundle that was taken out of the registry.
pub async fn all(folder: &Path, tap: &mut Tap) {
    tap.line("sigstore-rs 0.14: a signature by key under the tag, with its annotation", by_key(folder).await);
    tap.line(
        "sigstore-rs 0.14: a signature by identity under the tag, with its promise",
        by_identity(folder).await,
    );
    tap.line("sigstore-verify 0.15.1: a bundle by identity that refers to the image", bundle(folder));
}

async fn by_key(folder: &Path) -> Outcome {
    let key = read(folder, "keys/bulla.bare-key.pub")?;
    let annotations = [("env".to_owned(), "prod".to_owned())].into();
    let constraints: VerificationConstraintVec = vec![
        Box::new(PublicKeyVerifier::new(key.as_bytes(), &SigningScheme::ECDSA_P256_SHA256_ASN1)?),
        Box::new(AnnotationVerifier { annotations }),
    ];
    judge(folder, &constraints).await
}

async fn by_identity(folder: &Path) -> Outcome {
    let issuer = Some(StringVerifier::ExactMatch(std::env::var("ISSUER")?));
    let email = StringVerifier::ExactMatch(IDENTITY.to_owned());
    let constraints: VerificationConstraintVec = vec![Box::new(CertSubjectEmailVerifier { email, issuer })];
    judge(folder, &constraints).await
}

async fn judge(folder: &Path, constraints: &VerificationConstraintVec) -> Outcome {
    let trust = trust(folder)?;
    let registry = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let mut client =
        ClientBuilder::default().with_oci_client_config(registry).with_trust_repository(&trust)?.build()?;
    let image: OciReference = read(folder, "image")?.trim().parse()?;
    let layers = client.trusted_signature_layers(&Auth::Anonymous, &image).await?;
    verify_constraints(&layers, constraints.iter()).map_err(|error| error.to_string())?;
    Ok(())
}

fn trust(folder: &Path) -> Result<ManualTrustRoot<'static>, Box<dyn Error>> {
    let root: serde_json::Value = serde_json::from_str(&read(folder, "trusted_root.json")?)?;
    let bytes = |value: &serde_json::Value| STANDARD.decode(value.as_str().unwrap_or_default());
    let mut trust = ManualTrustRoot::default();
    for authority in root["certificateAuthorities"].as_array().into_iter().flatten() {
        for certificate in authority["certChain"]["certificates"].as_array().into_iter().flatten() {
            trust.fulcio_certs.push(bytes(&certificate["rawBytes"])?.into());
        }
    }
    for log in root["tlogs"].as_array().into_iter().flatten() {
        let id = bytes(&log["logId"]["keyId"])?.iter().map(|byte| format!("{byte:02x}")).collect();
        trust.rekor_keys.insert(id, bytes(&log["publicKey"]["rawBytes"])?);
    }
    Ok(trust)
}

fn bundle(folder: &Path) -> Outcome {
    let manifest = std::fs::read(folder.join("manifest"))?;
    verify_artifact(folder, &manifest, &Bundle::from_json(&read(folder, "image-bundle.json")?)?)
}
