//! `bulla trust rotate` as an operator meets it: each key is replaced while the server runs, while it is stopped and after it was
//! killed; what was signed before is believed as what is signed after.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Served, bulla, exchange, get, new_data, run};
use serde_json::{Value, json};

fn up(data: &Path) -> Served {
    up_with(data, &[])
}

fn up_with(data: &Path, more: &[&str]) -> Served {
    let mut command = bulla();
    command.args([
        "up",
        "--dev",
        "--http",
        "127.0.0.1:0",
        "--grpc",
        "off",
        "--metrics",
        "127.0.0.1:0",
        "--data",
    ]);
    command.arg(data).args(more).env("BULLA_DISK_RESERVE", "0");
    Served::start(&mut command)
}

fn rotate(data: &Path, args: &[&str]) -> (i32, String, String) {
    run(bulla().args(["trust", "rotate"]).args(args).arg("--data").arg(data))
}

/// Has to succeed; returns what it says as JSON.
fn rotated(data: &Path, args: &[&str]) -> Value {
    let (code, said, errors) = rotate(data, &[args, &["--output", "json"]].concat());
    assert_eq!(code, 0, "{args:?}: {errors}");
    serde_json::from_str(&said).expect("JSON")
}

/// What one authority signs with.
fn listed(data: &Path, authority: &str) -> Value {
    let all = rotated(data, &["--list"]);
    let all = all["authorities"].as_array().expect("a list");
    all.iter().find(|one| one["authority"] == authority).expect("is listed").clone()
}

/// One HTTP exchange of any bytes: status and body.
fn ask(served: &Served, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(&served.http).expect("connects");
    let (host, length) = (&served.http, body.len());
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("reads");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a header");
    let status = String::from_utf8_lossy(&answer[..end]).split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), answer.split_off(end + 4))
}

fn openssl(folder: &Path, args: &[&str]) -> Result<String, String> {
    let (code, said, errors) = run(Command::new("openssl").current_dir(folder).args(args));
    if code == 0 { Ok(said) } else { Err(errors) }
}

fn file_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("is there")).expect("JSON")
}

/// Whom clients are to believe: from the files, which must be what the repository hands out.
fn trusted_root(served: &Served, data: &Path) -> Value {
    let mut text = String::new();
    until("one trusted root", || {
        text = fs::read_to_string(data.join("clients/trusted_root.json")).expect("is there");
        get(&served.http, "/tuf/targets/trusted_root.json").2 == text
    });
    serde_json::from_str(&text).expect("JSON")
}

/// A certificate and its chain, PEM, as a signer gets them.
fn certificate(served: &Served, folder: &Path) -> Vec<String> {
    let (status, minted) =
        ask(served, "POST", "/oidc/mint", "application/x-www-form-urlencoded", b"email=alice@example.org");
    assert_eq!(status, 200);
    let token: Value = serde_json::from_slice(&minted).expect("JSON");
    if !folder.join("signer.csr").exists() {
        openssl(folder, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "signer.key"])
            .expect("works");
        openssl(folder, &["req", "-new", "-key", "signer.key", "-subj", "/CN=x", "-out", "signer.csr"])
            .expect("works");
    }
    let csr = STANDARD.encode(fs::read(folder.join("signer.csr")).expect("is there"));
    let body =
        json!({"credentials": {"oidcIdentityToken": token["token"]}, "certificateSigningRequest": csr});
    let (status, _, answer) = exchange(&served.http, "POST", "/api/v2/signingCert", &body.to_string());
    assert!(matches!(status, 200 | 201), "{status} {answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    chain.as_array().expect("a chain").iter().map(|one| one.as_str().expect("PEM").to_owned()).collect()
}

fn pem(base64: &Value) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64.as_str().expect("text"))
}

/// Which of the authorities in a trusted root, by their position, lead to a certificate.
fn leading(folder: &Path, trusted_root: &Value, leaf: &str) -> Vec<usize> {
    fs::write(folder.join("leaf.pem"), leaf).expect("writes");
    let authorities = trusted_root["certificateAuthorities"].as_array().expect("a list");
    let leads = |authority: &Value| {
        let chain = authority["certChain"]["certificates"].as_array().expect("a chain");
        fs::write(folder.join("issuer.pem"), pem(&chain[0]["rawBytes"])).expect("writes");
        fs::write(folder.join("anchor.pem"), pem(&chain[1]["rawBytes"])).expect("writes");
        openssl(folder, &["verify", "-CAfile", "anchor.pem", "-untrusted", "issuer.pem", "leaf.pem"]).is_ok()
    };
    (0..authorities.len()).filter(|at| leads(&authorities[*at])).collect()
}

