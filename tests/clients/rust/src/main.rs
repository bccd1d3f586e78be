//! sigstore-rust against our log: the whole signing flow (certificate, timestamp, log), the log client alone, and
//! the crates' own verifier over every bundle that any client made. Prints TAP lines.
//!
//! ```text
//! sigstore-rust-client sign   DIR     reads DIR/{trusted_root,signing_config}.json, token, artifact, statement.json
//! sigstore-rust-client verify DIR     every DIR/bundles/*.json
//! sigstore-rust-client sign-v1 DIR    the same with DIR/signing_config_v1.json, and sigstore-rs
//! sigstore-rust-client verify-v1 DIR  every DIR/bundles-v1/*.json
//! sigstore-rust-client keys DIR       every DIR/keys/KIND.key with its KIND.pub; writes DIR/keys/by-sigstore-rs.*
//! ```

mod keys;
mod sigstore_rs;
mod tuf;
mod v1;

use std::{error::Error, fs, num::NonZeroU8, path::Path, process::exit};

use sigstore_crypto::{KeyPair, sha256};
use sigstore_oidc::IdentityToken;
use sigstore_rekor::{HashedRekordV2, RekorApiVersion, RekorV2Client, RekorV2KeyDetails};
use sigstore_sign::{SigningContext, SigningServices};
use sigstore_trust_root::{SigningConfig, TrustedRoot};
use sigstore_types::{Bundle, DerPublicKey};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationPolicy, Verifier};

const NAME: &str = "sigstore-rust-0.15.1";
const IDENTITY: &str = "alice@example.org";

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, folder] = &arguments[..] else {
        eprintln!("usage: sigstore-rust-client sign|verify|sign-v1|verify-v1|tuf|keys DIR");
        exit(2);
    };
    let folder = Path::new(folder);
    let mut tap = Tap { failed: false };
    match verb.as_str() {
        "sign" => {
            tap.line("signs a blob and its own verifier accepts the bundle", sign(folder, false).await);
            tap.line(
                "signs an attestation and its own verifier accepts the bundle",
                sign(folder, true).await,
            );
            tap.line(
                "log client alone, with a bare key: entry, 409, checkpoint, tile, entry bundle",
                log_client(folder).await,
            );
        }
        "verify" => verify_all(folder, "bundles", &mut tap),
        "sign-v1" => {
            v1::sign_all(folder, &mut tap).await;
            sigstore_rs::all(folder, &mut tap).await;
        }
        "keys" => keys::all(folder, &mut tap),
        "verify-v1" => verify_all(folder, "bundles-v1", &mut tap),
        "tuf" => tap.line(
            "signs and verifies with what the trust repository hands out",
            tuf::sign_and_verify(folder).await,
        ),
        _ => exit(2),
    }
    exit(i32::from(tap.failed));
}

async fn sign(folder: &Path, attestation: bool) -> Outcome {
    let services = services(folder, "signing_config.json")?;
    assert_eq!(services.rekor_api_version(), RekorApiVersion::V2);
    let signer = SigningContext::new(services).signer(IdentityToken::from_jwt(&read(folder, "token")?)?);
    let artifact = fs::read(folder.join("artifact"))?;
    let bundle = if attestation {
        signer.sign_raw_statement(&fs::read(folder.join("statement.json"))?).await?
    } else {
        signer.sign(&artifact).await?
    };
    let kind = if attestation { "dsse" } else { "blob" };
    fs::write(folder.join(format!("bundles/{NAME}.{kind}.json")), bundle.to_json()?)?;
    verify(folder, &bundle)
}

fn verify(folder: &Path, bundle: &Bundle) -> Outcome {
    let verifier = Verifier::new(&TrustedRoot::from_file(folder.join("trusted_root.json"))?)?;
    let artifact = fs::read(folder.join("artifact"))?;
    let result =
        verifier.verify(&artifact, bundle, &VerificationPolicy::new(IDENTITY, std::env::var("ISSUER")?))?;
    if !(result.certificate_verified() && result.sct_verified() && result.tlog_verified()) {
        return Err("accepted, but not everything was verified".into());
    }
    Ok(())
}

