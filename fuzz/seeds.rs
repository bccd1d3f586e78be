//! Writes `seeds/`, where each fuzz target starts: the vectors that the tests of the crates stand on, in each parser's
//! own form. `cargo run --example seeds`, in this folder.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_authority::ct::{Entry, Rest, TileLeaf, TimestampedEntry, extensions};
use bulla_claims::attestation::{PAYLOAD_TYPE, PredicateType, Statement, StatementType, Subject};
use bulla_claims::entry::v1::kinds;
use bulla_claims::revocation::{Revocation, Revoked};
use bulla_claims::simple_signing::payload;
use bulla_claims::tag::{RECORD, carrying};
use bulla_fuzz::{BLOCK, Directory, SIZE, block_on, log, protobuf, seal_journal, seal_report, vector};
use bulla_ledger::fsck::{Options, check};
use bulla_ledger::storage::Storage as _;
use bulla_rekor::wire::v2::request::from_json;
use bulla_tlog::{Edge, leaf_hash, sha256};
use prost::Message as _;
use serde_json::{Value, json};

fn main() {
    tlog();
    claims();
    rekor();
    ledger();
    timestamps();
    certificate_transparency();
    certificates();
    identities();
    registries();
    trust();
    reports();
}

/// Files that say whom to believe and where to sign.
fn trust() {
    write("trust_root", "rsa", &read(&crates().join("claims/tests/vectors/packages/root.json")));
    let service = |url: &str, version: u32, operator: &str| {
        let validity = json!({ "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z" });
        json!({ "url": url, "majorApiVersion": version, "validFor": validity, "operator": operator })
    };
    let config = json!({
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": [service("https://ca.example.org", 1, "a")], "oidcUrls": [service("https://oidc.example.org", 1, "a")],
        "rekorTlogUrls": [
            service("https://one.example.org", 1, "a"), service("https://two.example.org", 2, "a"),
            service("https://three.example.org", 2, "b"),
        ],
        "tsaUrls": [service("https://tsa.example.org", 1, "a")],
        "rekorTlogConfig": { "selector": "EXACT", "count": 2 }, "tsaConfig": { "selector": "ALL" },
    });
    write("signing_config", "two-logs", config.to_string().as_bytes());
}

