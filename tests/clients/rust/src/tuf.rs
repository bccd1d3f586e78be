//! Keyless signing with nothing but the lines that `bulla up --print-client sigstore-rust` prints.

use std::fs;
use std::path::Path;

use sigstore_oidc::IdentityToken;
use sigstore_sign::{SigningContext, SigningServices};
use sigstore_trust_root::{SigningConfig, TrustedRoot, TufBootstrap, TufConfig};
use sigstore_verify::{VerificationPolicy, Verifier};

use crate::{IDENTITY, Outcome, read};

pub async fn sign_and_verify(folder: &Path) -> Outcome {
    let lines = read(folder, "lines")?;
    let mut quoted = lines.split('"').skip(1).step_by(2);
    let (root, url) = (quoted.next().ok_or("no root")?, quoted.next().ok_or("no URL")?);
    let cache = folder.join("rust-tuf");
    let repository = TufConfig::custom(url, TufBootstrap::trusted(fs::read(root)?)).with_cache_dir(cache);
    let trusted_root = TrustedRoot::from_tuf(repository.clone()).await?;
    let signing_config = SigningConfig::from_tuf(repository).await?;
    let services = SigningServices::from_signing_config(&signing_config)?;
    let signer = SigningContext::new(services).signer(IdentityToken::from_jwt(&read(folder, "token")?)?);
    let artifact = fs::read(folder.join("artifact"))?;
    let bundle = signer.sign(&artifact).await?;
    let policy = VerificationPolicy::new(IDENTITY, std::env::var("ISSUER")?);
    let result = Verifier::new(&trusted_root)?.verify(&artifact, &bundle, &policy)?;
    if !(result.certificate_verified() && result.sct_verified() && result.tlog_verified()) {
        return Err("accepted, but not everything was verified".into());
    }
    // For the verifiers of the other clients.
    fs::write(folder.join("bundles/sigstore-rust-keyless.instance.blob.json"), bundle.to_json()?)?;
    Ok(())
}