/// Asks for a timestamp, and verifies it with the roots in a trusted root. Returns the answer.
fn timestamp(served: &Served, folder: &Path, trusted_root: &Value) -> Vec<u8> {
    fs::write(folder.join("statement"), "what was signed").expect("writes");
    openssl(folder, &["ts", "-query", "-data", "statement", "-sha256", "-cert", "-out", "ask.tsq"])
        .expect("works");
    let query = fs::read(folder.join("ask.tsq")).expect("is there");
    let (status, answer) = ask(served, "POST", "/api/v1/timestamp", "application/timestamp-query", &query);
    assert_eq!(status, 201);
    verify_timestamp(folder, trusted_root, &answer);
    answer
}

fn verify_timestamp(folder: &Path, trusted_root: &Value, answer: &[u8]) {
    fs::write(folder.join("answer.tsr"), answer).expect("writes");
    let authorities = trusted_root["timestampAuthorities"].as_array().expect("a list");
    let anchors: String = authorities
        .iter()
        .map(|one| pem(&one["certChain"]["certificates"].as_array().expect("a chain").last().expect("a root")["rawBytes"]))
        .collect();
    fs::write(folder.join("anchors.pem"), anchors).expect("writes");
    openssl(folder, &["ts", "-verify", "-data", "statement", "-in", "answer.tsr", "-CAfile", "anchors.pem"])
        .expect("verifies");
}

/// Whether an answer names the leaf of a chain in a file as who signed it.
fn signed_by(answer: &[u8], chain: &Path) -> bool {
    let chain = fs::read_to_string(chain).expect("is there");
    let first: String = chain.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(first).expect("base64");
    answer.windows(der.len()).any(|window| window == der)
}

/// Waits until something is so, but not for ever.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} did not come to be");
        std::thread::yield_now();
    }
}

fn tree_size(served: &Served, log: &str) -> u64 {
    let (status, _, head) = get(&served.http, &format!("{log}/ct/v1/get-sth"));
    assert_eq!(status, 200, "{head}");
    serde_json::from_str::<Value>(&head).expect("JSON")["tree_size"].as_u64().expect("a size")
}

fn folder_and_data() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (folder, data) = new_data();
    let work = folder.path().join("work");
    fs::create_dir(&work).expect("made");
    (folder, data, work)
}

