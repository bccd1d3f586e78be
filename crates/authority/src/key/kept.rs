//! A key that somebody else keeps: asked patiently but not for ever, judged when it is opened, and never believed unseen: every
//! signature is verified before anybody gets it, since a certificate with a wrong one cannot be taken back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use bulla_claims::PublicKeyDetails;
use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::x509::{KeyType, PublicKey};
use bulla_tlog::note::SignError;
use tokio::time::{sleep, timeout};

use super::{BoxFuture, OpenKeyError, PrivateKey, shown};

/// Why a keeper did not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// The URI names no key.
    Uri(String),
    /// It will not, however often it is asked.
    Refused(String),
    /// It does not answer, or not now.
    Unavailable(String),
}

impl Trouble {
    /// The same, with what it is about before it.
    #[cfg(feature = "web-keys")]
    pub(super) fn about(self, what: &str) -> Self {
        match self {
            Self::Uri(problem) => Self::Uri(format!("{what}: {problem}")),
            Self::Refused(problem) => Self::Refused(format!("{what}: {problem}")),
            Self::Unavailable(problem) => Self::Unavailable(format!("{what}: {problem}")),
        }
    }

    fn into_problem(self) -> String {
        match self {
            Self::Uri(problem) | Self::Refused(problem) | Self::Unavailable(problem) => problem,
        }
    }
}

/// Who signs with the key.
pub(super) trait Keeper: Send + Sync {
    /// Signs a message as [`PrivateKey::sign`] does; asked again after [`Trouble::Unavailable`].
    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Trouble>>;

    /// How often at most.
    fn attempts(&self) -> u32 {
        ATTEMPTS
    }
}

/// A key that was found at its keeper's.
pub(super) struct Found {
    pub(super) public: PublicHalf,
    pub(super) keeper: Box<dyn Keeper>,
}

/// The public half of a key that can sign here.
pub(super) struct PublicHalf {
    spki: Vec<u8>,
    pub(super) details: PublicKeyDetails,
}

impl PublicHalf {
    /// Judges what a keeper says to be the public half, DER `SubjectPublicKeyInfo`.
    pub(super) fn judge(spki: Vec<u8>) -> Result<Self, Trouble> {
        let read = PublicKey::parse(public_key_pem(&spki).as_bytes());
        let key = read.map_err(|error| Trouble::Refused(error.problem))?;
        let details = match key.key_type() {
            KeyType::P256 => PublicKeyDetails::PkixEcdsaP256Sha256,
            KeyType::P384 => PublicKeyDetails::PkixEcdsaP384Sha384,
            KeyType::P521 => PublicKeyDetails::PkixEcdsaP521Sha512,
            KeyType::Rsa(2048) => PublicKeyDetails::PkixRsaPkcs1v15Of2048Sha256,
            KeyType::Rsa(3072) => PublicKeyDetails::PkixRsaPkcs1v15Of3072Sha256,
            KeyType::Rsa(4096) => PublicKeyDetails::PkixRsaPkcs1v15Of4096Sha256,
            KeyType::Ed25519 => PublicKeyDetails::PkixEd25519,
            other @ KeyType::Rsa(_) => return Err(other_kind(&other.to_string())),
        };
        Ok(Self { spki, details })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.details {
            PublicKeyDetails::PkixEcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            PublicKeyDetails::PkixEcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
            PublicKeyDetails::PkixEcdsaP521Sha512 => &ECDSA_P521_SHA512_ASN1,
            PublicKeyDetails::PkixEd25519 => &ED25519,
            _ => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.spki).verify(message, signature).is_ok()
    }
}

/// The refusal of a key that cannot sign here.
pub(super) fn other_kind(kind: &str) -> Trouble {
    Trouble::Refused(format!(
        "it is {kind}, a key that signs with ECDSA on P-256, P-384 or P-521, RSA PKCS#1 v1.5 of 2048, 3072 or 4096 bits \
         with SHA-256, or Ed25519 was expected"
    ))
}

/// The hash that such a key signs; `None` if it signs messages.
pub(super) fn hashed(details: PublicKeyDetails, message: &[u8]) -> Option<Digest> {
    let function = match details {
        PublicKeyDetails::PkixEd25519 => return None,
        PublicKeyDetails::PkixEcdsaP384Sha384 => &digest::SHA384,
        PublicKeyDetails::PkixEcdsaP521Sha512 => &digest::SHA512,
        _ => &digest::SHA256,
    };
    Some(digest::digest(function, message))
}

/// The key that opening it found, for everybody else.
pub(super) async fn opened(
    uri: &str,
    opening: impl Future<Output = Result<Found, Trouble>>,
) -> Result<Arc<dyn PrivateKey>, OpenKeyError> {
    let uri = shown(uri);
    match opening.await {
        Ok(Found { public, keeper }) => Ok(Arc::new(KeptKey { uri, public, keeper })),
        Err(Trouble::Uri(problem)) => Err(OpenKeyError::Uri { uri, problem }),
        Err(Trouble::Refused(problem)) => Err(OpenKeyError::Refused { uri, problem }),
        Err(Trouble::Unavailable(problem)) => Err(OpenKeyError::Unavailable { uri, problem }),
    }
}

struct KeptKey {
    uri: String,
    public: PublicHalf,
    keeper: Box<dyn Keeper>,
}

impl PrivateKey for KeptKey {
    fn spki(&self) -> &[u8] {
        &self.public.spki
    }

    fn details(&self) -> PublicKeyDetails {
        self.public.details
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        Box::pin(async move {
            let failed = |problem: &str| SignError::new(format_args!("key {}: {problem}", self.uri));
            let signature = asked(self.keeper.attempts(), || self.keeper.sign(message)).await;
            let signature = signature.map_err(|trouble| failed(&trouble.into_problem()))?;
            if !self.public.verifies(message, &signature) {
                return Err(failed(OTHER_KEY));
            }
            Ok(signature)
        })
    }
}

