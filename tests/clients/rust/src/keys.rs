//! Key files with sigstore-rs: it opens those that `bulla key` wrote, and writes one that `bulla key` is to open.

use std::fs;
use std::path::Path;

use sigstore::crypto::SigningScheme;
use sigstore::crypto::signing_key::SigStoreKeyPair;

use crate::{Outcome, Tap};

const PASSWORD: &[u8] = b"correct horse";

/// Every kind that it knows.
pub fn all(folder: &Path, tap: &mut Tap) {
    let folder = folder.join("keys");
    for kind in ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048", "rsa-4096"] {
        tap.line(
            &format!("sigstore-rs 0.14: opens the key file of bulla key generate: {kind}"),
            opens(&folder, kind),
        );
    }
    tap.line("sigstore-rs 0.14: writes a key file", writes(&folder));
}

fn opens(folder: &Path, kind: &str) -> Outcome {
    let sealed = fs::read(folder.join(kind).with_extension("key"))?;
    let key = SigStoreKeyPair::from_encrypted_pem(&sealed, PASSWORD)?;
    let public = fs::read_to_string(folder.join(kind).with_extension("pub"))?;
    // It ends its lines as Windows does.
    if !key.public_key_to_pem()?.lines().eq(public.lines()) {
        return Err("another public key".into());
    }
    match SigStoreKeyPair::from_encrypted_pem(&sealed, b"another password") {
        Ok(_) => Err("any password opens it".into()),
        Err(_) => Ok(()),
    }
}

fn writes(folder: &Path) -> Outcome {
    let key = SigningScheme::ECDSA_P256_SHA256_ASN1.create_signer()?.to_sigstore_keypair()?;
    fs::write(folder.join("by-sigstore-rs.key"), key.private_key_to_encrypted_pem(PASSWORD)?.as_bytes())?;
    fs::write(folder.join("by-sigstore-rs.pub"), key.public_key_to_pem()?.replace("\r\n", "\n"))?;
    Ok(())
}
