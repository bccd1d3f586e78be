//! What is refused, in which words; and that nothing else is.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::*;
use crate::oidc::{Fault, Name};

const ISSUER: &str = "https://i.example";

async fn refused(verifier: &Verifier, token: &str) -> String {
    let error = verifier.verify(token, at(1)).await.expect_err("is refused");
    assert_eq!(error.fault(), Fault::Client);
    let said = error.to_string();
    assert!(token.is_empty() || !said.contains(token), "{said}");
    said
}

#[tokio::test]
async fn each_algorithm_is_believed() {
    let signers = [Signer::p256(), Signer::p384(), Signer::p521(), Signer::ed25519(), Signer::rsa()];
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk(signer.algorithm())).collect();
    let verifier = knowing(ISSUER, &keys);
    for signer in &signers {
        let token = signer.token(signer.algorithm(), &claims(ISSUER));
        let identity = verifier.verify(&token, at(1)).await.expect("is believed");
        assert_eq!(identity.name, Name::Email("a@example.org".to_owned()));
        assert_eq!((identity.challenge.as_str(), identity.extensions.issuer.as_str()), ("1", ISSUER));
        // One key of the set can have signed so.
        let nameless = signer.with_header(&json!({"alg": signer.algorithm()}), &claims(ISSUER));
        assert!(verifier.verify(&nameless, at(1)).await.is_ok());
    }
    for algorithm in ["RS256", "RS384", "RS512"] {
        let token = signers[4].with_header(&json!({"alg": algorithm, "kid": "RS256"}), &claims(ISSUER));
        assert!(verifier.verify(&token, at(1)).await.is_ok(), "{algorithm}");
    }
}

/// Keys and tokens that another team's library has written, for each algorithm.
#[tokio::test]
async fn what_pyjwt_signs_is_believed() {
    let written: Value = serde_json::from_str(include_str!("pyjwt.json")).expect("JSON");
    let keys = written["keys"]["keys"].as_array().expect("keys");
    let verifier = knowing(ISSUER, keys);
    let tokens = written["tokens"].as_array().expect("tokens");
    assert_eq!(tokens.len(), 7);
    for token in tokens {
        let identity = verifier.verify(token.as_str().expect("a token"), at(1)).await.expect("is believed");
        assert_eq!(identity.name, Name::Email("a@example.org".to_owned()));
    }
}

#[tokio::test]
async fn claims_are_refused_by_name() {
    let signer = Signer::p256();
    let verifier = knowing(ISSUER, &[signer.jwk("k")]);
    let expects = format!("issuer {ISSUER} expects \"sigstore\"");
    let far = "x".repeat(100);
    for (claims, said) in [
        (changed(ISSUER, "aud", json!("other")), format!("token's \"aud\" is \"other\", {expects}")),
        (
            changed(ISSUER, "aud", json!(far)),
            format!("token's \"aud\" is \"{}…\", {expects}", "x".repeat(80)),
        ),
        (changed(ISSUER, "aud", json!(["a", 1])), format!("token's \"aud\" is \"[\\\"a\\\",1]\", {expects}")),
        (changed(ISSUER, "aud", json!({})), format!("token's \"aud\" is an object, {expects}")),
        (lacking(ISSUER, "aud"), format!("token's \"aud\" is missing, {expects}")),
        (lacking(ISSUER, "exp"), "token's \"exp\" is missing, a token must expire".to_owned()),
        (changed(ISSUER, "exp", json!(NOW + 1)), format!("token's \"exp\" is {}, 0 s ago", NOW + 1)),
        (changed(ISSUER, "exp", json!(NOW - 99)), format!("token's \"exp\" is {}, 100 s ago", NOW - 99)),
        (
            changed(ISSUER, "exp", json!("soon")),
            "token's \"exp\" is \"soon\", seconds since 1970 were expected".to_owned(),
        ),
        (
            changed(ISSUER, "exp", json!(1e300)),
            "token's \"exp\" is 1e+300, seconds since 1970 were expected".to_owned(),
        ),
        (
            changed(ISSUER, "nbf", json!(NOW + 62)),
            format!("token's \"nbf\" is {}, 61 s in the future", NOW + 62),
        ),
        (
            changed(ISSUER, "iat", json!(NOW + 62)),
            format!("token's \"iat\" is {}, 61 s in the future", NOW + 62),
        ),
        (
            changed(ISSUER, "iss", json!("https://other\n.example")),
            "token's \"iss\" is \"https://other\\n.example\", which is no issuer that is believed here"
                .to_owned(),
        ),
        (
            changed(ISSUER, "iss", json!(format!("{ISSUER}/"))),
            format!("token's \"iss\" is \"{ISSUER}/\", which is no issuer that is believed here"),
        ),
        (
            changed(ISSUER, "iss", json!([ISSUER])),
            "token's \"iss\" is a list, a string was expected".to_owned(),
        ),
        (lacking(ISSUER, "iss"), "token's \"iss\" is missing, a string was expected".to_owned()),
        (lacking(ISSUER, "sub"), "token's \"sub\" is missing, a string was expected".to_owned()),
        (
            changed(ISSUER, "email_verified", json!(false)),
            "token's \"email_verified\" is false, true was expected".to_owned(),
        ),
    ] {
        assert_eq!(refused(&verifier, &signer.token("k", &claims)).await, said);
    }
    for claims in [
        changed(ISSUER, "aud", json!(["other", "sigstore"])),
        changed(ISSUER, "exp", json!(NOW + 2)),
        changed(ISSUER, "exp", json!(NOW + 1_000_000)),
        changed(ISSUER, "nbf", json!(NOW + 61)),
        changed(ISSUER, "iat", json!(f64::from(61) + NOW as f64)),
        lacking(ISSUER, "nbf"),
        lacking(ISSUER, "iat"),
    ] {
        let believed = verifier.verify_until(&signer.token("k", &claims), at(1)).await;
        let (_, expires) = believed.expect("is believed");
        assert_eq!(Some(expires.as_second()), claims["exp"].as_i64());
    }
}