/// Asks until there is an answer, at most [`ATTEMPTS`] times, each at most [`LONGEST`].
pub(super) async fn patiently<T, F>(ask: impl FnMut() -> F) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Trouble>>,
{
    asked(ATTEMPTS, ask).await
}

async fn asked<T, F>(attempts: u32, mut ask: impl FnMut() -> F) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Trouble>>,
{
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let answer = timeout(LONGEST, ask()).await;
        let answer = answer.unwrap_or_else(|_late| {
            Err(Trouble::Unavailable(format!("no answer in {} s", LONGEST.as_secs())))
        });
        match answer {
            Err(Trouble::Unavailable(problem)) if attempt < attempts => {
                tracing::warn!(attempt, problem, "who keeps a key does not answer: asking again");
            }
            answer => return answer,
        }
        sleep(pause).await;
        pause *= 4;
        attempt += 1;
    }
}

const OTHER_KEY: &str = "the signature that came back does not hold under the public half that was read when it was opened: \
                         was the key changed? start again to use the new one, or name the version of the old one";
/// The time for one answer.
const LONGEST: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use bulla_claims::SigningKey;
    use tokio::time::Instant;

    use super::*;

    /// Signs with a key that may be another one than was opened, after some silence.
    struct Fake {
        key: SigningKey,
        silences: u32,
        refuses: bool,
        asked: Arc<AtomicU32>,
    }

    impl Keeper for Fake {
        fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            if self.refuses {
                return Box::pin(std::future::ready(Err(Trouble::Refused("it will not".to_owned()))));
            }
            if asked < self.silences {
                return Box::pin(std::future::pending());
            }
            Box::pin(async move { Ok(self.key.sign(message).expect("signs")) })
        }
    }

    fn key(pem: &str) -> SigningKey {
        SigningKey::from_pem(pem, None).expect("a key")
    }

    async fn kept(key: SigningKey, public: &[u8]) -> (Arc<dyn PrivateKey>, Arc<AtomicU32>) {
        with(Fake { key, silences: 0, refuses: false, asked: Arc::default() }, public).await
    }

    async fn with(fake: Fake, public: &[u8]) -> (Arc<dyn PrivateKey>, Arc<AtomicU32>) {
        let asked = fake.asked.clone();
        let public = PublicHalf::judge(public.to_vec()).expect("can sign");
        let opening = std::future::ready(Ok(Found { public, keeper: Box::new(fake) }));
        (opened("test://k?secret", opening).await.expect("opens"), asked)
    }

    #[tokio::test]
    async fn what_the_right_key_signs_is_given_on() {
        let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key").serialize_pem();
        let p521 =
            rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("a key").serialize_pem();
        let (p256, p384) = (SigningKey::generate_ecdsa_p256_pem(), SigningKey::generate_ecdsa_p384_pem());
        for pem in [p256, p384, p521, rsa, SigningKey::generate_ed25519_pem()] {
            let own = key(&pem);
            let (kept, asked) = kept(key(&pem), own.spki()).await;
            assert_eq!((kept.details(), kept.spki()), (own.details(), own.spki()));
            assert!(!kept.sign(b"message").await.expect("signs").is_empty());
            assert_eq!(asked.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn what_another_key_signs_is_kept_back() {
        let (own, other) = (SigningKey::generate_ecdsa_p384_pem(), SigningKey::generate_ecdsa_p384_pem());
        let (kept, _) = kept(key(&other), key(&own).spki()).await;
        let said = kept.sign(b"message").await.expect_err("is kept back").to_string();
        assert!(
            said.starts_with("cannot sign: key test://k: the signature that came back does not hold"),
            "{said}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_borne_three_times() {
        let pem = SigningKey::generate_ed25519_pem();
        for (silences, signs) in [(1, true), (2, true), (3, false)] {
            let fake = Fake { key: key(&pem), silences, refuses: false, asked: Arc::default() };
            let (kept, asked) = with(fake, key(&pem).spki()).await;
            let began = Instant::now();
            let signed = kept.sign(b"message").await;
            assert_eq!(signed.is_ok(), signs);
            if let Err(error) = signed {
                assert_eq!(error.to_string(), "cannot sign: key test://k: no answer in 10 s");
                assert_eq!(asked.load(Ordering::Relaxed), 3);
                assert_eq!(began.elapsed().as_secs(), 31);
            }
        }
    }

    #[tokio::test]
    async fn a_refusal_is_believed_at_once() {
        let pem = SigningKey::generate_ed25519_pem();
        let fake = Fake { key: key(&pem), silences: 0, refuses: true, asked: Arc::default() };
        let (kept, asked) = with(fake, key(&pem).spki()).await;
        let said = kept.sign(b"message").await.expect_err("is refused").to_string();
        assert_eq!(said, "cannot sign: key test://k: it will not");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn public_halves_that_cannot_sign_here_are_refused() {
        let Err(Trouble::Refused(said)) = PublicHalf::judge(b"x".to_vec()) else { panic!("is refused") };
        assert!(!said.is_empty());
        // secp256k1, made by openssl.
        let k1 = "3056301006072a8648ce3d020106052b8104000a034200";
        let mut spki: Vec<u8> = (0..k1.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&k1[at..at + 2], 16).expect("hex"))
            .collect();
        spki.extend([4; 65]);
        let Err(Trouble::Refused(said)) = PublicHalf::judge(spki) else { panic!("is refused") };
        assert!(said.contains("public key"), "{said}");
    }
}
