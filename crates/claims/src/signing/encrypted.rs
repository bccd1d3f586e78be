//! Private keys under a password: PBES2 (RFC 8018 §6.2), and what cosign writes: JSON of an scrypt key derivation and a
//! `nacl/secretbox` (`go-securesystemslib:encrypted`). The work that a file may ask for is bounded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::pkcs5::{EncryptionScheme, Error as Pkcs5Error};
use pkcs8::{EncryptedPrivateKeyInfo, Error as Pkcs8Error};
use serde::Deserialize;

use super::KeyFileError;

/// Opens an `EncryptedPrivateKeyInfo`: the DER of a PKCS#8 key, if the password is right.
pub(super) fn pkcs8(der: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let Ok(info) = EncryptedPrivateKeyInfo::try_from(der) else {
        return Err(unsupported(EXPECTED));
    };
    let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(unsupported(EXPECTED));
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(kdf) if kdf.iteration_count > MAX_ITERATIONS => {
            let asked = kdf.iteration_count;
            return Err(unsupported(format!(
                "{asked} iterations of PBKDF2, at most {MAX_ITERATIONS} are done"
            )));
        }
        Kdf::Scrypt(kdf) => {
            bounded(kdf.cost_parameter, kdf.block_size.into(), kdf.parallelization.into())?;
        }
        _ => {}
    }
    match info.decrypt(password) {
        Ok(document) => Ok(Zeroizing::new(document.as_bytes().to_vec())),
        // The library says that encryption failed when it means the padding, which is what a wrong password breaks. One
        // time in 256 the padding holds, and what is under it is no DER.
        Err(
            Pkcs8Error::EncryptedPrivateKey(Pkcs5Error::DecryptFailed | Pkcs5Error::EncryptFailed)
            | Pkcs8Error::Asn1(_),
        ) => Err(KeyFileError::WrongPassword),
        Err(_) => Err(unsupported(EXPECTED)),
    }
}

/// Opens the JSON that cosign puts between its dashes: the DER of a PKCS#8 key, if the password is right.
pub(super) fn sigstore(json: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let Ok(sealed) = serde_json::from_slice::<Sealed>(json) else {
        return Err(unsupported("not the JSON of an scrypt derivation and a NaCl secret box"));
    };
    let (kdf, cipher) = (&sealed.kdf, &sealed.cipher);
    if kdf.name != "scrypt" || cipher.name != "nacl/secretbox" {
        let found =
            format!("{:?} and {:?}, \"scrypt\" and \"nacl/secretbox\" were expected", kdf.name, cipher.name);
        return Err(unsupported(found));
    }
    let Cost { n, r, p } = kdf.params;
    let log_n = bounded(n, r, p)?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| unsupported("a value in it is not base64"));
    let (salt, nonce, ciphertext) = (decode(&kdf.salt)?, decode(&cipher.nonce)?, decode(&sealed.ciphertext)?);
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| unsupported("its nonce is not 24 bytes"))?;

    let mut key = Zeroizing::new([0; 32]);
    scrypt::Params::new(log_n, r, p, key.len())
        .ok()
        .and_then(|params| scrypt::scrypt(password, &salt, &params, key.as_mut_slice()).ok())
        .ok_or_else(|| unsupported("its scrypt parameters are out of range"))?;
    let key = XSalsa20Poly1305::new(key.as_ref().into());
    key.decrypt(&nonce.into(), ciphertext.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| KeyFileError::WrongPassword)
}

/// The logarithm of `n`, if the derivation is one that can be done here.
fn bounded(n: u64, r: u32, p: u32) -> Result<u8, KeyFileError> {
    let memory = n.checked_mul(u64::from(r)).and_then(|product| product.checked_mul(128));
    let fine = n.is_power_of_two() && n > 1 && r > 0 && (1..=MAX_PASSES).contains(&p);
    match memory {
        Some(..=MAX_MEMORY) if fine => Ok(n.ilog2() as u8),
        _ => Err(unsupported(format!(
            "scrypt with N={n} r={r} p={p}, a power of two of at most 256 MiB and p of at most {MAX_PASSES} was expected"
        ))),
    }
}

fn unsupported(problem: impl Into<String>) -> KeyFileError {
    KeyFileError::Encryption { problem: problem.into() }
}

#[derive(Deserialize)]
struct Sealed {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Derivation {
    name: String,
    params: Cost,
    salt: String,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

const EXPECTED: &str = "PBES2 with AES-CBC and PBKDF2 over SHA-2 or scrypt was expected, convert it with: openssl pkcs8 \
                        -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD -out NEW";
/// Some seconds of work.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Twice what the strongest setting of cosign's library takes.
const MAX_MEMORY: u64 = 256 * 1024 * 1024;
const MAX_PASSES: u32 = 16;
