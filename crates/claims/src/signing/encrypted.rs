//! Private keys under a password: PBES2 (RFC 8018 §6.2), and what cosign writes: JSON of an scrypt key derivation and a
//! `nacl/secretbox` (`go-securesystemslib:encrypted`). The work that a file may ask for is bounded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::pkcs5::{EncryptionScheme, Error as Pkcs5Error};
use pkcs8::{EncryptedPrivateKeyInfo, Error as Pkcs8Error, PrivateKeyInfo};
use serde::{Deserialize, Serialize};

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
    if kdf.name != SCRYPT || cipher.name != SECRETBOX {
        let found =
            format!("{:?} and {:?}, \"scrypt\" and \"nacl/secretbox\" were expected", kdf.name, cipher.name);
        return Err(unsupported(found));
    }
    let log_n = bounded(kdf.params.n, kdf.params.r, kdf.params.p)?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| unsupported("a value in it is not base64"));
    let (salt, nonce, ciphertext) = (decode(&kdf.salt)?, decode(&cipher.nonce)?, decode(&sealed.ciphertext)?);
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| unsupported("its nonce is not 24 bytes"))?;

    let key = derived(password, &salt, log_n, &kdf.params)?;
    key.decrypt(&nonce.into(), ciphertext.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| KeyFileError::WrongPassword)
}

/// What [`sigstore`] opens: the JSON that cosign reads, with its own order of members.
pub(super) fn seal_sigstore(
    pkcs8: &[u8],
    password: &[u8],
    salt: &[u8; 32],
    nonce: &[u8; 24],
) -> Result<String, KeyFileError> {
    let params = Cost { n: 1 << LOG_N, r: 8, p: 1 };
    let key = derived(password, salt, LOG_N, &params)?;
    let ciphertext = key.encrypt(nonce.into(), pkcs8).map_err(|_| not_sealed())?;
    let sealed = Sealed {
        kdf: Derivation { name: SCRYPT.to_owned(), params, salt: STANDARD.encode(salt) },
        cipher: Cipher { name: SECRETBOX.to_owned(), nonce: STANDARD.encode(nonce) },
        ciphertext: STANDARD.encode(ciphertext),
    };
    serde_json::to_string(&sealed).map_err(|_| not_sealed())
}

/// What [`pkcs8()`] opens: DER of an `EncryptedPrivateKeyInfo`.
pub(super) fn seal_pkcs8(
    pkcs8: &[u8],
    password: &[u8],
    salt: &[u8; 16],
    iv: &[u8; 16],
) -> Result<Vec<u8>, KeyFileError> {
    let info = PrivateKeyInfo::try_from(pkcs8).map_err(|_| not_sealed())?;
    let parameters = Parameters::pbkdf2_sha256_aes256cbc(ITERATIONS, salt, iv).map_err(|_| not_sealed())?;
    let sealed = info.encrypt_with_params(parameters, password).map_err(|_| not_sealed())?;
    Ok(sealed.as_bytes().to_vec())
}

fn derived(password: &[u8], salt: &[u8], log_n: u8, cost: &Cost) -> Result<XSalsa20Poly1305, KeyFileError> {
    let mut key = Zeroizing::new([0; 32]);
    scrypt::Params::new(log_n, cost.r, cost.p, key.len())
        .ok()
        .and_then(|params| scrypt::scrypt(password, salt, &params, key.as_mut_slice()).ok())
        .ok_or_else(|| unsupported("its scrypt parameters are out of range"))?;
    Ok(XSalsa20Poly1305::new(key.as_ref().into()))
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

/// Of a key that was read or made here this is not said.
fn not_sealed() -> KeyFileError {
    KeyFileError::Key { problem: "it cannot be encrypted".to_owned() }
}

fn unsupported(problem: impl Into<String>) -> KeyFileError {
    KeyFileError::Encryption { problem: problem.into() }
}

#[derive(Deserialize, Serialize)]
struct Sealed {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize, Serialize)]
struct Derivation {
    name: String,
    params: Cost,
    salt: String,
}

#[derive(Deserialize, Serialize)]
struct Cost {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize, Serialize)]
struct Cipher {
    name: String,
    nonce: String,
}

const SCRYPT: &str = "scrypt";
const SECRETBOX: &str = "nacl/secretbox";
/// N = 65536, the middle of the three settings of cosign's library, and the highest that all readers take.
const LOG_N: u8 = 16;
/// What OWASP asks for with HMAC-SHA-256.
const ITERATIONS: u32 = 600_000;
const EXPECTED: &str = "PBES2 with AES-CBC and PBKDF2 over SHA-2 or scrypt was expected, convert it with: openssl pkcs8 \
                        -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD -out NEW";
/// Some seconds of work.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Twice what the strongest setting of cosign's library takes.
const MAX_MEMORY: u64 = 256 * 1024 * 1024;
const MAX_PASSES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with pyca's scrypt and `PyNaCl`; the password is `correct horse`.
    const VECTOR: &str = include_str!("../../tests/keys/vector-sigstore.pem");

    #[test]
    fn what_another_implementation_sealed_is_opened_and_sealed_again_to_the_byte() {
        let block = super::super::pem::private_key(VECTOR).expect("is PEM");
        let pkcs8 = sigstore(&block.der, b"correct horse").expect("opens");
        assert_eq!(pkcs8.len(), 138);
        let expected = "1a821d370afcd790a681af169d53dc1cad6af39a1d490f965b5105bac3f8b24b";
        assert_eq!(bulla_tlog::sha256(&pkcs8).to_string(), expected);

        let sealed: Sealed = serde_json::from_slice(&block.der).expect("is JSON");
        let decode = |text: &str| STANDARD.decode(text).expect("is base64");
        let salt = decode(&sealed.kdf.salt).try_into().expect("32 bytes");
        let nonce = decode(&sealed.cipher.nonce).try_into().expect("24 bytes");
        let again = seal_sigstore(&pkcs8, b"correct horse", &salt, &nonce).expect("seals");
        assert_eq!(again.as_bytes(), block.der.as_slice());
    }

    #[test]
    fn what_is_cut_short_or_changed_does_not_open() {
        let block = super::super::pem::private_key(VECTOR).expect("is PEM");
        let mut sealed: Sealed = serde_json::from_slice(&block.der).expect("is JSON");
        let whole = STANDARD.decode(&sealed.ciphertext).expect("is base64");
        let mut changed = whole.clone();
        changed[40] ^= 1;
        for ciphertext in [&whole[..whole.len() - 1], &whole[..16], &whole[..15], b"", &changed] {
            sealed.ciphertext = STANDARD.encode(ciphertext);
            let json = serde_json::to_vec(&sealed).expect("is JSON");
            assert_eq!(
                sigstore(&json, b"correct horse").expect_err("is damaged"),
                KeyFileError::WrongPassword
            );
        }
        let json = &block.der[..block.der.len() - 1];
        let error = sigstore(json, b"correct horse").expect_err("is no JSON").to_string();
        assert!(error.ends_with("not the JSON of an scrypt derivation and a NaCl secret box"), "{error}");
    }
}
