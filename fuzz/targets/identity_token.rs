//! Identity tokens: as text, and as claims under a signature that holds, for an issuer of every type. The first letter says
//! which; what is no type is a token as it is.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulla_authority::oidc::{HttpSettings, Issuers, Name, Verifier};
use jiff::Timestamp;
use serde_json::{Value, json};

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key"));
static VERIFIER: LazyLock<Verifier> = LazyLock::new(verifier);

const TYPES: &[&str] = &[
    "type = 'email'",
    "type = 'github-workflow'",
    "type = 'gitlab-pipeline'",
    "type = 'buildkite-job'",
    "type = 'kubernetes'",
    "type = 'spiffe'\nspiffe-trust-domain = 'example.org'",
    "type = 'uri'\nsubject-domain = 'https://example.org'",
    "type = 'username'\nsubject-domain = 'example.org'",
    "type = 'generic'\nname = 'https://example.org/{a.b}{c?}'",
];

fn verifier() -> Verifier {
    // The same in every run: what is written there always is.
    let folder = std::env::temp_dir().join("bulla-fuzz-issuers");
    std::fs::create_dir_all(&folder).expect("a directory");
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key().as_ref());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]});
    std::fs::write(folder.join("keys.json"), keys.to_string()).expect("is written");
    let entries = TYPES.iter().enumerate().map(|(at, settings)| {
        format!("[[issuer]]\nurl = 'https://{at}.example'\njwks-file = 'keys.json'\n{settings}\n")
    });
    let path = folder.join("issuers.toml");
    std::fs::write(&path, entries.collect::<String>()).expect("is written");
    let issuers = Issuers::read(&path).expect("issuers");
    Verifier::new(issuers, &HttpSettings::default()).expect("a verifier")
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let Some(kind) = text.bytes().next().map(|letter| usize::from(letter.wrapping_sub(b'a'))) else { return };
    if kind >= TYPES.len() {
        assert!(bulla_fuzz::block_on(VERIFIER.verify(text, now)).is_err());
        return;
    }
    let Ok(Value::Object(mut claims)) = serde_json::from_str(&text[1..]) else { return };
    for (name, value) in [
        ("iss", json!(format!("https://{kind}.example"))),
        ("aud", json!("sigstore")),
        ("exp", json!(1_800_000_600)),
    ] {
        claims.entry(name).or_insert(value);
    }
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(&json!({"alg": "EdDSA"})), encoded(&Value::Object(claims)));
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(KEY.sign(signed.as_bytes())));
    if let Ok(identity) = bulla_fuzz::block_on(VERIFIER.verify(&token, now)) {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        match identity.name {
            Name::Email(name) => assert!(plain(&name) && name.matches('@').count() == 1),
            Name::Uri(name) => assert!(plain(&name)),
            Name::Username(name) => assert!(name.contains('!') && !name.contains('@')),
        }
        assert!(!identity.challenge.is_empty());
    }
});