fn reports() {
    let bundle = String::from_utf8(read(&crates().join("claims/tests/bundles/py-v1.json"))).expect("text");
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let text = |value: &str| json!(value).to_string();
    let coverage = r#"{"signed":true,"provenance":false,"sbom":false,"vex":null,"vulnerability_scan":false}"#;
    let log = r#"{"log_id":"bG9n","log_index":"7","origin":"log.example","tree_size":9,"root_hash":"cm9vdA==","witnessed_by":["w"],"witnesses_enough":true,"forged":[],"not_checked":["s"]}"#;
    let entry = |evidence: &str| {
        format!(
            r#"{{"uuid":"{}","timestamp":"2026-11-21T02:50:00Z","status":"valid","problem":null,"kind":"signature","predicate_type":null,"signer":{{"subject":"a","issuer":"b","key_sha256":"c"}},"logs":[{log}],"place":"referrer","evidence":{evidence}}}"#,
            &digest[7..]
        )
    };
    let row = |name: &str, entries: &str, last: &str| {
        format!(
            r#"{{"image_ref":"{name}","digest":"{digest}","total_entries":1,"valid_entries":1,"invalid_entries":0,"entries":[{entries}],"generated_at":"2026-11-21T03:00:00Z","status":"verified","reason":null,"coverage":{coverage},"unread":[{{"place":"p","problem":"q"}}],"listed_by":"api","uses":1,"used_by":["n/p/c"]{last}}}"#
        )
    };
    let bundled = entry(&format!(r#"{{"bundle":{}}}"#, text(&bundle)));
    let layered =
        entry(r#"{"layer":{"media_type":"m","payload":{"base64":"AA=="},"annotations":{"a":"b"}}}"#);
    let member = row("oci:d@sha256:1", &layered, r#","platform":"linux/amd64""#);
    let index = format!(r#","index":"{{}}","members":[{member}],"members_left_out":2"#);
    let head = [
        "schema",
        "generated_at",
        "generator",
        "about",
        "sources",
        "asked",
        "trusted_root",
        "totals",
        "signers",
        "logs",
        "revocations",
        "controls",
    ];
    let head = head.map(|name| match name {
        "schema" => r#""schema":"bulla.report/v1","#.to_owned(),
        name => format!(r#""{name}":{{"of":"{name}"}},"#),
    });
    let rows = format!("{},\n{}", row("oci:d:t", &bundled, ""), row("oci:d:u", &layered, &index));
    let lines = format!("{{\n{}\n\"images\":[\n{rows}\n],\n", head.join("\n"));
    write("report", "lines", lines.as_bytes());
    write("report", "whole", &seal_report(lines.as_bytes()));
    let none = format!("{{\n{}\n\"images\":[\n],\n", head.join("\n"));
    write("report", "no-images", &seal_report(none.as_bytes()));
}

fn registries() {
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    write("image_reference", "short", b"alpine:3.16.0");
    write("image_reference", "full", format!("[::1]:5000/team/app_a.b--c:1.0@{digest}").as_bytes());
    write("challenge", "bearer", br#"Negotiate YQ==, Basic realm="a, \"b\"", Bearer realm="https://auth.example/token",service=s,scope="repository:a/b:pull""#);
    write("link", "next", b"</a>; rel=prev, </v2/a/tags/list?n=2&last=b>; title=\"a, b\"; rel=\"next\"");
    let entry = json!({ "auth": STANDARD.encode("user:pass") });
    let file = json!({
        "auths": { "https://index.docker.io/v1/": entry, "registry.example:5000/team": { "identitytoken": "i" } },
        "credHelpers": { "registry.example:5000": "login" }, "credsStore": "desktop",
    });
    write("credential_file", "both", file.to_string().as_bytes());
    let empty = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2 });
    let image = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": empty,
        "layers": [empty], "subject": empty, "artifactType": "a", "annotations": { "b": "c" },
    });
    write("image_manifest", "artifact", image.to_string().as_bytes());
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "publicKey": { "hint": "a" }, "tlogEntries": [] },
        "dsseEnvelope": { "payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": [{ "sig": "AA==" }] },
    });
    write("signature_bundle", "key", bundle.to_string().as_bytes());
    let platform = json!({ "os": "linux", "architecture": "arm", "variant": "v7" });
    let entry = json!({ "mediaType": "m", "digest": digest, "size": 2, "platform": platform });
    write(
        "image_manifest",
        "index",
        json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().as_bytes(),
    );
}

fn timestamps() {
    use bulla_authority::tsa::Request;
    let digest = STANDARD.encode([7; 32]);
    let full = json!({"artifactHash": digest, "hashAlgorithm": "sha256", "certificates": true, "nonce": 7, "tsaPolicyOID": "1.2.3.4"});
    let full = full.to_string().into_bytes();
    write("timestamp_request", "json", &full);
    let request = Request::from_json(&full).expect("a request").to_der();
    write("timestamp_request", "der", &request.expect("DER"));
}

fn tlog() {
    let vectors = crates().join("tlog/tests/vectors");
    write("tile", "hashes", b"tile/0/x001/x234/067.p/5");
    write("tile", "entries", b"tile/entries/000");
    write("tile", "bundle", &log().objects["tile/entries/001.p/44"]);
    write("tile", "nodes", &log().objects["tile/0/001.p/44"]);
    for name in ["checkpoint", "cosignature"] {
        write("note", name, &read(&vectors.join(name)));
    }
    let vkey = log().verifier().vkey();
    write("vkey", "log", vkey.as_bytes());
    write("vkey", "spki", log().verifier().spki());
    write("vkey", "spki-p256", &vector("KEY0"));
    let witness = "witness.example.org+6f4cc16b+BCVDuS/xCVURx2rcg2nbbdyTNmWhGXjdoUBO4QZsqVWd";
    write("vkey", "witness", witness.as_bytes());
    let policy = format!(
        "log {vkey} https://log.example.org\nwitness one {witness} https://one.example.org\n\
         witness two {witness}\ngroup both all one two\ngroup some 1 both two\nquorum some\n"
    );
    write("policy", "groups", policy.as_bytes());
    write("policy", "none", format!("log {vkey}\nquorum none\n").as_bytes());
    let request = read(&vectors.join("add-checkpoint"));
    let line = request.iter().rposition(|byte| *byte == 0xe2).map(|at| request[at..].to_vec());
    write("witness", "request", &request);
    write("witness", "response", &line.expect("a signature line"));
    write("witness", "size", b"300\n");
    write("tlog_proof", "proof", &read(&vectors.join("proof.tlog-proof")));
}