#[test]
fn a_certificate_authority_follows_another_at_its_moment() {
    let (_folder, data, work) = folder_and_data();
    let served = up(&data);
    let before = certificate(&served, &work);
    let (old_chain, old_key) =
        (fs::read(data.join("ca/chain.pem")).unwrap(), fs::read(data.join("ca/ca.key")).unwrap());
    let old = listed(&data, "ca");

    let said = rotated(&data, &["ca", "--overlap", "3s"]);
    let told = Instant::now();
    assert_eq!(said["running"], true);
    let staged = &said["authorities"][0]["staged"];
    assert!(staged["published"].is_string() && staged["from"].is_string(), "{said}");
    let next_key = staged["keyID"].as_str().expect("a key").to_owned();
    // Clients know the next one at once, and the old one signs.
    let trusted = trusted_root(&served, &data);
    assert_eq!(trusted["certificateAuthorities"].as_array().expect("a list").len(), 2);
    let between = certificate(&served, &work);
    if told.elapsed() < Duration::from_secs(2) {
        assert_eq!(leading(&work, &trusted, &between[0]), [0]);
    }
    until("the next authority", || {
        let (_, _, bundle) = get(&served.http, "/api/v1/rootCert");
        bundle.as_bytes() != old_chain
    });
    until("the list", || listed(&data, "ca")["keyID"] == next_key.as_str());
    assert!(told.elapsed() > Duration::from_secs(2), "too early");
    let after = certificate(&served, &work);
    // The one in force stands first.
    until("the trusted root", || leading(&work, &trusted_root(&served, &data), &after[0]) == [0]);
    let trusted = trusted_root(&served, &data);
    let authorities = trusted["certificateAuthorities"].as_array().expect("a list");
    let ends: Vec<bool> = authorities.iter().map(|one| one["validFor"]["end"].is_string()).collect();
    assert_eq!(ends, [false, true], "the one that was replaced ends");
    assert_eq!(leading(&work, &trusted, &before[0]), [1]);
    assert_eq!(fs::read(data.join("ca/other/1.pem")).unwrap(), old_chain);
    assert_ne!(fs::read(data.join("ca/ca.key")).unwrap(), old_key);
    assert!(!data.join("ca/next").exists());
    let now = listed(&data, "ca");
    assert!(now["since"].as_str() > old["since"].as_str() && now.get("staged").is_none(), "{now}");
    assert_eq!(served.stop().0, Some(0));

    // Again, with the root's key elsewhere.
    fs::rename(data.join("offline"), work.join("safe")).expect("moves");
    let served = up(&data);
    let (code, _, errors) = rotate(&data, &["ca", "--overlap", "0s"]);
    assert!(
        code == 2 && errors.contains("offline/root.key is needed to certify a new authority"),
        "{errors}"
    );
    let wrong = work.join("safe/tuf-root.key");
    let (code, _, errors) = rotate(&data, &["ca", "--root-key", wrong.to_str().unwrap()]);
    assert!(
        code == 2 && errors.contains("tuf-root.key: ") && errors.contains("issuing key is not that of"),
        "{errors}"
    );
    assert!(!data.join("ca/next").exists(), "nothing was staged");
    let right = work.join("safe/root.key");
    rotated(&data, &["ca", "--overlap", "0s", "--root-key", right.to_str().unwrap()]);
    let third = certificate(&served, &work);
    let trusted = trusted_root(&served, &data);
    assert_eq!(leading(&work, &trusted, &third[0]), [0]);
    assert_eq!([&after, &before].map(|one| leading(&work, &trusted, &one[0]).len()), [1, 1]);
    assert_ne!(third[1], after[1]);
}

#[test]
fn a_timestamp_authority_is_staged_once() {
    let (_folder, data, work) = folder_and_data();
    let served = up(&data);
    let before = timestamp(&served, &work, &trusted_root(&served, &data));
    let said = rotated(&data, &["tsa", "--overlap", "1h"]);
    let (code, _, errors) = rotate(&data, &["tsa"]);
    assert!(code == 2 && errors.contains("tsa/next is staged already: wait until"), "{errors}");
    let (code, _, errors) = rotate(&data, &["root"]);
    assert!(code == 2 && errors.contains("tsa/next is staged already"), "{errors}");
    assert!(!data.join("ca/next").exists() && !data.join("offline/root-next.key").exists());
    assert!(signed_by(
        &timestamp(&served, &work, &trusted_root(&served, &data)),
        &data.join("tsa/chain.pem")
    ));
    // Killed, it is staged as before.
    served.signal("KILL");
    drop(served);
    let served = up(&data);
    assert_eq!(listed(&data, "tsa"), said["authorities"][0]);
    assert!(signed_by(
        &timestamp(&served, &work, &trusted_root(&served, &data)),
        &data.join("tsa/chain.pem")
    ));
    assert_eq!(served.stop().0, Some(0));

    // Its moment came while nothing ran.
    let plan = data.join("tsa/next/plan.json");
    let text =
        fs::read_to_string(&plan).unwrap().replace("\"overlap_seconds\": 3600", "\"overlap_seconds\": 0");
    fs::write(&plan, text).unwrap();
    let served = up(&data);
    let trusted = trusted_root(&served, &data);
    let after = timestamp(&served, &work, &trusted);
    assert!(
        signed_by(&after, &data.join("tsa/chain.pem")) && !signed_by(&after, &data.join("tsa/other/1.pem"))
    );
    assert!(signed_by(&before, &data.join("tsa/other/1.pem")));
    verify_timestamp(&work, &trusted, &before);
}

