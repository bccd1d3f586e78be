//! Keys in a token (`SoftHSM`): what they sign verifies, and an authority issues with them.
//! Needs `apt-get install softhsm2 opensc`, and fails without.
#![cfg(feature = "pkcs11")]

#[path = "authority/support.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other tests")]
mod support;

use std::path::Path;
use std::process::Command;

use bulla_authority::ca::{
    CertificateAuthority, INTERMEDIATE_LIFETIME, Issuer, Period, Profile, read_public_key,
};
use bulla_authority::key::open;
use bulla_authority::oidc::Name;
use bulla_claims::HashAlgorithm::{Sha256, Sha384, Sha512};
use bulla_claims::keys::public_key_pem;

use support::{EMAIL, FakeLog, Hierarchy, certificate_pem, identity, now, openssl, p256, write};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: apt-get install softhsm2 opensc"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The folder of the tokens is named by the environment of the process, so this test starts itself once more.
#[tokio::test]
async fn keys_in_a_token_sign() {
    let Some(folder) = std::env::var_os("SOFTHSM2_FOLDER") else {
        let folder = tempfile::tempdir().expect("a folder");
        let configuration = folder.path().join("softhsm2.conf");
        std::fs::create_dir(folder.path().join("tokens")).expect("is made");
        let text = format!("directories.tokendir = {}/tokens\n", folder.path().display());
        std::fs::write(&configuration, text).expect("is written");
        let again = Command::new(std::env::current_exe().expect("a program"))
            .args(["keys_in_a_token_sign", "--exact", "--nocapture"])
            .env("SOFTHSM2_CONF", &configuration)
            .env("SOFTHSM2_FOLDER", folder.path())
            .env("COSIGN_PKCS11_MODULE_PATH", MODULE)
            .env("COSIGN_PKCS11_PIN", "5678")
            .status();
        assert!(again.expect("starts").success());
        return;
    };
    let folder = Path::new(&folder);
    run(
        "softhsm2-util",
        &["--init-token", "--free", "--label", "our token", "--so-pin", "1234", "--pin", "5678"],
    );
    let kinds = ["EC:prime256v1", "EC:secp384r1", "EC:secp521r1", "rsa:2048"];
    for (at, kind) in kinds.iter().enumerate() {
        let (id, label) = (format!("0{at}"), format!("key {at}"));
        let token = ["--module", MODULE, "--token-label", "our token", "--login", "--pin", "5678"];
        run(
            "pkcs11-tool",
            &[&token[..], &["--keypairgen", "--key-type", kind, "--id", &id, "--label", &label]].concat(),
        );
    }
    write(folder, "pin", "5678\n");
    let base = format!("?module-path={MODULE}");
    let (by_value, by_source) =
        (format!("{base}&pin-value=5678"), format!("{base}&pin-source=file:{}/pin", folder.display()));
    for at in 0..kinds.len() {
        let uri = format!("pkcs11:token=our%20token;id=%0{at};object=key%20{at}{by_value}");
        let key = open(&uri).await.expect("opens");
        let public = read_public_key(&public_key_pem(key.spki())).expect("a key");
        let message = b"message";
        let (hash, function) = match at {
            1 => (Sha384, &aws_lc_rs::digest::SHA384),
            2 => (Sha512, &aws_lc_rs::digest::SHA512),
            _ => (Sha256, &aws_lc_rs::digest::SHA256),
        };
        for _ in 0..20 {
            let signature = key.sign(message).await.expect("signs");
            let digest = aws_lc_rs::digest::digest(function, message);
            assert!(public.verify_digest(hash, digest.as_ref(), &signature), "{at}");
        }
    }
    assert_eq!(
        refused(&format!("pkcs11:token=other;id=%01{by_value}")).await,
        "key pkcs11:token=other;id=%01: 0 tokens are named \"other\", one was expected"
    );
    assert_eq!(
        refused(&format!("pkcs11:token=our%20token;object=other{by_value}")).await,
        "key pkcs11:token=our%20token;object=other: token \"our token\" has 0 private keys of that name, one was expected"
    );
    let said = refused(&format!("pkcs11:token=our%20token;id=%01{base}&pin-value=8765")).await;
    assert!(said.contains("token \"our token\" does not let us in: ") && !said.contains("8765"), "{said}");
    let from_the_environment = open("pkcs11:token=our%20token;id=%01").await.expect("opens");
    from_the_environment.sign(b"message").await.expect("signs");

    let key = open(&format!("pkcs11:token=our%20token;id=%01{by_source}")).await.expect("opens");
    let hierarchy = Hierarchy::new().await;
    let root = Issuer::of_certificate(&hierarchy.root, &hierarchy.root_key).expect("its key");
    let period = Period::starting(now(), INTERMEDIATE_LIFETIME).expect("a period");
    let profile = Profile::CodeSigningIntermediate;
    let intermediate = support::below(profile, "in a token", key.spki(), &root, period).await;
    let chain = certificate_pem(&intermediate) + &certificate_pem(&hierarchy.root);
    let authority = CertificateAuthority::new(&chain, key, Some(FakeLog::new())).expect("a good chain");
    let asking = read_public_key(&public_key_pem(p256().spki())).expect("a key");
    let issued = authority.issue(&identity(Name::Email(EMAIL.to_owned()), EMAIL), &asking, now()).await;
    write(folder, "leaf.pem", certificate_pem(&issued.expect("a certificate").leaf));
    write(folder, "intermediate.pem", certificate_pem(&intermediate));
    write(folder, "root.pem", certificate_pem(&hierarchy.root));
    let arguments = [
        "verify",
        "-x509_strict",
        "-attime",
        "1795262400",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "intermediate.pem",
        "leaf.pem",
    ];
    openssl(folder, &arguments).expect("holds");
}

async fn refused(uri: &str) -> String {
    open(uri).await.err().expect("is refused").to_string()
}

#[tokio::test]
async fn uris_that_name_no_key_are_refused() {
    for (uri, problem) in [
        ("pkcs11:token", "\"token\" in the URI is no attribute, NAME=VALUE was expected"),
        ("pkcs11:token=%zz", "token in the URI has a wrong % escape"),
        ("pkcs11:token=%+1", "token in the URI has a wrong % escape"),
        ("pkcs11:token=a?pin-value=1", "object or id is missing in the URI"),
        ("pkcs11:object=a?pin-value=1&module-path=/x", "token is missing in the URI"),
        (
            "pkcs11:object=a;token=b?pin-value=1",
            "module-path is missing in the URI, and COSIGN_PKCS11_MODULE_PATH is not set",
        ),
        (
            "pkcs11:object=a;token=b?module-path=/x",
            "pin-value or pin-source is missing in the URI, and COSIGN_PKCS11_PIN is not set",
        ),
        (
            "pkcs11:slot=1",
            "attribute \"slot\" of the URI is unknown, token, object, id, type, module-path, pin-value and pin-source are known",
        ),
    ] {
        let shown = uri.split('?').next().expect("a part");
        assert_eq!(refused(uri).await, format!("key {shown:?}: {problem}"));
    }
    let missing = "pkcs11:object=a;token=b?module-path=/nowhere&pin-value=1";
    let said = refused(missing).await;
    assert!(said.starts_with("key pkcs11:object=a;token=b: module /nowhere cannot be loaded: "), "{said}");
}