fn verify_all(folder: &Path, bundles: &str, tap: &mut Tap) {
    let mut paths: Vec<_> = fs::read_dir(folder.join(bundles)).unwrap().map(|f| f.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let outcome = fs::read_to_string(&path).map_err(Box::from).and_then(|json| {
            let bundle = Bundle::from_json(&json)?;
            match path.file_name().unwrap().to_string_lossy().split_once(".bare-key") {
                Some((signer, _)) => verify_with_key(folder, &bundle, &format!("keys/{signer}.bare-key.pub")),
                None => verify(folder, &bundle),
            }
        });
        tap.line(&format!("verifies {}", path.file_stem().unwrap().display()), outcome);
    }
}

/// Whoever signs without a certificate hands the key out.
fn verify_with_key(folder: &Path, bundle: &Bundle, key: &str) -> Outcome {
    let verifier = Verifier::new(&TrustedRoot::from_file(folder.join("trusted_root.json"))?)?;
    let policy = PublicKeyVerificationPolicy::new(DerPublicKey::from_pem(&read(folder, key)?)?);
    let result = verifier.verify(&fs::read(folder.join("artifact"))?, bundle, &policy)?;
    if result.tlog_verified() { Ok(()) } else { Err("accepted, but its entry was not verified".into()) }
}

async fn log_client(folder: &Path) -> Outcome {
    let client = RekorV2Client::new(services(folder, "signing_config.json")?.rekor_url())?;
    let artifact = b"logged by the rust client, with a bare key";
    let key = KeyPair::generate_ecdsa_p256()?;
    let request = HashedRekordV2::new_with_public_key(
        &sha256(artifact),
        &key.sign(artifact)?,
        &DerPublicKey::new(key.public_key_der()?.as_bytes().to_vec()),
        RekorV2KeyDetails::PkixEcdsaP256Sha256,
    );
    let entry = client.create_entry(request.clone()).await?;
    match client.create_entry(request).await {
        Err(sigstore_rekor::Error::Status { status: 409, message })
            if message.contains(&entry.log_index.to_string()) => {}
        other => return Err(format!("the same again: expected a 409 naming the index, got {other:?}").into()),
    }
    let size = client.get_checkpoint().await?.tree_size();
    let (index, width) = ((size - 1) / 256, NonZeroU8::new((size % 256) as u8));
    let tile = client.get_tile(0, index, width).await?;
    let entries = client.get_entry_bundle(index, width).await?;
    let leaf = leaf_hash(entry.canonicalized_body.as_bytes());
    if !tile.bytes.chunks(32).any(|hash| hash == leaf.as_bytes()) {
        return Err(format!("tile 0/{index} does not hold the leaf").into());
    }
    let body = entry.canonicalized_body.as_bytes();
    if !entries.bytes.windows(body.len()).any(|window| window == body) {
        return Err(format!("entry bundle {index} does not hold the body").into());
    }
    Ok(())
}

/// RFC 6962: the hash of a leaf is over a zero byte and the leaf.
fn leaf_hash(leaf: &[u8]) -> sigstore_types::Sha256Hash {
    sha256(&[&[0], leaf].concat())
}

fn services(folder: &Path, config: &str) -> Result<SigningServices, Box<dyn Error>> {
    let config = SigningConfig::from_file(folder.join(config))?;
    Ok(SigningServices::from_signing_config(&config)?)
}

fn read(folder: &Path, name: &str) -> Result<String, Box<dyn Error>> {
    Ok(fs::read_to_string(folder.join(name)).map_err(|e| format!("{name}: {e}"))?)
}

struct Tap {
    failed: bool,
}

impl Tap {
    fn line(&mut self, what: &str, outcome: Outcome) {
        match outcome {
            Ok(()) => println!("ok - {what}"),
            Err(error) => {
                self.failed = true;
                println!("not ok - {what}: {}", error.to_string().replace('\n', " "));
            }
        }
    }
}