fn claims() {
    for name in ["BODY0", "BODY1", "BODY2"] {
        write("leaf", name, &vector(name));
    }
    for path in files(&crates().join("claims/tests/vectors/v1")) {
        let vector: Value = serde_json::from_slice(&read(&path)).expect("JSON");
        let (request, body) = (&vector["request"], vector["body"].as_str().expect("a body"));
        let text = |member: &str| request[member].as_str().expect("text");
        let which = kinds().position(|kind| kind == (text("kind"), text("apiVersion"))).expect("a kind");
        let letter = char::from(b'a' + u8::try_from(which).expect("few kinds"));
        write("v1_entry", &name(&path), format!("{letter}{}", request["spec"]).as_bytes());
        let stored: Value = serde_json::from_str(body).expect("JSON");
        write(
            "v1_entry",
            &format!("{}-stored", name(&path)),
            format!("{letter}{}", stored["spec"]).as_bytes(),
        );
        write("traces", &name(&path), body.as_bytes());
        write("leaf", &name(&path), body.as_bytes());
    }
    for name in ["BODY0", "BODY1", "BODY2"] {
        write("traces", name, &vector(name));
    }
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": [{ "name": "a", "digest": { "sha256": "ab", "sha1": "C" } }],
        "predicate": {
            "materials": [{ "uri": "b", "digest": { "gitCommit": "d" } }],
            "buildDefinition": { "resolvedDependencies": [{ "digest": { "sha512": "e" } }] },
        },
    });
    write("statement", "statement", statement.to_string().as_bytes());
    let image = json!({ "critical": {
        "type": "cosign container image signature", "image": { "docker-manifest-digest": "sha256:ab" },
        "identity": { "docker-reference": "" },
    }, "optional": null });
    write("statement", "image", image.to_string().as_bytes());
    write("simple_signing", "image", image.to_string().as_bytes());
    attestations();
    tags();
    policies();
    bundles();
    packages();
    for name in ["KEY0", "KEY2", "CERTIFICATE1"] {
        write("key", name, &vector(name));
    }
    for path in files(&crates().join("claims/tests/keys")) {
        if path.extension().is_some_and(|extension| extension == "pem") {
            write("key_file", &name(&path), &read(&path));
        }
    }
}

fn tags() {
    let record = json!({
        "tag": "docker.io/library/alpine:3.20", "digest": format!("sha256:{}", sha256(b"manifest")),
        "mediaType": "application/vnd.oci.image.index.v1+json", "seen": "2026-01-31T12:00:00Z",
        "upstream": "https://registry-1.docker.io", "rule": "enforce", "previous": 17, "approval": 18,
    });
    let approval = json!({
        "tag": "docker.io/library/alpine:3.20", "to": format!("sha256:{}", sha256(b"manifest")), "after": 17,
        "reason": "CVE-2026-1", "until": "2026-01-31T13:00:00Z",
    });
    write("tag_leaf", "record", record.to_string().as_bytes());
    write("tag_leaf", "approval", approval.to_string().as_bytes());
    let subject = Subject::sha256(None, &sha256(b"docker.io/library/alpine:3.20").to_string());
    let payload = Statement::write(StatementType::V1, &[subject], RECORD, &record.to_string());
    let payload = payload.expect("a statement");
    let body = json!({ "apiVersion": "0.0.2", "kind": "intoto", "spec": { "content": {
        "envelope": { "payloadType": PAYLOAD_TYPE, "signatures": [{ "keyid": carrying(&payload), "sig": "", "publicKey": "" }] },
        "payloadHash": { "algorithm": "sha256", "value": sha256(&payload).to_string() },
    } } });
    write("tag_leaf", "leaf", body.to_string().as_bytes());
    // The bytes are those of the target: a first record, an approval, the move by it, and a second history.
    let story = [[0, 0, 255, 255, 0, 0], [1, 1, 0, 255, 63, 0], [0, 1, 0, 1, 0, 1], [0, 2, 255, 255, 0, 2]];
    write("tag_history", "approved-and-forked", &story.concat());
    let story = [[0, 0, 255, 255, 3, 0], [0, 1, 0, 255, 3, 1], [0, 1, 0, 255, 0, 2], [0, 0, 1, 0, 0, 3]];
    write("tag_history", "moving", &story.concat());
}