#[tokio::test]
async fn headers_are_refused_by_name() {
    let signer = Signer::p256();
    let rsa = Signer::rsa();
    let verifier = knowing(ISSUER, &[signer.jwk("k"), rsa.jwk("r")]);
    let names = "RS256, RS384, RS512, ES256, ES384, ES512, EdDSA";
    for (header, said) in [
        (
            json!({"alg": "none", "kid": "k"}),
            format!("token's header member \"alg\" is \"none\", expected one of {names}"),
        ),
        (
            json!({"alg": "None", "kid": "k"}),
            format!("token's header member \"alg\" is \"None\", expected one of {names}"),
        ),
        (
            json!({"alg": "HS256", "kid": "k"}),
            format!("token's header member \"alg\" is \"HS256\", expected one of {names}"),
        ),
        (
            json!({"alg": "PS256", "kid": "r"}),
            format!("token's header member \"alg\" is \"PS256\", expected one of {names}"),
        ),
        (json!({"kid": "k"}), format!("token's header member \"alg\" is missing, expected one of {names}")),
        (json!({"alg": 1}), format!("token's header member \"alg\" is 1, expected one of {names}")),
        (
            json!({"alg": "ES256", "kid": 1}),
            "token's header member \"kid\" is 1, a string was expected".to_owned(),
        ),
        (
            json!({"alg": "ES256", "kid": "k", "crit": ["b64"]}),
            "token's header member \"crit\" names extensions, none is understood".to_owned(),
        ),
        (
            json!({"alg": "ES256", "kid": "x"}),
            format!("token's header member \"kid\" is \"x\", which is none of its keys (issuer {ISSUER})"),
        ),
        (
            json!({"alg": "ES384", "kid": "k"}),
            format!(
                "token's header member \"kid\" is \"k\", a key that does not sign by Es384 (issuer {ISSUER})"
            ),
        ),
        (
            json!({"alg": "RS256", "kid": "k"}),
            format!(
                "token's header member \"kid\" is \"k\", a key that does not sign by Rs256 (issuer {ISSUER})"
            ),
        ),
        (
            json!({"alg": "EdDSA"}),
            format!("token's header member \"kid\" is missing, and no key signs by EdDsa (issuer {ISSUER})"),
        ),
        (
            json!({"alg": "RS256", "kid": "r"}),
            format!("token's signature is not by the key of {ISSUER} that its header names"),
        ),
    ] {
        assert_eq!(refused(&verifier, &signer.with_header(&header, &claims(ISSUER))).await, said);
    }
    let two = knowing(ISSUER, &[signer.jwk("k"), Signer::p256().jwk("l")]);
    let said = refused(&two, &signer.with_header(&json!({"alg": "ES256"}), &claims(ISSUER))).await;
    assert_eq!(
        said,
        format!(
            "token's header member \"kid\" is missing, and more than one key signs by Es256 (issuer {ISSUER})"
        )
    );
}

