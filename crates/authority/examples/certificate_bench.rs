//! How many certificates a second this machine issues, and how near that is to what the signatures alone would take.
//!
//!     cargo run --release -p bulla-authority --example certificate_bench [SECONDS]
//!
//! A certificate takes one P-256 verification (the proof), two signatures of the authority if it goes by a log, here by a P-384
//! key, one P-256 signature of that log. The limit that is compared with is the one the project set itself: one P-256
//! verification, two P-256 signatures and one P-384 signature, measured in the same run on as many threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bulla_authority::BoxFuture;
use bulla_authority::ca::{
    CertificateAuthority, INTERMEDIATE_LIFETIME, Issuer, Period, Profile, ROOT_LIFETIME, Serial, Subject,
    certify, is_proof, read_public_key,
};
use bulla_authority::ct::{CtError, CtLog, Precertificate};
use bulla_authority::oidc::{Extensions, Identity, Name};
use bulla_claims::SigningKey;
use bulla_claims::keys::{pem, public_key_pem};
use bulla_claims::pki::x509::PublicKey;
use jiff::Timestamp;

/// The least part of the limit that is good enough.
const BAR: f64 = 0.5;
const TURNS: u32 = 10;
const CHALLENGE: &str = "ada@example.org";

struct LocalLog(SigningKey);

impl CtLog for LocalLog {
    fn add(&self, precertificate: Precertificate) -> BoxFuture<'_, Result<Vec<u8>, CtError>> {
        let signature = self.0.sign(&precertificate.tbs).expect("signs");
        let mut sct = vec![0; 43];
        sct.extend([4, 3]);
        sct.extend((signature.len() as u16).to_be_bytes());
        sct.extend(signature);
        Box::pin(std::future::ready(Ok(sct)))
    }
}

fn key(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem, None).expect("a key")
}

fn public(key: &SigningKey) -> PublicKey {
    read_public_key(&public_key_pem(key.spki())).expect("a key")
}

async fn authority(now: Timestamp) -> CertificateAuthority {
    let (root_key, issuing_key) =
        (key(&SigningKey::generate_ecdsa_p384_pem()), Arc::new(key(&SigningKey::generate_ecdsa_p384_pem())));
    let named = |name: &str| Subject { common_name: name.to_owned(), organization: "bench".to_owned() };
    let serial = || Serial::random().expect("a number");
    let (root_name, issuing_name) = (named("root"), named("issuing"));
    let itself = Issuer::of_itself(&root_name, &root_key).expect("a name");
    let period = Period::starting(now, ROOT_LIFETIME).expect("a period");
    let root = certify(Profile::Root, &root_name, root_key.spki(), &itself, period, serial());
    let root = root.await.expect("a root");
    let issuer = Issuer::of_certificate(&root, &root_key).expect("its key");
    let period = Period::starting(now, INTERMEDIATE_LIFETIME).expect("a period");
    let profile = Profile::CodeSigningIntermediate;
    let issuing = certify(profile, &issuing_name, issuing_key.spki(), &issuer, period, serial());
    let issuing = issuing.await.expect("a certificate");
    let chain = pem("CERTIFICATE", &issuing) + &pem("CERTIFICATE", &root);
    let log = Arc::new(LocalLog(key(&SigningKey::generate_ecdsa_p256_pem())));
    CertificateAuthority::new(&chain, issuing_key, Some(log)).expect("a good chain")
}

/// How often all threads do it in a second.
fn rate(threads: usize, duration: Duration, act: impl Fn() + Sync) -> f64 {
    let done = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while started.elapsed() < duration {
                    act();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

fn main() {
    let seconds = std::env::args().nth(1).map_or(5, |text| text.parse().expect("SECONDS is a number"));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let now = Timestamp::now();
    let authority = runtime.block_on(authority(now));
    let (p256, p384) =
        (key(&SigningKey::generate_ecdsa_p256_pem()), key(&SigningKey::generate_ecdsa_p384_pem()));
    let proof = p256.sign(CHALLENGE.as_bytes()).expect("signs");
    let identity = Identity {
        name: Name::Email(CHALLENGE.to_owned()),
        challenge: CHALLENGE.to_owned(),
        extensions: Extensions {
            issuer: "https://issuer.example.org".to_owned(),
            subject: "ada".to_owned(),
            ..Extensions::default()
        },
    };
    let spki = public_key_pem(p256.spki());
    let limit_key = public(&p256);
    let duration = Duration::from_secs(seconds);

    // Interleaved in short turns: what else the machine does meanwhile meets both alike.
    let (mut limit, mut issued) = (0.0, 0.0);
    for _ in 0..TURNS {
        limit += rate(threads, duration / TURNS, || {
            assert!(limit_key.verify_message(CHALLENGE.as_bytes(), &proof));
            for key in [&p256, &p256, &p384] {
                key.sign(CHALLENGE.as_bytes()).expect("signs");
            }
        });
        issued += rate(threads, duration / TURNS, || {
            let key = read_public_key(&spki).expect("a key");
            assert!(is_proof(&key, CHALLENGE, &proof));
            let issue = authority.issue(&identity, &key, now);
            // Nothing in it waits: the keys and the log are here.
            let mut issue = std::pin::pin!(issue);
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(matches!(issue.as_mut().poll(&mut context), std::task::Poll::Ready(Ok(_))));
        });
    }
    let (limit, issued) = (limit / f64::from(TURNS), issued / f64::from(TURNS));
    let ratio = issued / limit;
    println!(
        "threads {threads}\ncertificates/s {issued:.0}\nlimit/s {limit:.0}\nratio {ratio:.2} (bar {BAR})"
    );
    if ratio < BAR {
        println!("below the bar");
        std::process::exit(1);
    }
}