#[test]
fn a_root_follows_another_with_all_that_is_under_it() {
    let (_folder, data, work) = folder_and_data();
    let served = up(&data);
    let (before, stamp) =
        (certificate(&served, &work), timestamp(&served, &work, &trusted_root(&served, &data)));
    let old_root = fs::read(data.join("root.pem")).unwrap();
    let (code, _, errors) = rotate(&data, &["root", "--root-key", "offline/root.key"]);
    assert!(
        code == 2 && errors.contains("--root-key says nothing here: a new root is signed by itself"),
        "{errors}"
    );
    rotated(&data, &["root", "--overlap", "0s"]);
    let after = certificate(&served, &work);
    let trusted = trusted_root(&served, &data);
    assert_eq!(leading(&work, &trusted, &after[0]), [0]);
    assert_eq!(leading(&work, &trusted, &before[0]), [1]);
    verify_timestamp(&work, &trusted, &stamp);
    let stamp = timestamp(&served, &work, &trusted);
    assert!(signed_by(&stamp, &data.join("tsa/chain.pem")));
    assert_ne!(fs::read(data.join("root.pem")).unwrap(), old_root);
    for chain in ["ca/chain.pem", "tsa/chain.pem"] {
        openssl(&data, &["verify", "-CAfile", "root.pem", chain]).expect("verifies");
    }
    let (_, _, roots) = get(&served.http, "/ct/ct/v1/get-roots");
    let roots: Value = serde_json::from_str(&roots).expect("JSON");
    assert_eq!(roots["certificates"].as_array().expect("a list").len(), 2);
    // The old root certifies nothing any more, the new one does.
    let old = data.join("offline/root.1.key");
    let (code, _, errors) = rotate(&data, &["tsa", "--root-key", old.to_str().unwrap()]);
    assert!(code == 2 && errors.contains("issuing key is not that of the certificate of"), "{errors}");
    rotated(&data, &["tsa", "--overlap", "0s"]);
    assert_eq!(served.stop().0, Some(0));
    let served = up(&data);
    assert_eq!(leading(&work, &trusted_root(&served, &data), &certificate(&served, &work)[0]), [0]);
}

#[test]
fn a_certificate_log_follows_another() {
    let (_folder, data, work) = folder_and_data();
    let served = up(&data);
    let before = certificate(&served, &work);
    assert_eq!((tree_size(&served, "/ct"), get(&served.http, "/ct/2/checkpoint").0), (1, 404));
    rotated(&data, &["ct", "--overlap", "1h"]);
    assert_eq!((tree_size(&served, "/ct/2"), get(&served.http, "/ct/3/checkpoint").0), (0, 404));
    certificate(&served, &work);
    assert_eq!((tree_size(&served, "/ct"), tree_size(&served, "/ct/2")), (2, 0));
    let trusted = trusted_root(&served, &data);
    let logs = trusted["ctlogs"].as_array().expect("a list").clone();
    assert!(
        logs.len() == 2 && logs.iter().all(|log| log["publicKey"]["validFor"].get("end").is_none()),
        "{logs:?}"
    );
    assert_eq!(served.stop().0, Some(0));

    let plan = data.join("ct-2/plan.json");
    let text =
        fs::read_to_string(&plan).unwrap().replace("\"overlap_seconds\": 3600", "\"overlap_seconds\": 0");
    fs::write(&plan, text).unwrap();
    let served = up(&data);
    let after = certificate(&served, &work);
    assert_eq!((tree_size(&served, "/ct"), tree_size(&served, "/ct/2")), (2, 1));
    let (status, tile) = ask(&served, "GET", "/ct/tile/data/000.p/2", "", b"");
    assert!(status == 200 && tile.len() > 1000, "{status}");
    let (status, _, problem) = exchange(&served.http, "POST", "/ct/ct/v1/add-pre-chain", "{}");
    assert!(status == 403 && problem.contains("this log has ended"), "{status} {problem}");
    let (_, _, checkpoint) = get(&served.http, "/ct/2/checkpoint");
    assert!(checkpoint.lines().next().is_some_and(|origin| origin.ends_with("/ct/2")), "{checkpoint}");
    let trusted = trusted_root(&served, &data);
    let logs = trusted["ctlogs"].as_array().expect("a list");
    assert!(
        logs[0]["publicKey"]["validFor"]["end"].is_string()
            && logs[1]["baseUrl"].as_str().unwrap().ends_with("/ct/2")
    );
    let names = |leaf: &str, log: &Value| {
        let der: String = leaf.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(der).expect("base64");
        let id = STANDARD.decode(log["logId"]["keyId"].as_str().expect("an ID")).expect("base64");
        der.windows(id.len()).any(|window| window == id)
    };
    assert!(names(&before[0], &logs[0]) && names(&after[0], &logs[1]) && !names(&after[0], &logs[0]));

    // A third one while it runs, at once; killed, it goes on with the third.
    rotated(&data, &["ct", "--overlap", "0s"]);
    let third = certificate(&served, &work);
    served.signal("KILL");
    drop(served);
    let served = up(&data);
    assert_eq!(["/ct", "/ct/2", "/ct/3"].map(|log| tree_size(&served, log)), [2, 1, 1]);
    certificate(&served, &work);
    assert_eq!(tree_size(&served, "/ct/3"), 2);
    let trusted = trusted_root(&served, &data);
    assert!(names(&third[0], &trusted["ctlogs"][2]));
    assert_eq!(served.stop().0, Some(0));
    // What is lost is asked for.
    fs::rename(data.join("ct-3"), data.join("../away")).expect("moves");
    let (code, _, errors) = run(bulla()
        .args(["up", "--dev", "--http", "127.0.0.1:0", "--grpc", "off", "--metrics", "off", "--data"])
        .arg(&data));
    assert!(code == 2 && errors.contains("ct-3 is missing, and clients believe what was there"), "{errors}");
}

