//! An authority with a log that keeps nothing, identities that need no token, and openssl to judge what comes out.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bulla_authority::api::fulcio::{Fulcio, Identities, IssuerConfiguration, IssuerUrl, Unverified};
use bulla_authority::ca::{
    CertificateAuthority, INTERMEDIATE_LIFETIME, Issuer, KeyPolicy, Period, Profile, ROOT_LIFETIME, Serial,
    Subject, certify,
};
use bulla_authority::ct::{CtError, CtLog, Precertificate};
use bulla_authority::oidc::{Extensions, Identity, Name};
use bulla_authority::{BoxFuture, PrivateKey};
use bulla_claims::SigningKey;
use bulla_claims::keys::pem;
use bulla_tlog::sha256;
use jiff::{SignedDuration, Timestamp};

pub(crate) fn now() -> Timestamp {
    "2026-11-21T12:00:00.5Z".parse().expect("a time")
}

pub(crate) fn p256() -> SigningKey {
    SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key")
}

pub(crate) fn p384() -> SigningKey {
    SigningKey::from_pem(&SigningKey::generate_ecdsa_p384_pem(), None).expect("a key")
}

pub(crate) fn subject(common_name: &str) -> Subject {
    Subject { common_name: common_name.to_owned(), organization: "Corp".to_owned() }
}

pub(crate) fn certificate_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

/// A root and an intermediate, made a day ago.
pub(crate) struct Hierarchy {
    pub(crate) root_key: SigningKey,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) root: Vec<u8>,
    pub(crate) intermediate: Vec<u8>,
}

impl Hierarchy {
    pub(crate) async fn new() -> Self {
        Self::since(now() - SignedDuration::from_hours(24)).await
    }

    pub(crate) async fn since(from: Timestamp) -> Self {
        let (root_key, key) = (p384(), Arc::new(p384()));
        let itself = Issuer::of_itself(&subject("root"), &root_key).expect("a name");
        let period = Period::starting(from, ROOT_LIFETIME).expect("a period");
        let root = certify(
            Profile::Root,
            &subject("root"),
            root_key.spki(),
            &itself,
            period,
            Serial::random().expect("a number"),
        )
        .await
        .expect("a root");
        let intermediate = below(
            Profile::CodeSigningIntermediate,
            "intermediate",
            key.spki(),
            &Issuer::of_certificate(&root, &root_key).expect("the root's key"),
            Period::starting(from, INTERMEDIATE_LIFETIME).expect("a period"),
        )
        .await;
        Self { root_key, key, root, intermediate }
    }

    pub(crate) fn pem(&self) -> String {
        certificate_pem(&self.intermediate) + &certificate_pem(&self.root)
    }

    pub(crate) fn authority(&self, ct: Option<Arc<dyn CtLog>>) -> CertificateAuthority {
        let key: Arc<dyn PrivateKey> = self.key.clone();
        CertificateAuthority::new(&self.pem(), key, ct).expect("a good chain")
    }
}

pub(crate) async fn below(
    profile: Profile,
    name: &str,
    spki: &[u8],
    issuer: &Issuer<'_>,
    period: Period,
) -> Vec<u8> {
    let serial = Serial::random().expect("a number");
    certify(profile, &subject(name), spki, issuer, period, serial).await.expect("a certificate")
}

/// Signs timestamps as RFC 6962 §3.2 says, over what it is given, and keeps the last precertificate.
pub(crate) struct FakeLog {
    pub(crate) key: SigningKey,
    pub(crate) seen: Mutex<Option<Precertificate>>,
    pub(crate) answer: Result<(), CtError>,
}

impl FakeLog {
    pub(crate) fn new() -> Arc<Self> {
        Self::answering(Ok(()))
    }

    pub(crate) fn answering(answer: Result<(), CtError>) -> Arc<Self> {
        Arc::new(Self { key: p256(), seen: Mutex::default(), answer })
    }
}

/// Extensions of the timestamps, as logs with tiles write them.
pub(crate) const SCT_EXTENSIONS: &[u8] = &[0, 0, 5, 0, 0, 0, 0, 7];