fn bundles() {
    for name in ["py-v1", "py-v2", "py-att-v2", "jscli-att", "sigstore-js-5.0.1-rawkey-v1-messageSignature"] {
        write("judge", name, &read(&crates().join(format!("claims/tests/bundles/{name}.json"))));
    }
}

fn policies() {
    let predicate =
        r#"{"scanner":"trivy","found":[{"id":"CVE-1","severity":"low"}],"at":"2026-11-20T00:00:00Z"}"#;
    let rego = "package signature\ndefault allow = false\nallow { input.predicate.scanner == \"trivy\" }\ndeny[msg] { f := input.predicate.found[_]; f.severity == \"high\"; msg := concat(\" \", [f.id, \"is high\"]) }";
    let new = "package signature\nimport rego.v1\nallow if { some f in input.predicate.found; not f.severity == \"high\" }";
    let cel = "predicate.scanner == 'trivy' && predicate.found.all(f, f.severity != 'high') && now > timestamp(predicate.at)";
    for (name, text) in [("rego", rego), ("rego-v1", new), ("cel", cel)] {
        write("predicate_policy", name, format!("{text}\0{predicate}").as_bytes());
    }
}

fn attestations() {
    for path in files(&crates().join("claims/tests/attestations")) {
        let name = name(&path);
        let kind = match name.split(['-', '.']).next() {
            Some("statement") => {
                write("attestation", &name, &read(&path));
                continue;
            }
            Some("slsa") => "slsaprovenance",
            Some(kind @ ("cyclonedx" | "spdx" | "openvex" | "vuln")) => kind,
            _ => continue,
        };
        let which = PredicateType::all().position(|known| known.names.contains(&kind)).expect("is known");
        let which = u8::try_from(which).expect("few types");
        write("predicate", &name, &[&[which], read(&path).as_slice()].concat());
    }
    let revocation = Revocation {
        revoked: Revoked::Key(bulla_tlog::sha256(b"key")),
        from: "2026-01-31T12:00:00Z".parse().expect("a time"),
        reason: "lost".to_owned(),
    };
    write("attestation", "revocation", &revocation.statement().expect("is one"));
    let image = format!("sha256:{}", "ab".repeat(32));
    let payload = payload("registry.test/app", &image, &[("a".to_owned(), "<b>".to_owned())].into());
    write("simple_signing", "payload", &payload.expect("is one"));
    write("signer", "regex", b"^https://github\\.com/org/.+$\nhttps://github.com/org/app");
    write("signer", "glob", b"*@example.org\nalice@example.org");
    write("signer", "certificate", &vector("CERTIFICATE1"));
}

fn rekor() {
    let once = format!("sha256:{}; since=17", sha256(b"a"));
    write("entry_once", "header", once.as_bytes());
    let tests = crates().join("rekor/tests");
    let captured = files(&tests.join("captured"));
    let json = captured.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    for path in json.chain([&tests.join("vectors/dsse-request1.json")]) {
        let body = read(path);
        write("request_json", &name(path), &body);
        if let Some(message) = from_json(&body).ok().as_ref().and_then(protobuf) {
            write("request_protobuf", &name(path), &message.encode_to_vec());
        }
    }
    for path in files(&tests.join("trust")) {
        write("trust", &name(&path), &read(&path));
    }
    for (name, line) in [
        ("list", "203.0.113.99, [2001:db8::7]:4711, 10.0.0.2"),
        ("standard", "for=198.51.100.7;proto=https;by=_x, For=\"[2001:db8::17]:4711\""),
        ("open-quote", "for=203.0.113.99;x=\""),
    ] {
        write("forwarded", name, line.as_bytes());
    }
    for (name, offsets) in [("one", &[7][..]), ("few", &[0, 1, 4095]), ("many", &Vec::from_iter(500..1000))] {
        let mut row = vec![3];
        bulla_rekor::search::row::write(offsets, 4096, &mut row);
        write("search_row", name, &row);
    }
}