#[tokio::test]
async fn the_public_key_is_no_shared_secret() {
    let signer = Signer::rsa();
    let verifier = knowing(ISSUER, &[signer.jwk("k")]);
    let Signer::Rsa(key) = &signer else { unreachable!("it is RSA") };
    for header in [json!({"alg": "HS256", "kid": "k"}), json!({"alg": "HS256"})] {
        let text = unsigned(&header, &claims(ISSUER));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_key().as_ref());
        let tag = hmac::sign(&secret, text.as_bytes());
        let said = refused(&verifier, &format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))).await;
        assert!(said.starts_with("token's header member \"alg\" is \"HS256\""), "{said}");
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let signer = Signer::p256();
    let verifier = knowing(ISSUER, &[signer.jwk("k")]);
    let token = signer.token("k", &claims(ISSUER));
    let (before, signature) = token.rsplit_once('.').expect("a signature");
    let (header, payload) = before.split_once('.').expect("a payload");
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let three = "token is not a signed JWT: three parts with dots between them were expected";
    let long = format!("{token}{}", "A".repeat(16 << 10));
    for (token, said) in [
        (String::new(), three.to_owned()),
        (before.to_owned(), three.to_owned()),
        (format!("{token}."), three.to_owned()),
        (format!("{token}.a.b"), three.to_owned()),
        (format!("{before}."), format!("token's signature is not by the key of {ISSUER} that its header names")),
        (format!("{before}.{}", text(&[0; 64])), format!("token's signature is not by the key of {ISSUER} that its header names")),
        (format!("{token}="), "token is not a signed JWT: its signature is not base64url without padding".to_owned()),
        (format!("{header}.{payload} .{signature}"), "token is not a signed JWT: its payload is not base64url without padding".to_owned()),
        (format!("{}.{payload}.{signature}", text(b"[]")), "token is not a signed JWT: its header is not a JSON object".to_owned()),
        (format!("{header}.{}.{signature}", text(b"7")), "token is not a signed JWT: its claims are not a JSON object".to_owned()),
        (format!("{header}.{}.{signature}", text(&[0xff])), "token is not a signed JWT: its claims are not JSON: expected value at line 1 column 1".to_owned()),
        (format!("{header}.{}.{signature}", text(deep.as_bytes())), "token is not a signed JWT: its claims are not JSON: recursion limit exceeded at line 1 column 128".to_owned()),
        (format!("{}.{payload}.{signature}", text(deep.as_bytes())), "token is not a signed JWT: its header is not JSON: recursion limit exceeded at line 1 column 128".to_owned()),
        (long.clone(), format!("token is {} bytes, at most 16384 are read", long.len())),
    ] {
        assert_eq!(refused(&verifier, &token).await, said);
    }
    // Another's claims under this signature.
    let other =
        unsigned(&json!({"alg": "ES256", "kid": "k"}), &changed(ISSUER, "email", json!("b@example.org")));
    let said = refused(&verifier, &format!("{other}.{signature}")).await;
    assert_eq!(said, format!("token's signature is not by the key of {ISSUER} that its header names"));
}

#[test]
fn key_sets_are_read_or_refused() {
    use crate::oidc::keys::KeySet;
    let signer = Signer::p256();
    let read = |keys: Value| KeySet::read(json!({"keys": keys}).to_string().as_bytes()).map(|_set| ());
    let with = |name: &str, value: Value| {
        let mut key = signer.jwk("k");
        key[name] = value;
        key
    };
    assert_eq!(read(json!([{"kty": "oct", "k": "AA"}, 7, {"kty": "EC"}, signer.jwk("k")])), Ok(()));
    assert_eq!(read(json!([with("key_ops", json!(["verify"]))])), Ok(()));
    for useless in [
        with("use", json!("enc")),
        with("key_ops", json!(["encrypt"])),
        with("alg", json!("ECDH-ES")),
        with("crv", json!("P-384x")),
        with("x", json!("AA AA")),
        with("x", json!(URL_SAFE_NO_PAD.encode([1; 33]))),
        with("kty", json!("RSA")),
    ] {
        let said = read(json!([useless])).expect_err("is refused");
        assert_eq!(said, "has no key that signs with one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA");
    }
    assert_eq!(read(json!(vec![signer.jwk("k"); 129])), Err("has 129 keys, at most 128 are read".to_owned()));
    assert!(
        KeySet::read(b"{}").expect_err("is refused").starts_with("is not a JWK set: missing field `keys`")
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Made once: what is tried is tried often.
static KNOWN: LazyLock<(Signer, Verifier)> = LazyLock::new(|| {
    let signer = Signer::ed25519();
    let verifier = knowing(ISSUER, &[signer.jwk("k")]);
    (signer, verifier)
});

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text: String, parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 3)) {
        let (_, verifier) = &*KNOWN;
        let runtime = runtime();
        prop_assert!(runtime.block_on(verifier.verify(&text, at(1))).is_err());
        prop_assert!(runtime.block_on(verifier.verify(&parts.join("."), at(1))).is_err());
    }

    #[test]
    fn any_claims_are_judged_without_a_panic(name in "iss|aud|exp|nbf|iat|sub|email|email_verified", value: f64, text: String) {
        let (signer, verifier) = &*KNOWN;
        for value in [json!(value), json!(text), json!([text]), json!({text.as_str(): value})] {
            let token = signer.token("k", &changed(ISSUER, &name, value));
            let _any = runtime().block_on(verifier.verify(&token, at(1)));
        }
    }

    #[test]
    fn no_byte_of_a_token_can_be_changed(at_byte: proptest::sample::Index, to in "[A-Za-z0-9_.-]") {
        let (signer, verifier) = &*KNOWN;
        let token = signer.token("k", &claims(ISSUER));
        let place = at_byte.index(token.len());
        let mut other = token.clone();
        other.replace_range(place..=place, &to);
        prop_assume!(other != token);
        prop_assert!(runtime().block_on(verifier.verify(&other, at(1))).is_err());
    }
}
