//! Keys in AWS KMS, as moto has it: what they sign verifies, and everything else is an error that says what to do.
//! Run by `./test keys`, which installs moto.
#![cfg(feature = "kms-aws")]

mod moto;

use std::path::Path;
use std::process::Command;

use bulla_authority::PrivateKey;
use bulla_authority::ca::read_public_key;
use bulla_authority::key::{OpenKeyError, open};
use bulla_claims::HashAlgorithm::{Sha256, Sha384, Sha512};
use bulla_claims::keys::public_key_pem;
use serde_json::json;

use moto::Moto;

const SIGN: &str = "SIGN_VERIFY";

/// Credentials are looked for in the environment of the process, so this test starts itself once more.
#[tokio::test]
async fn keys_in_kms_sign() {
    let Some(folder) = std::env::var_os("KEY_AWS_FOLDER") else {
        let folder = tempfile::tempdir().expect("a folder");
        let again = Command::new(std::env::current_exe().expect("a program"))
            .args(["keys_in_kms_sign", "--exact", "--nocapture"])
            .env_remove("AWS_ACCESS_KEY_ID")
            .env("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("credentials"))
            .env("AWS_CONFIG_FILE", folder.path().join("config"))
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("KEY_AWS_FOLDER", folder.path())
            .status();
        assert!(again.expect("starts").success());
        return;
    };
    let folder = Path::new(&folder);
    let moto = Moto::start();
    let uri = |id: &str| format!("awskms://{}/{id}", moto.host);
    without_credentials(&uri("alias/ca")).await;
    credentials(folder, "nobody", "in particular");
    every_kind(&moto).await;
    aliases(&moto).await;
    wrong_keys(&moto).await;
    signatures_of_requests(folder, &moto).await;
    credentials(folder, "nobody", "in particular");
    let moto = Moto::start();
    let uri = format!("awskms://{}/{}", moto.host, moto.key("ECC_NIST_P384", SIGN));
    let key = open(&uri).await.expect("opens");
    key.sign(b"message").await.expect("signs");
    drop(moto);
    let said = unsigned(&*key).await;
    assert!(said.starts_with(&format!("cannot sign: key {uri}: dispatch failure: ")), "{said}");
    let Err(OpenKeyError::Unavailable { .. }) = open(&uri).await else { panic!("nobody is there") };
}

fn credentials(folder: &Path, id: &str, secret: &str) {
    let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(folder.join("credentials"), text).expect("is written");
}

async fn refused(uri: &str) -> String {
    match open(uri).await {
        Err(OpenKeyError::Refused { uri: shown, problem }) if shown == uri => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{uri} opens"),
    }
}

async fn unsigned(key: &dyn PrivateKey) -> String {
    key.sign(b"message").await.expect_err("is refused").to_string()
}

async fn without_credentials(uri: &str) {
    let said = open(uri).await.err().expect("is refused").to_string();
    assert!(said.contains("credentials"), "{said}");
}

async fn every_kind(moto: &Moto) {
    for (spec, hash, function) in [
        ("ECC_NIST_P256", Sha256, &aws_lc_rs::digest::SHA256),
        ("ECC_NIST_P384", Sha384, &aws_lc_rs::digest::SHA384),
        ("ECC_NIST_P521", Sha512, &aws_lc_rs::digest::SHA512),
        ("RSA_2048", Sha256, &aws_lc_rs::digest::SHA256),
        ("RSA_4096", Sha256, &aws_lc_rs::digest::SHA256),
    ] {
        let key = open(&format!("awskms://{}/{}", moto.host, moto.key(spec, SIGN))).await.expect("opens");
        let public = read_public_key(&public_key_pem(key.spki())).expect("a key");
        for message in 0..10_u8 {
            let signature = key.sign(&[message]).await.expect("signs");
            let digest = aws_lc_rs::digest::digest(function, &[message]);
            assert!(public.verify_digest(hash, digest.as_ref(), &signature), "{spec}");
        }
    }
}

/// An alias stands for the same key as long as the program runs.
async fn aliases(moto: &Moto) {
    let (first, second) = (moto.key("ECC_NIST_P384", SIGN), moto.key("ECC_NIST_P384", SIGN));
    moto.kms("CreateAlias", &json!({"AliasName": "alias/ca", "TargetKeyId": first}));
    let alias = format!("awskms://{}/alias/ca", moto.host);
    let before = open(&alias).await.expect("opens");
    before.sign(b"message").await.expect("signs");
    moto.kms("UpdateAlias", &json!({"AliasName": "alias/ca", "TargetKeyId": second}));
    before.sign(b"message").await.expect("signs as before");
    let after = open(&alias).await.expect("opens");
    let by_arn = format!("arn:aws:kms:eu-central-1:123456789012:key/{second}");
    let same = open(&format!("awskms://{}/{by_arn}", moto.host)).await.expect("opens");
    assert!(after.spki() == same.spki() && after.spki() != before.spki());
}

async fn wrong_keys(moto: &Moto) {
    let uri = |id: &str| format!("awskms://{}/{id}", moto.host);
    let missing = refused(&uri("alias/nobody")).await;
    assert!(missing.starts_with("it answers 400: NotFoundException: "), "{missing}");
    let expected = "a key that signs with ECDSA on P-256, P-384 or P-521, RSA PKCS#1 v1.5 of 2048, 3072 or 4096 bits with SHA-256, \
                    or Ed25519 was expected";
    let sealing = moto.key("RSA_2048", "ENCRYPT_DECRYPT");
    assert_eq!(refused(&uri(&sealing)).await, format!("it is a key for ENCRYPT_DECRYPT, {expected}"));
    let symmetric = refused(&uri(&moto.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"))).await;
    assert!(!symmetric.is_empty());
    let foreign = refused(&uri(&moto.key("ECC_SECG_P256K1", SIGN))).await;
    assert!(foreign.contains("public key"), "{foreign}");
}

/// moto computes the signature of each request too.
async fn signatures_of_requests(folder: &Path, moto: &Moto) {
    let uri = format!("awskms://{}/{}", moto.host, moto.key("ECC_NIST_P256", SIGN));
    moto.iam("Action=CreateUser&UserName=ca&Version=2010-05-08");
    let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22\
                  kms%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";
    moto.iam(&format!(
        "Action=PutUserPolicy&UserName=ca&PolicyName=sign&PolicyDocument={policy}&Version=2010-05-08"
    ));
    let made = moto.iam("Action=CreateAccessKey&UserName=ca&Version=2010-05-08");
    let between = |tag: &str| {
        let rest = made.split_once(&format!("<{tag}>")).expect("is there").1;
        rest.split_once('<').expect("is there").0.to_owned()
    };
    let (id, secret) = (between("AccessKeyId"), between("SecretAccessKey"));
    moto.demand_signatures();
    credentials(folder, &id, &secret);
    open(&uri).await.expect("opens").sign(b"message").await.expect("signs");
    credentials(folder, &id, "another secret");
    let said = refused(&uri).await;
    assert!(said.starts_with("it answers 403") && !said.contains("another"), "{said}");
}