fn ledger() {
    let mut journal = Vec::new();
    let mut edge = Edge::new();
    for generation in 1..=2 {
        let mut file = vec![0; 2 * BLOCK];
        let leaf = format!("entry {generation}");
        let base = edge.size();
        edge.append(leaf_hash(leaf.as_bytes()));
        let payload = [&(leaf.len() as u16).to_be_bytes(), leaf.as_bytes()].concat();
        let root = edge.root();
        let (magic, generation_bytes, base) = (b"BREC".as_slice(), [0; 8], base.to_be_bytes());
        let (count, len) = (1_u32.to_be_bytes(), (payload.len() as u32).to_be_bytes());
        let record =
            [magic, &generation_bytes, &base, &count, &len, root.as_ref(), &[0; 32], &payload].concat();
        file[BLOCK..BLOCK + record.len()].copy_from_slice(&record);
        seal_journal(&mut file, generation);
        journal.extend_from_slice(&file);
    }
    write("journal", "two", &journal);

    let dir = Directory::of_a_log();
    write("data_dir", "format", &read(&dir.path().join("format")));
    let head = format!("{SIZE}\n{}\n", log().log.reader().published().root.to_base64());
    write("data_dir", "head", head.as_bytes());
    let bundle = zstd::bulk::compress(&log().objects["tile/entries/000"], 3).expect("compresses");
    write("data_dir", "bundle", &bundle);
    let page = block_on(log().storage.cell("history")).expect("reads");
    write("history", "page", &page.expect("a page"));

    let state = dir.path().join("state.json");
    let options = Options { state: Some(state.clone()), ..Options::default() };
    block_on(check(log().source(None), log().verifier(), options, &|_| {})).expect("is checked");
    write("fsck_state", "sound", &read(&state));
    for (which, (path, bytes)) in log().objects.iter().enumerate() {
        write("fsck_object", &path.replace('/', "-"), &[&[which as u8], bytes.as_ref()].concat());
    }
}

/// Keys, signatures and packages that other programs made.
fn certificate_transparency() {
    let vectors = crates().join("authority/tests/vectors/ct");
    let body = read(&vectors.join("add-pre-chain.json"));
    write("ct_body", "precertificate", &body);
    let chain = bulla_authority::api::ct::parse_chain(&body).expect("a chain");
    let entry = |entry| TimestampedEntry { timestamp: 7, entry, extensions: extensions(9) };
    let tbs = read(&vectors.join("tbs.der"));
    let precert = entry(Entry::Precert { issuer_key_hash: leaf_hash(b"key"), tbs });
    let rest = Rest { pre_certificate: Some(chain[0].clone()), chain: vec![leaf_hash(&chain[1])] };
    let precert = TileLeaf { entry: precert, rest };
    let x509 = entry(Entry::X509 { certificate: chain[1].clone() });
    let x509 = TileLeaf { entry: x509, rest: Rest { pre_certificate: None, chain: Vec::new() } };
    write("ct_tile", "leaf", &precert.entry.leaf().expect("fits"));
    let tile = [precert, x509].map(|leaf| leaf.encode().expect("fits"));
    write("ct_tile", "tile", &tile.concat());
}