pub(crate) fn signed_by_log(timestamp: [u8; 8], issuer_key_hash: &[u8], tbs: &[u8]) -> Vec<u8> {
    let mut text = vec![0, 0];
    text.extend(timestamp);
    text.extend([0, 1]);
    text.extend(issuer_key_hash);
    text.extend(&(tbs.len() as u32).to_be_bytes()[1..]);
    text.extend(tbs);
    text.extend((SCT_EXTENSIONS.len() as u16).to_be_bytes());
    text.extend(SCT_EXTENSIONS);
    text
}

impl CtLog for FakeLog {
    fn add(&self, precertificate: Precertificate) -> BoxFuture<'_, Result<Vec<u8>, CtError>> {
        let timestamp = 1_795_262_400_000_u64.to_be_bytes();
        let text = signed_by_log(timestamp, precertificate.issuer_key_hash.as_ref(), &precertificate.tbs);
        let signature = self.key.sign(&text).expect("signs");
        let mut sct = vec![0];
        sct.extend(sha256(self.key.spki()).as_ref());
        sct.extend(timestamp);
        sct.extend((SCT_EXTENSIONS.len() as u16).to_be_bytes());
        sct.extend(SCT_EXTENSIONS);
        sct.extend([4, 3]);
        sct.extend((signature.len() as u16).to_be_bytes());
        sct.extend(signature);
        *self.seen.lock().expect("no panic") = Some(precertificate);
        Box::pin(std::future::ready(self.answer.clone().map(|()| sct)))
    }
}

pub(crate) fn identity(name: Name, challenge: &str) -> Identity {
    let extensions = Extensions {
        issuer: "https://issuer.example.org".to_owned(),
        subject: "subject-of-the-token".to_owned(),
        ..Extensions::default()
    };
    Identity { name, challenge: challenge.to_owned(), extensions }
}

/// `good` is a token of ada@example.org.
pub(crate) struct Tokens;

pub(crate) const EMAIL: &str = "ada@example.org";

impl Identities for Tokens {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<(Identity, Timestamp), Unverified>> {
        let answer = match token {
            "good" => Ok(identity(Name::Email(EMAIL.to_owned()), EMAIL)),
            "non-ascii" => Ok(identity(Name::Email("adä@example.org".to_owned()), EMAIL)),
            "unreachable" => Err(Unverified::Unavailable("issuer is down".to_owned())),
            _ => {
                Err(Unverified::Refused("identity token: aud is \"x\", \"sigstore\" was expected".to_owned()))
            }
        };
        Box::pin(std::future::ready(answer.map(|identity| (identity, Timestamp::MAX))))
    }

    fn configuration(&self) -> Vec<IssuerConfiguration> {
        let issuer = |issuer, issuer_type: &str, subject_domain: Option<&str>| IssuerConfiguration {
            issuer,
            audience: "sigstore".to_owned(),
            challenge_claim: "sub".to_owned(),
            issuer_type: issuer_type.to_owned(),
            subject_domain: subject_domain.map(str::to_owned),
            spiffe_trust_domain: None,
        };
        vec![
            issuer(IssuerUrl::Exact("https://a.example".to_owned()), "uri", Some("https://a.example")),
            issuer(IssuerUrl::Wildcard("https://*.example".to_owned()), "email", None),
        ]
    }
}

pub(crate) async fn fulcio(ct: Option<Arc<dyn CtLog>>) -> (Hierarchy, Arc<Fulcio>) {
    let hierarchy = Hierarchy::new().await;
    let authority = hierarchy.authority(ct);
    let fulcio = Fulcio::new(authority, Arc::new(Tokens), KeyPolicy::default(), now);
    (hierarchy, Arc::new(fulcio))
}

/// Runs openssl, which has to be there, and returns what it wrote; a failure is the error.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output();
    let output = output.expect("openssl is installed: apt-get install openssl");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(text) } else { Err(text) }
}

pub(crate) fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), text).expect("is written");
}
