//! Kinds of the v1 door that carry a key and a package, with artifacts that other programs made
//! (`tests/vectors/packages/README.md`).

use std::io::{Cursor, Read as _};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::v1::{Admitted, Proposed, Rules, admit, template};
use bulla_claims::pki::{Problem, fingerprint};
use bulla_claims::traces::{KeyCache, Traces, traces};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/vectors/packages/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn with<T>(kind: &str, spec: &Value, judge: impl FnOnce(&Proposed<'_>, &Rules) -> T) -> T {
    let spec = RawValue::from_string(spec.to_string()).expect("it is JSON");
    judge(&Proposed { kind, api_version: "0.0.1", spec: &spec }, &Rules::default())
}

/// Admits, and holds what every kind must: the body is canonical JSON of three members, a search for what was proposed
/// finds it, and so does one for what was stored, if the kind can.
fn good(kind: &str, spec: &Value) -> (Admitted, Value) {
    let admitted = with(kind, spec, admit).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let body: Value = serde_json::from_slice(&admitted.body).expect("a body is JSON");
    assert_eq!(serde_json_canonicalizer::to_vec(&body).expect("it has a canonical form"), admitted.body);
    assert_eq!(body["kind"], kind);
    assert_eq!(body["apiVersion"], "0.0.1");
    assert_eq!(with(kind, spec, template).as_ref(), Ok(&admitted.body));
    let stored = with(kind, &body["spec"], template);
    if kind == "rekord" {
        assert!(stored.is_err(), "a rekord is not found without its artifact");
    } else {
        assert_eq!(stored.as_ref(), Ok(&admitted.body));
    }
    let spec = body["spec"].clone();
    (admitted, spec)
}

fn refused(kind: &str, spec: &Value) -> String {
    let error = with(kind, spec, admit).expect_err("this is no good entry").to_string();
    assert!(!error.ends_with('.') && error.len() < 400, "{error}");
    error
}

fn traced(admitted: &Admitted) -> Traces {
    traces(&admitted.body, &mut KeyCache::new()).expect("what is admitted can be found")
}

fn rekord(format: &str, key: &str, signature: &str) -> Value {
    rekord_of(format, &file(key), &file(signature), &file("artifact"))
}

fn rekord_of(format: &str, key: &[u8], signature: &[u8], artifact: &[u8]) -> Value {
    json!({
        "signature": { "format": format, "content": base64(signature), "publicKey": { "content": base64(key) } },
        "data": { "content": base64(artifact), "hash": null }
    })
}

const REKORDS: &[(&str, &str, &str)] = &[
    ("x509", "x509-p256.pub", "x509-p256.sig"),
    ("x509", "x509-rsa.pub", "x509-rsa.sig"),
    ("pgp", "pgp-ed.pub", "pgp-ed.asc"),
    ("pgp", "pgp-ed.pub", "pgp-ed.sig"),
    ("pgp", "pgp-ed.pub", "pgp-text.asc"),
    ("pgp", "pgp-rsa.pub", "pgp-rsa.asc"),
    ("pgp", "pgp-p256.pub", "pgp-p256.asc"),
    ("pgp", "pgp-two.gpg", "pgp-rsa.asc"),
    ("pgp", "pgp-two.gpg", "pgp-ed.asc"),
    ("pgp", "pgp-expired.pub", "pgp-expired.asc"),
    ("minisign", "minisign.pub", "minisign.minisig"),
    ("minisign", "minisign.pub", "minisign-legacy.minisig"),
    ("minisign", "signify.pub", "signify.sig"),
    ("ssh", "ssh-ed25519.pub", "ssh-ed25519.sig"),
    ("ssh", "ssh-ed25519.pub", "ssh-sha256.sig"),
    ("ssh", "ssh-rsa.pub", "ssh-rsa.sig"),
    ("ssh", "ssh-rsa.pub", "ssh-rsa-sha256.sig"),
    ("ssh", "ssh-ecdsa-256.pub", "ssh-ecdsa-256.sig"),
    ("ssh", "ssh-ecdsa-384.pub", "ssh-ecdsa-384.sig"),
    ("ssh", "ssh-ecdsa-521.pub", "ssh-ecdsa-521.sig"),
];

#[test]
fn rekords_of_every_format_are_admitted() {
    for (format, key, signature) in REKORDS {
        let (admitted, spec) = good("rekord", &rekord(format, key, signature));
        assert_eq!(
            spec["data"]["hash"],
            json!({ "algorithm": "sha256", "value": sha256(&file("artifact")) })
        );
        assert_eq!(spec["signature"]["format"], *format);
        let canonical = STANDARD.decode(spec["signature"]["publicKey"]["content"].as_str().expect("text"));
        let canonical = canonical.expect("base64");
        let found = traced(&admitted);
        assert_eq!(found.digests, [format!("sha256:{}", sha256(&file("artifact")))]);
        let bare = sha256(&canonical);
        assert_eq!(found.keys[0].fingerprints[..2], [bare.clone(), format!("sha256:{bare}")], "{key}");
        // A search finds the key in the form that people have, and in the one that is stored.
        assert_eq!(fingerprint(format, &file(key)).as_ref(), Ok(&bare), "{key}");
        assert_eq!(fingerprint(format, &canonical).as_ref(), Ok(&bare), "{key}");
        // And what is stored verifies.
        let stored = STANDARD.decode(spec["signature"]["content"].as_str().expect("text")).expect("base64");
        let (again, _) = good("rekord", &rekord_of(format, &canonical, &stored, &file("artifact")));
        assert_eq!(again.body, admitted.body);
    }
}

#[test]
fn another_artifact_key_or_signature_is_refused() {
    for (format, key, signature) in REKORDS {
        let (key, signature) = (file(key), file(signature));
        let error = refused("rekord", &rekord_of(format, &key, &signature, b"hello, world\n"));
        assert!(error.starts_with("spec.signature.content: signature is not the "), "{error}");
        for (other_format, other_key, _) in REKORDS {
            if other_format == format && file(other_key) != key && *other_key != "pgp-two.gpg" {
                let spec = rekord_of(format, &file(other_key), &signature, &file("artifact"));
                if key != file("pgp-two.gpg") {
                    let error = refused("rekord", &spec);
                    assert!(error.starts_with("spec.signature.content: signature is "), "{error}");
                }
            }
        }
        for cut in [0, 1, signature.len() / 2] {
            refused("rekord", &rekord_of(format, &key, &signature[..cut], &file("artifact")));
        }
        for cut in [0, 1, key.len() / 2] {
            refused("rekord", &rekord_of(format, &key[..cut], &signature, &file("artifact")));
        }
        let garbage: Vec<u8> = (0..2000_u32).map(|n| (n * n % 251) as u8).collect();
        refused("rekord", &rekord_of(format, &garbage, &signature, &file("artifact")));
        refused("rekord", &rekord_of(format, &key, &garbage, &file("artifact")));
    }
}

#[test]
fn a_refused_rekord_says_what_to_mend() {
    let error = |spec: &Value| refused("rekord", spec);
    let mut spec = rekord("pgp", "pgp-rsa.pub", "pgp-rsa.asc");
    spec["signature"]["format"] = json!("gpg");
    assert_eq!(
        error(&spec),
        "spec.signature.format: format is \"gpg\", pgp, minisign, x509 or ssh was expected"
    );
    spec["signature"]["format"] = Value::Null;
    assert_eq!(error(&spec), "spec.signature.format: format is missing, it is required");
    spec["data"] = json!({ "hash": { "algorithm": "sha256", "value": sha256(&file("artifact")) } });
    spec["signature"]["format"] = json!("pgp");
    assert_eq!(error(&spec), "spec.data.content: content is missing, it is required");
    let error = |format, key, signature| refused("rekord", &rekord(format, key, signature));
    assert_eq!(
        error("pgp", "pgp-rsa.pub", "pgp-sha1.asc"),
        "spec.signature.content: signature is over SHA1 of the artifact, SHA-256 or longer was expected"
    );
    assert!(error("pgp", "pgp-ed.pub", "pgp-rsa.asc").contains("signature is by key "));
    assert_eq!(
        error("ssh", "ssh-ed25519.pub", "ssh-git.sig"),
        "spec.signature.content: signature is for namespace \"git\", \"file\" was expected: sign with -n file"
    );
    assert!(error("ssh", "ssh-rsa.pub", "ssh-ed25519.sig").contains("signature is by key SHA256:"));
    assert!(error("minisign", "signify.pub", "minisign.minisig").contains("signature is by key "));
    assert!(error("pgp", "pgp-rsa.asc", "pgp-rsa.asc").contains("public key is armour of "));
    assert!(error("pgp", "pgp-rsa.pub", "pgp-rsa.pub").contains("signature is armour of "));
}

#[test]
fn keys_are_found_by_their_addresses() {
    let identities = |format, key, signature| {
        traced(&good("rekord", &rekord(format, key, signature)).0).keys[0].identities.clone()
    };
    assert_eq!(identities("pgp", "pgp-rsa.pub", "pgp-rsa.asc"), ["rsa@example.org"]);
    assert_eq!(
        identities("pgp", "pgp-two.gpg", "pgp-rsa.asc").iter().collect::<std::collections::BTreeSet<_>>(),
        [&"ed@example.org".to_owned(), &"rsa@example.org".to_owned()].into()
    );
    assert_eq!(identities("minisign", "minisign.pub", "minisign.minisig"), [""; 0]);
}

#[test]
fn minisign_keys_come_in_four_forms() {
    let text = String::from_utf8(file("minisign.pub")).expect("text");
    let line = text.lines().nth(1).expect("two lines");
    let raw = STANDARD.decode(line).expect("base64");
    let signature = file("minisign.minisig");
    let body = |key: &[u8]| good("rekord", &rekord_of("minisign", key, &signature, &file("artifact"))).0.body;
    assert_eq!(body(text.as_bytes()), body(line.as_bytes()));
    let bare = body(&raw[10..]);
    assert_eq!(bare, body(base64(&raw[10..]).as_bytes()));
    assert_ne!(bare, body(line.as_bytes()));
}

#[test]
fn a_key_that_cannot_be_looked_up_says_why() {
    assert!(matches!(fingerprint("pkcs7", b""), Err(Problem::Unsupported { .. })));
    for format in ["pgp", "x509", "minisign", "ssh", "tuf"] {
        let error = fingerprint(format, b"no key").expect_err("it is none");
        assert!(matches!(error, Problem::Unreadable { .. }));
        assert!(error.to_string().starts_with("public key provided could not be parsed: "), "{error}");
    }
}

fn rpm(key: &[u8], package: &[u8]) -> Value {
    json!({ "publicKey": { "content": base64(key) }, "package": { "content": base64(package) } })
}

#[test]
fn an_rpm_is_what_its_key_signed() {
    let package = file("package.rpm");
    let (admitted, spec) = good("rpm", &rpm(&file("pgp-rsa.pub"), &package));
    assert_eq!(spec["package"]["hash"]["value"], sha256(&package));
    let headers = &spec["package"]["headers"];
    assert_eq!(
        [
            &headers["Name"],
            &headers["Epoch"],
            &headers["Version"],
            &headers["Release"],
            &headers["Architecture"]
        ],
        ["hi", "2", "1.0", "1", "noarch"]
    );
    assert_eq!(headers["RPMSIGTAG_MD5"].as_str().map(str::len), Some(32));
    let found = traced(&admitted);
    assert_eq!(found.digests, [format!("sha256:{}", sha256(&package))]);
    assert_eq!(found.keys[0].identities, ["rsa@example.org"]);
    assert_eq!(found.keys[0].fingerprints[0], fingerprint("pgp", &file("pgp-rsa.pub")).expect("a key"));

    let error = |package: &[u8]| refused("rpm", &rpm(&file("pgp-rsa.pub"), package));
    assert_eq!(
        error(&file("unsigned.rpm")),
        "spec.package.content: package has no PGP signature, one by publicKey was expected: sign with rpmsign"
    );
    assert!(refused("rpm", &rpm(&file("pgp-ed.pub"), &package)).contains("signature is by key "));
    let mut tampered = package.clone();
    *tampered.last_mut().expect("bytes") ^= 1;
    assert_eq!(
        error(&tampered),
        "spec.package.content: package has another digest of its payload than it says"
    );
    // Somewhere in the header.
    let at = package.windows(8).position(|window| window == b"says hi\0").expect("the summary");
    let mut tampered = package.clone();
    tampered[at] ^= 1;
    assert!(error(&tampered).contains("of its header than it says"));
    for cut in [0, 50, 96, 110, 1000, package.len() - 1] {
        error(&package[..cut.max(1)]);
    }
    error(&[0x5a; 5000]);
}

fn helm(key: &[u8], provenance: &[u8]) -> Value {
    json!({ "publicKey": { "content": base64(key) }, "chart": { "provenance": { "content": base64(provenance) } } })
}

#[test]
fn a_chart_is_what_its_provenance_says() {
    let provenance = file("hi-0.1.0.tgz.prov");
    let (admitted, spec) = good("helm", &helm(&file("pgp-rsa.pub"), &provenance));
    assert_eq!(spec["chart"]["hash"], json!({ "algorithm": "sha256", "value": sha256(b"chart") }));
    let found = traced(&admitted);
    assert_eq!(found.digests, [format!("sha256:{}", sha256(b"chart"))]);
    assert_eq!(found.keys[0].identities, ["rsa@example.org"]);

    let text = String::from_utf8(provenance.clone()).expect("text");
    let error = |text: &str| refused("helm", &helm(&file("pgp-rsa.pub"), text.as_bytes()));
    assert!(error(&text.replace("a chart", "no chart")).contains("signature is not the PGP key "));
    assert!(refused("helm", &helm(&file("pgp-ed.pub"), &provenance)).contains("signature is by key "));
    assert!(error(&text.replace("\n...\n", "\n")).contains("has one part"));
    assert!(error(&text.replace("  hi-0.1.0", "hi-0.1.0")).contains("has the sums of 0 files"));
    assert!(error(&text.replace("sha256:", "sha257:")).contains("has sum \"sha257:"));
    assert!(error(&text[..text.len() / 2]).contains("message is not signed in the clear by PGP"));
    assert!(error("no message").contains("message is not signed in the clear by PGP"));
}

#[test]
fn an_alpine_package_is_what_its_key_signed() {
    let package = file("package.apk");
    let (admitted, spec) = good("alpine", &rpm(&file("x509-rsa.pub"), &package));
    let info = &spec["package"]["pkginfo"];
    assert_eq!(
        [&info["pkgname"], &info["pkgver"], &info["pkgdesc"], &info["url"], &info["depend"]],
        ["hi", "1.0-r0", "says hi; and \"more\"", "https://example.org/?a=b", "busybox"]
    );
    let found = traced(&admitted);
    assert_eq!(found.digests, [format!("sha256:{}", sha256(&package))]);
    assert_eq!(found.keys[0].fingerprints[0], sha256(&file("x509-rsa.pub")));

    let error = |package: &[u8]| refused("alpine", &rpm(&file("x509-rsa.pub"), package));
    let mut tampered = package.clone();
    *tampered.last_mut().expect("bytes") ^= 1;
    assert!(error(&tampered).contains("package has files of SHA-256 "));
    let starts: Vec<_> =
        (0..package.len()).filter(|at| package[*at..].starts_with(&[0x1f, 0x8b, 8])).collect();
    let [_, control, _] = starts[..] else { panic!("three gzip members, not {starts:?}") };
    // The time in the gzip header is signed and read by nobody.
    let mut tampered = package.clone();
    tampered[control + 4] ^= 1;
    assert!(error(&tampered).contains("is not the key's over SHA-1 of its second part"));
    assert!(error(&package[control..]).contains("has no file .SIGN.RSA.* in its first part"));
    assert!(error(&package[..control]).contains("has a control part that is not gzip"));
    assert!(error(b"\x1f\x8bno").contains("has a signature part that is not gzip"));
    assert_eq!(
        refused("alpine", &rpm(&file("x509-p256.pub"), &package)),
        "spec.publicKey.content: public key is ECDSA P-256, Alpine signs with RSA"
    );
    let spec = RawValue::from_string(rpm(&file("x509-rsa.pub"), &package).to_string()).expect("JSON");
    let rules = Rules { max_metadata_bytes: 700, ..Rules::default() };
    let error = admit(&Proposed { kind: "alpine", api_version: "0.0.1", spec: &spec }, &rules);
    assert!(error.expect_err("it is longer").to_string().contains("of more than 700 bytes, at most"));
}

fn tuf(root: &str, metadata: &str) -> Value {
    let json = |name| serde_json::from_slice::<Value>(&file(name)).expect("JSON");
    json!({ "root": { "content": json(root) }, "metadata": { "content": json(metadata) } })
}

#[test]
fn tuf_metadata_is_what_a_threshold_of_its_role_signed() {
    for (role, version) in [("root", 1), ("timestamp", 7), ("targets", 3), ("snapshot", 5)] {
        let name = format!("{role}.json");
        let (admitted, spec) = good("tuf", &tuf("root.json", &name));
        let in_base64 = json!({
            "root": { "content": base64(&file("root.json")) },
            "metadata": { "content": base64(&file(&name)) }
        });
        assert_eq!(good("tuf", &in_base64).0.body, admitted.body);
        assert!(spec["spec_version"].as_str().is_some_and(|version| version.starts_with("1.0")));
        let canonical = |name: &str| {
            let value: Value = serde_json::from_slice(&file(name)).expect("JSON");
            serde_json_canonicalizer::to_vec(&value).expect("canonical")
        };
        let digests = traced(&admitted).digests;
        for expected in
            [role.to_owned(), version.to_string(), sha256(&canonical(&name)), sha256(&canonical("root.json"))]
        {
            assert!(digests.contains(&expected), "{expected}");
        }
        assert_eq!(fingerprint("tuf", &file("root.json")), Ok(sha256(&canonical("root.json"))));
    }
    assert_eq!(
        refused("tuf", &tuf("root-one-signature.json", "timestamp.json")),
        "spec.root.content: metadata of role \"root\" is signed by 1 of its keys, 2 were expected"
    );
    assert_eq!(
        refused("tuf", &tuf("root.json", "timestamp-wrong-key.json")),
        "spec.metadata.content: metadata of role \"timestamp\" is signed by 0 of its keys, 1 were expected"
    );
    assert_eq!(
        refused("tuf", &tuf("timestamp.json", "timestamp.json")),
        "spec.root.content: root is metadata of role \"timestamp\", \"root\" was expected"
    );
    let mut tampered = tuf("root.json", "targets.json");
    tampered["metadata"]["content"]["signed"]["version"] = json!(4);
    assert!(refused("tuf", &tampered).contains("is signed by 0 of its keys"));
    tampered["metadata"]["content"]["signed"]["version"] = json!(4.5);
    assert!(refused("tuf", &tampered).contains("metadata is not TUF metadata"));
    tampered["metadata"]["content"] = json!("bm90IEpTT04=");
    assert!(refused("tuf", &tampered).contains("metadata is not TUF metadata"));
    // The same signature twice is still one.
    let mut twice = tuf("root-one-signature.json", "timestamp.json");
    let signature = twice["root"]["content"]["signatures"][0].clone();
    twice["root"]["content"]["signatures"] = json!([signature, signature]);
    assert!(refused("tuf", &twice).contains("is signed by 1 of its keys"));
}

fn tsr(response: &[u8]) -> Value {
    json!({ "tsr": { "content": base64(response) } })
}

#[test]
fn a_timestamp_response_is_stored_whole() {
    for name in ["rsa.tsr", "ec.tsr"] {
        let response = file(name);
        let (admitted, spec) = good("rfc3161", &tsr(&response));
        assert_eq!(spec["tsr"]["content"], base64(&response));
        assert_eq!(traced(&admitted).digests, [format!("sha256:{}", sha256(&response))]);

        let error = |response: &[u8]| refused("rfc3161", &tsr(response));
        let mut tampered = response.clone();
        *tampered.last_mut().expect("bytes") ^= 1;
        assert!(error(&tampered).contains("is not that of the certificate's key"), "{}", error(&tampered));
        // The hash that was stamped.
        let stamped = digest(&SHA256, &file("artifact"));
        let at = response.windows(32).position(|window| window == stamped.as_ref()).expect("it is stamped");
        let mut tampered = response.clone();
        tampered[at] ^= 1;
        assert!(error(&tampered).contains("signature is over another content"));
        for cut in [1, 5, 100, response.len() - 1] {
            assert!(error(&response[..cut]).contains("timestamp response is not DER"), "{cut}");
        }
        assert!(error(&[response.as_slice(), b"x"].concat()).contains("timestamp response is not DER"));
    }
    assert!(refused("rfc3161", &tsr(&file("no-certificate.tsr"))).contains("no certificate of its signer"));
    assert!(
        refused("rfc3161", &tsr(&file("rejected.tsr")))
            .contains("timestamp response has status 2, 0 (granted)")
    );
    assert_eq!(
        refused("rfc3161", &tsr(&[0x30; 10241])),
        "spec.tsr.content: timestamp response is 10241 bytes, at most 10240 were expected"
    );
}

fn jar(archive: &[u8]) -> Value {
    json!({ "archive": { "content": base64(archive) } })
}

#[test]
fn a_jar_is_what_its_certificate_signed() {
    for (name, identities) in [("rsa.jar", vec!["jar@example.org"]), ("ec.jar", vec![])] {
        let archive = file(name);
        let (admitted, spec) = good("jar", &jar(&archive));
        assert_eq!(spec["archive"]["hash"]["value"], sha256(&archive));
        let text = |value: &Value| STANDARD.decode(value.as_str().expect("text")).expect("base64");
        let signature = text(&spec["signature"]["content"]);
        let certificate = text(&spec["signature"]["publicKey"]["content"]);
        assert!(signature.starts_with(b"-----BEGIN PKCS7-----\n"));
        let found = traced(&admitted);
        assert_eq!(found.digests, [format!("sha256:{}", sha256(&archive))]);
        assert_eq!(found.keys[0].fingerprints[0], sha256(&signature));
        let certificate = fingerprint("x509", &certificate).expect("a certificate");
        assert!(found.keys[0].fingerprints.contains(&certificate));
        assert_eq!(found.keys[0].identities, identities);
        for cut in [1, 100, archive.len() - 30] {
            refused("jar", &jar(&archive[..cut]));
        }
    }
    let error = |name| refused("jar", &jar(&file(name)));
    assert!(error("unsigned.jar").contains("archive has no signature, META-INF/*.RSA"));
    assert_eq!(error("two.jar"), "spec.archive.content: archive has 2 signatures, one was expected");
    assert_eq!(
        error("tampered.jar"),
        "spec.archive.content: archive has \"hello.txt\" with another digest than its manifest says"
    );
    assert_eq!(error("added.jar"), "spec.archive.content: archive has \"other.txt\", which is not signed");
    assert_eq!(error("removed.jar"), "spec.archive.content: archive lacks a file that is signed");
    assert!(
        error("manifest.jar").contains("archive has a manifest that is not the signed one, at \"hello.txt\"")
    );
    assert_eq!(error("signature-file.jar"), "spec.archive.content: signature is over another content");
    assert_eq!(error("twice.jar"), "spec.archive.content: archive has two files of one name");
    assert!(refused("jar", &jar(b"no zip")).contains("archive is not a zip"));
    let spec = RawValue::from_string(jar(&file("rsa.jar")).to_string()).expect("JSON");
    let rules = Rules { max_metadata_bytes: 100, ..Rules::default() };
    let error = admit(&Proposed { kind: "jar", api_version: "0.0.1", spec: &spec }, &rules);
    assert!(error.expect_err("it is longer").to_string().contains("of more than 100 bytes, at most"));
}

#[test]
fn a_jar_that_unpacks_to_too_much_is_refused() {
    let signed = file("rsa.jar");
    let mut signed = ZipArchive::new(Cursor::new(&signed)).expect("a zip");
    let mut bomb = ZipWriter::new(Cursor::new(Vec::new()));
    let names: Vec<_> = signed.file_names().map(|name| name.expect("text").into_owned()).collect();
    for name in names.iter().filter(|name| *name != "sub/zeros") {
        bomb.start_file(name.as_str(), SimpleFileOptions::default()).expect("a place");
        std::io::copy(&mut signed.by_name(name).expect("a file"), &mut bomb).expect("memory");
    }
    bomb.start_file("sub/zeros", SimpleFileOptions::default()).expect("a place");
    std::io::copy(&mut std::io::repeat(0).take((256 << 20) + 1), &mut bomb).expect("memory");
    let bomb = bomb.finish().expect("memory").into_inner();
    assert!(bomb.len() < 1 << 20);
    assert!(refused("jar", &jar(&bomb)).contains("archive has more than 268435456 bytes unpacked"));
}

fn cose(key: &str, message: &[u8], aad: Option<&str>) -> Value {
    json!({ "publicKey": base64(&file(key)), "message": base64(message), "data": { "aad": aad } })
}

#[test]
fn a_cose_message_is_what_its_key_signed() {
    for (key, name, aad) in [
        ("x509-p256.pub", "es256.cose", None),
        ("x509-p256.pub", "es256-aad.cose", Some(base64(b"extra"))),
        ("x509-rsa.pub", "ps256.cose", None),
    ] {
        let (message, aad) = (file(name), aad.as_deref());
        let (admitted, spec) = good("cose", &cose(key, &message, aad));
        assert_eq!(spec["data"]["envelopeHash"]["value"], sha256(&message));
        assert_eq!(spec["data"]["payloadHash"]["value"], sha256(&file("artifact")));
        let attestation = admitted.attestation.as_ref().expect("the message");
        assert_eq!(attestation.key, format!("sha256:{}", sha256(&message)));
        assert_eq!(attestation.bytes, message);
        assert_eq!(admitted.named, [""; 0]);
        let found = traced(&admitted);
        assert_eq!(
            found.digests,
            [sha256(&file("artifact")), sha256(&message)].map(|hash| format!("sha256:{hash}"))
        );
        assert_eq!(found.keys[0].fingerprints[0], sha256(&file(key)));

        let other = base64(b"other");
        let error = refused("cose", &cose(key, &message, Some(&other)));
        assert_eq!(error, "spec.message: message has a signature that is not the key's over it and data.aad");
        let mut tampered = message.clone();
        *tampered.last_mut().expect("bytes") ^= 1;
        assert!(refused("cose", &cose(key, &tampered, aad)).contains("signature that is not the key's"));
        for cut in [1, 10, message.len() - 1] {
            assert!(refused("cose", &cose(key, &message[..cut], aad)).contains("is not a tagged COSE_Sign1"));
        }
        assert!(refused("cose", &cose(key, &message[1..], aad)).contains("is not a tagged COSE_Sign1"));
    }
    let (admitted, _) = good("cose", &cose("x509-p256.pub", &file("es256-statement.cose"), None));
    assert_eq!(
        admitted.named,
        [format!("sha256:{}", "ab".repeat(32)), format!("sha512:{}", "cd".repeat(64))]
    );
    assert_eq!(
        refused("cose", &cose("x509-rsa.pub", &file("es256.cose"), None)),
        "spec.message: message has algorithm ES256 in its protected header, PS256 was expected"
    );
    let mut spec = cose("x509-p256.pub", &file("es256.cose"), None);
    spec["data"] = Value::Null;
    assert_eq!(refused("cose", &spec), "spec.data: data is missing, it is required");
    // Deep nesting is an error, not the end of the stack.
    let deep = [&[0xd2][..], &vec![0x81; 200_000]].concat();
    assert!(refused("cose", &cose("x509-p256.pub", &deep, None)).contains("is not a tagged COSE_Sign1"));
}

#[test]
fn what_was_stored_is_not_enough_to_be_added() {
    let stored = [
        ("rpm", rpm(&file("pgp-rsa.pub"), &file("package.rpm"))),
        ("alpine", rpm(&file("x509-rsa.pub"), &file("package.apk"))),
        ("helm", helm(&file("pgp-rsa.pub"), &file("hi-0.1.0.tgz.prov"))),
        ("jar", jar(&file("rsa.jar"))),
        ("cose", cose("x509-p256.pub", &file("es256.cose"), None)),
    ];
    for (kind, proposed) in stored {
        let (_, spec) = good(kind, &proposed);
        let error = refused(kind, &spec);
        assert!(error.ends_with("is missing, it is required"), "{kind}: {error}");
    }
}

#[test]
fn a_pgp_key_must_have_been_good_when_it_signed() {
    let error = |key, signature| refused("rekord", &rekord("pgp", key, signature));
    assert!(error("pgp-expired.pub", "pgp-late.asc").contains(", which had expired when it was made"));
    assert!(error("pgp-revoked.pub", "pgp-p256.asc").contains(", which is revoked"));
}

/// A packet of the newer form (RFC 9580 §4.2.1).
fn packet(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).expect("a short packet");
    [&[0xc0 | tag, len], content].concat()
}