#[test]
fn the_repository_is_signed_by_another_key() {
    let (_folder, data, work) = folder_and_data();
    let served = up(&data);
    let signer = |served: &Served| {
        let (_, _, stamp) = get(&served.http, "/tuf/timestamp.json");
        serde_json::from_str::<Value>(&stamp).expect("JSON")["signatures"][0]["keyid"]
            .as_str()
            .expect("a key")
            .to_owned()
    };
    let old = signer(&served);
    let (code, _, errors) = rotate(&data, &["tuf", "--overlap", "1h"]);
    assert!(code == 2 && errors.contains("--overlap says nothing here"), "{errors}");
    let wrong = data.join("tuf/online.key");
    let (code, _, errors) = rotate(&data, &["tuf", "--root-key", wrong.to_str().unwrap()]);
    assert!(
        code == 1 && errors.contains("root has 0 of 1 signatures that root version 1 asks for"),
        "{errors}"
    );
    let said = rotated(&data, &["tuf"]);
    let new = said["authorities"][0]["keyID"].as_str().expect("a key").to_owned();
    assert_ne!(old, new);
    assert_eq!(signer(&served), new);
    assert_eq!(get(&served.http, "/tuf/3.root.json").0, 200);
    assert!(!data.join("tuf/next").exists());
    // It goes on with the new key, also after it was stopped.
    let (code, said, errors) = rotate(&data, &["tsa", "--overlap", "0s"]);
    assert!(
        code == 0 && said.contains("keep the trusted root that they have for 172800 s more"),
        "{said}{errors}"
    );
    trusted_root(&served, &data);
    assert_eq!(served.stop().0, Some(0));

    // Stopped, and with a crash after the first of the two roots.
    fs::rename(data.join("offline"), work.join("safe")).expect("moves");
    let (code, _, errors) = rotate(&data, &["tuf"]);
    assert!(code == 2 && errors.contains("offline/tuf-root.key is needed to name a new key"), "{errors}");
    let root_key = work.join("safe/tuf-root.key");
    let said = rotated(&data, &["tuf", "--root-key", root_key.to_str().unwrap()]);
    assert_eq!(said["running"], false);
    let third = said["authorities"][0]["staged"]["keyID"].as_str().expect("a key").to_owned();
    let repository = data.join("tuf/repository");
    fs::copy(data.join("tuf/next/both.root.json"), repository.join("4.root.json")).unwrap();
    let served = up(&data);
    assert_eq!(signer(&served), third);
    assert_eq!(file_json(&repository.join("root.json"))["signed"]["version"], 5);
    assert_eq!(served.stop().0, Some(0));

    // A root that drops it is refused, with what to do instead.
    let draft = work.join("draft.json");
    let step = |args: &[&str]| run(bulla().arg("trust").args(args).arg("--draft").arg(&draft));
    let at = data.to_str().unwrap();
    let (_, said, _) = step(&["init", "--data", at, "--threshold", "2"]);
    assert!(said.contains("needs       1 more root keys: bulla trust add-key FILE"), "{said}");
    fs::remove_file(&draft).unwrap();
    let (_, said, _) = step(&["init", "--data", at]);
    assert!(said.contains("needs       1 more signatures: bulla trust sign"), "{said}");
    openssl(&work, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "x.key"]).expect("works");
    openssl(&work, &["ec", "-in", "x.key", "-pubout", "-out", "x.pub"]).expect("works");
    assert_eq!(step(&["add-key", "--online", work.join("x.pub").to_str().unwrap()]).0, 0);
    assert_eq!(step(&["remove-key", "--online", &third]).0, 0);
    let (_, said, _) = step(&["sign", "--root-key", root_key.to_str().unwrap()]);
    assert!(!said.contains("needs "), "{said}");
    let (code, _, errors) = step(&["publish", "--data", at]);
    assert!(code == 2 && errors.contains(&third) && errors.contains("bulla trust rotate tuf"), "{errors}");
}