fn packages() {
    let folder = crates().join("claims/tests/vectors/packages");
    let file = |name: &str| read(&folder.join(name));
    let content = |name: &str| json!({ "content": STANDARD.encode(file(name)) });
    let rekord = |format: &str, key: &str, signature: &str| {
        json!({
            "signature": {
                "format": format, "content": STANDARD.encode(file(signature)), "publicKey": content(key),
            },
            "data": content("artifact"),
        })
    };
    let package =
        |key: &str, package: &str| json!({ "publicKey": content(key), "package": content(package) });
    let json = |name: &str| serde_json::from_slice::<Value>(&file(name)).expect("JSON");
    let entries = [
        ("rekord", "x509", rekord("x509", "x509-p256.pub", "x509-p256.sig")),
        ("rekord", "pgp", rekord("pgp", "pgp-ed.pub", "pgp-ed.asc")),
        ("rekord", "minisign", rekord("minisign", "minisign.pub", "minisign.minisig")),
        ("rekord", "ssh", rekord("ssh", "ssh-ed25519.pub", "ssh-ed25519.sig")),
        ("alpine", "package", package("x509-rsa.pub", "package.apk")),
        ("rpm", "package", package("pgp-rsa.pub", "package.rpm")),
        ("jar", "rsa", json!({ "archive": content("rsa.jar") })),
        ("rfc3161", "ec", json!({ "tsr": content("ec.tsr") })),
        (
            "helm",
            "chart",
            json!({ "publicKey": content("pgp-rsa.pub"), "chart": { "provenance": content("hi-0.1.0.tgz.prov") } }),
        ),
        (
            "cose",
            "statement",
            json!({
                "publicKey": STANDARD.encode(file("x509-p256.pub")),
                "message": STANDARD.encode(file("es256-statement.cose")),
                "data": {},
            }),
        ),
        (
            "tuf",
            "timestamp",
            json!({ "root": { "content": json("root.json") }, "metadata": { "content": json("timestamp.json") } }),
        ),
    ];
    for (kind, name, spec) in entries {
        let which = kinds().position(|(known, _)| known == kind).expect("a kind");
        let letter = char::from(b'a' + u8::try_from(which).expect("few kinds"));
        write("v1_entry", &format!("{kind}-{name}"), format!("{letter}{spec}").as_bytes());
    }
    // The letters are those of the target.
    for (letter, names) in [
        (b'a', ["pgp-rsa.pub", "pgp-two.gpg"].as_slice()),
        (b'b', &["x509-rsa.pub"]),
        (b'c', &["minisign.pub", "signify.pub"]),
        (b'd', &["ssh-rsa.pub", "ssh-ecdsa-384.pub"]),
        (b'e', &["root.json"]),
        (b'f', &["pgp-rsa.asc", "pgp-ed.sig"]),
        (b'g', &["minisign.minisig", "signify.sig"]),
        (b'h', &["ssh-rsa.sig", "ssh-ecdsa-384.sig"]),
        (b'i', &["rsa.pkcs7"]),
        (b'j', &["hi-0.1.0.tgz.prov"]),
    ] {
        for name in names {
            write("v1_keys", name, &[&[letter], file(name).as_slice()].concat());
        }
    }
}

fn identities() {
    let file = "[[issuer]]\nurl = \"https://accounts.example.org\"\ntype = \"email\"\n\
                issuer-claim = \"federated_claims.connector_id\"\n\n[[issuer]]\n\
                wildcard = \"https://oidc.eks.*.amazonaws.com/id/*\"\ntype = \"kubernetes\"\naudience = \"bulla\"\n\n\
                [[issuer]]\nurl = \"https://ci.example.org\"\ntype = \"generic\"\nname-kind = \"username\"\n\
                name = \"{user}!{{{host?}\"\n[issuer.extensions]\nbuild-trigger = \"{event}\"\n";
    write("issuers", "three", file.as_bytes());
    write("identity_token", "text", b"eyJhbGciOiJFZERTQSJ9.e30.AA");
    // The letters are those of the target.
    for (letter, name, claims) in [
        (
            'a',
            "email",
            json!({"sub": "1", "email": "a@example.org", "email_verified": true, "iat": 1_800_000_000}),
        ),
        (
            'c',
            "gitlab",
            json!({"sub": "1", "ci_config_ref_uri": "g/a//.gitlab-ci.yml@refs/heads/ü", "ref_type": "tag"}),
        ),
        (
            'd',
            "buildkite",
            json!({"sub": "1", "organization_slug": "a", "pipeline_slug": "b", "build_number": 1,
            "job_id": "c", "runner_environment": "d", "build_commit": "e", "build_source": "f"}),
        ),
        (
            'e',
            "kubernetes",
            json!({"sub": "1", "kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b"}}}),
        ),
        ('f', "spiffe", json!({"sub": "spiffe://example.org/a"})),
        ('g', "uri", json!({"sub": "https://example.org/a"})),
        ('h', "username", json!({"sub": "jane"})),
        ('i', "generic", json!({"sub": "1", "a": {"b": "%20"}, "c": 7})),
    ] {
        write("identity_token", name, format!("{letter}{claims}").as_bytes());
    }
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn name(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn certificates() {
    let keys = crates().join("claims/tests/keys");
    for path in
        files(&keys).iter().filter(|path| path.extension().is_some_and(|extension| extension == "pub"))
    {
        write("certificate_request", &name(path), &read(path));
    }
    let requests = crates().join("authority/tests/requests");
    for path in files(&requests) {
        write("certificate_request", &name(&path), &read(&path));
    }
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).expect("is made");
    fs::write(folder.join(name), bytes).expect("is written");
}
