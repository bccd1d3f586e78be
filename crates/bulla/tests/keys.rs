//! Authorities whose keys are in a token or in a service: certified, used, asked for again, and not confused with others.
//! Run by `./test keys`, with all keepers of keys built in.
#![cfg(all(feature = "pkcs11", feature = "kms"))]

mod common;
#[path = "../../authority/tests/moto/mod.rs"]
mod moto;

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use common::{Served, bulla, exchange, new_data, run};
use moto::Moto;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn up(data: &Path) -> Command {
    let mut command = bulla();
    command
        .args(["up", "--dev", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off", "--data"])
        .arg(data);
    command.env("BULLA_DISK_RESERVE", "0");
    command
}

fn tool(program: &str, arguments: &[&str], folder: &Path) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("SOFTHSM2_CONF", folder.join("softhsm2.conf"))
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: apt-get install softhsm2 opensc openssl"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

/// A token with two keys, `ca` and `other`.
fn token(folder: &Path) {
    fs::create_dir(folder.join("tokens")).expect("is made");
    let text = format!("directories.tokendir = {}/tokens\n", folder.display());
    fs::write(folder.join("softhsm2.conf"), text).expect("is written");
    fs::write(folder.join("pin"), "5678\n").expect("is written");
    let label = ["--label", "stack"];
    tool(
        "softhsm2-util",
        &[&["--init-token", "--free", "--so-pin", "1234", "--pin", "5678"], &label[..]].concat(),
        folder,
    );
    for (id, name) in [("01", "ca"), ("02", "other")] {
        let key = ["--keypairgen", "--key-type", "EC:secp384r1", "--id", id, "--label", name];
        let arguments =
            [&["--module", MODULE, "--token-label", "stack", "--login", "--pin", "5678"], &key[..]].concat();
        tool("pkcs11-tool", &arguments, folder);
    }
}

fn in_token(folder: &Path, name: &str) -> String {
    format!("pkcs11:token=stack;object={name}?module-path={MODULE}&pin-source=file:{}/pin", folder.display())
}

/// Asks for a certificate as a client does, and lets openssl judge it.
fn certified(at: &str, folder: &Path, data: &Path) {
    let (status, _, token) = exchange(at, "POST", "/oidc/mint", "email=alice%40example.org");
    assert_eq!(status, 200, "{token}");
    let token: Value = serde_json::from_str(&token).expect("JSON");
    tool("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "signer.key"], folder);
    let public = tool("openssl", &["ec", "-in", "signer.key", "-pubout"], folder);
    fs::write(folder.join("challenge"), "alice@example.org").expect("is written");
    let proof = tool("openssl", &["dgst", "-sha256", "-sign", "signer.key", "challenge"], folder);
    let request = json!({
        "credentials": {"oidcIdentityToken": token["token"]},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": String::from_utf8(public).expect("PEM")},
            "proofOfPossession": STANDARD.encode(proof),
        },
    });
    let (status, _, answer) = exchange(at, "POST", "/api/v2/signingCert", &request.to_string());
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let chain = answer["signedCertificateEmbeddedSct"]["chain"]["certificates"].as_array().expect("a chain");
    let pem: Vec<_> = chain.iter().map(|pem| pem.as_str().expect("PEM")).collect();
    fs::write(folder.join("leaf.pem"), pem[0]).expect("is written");
    fs::write(folder.join("issuing.pem"), pem[1]).expect("is written");
    let root = data.join("root.pem");
    let root = root.to_str().expect("text");
    let judge = ["verify", "-x509_strict", "-CAfile", root, "-untrusted", "issuing.pem", "leaf.pem"];
    tool("openssl", &judge, folder);
}

/// The key of the first certificate of a chain.
fn certified_key(chain: &Path, folder: &Path) -> Vec<u8> {
    tool("openssl", &["x509", "-in", chain.to_str().expect("text"), "-noout", "-pubkey"], folder)
}

#[test]
fn a_token_keeps_the_keys_of_the_authorities() {
    let (folder, data) = new_data();
    let folder = folder.path();
    token(folder);
    let start = |ca: Option<&str>, tsa: Option<&str>| {
        let mut command = up(&data);
        command.env("SOFTHSM2_CONF", folder.join("softhsm2.conf"));
        for (option, name) in [("--ca-key", ca), ("--tsa-key", tsa)] {
            if let Some(name) = name {
                command.args([option, &in_token(folder, name)]);
            }
        }
        command
    };
    let first = Served::start(&mut start(Some("ca"), Some("other")));
    certified(&first.http, folder, &data);
    let (status, _, chain) = exchange(&first.http, "GET", "/api/v1/timestamp/certchain", "");
    assert_eq!(status, 200);
    fs::write(folder.join("tsa.pem"), &chain).expect("is written");
    let (code, said) = first.stop();
    assert_eq!(code, Some(0), "{said}");
    for (own, id) in [("ca", "01"), ("tsa", "02")] {
        assert!(!data.join(own).join(format!("{own}.key")).exists(), "no key of {own} is made beside");
        // What that key of the token signs, the certificate's verifies.
        fs::write(folder.join("digest"), [7; 48]).expect("is written");
        let mut arguments =
            vec!["--module", MODULE, "--token-label", "stack", "--login", "--pin", "5678", "--id", id];
        arguments.extend([
            "--sign",
            "--mechanism",
            "ECDSA",
            "--signature-format",
            "openssl",
            "-i",
            "digest",
            "-o",
            "signed",
        ]);
        tool("pkcs11-tool", &arguments, folder);
        fs::write(folder.join("public.pem"), certified_key(&data.join(own).join("chain.pem"), folder))
            .expect("is written");
        let judge =
            ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "digest", "-sigfile", "signed"];
        tool("openssl", &judge, folder);
    }

    // Without its roots, with the same keys.
    fs::rename(data.join("offline"), folder.join("safe")).expect("moves");
    let again = Served::start(&mut start(Some("ca"), Some("other")));
    certified(&again.http, folder, &data);
    assert_eq!(again.stop().0, Some(0));

    let (code, _, said) = run(&mut start(Some("other"), Some("other")));
    let chain = data.join("ca/chain.pem");
    let expected = format!(
        "{} does not certify the key that --ca-key names: pass the key that it was made for, or to begin to use this one \
         move it to {}/ca/other/ and put offline/root.key back for one start",
        chain.display(),
        data.display()
    );
    assert!(code == 2 && said.contains(&expected), "{code} {said}");
    let (code, _, said) = run(&mut start(None, Some("other")));
    let expected =
        "ca/ca.key is missing: put it back from a copy, or pass --ca-key if the key is kept elsewhere";
    assert!(code == 2 && said.contains(expected), "{code} {said}");

    // What the message says.
    fs::create_dir(data.join("ca/other")).expect("is made");
    fs::rename(&chain, data.join("ca/other/first.pem")).expect("moves");
    fs::rename(folder.join("safe"), data.join("offline")).expect("moves");
    let other = Served::start(&mut start(Some("other"), Some("other")));
    certified(&other.http, folder, &data);
    assert_eq!(other.stop().0, Some(0));
}

#[test]
fn kms_keeps_the_key_of_the_certificate_authority() {
    let (folder, data) = new_data();
    let folder = folder.path();
    let moto = Moto::start();
    let id = moto.key("ECC_NIST_P384", "SIGN_VERIFY");
    moto.kms("CreateAlias", &json!({"AliasName": "alias/ca", "TargetKeyId": id}));
    let uri = format!("awskms://{}/alias/ca", moto.host);
    let start = || {
        let mut command = up(&data);
        command.args(["--ca-key", &uri]).env("AWS_REGION", "eu-central-1");
        command.env("AWS_ACCESS_KEY_ID", "nobody").env("AWS_SECRET_ACCESS_KEY", "in particular");
        command
    };
    let served = Served::start(&mut start());
    certified(&served.http, folder, &data);
    let der =
        moto.kms("GetPublicKey", &json!({"KeyId": id}))["PublicKey"].as_str().expect("a key").to_owned();
    fs::write(folder.join("public.der"), STANDARD.decode(der).expect("base64")).expect("is written");
    let public = tool("openssl", &["pkey", "-pubin", "-inform", "DER", "-in", "public.der"], folder);
    assert_eq!(certified_key(&data.join("ca/chain.pem"), folder), public);

    // Gone in mid-flight: nobody is certified, everything else goes on, and a new start says what is missing.
    drop(moto);
    let (_, _, token) = exchange(&served.http, "POST", "/oidc/mint", "email=alice%40example.org");
    let token: Value = serde_json::from_str(&token).expect("JSON");
    let public =
        String::from_utf8(tool("openssl", &["ec", "-in", "signer.key", "-pubout"], folder)).expect("PEM");
    let proof = tool("openssl", &["dgst", "-sha256", "-sign", "signer.key", "challenge"], folder);
    let request = json!({
        "credentials": {"oidcIdentityToken": token["token"]},
        "publicKeyRequest": {"publicKey": {"content": public}, "proofOfPossession": STANDARD.encode(proof)},
    });
    let (status, _, answer) = exchange(&served.http, "POST", "/api/v2/signingCert", &request.to_string());
    assert!(status >= 500 && !answer.contains("dispatch"), "{status} {answer}");
    assert_eq!(exchange(&served.http, "GET", "/readyz", "").0, 200);
    assert_eq!(served.stop().0, Some(0));
    let (code, _, said) = run(&mut start());
    assert!(code == 3 && said.contains(&format!("--ca-key: key {uri}: dispatch failure: ")), "{code} {said}");
}