#[test]
fn a_name_that_a_pgp_key_did_not_sign_is_not_its_own() {
    let two = file("pgp-two.gpg");
    let key = [two.as_slice(), &packet(13, b"Someone Else <other@example.org>")].concat();
    let (admitted, _) = good("rekord", &rekord_of("pgp", &key, &file("pgp-ed.asc"), &file("artifact")));
    assert!(!traced(&admitted).keys[0].identities.contains(&"other@example.org".to_owned()));
}

#[test]
fn keys_and_signatures_are_bounded() {
    let error = |format, key: &[u8], signature: &[u8]| {
        refused("rekord", &rekord_of(format, key, signature, &file("artifact")))
    };
    let key = file("pgp-two.gpg");
    let many = [key.as_slice(), &packet(13, b"x").repeat(256)].concat();
    assert!(error("pgp", &many, &file("pgp-ed.asc")).contains("public key is of more than 256 packets"));
    let long = [key.as_slice(), &vec![0; 128 * 1024]].concat();
    assert!(error("pgp", &long, &file("pgp-ed.asc")).contains("at most 131072 were expected"));
    let many = file("pgp-ed.sig").repeat(17);
    assert!(error("pgp", &file("pgp-ed.pub"), &many).contains("signature is of more than 16 signatures"));
    let long = [file("ssh-ed25519.pub"), vec![b' '; 64 * 1024]].concat();
    assert!(error("ssh", &long, &file("ssh-ed25519.sig")).contains("at most 65536 were expected"));
    let long = [file("minisign.pub"), vec![b'\n'; 16 * 1024]].concat();
    assert!(error("minisign", &long, &file("minisign.minisig")).contains("at most 16384 were expected"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn one_changed_byte_is_no_panic(at in any::<prop::sample::Index>(), with: u8, which in 0_usize..12) {
        let changed = |name: &str| {
            let mut bytes = file(name);
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            bytes
        };
        let (kind, spec) = match which {
            0 => ("rekord", rekord_of("pgp", &changed("pgp-two.gpg"), &file("pgp-rsa.asc"), &file("artifact"))),
            1 => ("rekord", rekord_of("pgp", &file("pgp-ed.pub"), &changed("pgp-ed.sig"), &file("artifact"))),
            2 => ("rekord", rekord_of("ssh", &changed("ssh-rsa.pub"), &file("ssh-rsa.sig"), &file("artifact"))),
            3 => ("rekord", rekord_of("ssh", &file("ssh-rsa.pub"), &changed("ssh-rsa.sig"), &file("artifact"))),
            4 => ("rekord", rekord_of("minisign", &changed("minisign.pub"), &changed("minisign.minisig"), b"")),
            5 => ("rpm", rpm(&file("pgp-rsa.pub"), &changed("package.rpm"))),
            6 => ("alpine", rpm(&file("x509-rsa.pub"), &changed("package.apk"))),
            7 => ("helm", helm(&file("pgp-rsa.pub"), &changed("hi-0.1.0.tgz.prov"))),
            8 => ("jar", jar(&changed("rsa.jar"))),
            9 => ("rfc3161", tsr(&changed("ec.tsr"))),
            10 => ("cose", cose("x509-p256.pub", &changed("es256-statement.cose"), None)),
            _ => ("tuf", json!({
                "root": { "content": base64(&file("root.json")) },
                "metadata": { "content": base64(&changed("timestamp.json")) },
            })),
        };
        if let Ok(admitted) = judged(kind, &spec) {
            prop_assert!(traces(&admitted.body, &mut KeyCache::new()).is_ok());
        }
    }
}

fn judged(kind: &str, spec: &Value) -> Result<Admitted, bulla_claims::entry::v1::Refusal> {
    with(kind, spec, admit)
}
