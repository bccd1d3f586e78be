//! sigstore-rust against the v1 door: the signing flow with a promise, and the log client alone.

use std::{error::Error, fs, path::Path};

use sigstore_crypto::sha256;
use sigstore_oidc::IdentityToken;
use sigstore_rekor::{RekorApiVersion, RekorClient};
use sigstore_sign::{SigningContext, SigningServices};

use crate::{NAME, Outcome, Tap, read, services, verify};

/// Signs with and without a timestamp authority.
pub async fn sign_all(folder: &Path, tap: &mut Tap) {
    for (stamps, label) in [("tsa", ""), ("notsa", ", without timestamps")] {
        for (kind, attestation) in [("hashedrekord", false), ("dsse", true)] {
            let what =
                format!("signs as {kind} with a promise{label}, and its own verifier accepts the bundle");
            tap.line(&what, sign(folder, stamps, attestation).await);
        }
    }
    tap.line("log client alone: search by hash, get by UUID and by index", log_client(folder).await);
}

async fn sign(folder: &Path, stamps: &str, attestation: bool) -> Outcome {
    let mut services = services(folder, "signing_config_v1.json")?;
    if stamps == "notsa" {
        // A signing configuration without an authority is refused, whatever the version of the log.
        services = SigningServices::new(services.fulcio_url(), services.rekor_url());
    }
    assert_eq!(services.rekor_api_version(), RekorApiVersion::V1);
    let signer = SigningContext::new(services).signer(IdentityToken::from_jwt(&read(folder, "token")?)?);
    let bundle = if attestation {
        signer.sign_raw_statement(&fs::read(folder.join("statement.json"))?).await?
    } else {
        signer.sign(&fs::read(folder.join("artifact"))?).await?
    };
    for entry in &bundle.verification_material.tlog_entries {
        if entry.inclusion_promise.is_none() || entry.integrated_time.is_none() {
            return Err("an entry without a promise or without a time".into());
        }
    }
    let suffix = if attestation { "dsse.dsse" } else { "hashedrekord" };
    fs::write(folder.join(format!("bundles-v1/{NAME}.{stamps}-{suffix}.json")), bundle.to_json()?)?;
    verify(folder, &bundle)
}

async fn log_client(folder: &Path) -> Outcome {
    let client = RekorClient::new(services(folder, "signing_config_v1.json")?.rekor_url())?;
    let found = client.search_by_hash(&sha256(&fs::read(folder.join("artifact"))?)).await?;
    let uuid = found.last().ok_or("nothing is found by the artifact's hash")?;
    let entry = client.get_entry_by_uuid(uuid).await?;
    let again = client.get_entry_by_index(entry.log_index).await?;
    if again.body != entry.body || again.uuid != entry.uuid {
        return Err::<(), Box<dyn Error>>(format!("{} by index, {} by UUID", again.uuid, entry.uuid).into());
    }
    Ok(())
}