#[test]
fn a_stopped_server_takes_up_what_was_staged() {
    let (_folder, data, work) = folder_and_data();
    assert_eq!(up(&data).stop().0, Some(0));
    let said = rotated(&data, &["ca", "--overlap", "0s"]);
    assert_eq!(said["running"], false);
    assert!(said["authorities"][0]["staged"].get("from").is_none(), "{said}");
    let (_, human, _) = rotate(&data, &["--list"]);
    assert!(human.contains("clients are not told yet"), "{human}");
    let served = up(&data);
    assert!(listed(&data, "ca").get("staged").is_none());
    assert_eq!(leading(&work, &trusted_root(&served, &data), &certificate(&served, &work)[0]), [0]);
    assert_eq!(served.stop().0, Some(0));

    // Killed between the chain and the key.
    rotated(&data, &["ca", "--overlap", "1h"]);
    fs::copy(data.join("ca/chain.pem"), data.join("ca/other/2.pem")).unwrap();
    fs::rename(data.join("ca/next/chain.pem"), data.join("ca/chain.pem")).unwrap();
    let served = up(&data);
    let trusted = trusted_root(&served, &data);
    assert_eq!(trusted["certificateAuthorities"].as_array().expect("a list").len(), 3);
    assert_eq!(leading(&work, &trusted, &certificate(&served, &work)[0]), [0]);
    assert!(!data.join("ca/next").exists());

    let (_other, nothing, _) = folder_and_data();
    fs::create_dir(&nothing).unwrap();
    for whose in ["ca", "tsa", "root", "ct", "tuf"] {
        let (code, _, errors) = rotate(&nothing, &[whose]);
        assert_eq!(code, 2, "{whose}: {errors}");
    }
    assert_eq!(fs::read_dir(&nothing).unwrap().count(), 0);
}

#[test]
fn what_expires_soon_is_said_and_measured() {
    let (_folder, data, work) = folder_and_data();
    assert_eq!(up(&data).stop().0, Some(0));
    let constraints = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
                       extendedKeyUsage=codeSigning\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    fs::write(work.join("extensions"), constraints).unwrap();
    let key = data.join("ca/ca.key");
    openssl(
        &work,
        &["req", "-new", "-key", key.to_str().unwrap(), "-subj", "/O=localhost/CN=short", "-out", "ca.csr"],
    )
    .expect("works");
    let (root, root_key) = (data.join("root.pem"), data.join("offline/root.key"));
    let sign =
        ["x509", "-req", "-in", "ca.csr", "-days", "10", "-extfile", "extensions", "-out", "ca.pem", "-CA"];
    openssl(&work, &[&sign[..], &[root.to_str().unwrap(), "-CAkey", root_key.to_str().unwrap()]].concat())
        .expect("works");
    let chain = fs::read_to_string(work.join("ca.pem")).unwrap() + &fs::read_to_string(&root).unwrap();
    fs::write(data.join("ca/chain.pem"), chain).unwrap();
    let draft = work.join("draft.json");
    for args in [
        &["init", "--lifetime", "20d", "--data", data.to_str().unwrap()][..],
        &["sign", "--root-key", data.join("offline/tuf-root.key").to_str().unwrap()],
        &["publish", "--data", data.to_str().unwrap()],
    ] {
        let (code, _, errors) = run(bulla().arg("trust").args(args).arg("--draft").arg(&draft));
        assert_eq!(code, 0, "{errors}");
    }
    let served = up(&data);
    let measured = |authority: &str| {
        let (_, _, text) = get(&served.metrics, "/metrics");
        let name = format!("bulla_authority_expires_seconds{{authority=\"{authority}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok())
    };
    until("the gauge", || measured("tuf-root").is_some());
    let days =
        ["ca", "tsa", "root", "tuf-root"].map(|authority| measured(authority).expect("measured") / DAY);
    assert!((9.0..=10.0).contains(&days[0]) && days[1] > 1800.0 && days[2] > 3600.0, "{days:?}");
    assert!((19.0..=20.0).contains(&days[3]), "{days:?}");
    // A new one is measured at once.
    rotated(&data, &["ca", "--overlap", "0s"]);
    assert!(measured("ca").expect("measured") > 1800.0 * DAY);
    let (_, log) = served.stop();
    for mended in [
        "expires soon: make a new one with `bulla trust rotate ca`",
        "expires soon: sign a new root of the trust repository",
    ] {
        assert_eq!(log.matches(mended).count(), 1, "{log}");
    }
    assert!(!log.contains("rotate tsa") && !log.contains("has expired"), "{log}");
}

const DAY: f64 = 86_400.0;

#[test]
fn rotations_do_not_mix() {
    let (_folder, data, _work) = folder_and_data();
    let served = up(&data);
    // As many at once as there are: one lays a key, the others are told why not.
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..4).map(|_| scope.spawn(|| rotate(&data, &["tsa", "--overlap", "1h"]).0)).collect();
        all.into_iter().map(|one| one.join().expect("ends")).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    let staged = listed(&data, "tsa")["staged"].clone();
    assert!(staged["published"].is_string(), "{staged}");
    // Whatever is called told is in what clients are told.
    assert_eq!(trusted_root(&served, &data)["timestampAuthorities"].as_array().expect("a list").len(), 2);
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn a_log_is_rotated_beside_a_key_that_is_kept_elsewhere() {
    let (_folder, data, work) = folder_and_data();
    assert_eq!(up(&data).stop().0, Some(0));
    let elsewhere = work.join("ca.key");
    fs::rename(data.join("ca/ca.key"), &elsewhere).expect("moves");
    let served = up_with(&data, &["--ca-key", elsewhere.to_str().expect("text")]);
    rotated(&data, &["ct", "--overlap", "0s"]);
    assert!(data.join("ct/ended").exists());
    certificate(&served, &work);
    let (code, _, errors) = rotate(&data, &["ca", "--overlap", "0s"]);
    assert!(code == 2 && errors.contains("kept elsewhere, as --ca-key names it"), "{errors}");
}

#[test]
fn what_is_damaged_stops_nothing_but_itself() {
    let (_folder, data, work) = folder_and_data();
    assert_eq!(up(&data).stop().0, Some(0));
    rotated(&data, &["ca", "--overlap", "0s"]);
    rotated(&data, &["ct", "--overlap", "0s"]);
    fs::write(data.join("ca/next/ca.key"), "").expect("writes");
    fs::write(data.join("ct-2/plan.json"), "{").expect("writes");
    let served = up(&data);
    let issued = certificate(&served, &work);
    assert_eq!(leading(&work, &trusted_root(&served, &data), &issued[0]), [0]);
    assert_eq!(served.stop().0, Some(0));
    fs::remove_dir_all(data.join("ca/next")).expect("removes");
    fs::remove_dir_all(data.join("ct-2")).expect("removes");

    // A root that was withdrawn leaves the key of the one in force where it is found.
    rotated(&data, &["root", "--overlap", "1h"]);
    for role in ["ca", "tsa"] {
        fs::remove_dir_all(data.join(role).join("next")).expect("removes");
    }
    rotated(&data, &["ca", "--overlap", "0s"]);
    let served = up(&data);
    until("the new key", || data.join("ca/other/1.pem").exists());
    certificate(&served, &work);

    let (code, _, errors) = run(bulla().args(["trust", "rotate", "--list", "--data"]).arg(work.join("none")));
    assert!(code == 2 && errors.contains("none holds no authorities"), "{errors}");
}
