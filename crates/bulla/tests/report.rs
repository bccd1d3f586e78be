//! `bulla report` as auditors and pipelines run it: what is counted, in every form; that nothing is guessed; and that whoever
//! changes a report is found out.

mod common;
mod layout;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod reported;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use bulla_claims::simple_signing;
use bulla_tlog::{Hash, sha256};
use common::{answering, bulla, run};
use layout::{Layout, MANIFEST, SIGN};
use reported::{lie, made, recheck, report, resealed};
use serde_json::{Value, json};

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const SBOM: &str = "https://spdx.dev/Document";
const VEX: &str = "https://openvex.dev/ns/v0.2.0";

/// One image with everything, one with nothing, one that a stranger signed, one that was signed as cosign used to.
fn four() -> (Layout, [Hash; 4]) {
    let mut layout = Layout::new();
    let hashes = ["all", "none", "forged", "old"].map(|tag| layout.image(tag));
    let [all, _, forged, old] = &hashes;
    for statement in [SIGN, PROVENANCE, SBOM, VEX] {
        layout.state(all, statement);
    }
    let mut stranger = layout.maker.statement(forged, SIGN, &json!({}));
    stranger["dsseEnvelope"]["signatures"][0]["sig"] = json!("MEUCIQ==");
    layout.refer(forged, &stranger);
    let payload = simple_signing::payload("r", &format!("sha256:{old}"), &BTreeMap::new()).expect("is one");
    let signature = layout.maker.key.sign(&payload).expect("signs");
    let body = made::body(&sha256(&payload), &signature, &layout.maker.pem());
    let mut layer = layout.blob(simple_signing::MEDIA_TYPE, &payload);
    layer["annotations"] = json!(layout.maker.annotations(&signature, &body));
    let config = layout.blob("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    layout.list(&manifest, &format!("sha256-{old}.sig"));
    (layout, hashes)
}

#[test]
fn every_signature_of_every_image_is_judged_and_counted() {
    let (layout, [all, ..]) = four();
    let report = made(&layout, &[]);
    assert_eq!(report["schema"], "bulla.report/v1");
    assert!(report["generated_at"].as_str().expect("text").ends_with('Z'));
    let images = report["images"].as_array().expect("a list");
    let statuses: Vec<_> = images.iter().map(|image| image["status"].as_str().expect("text")).collect();
    assert_eq!(statuses, ["verified", "unsigned", "not-verified", "verified"], "the .sig is no image");
    let first = &images[0];
    assert_eq!(first["image_ref"], "oci:images:all");
    assert_eq!(first["digest"], format!("sha256:{all}"));
    assert_eq!([&first["total_entries"], &first["valid_entries"], &first["invalid_entries"]], [4, 4, 0]);
    assert_eq!(first["generated_at"], report["generated_at"]);
    let covered =
        json!({ "signed": true, "provenance": true, "sbom": true, "vex": true, "vulnerability_scan": false });
    assert_eq!(first["coverage"], covered);
    for entry in first["entries"].as_array().expect("a list") {
        assert_eq!(entry["uuid"].as_str().expect("text").len(), 64);
        assert_eq!(
            (entry["status"].as_str(), entry["timestamp"].as_str()),
            (Some("valid"), Some("2026-11-21T02:50:00Z"))
        );
    }
    assert_eq!(images[1]["reason"], "it has no signatures");
    let forged = &images[2];
    assert_eq!([&forged["total_entries"], &forged["valid_entries"], &forged["invalid_entries"]], [1, 0, 1]);
    assert_eq!(forged["entries"][0]["status"], "invalid");
    assert_eq!(forged["coverage"]["signed"], false);
    assert_eq!(images[3]["entries"][0]["kind"], "signature");
    let totals = &report["totals"];
    assert_eq!(
        [&totals["images"], &totals["verified"], &totals["unsigned"], &totals["not_verified"]],
        [4, 2, 1, 1]
    );
    assert_eq!(totals["coverage"]["provenance"], json!({ "yes": 1, "no": 3, "undetermined": 0 }));
    // Of what does not hold nobody is said to have signed it.
    let signers = report["signers"].as_array().expect("a list");
    assert_eq!(
        (signers.len(), &signers[0]["valid_entries"], &signers[0]["images"]),
        (1, &json!(5), &json!(2))
    );
    assert_eq!(signers[0]["first_seen"], "2026-11-21T02:50:00Z");
    let contradicted =
        report["logs"].as_array().expect("a list").iter().find(|log| log["origin"] == "log.example - 1");
    // The made log has a tree of one entry for each of its entries, which no honest log has.
    assert!(
        contradicted.expect("was met")["contradiction"]
            .as_str()
            .expect("is seen")
            .starts_with("its tree of size 1 has the root ")
    );
    assert!(
        report["about"].as_str().expect("text").contains("no claim that any control"),
        "{}",
        report["about"]
    );
}

#[test]
fn one_judgement_is_written_in_every_form() {
    let (layout, _) = four();
    made(&layout, &["--out", "report.html", "--out", "report.csv"]);
    let html = fs::read_to_string(layout.file("report.html")).expect("is there");
    let hash = sha256(&fs::read(layout.file("report.json")).expect("is there"));
    assert!(html.contains(&hash.to_string()), "the page names the evidence");
    assert!(html.contains("<svg") && html.contains("prefers-color-scheme") && html.contains("@media print"));
    for outside in ["<script", "http-equiv=\"refresh\"", "src=", "href=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside} is not in a page that stands by itself");
    }
    let csv = fs::read_to_string(layout.file("report.csv")).expect("is there");
    assert_eq!(csv.matches("\r\n").count(), 5, "{csv}");
    assert!(csv.starts_with("image_ref,digest,status,reason,signed,"), "{csv}");
    let (code, said, _) = run(&mut report(&layout, &["oci:images", "--offline"]));
    assert_eq!(code, 0);
    assert!(
        said.contains("images      4\n")
            && said.contains("unsigned    oci:images:none: it has no signatures\n"),
        "{said}"
    );
    let (code, said, _) = run(&mut report(&layout, &["oci:images:all", "--offline", "--output", "json"]));
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &said["totals"]["images"]), (0, &json!(1)));
    let (code, _, errors) = run(&mut report(&layout, &["oci:images", "--offline", "--out", "report.pdf"]));
    assert_eq!(code, 2);
    assert!(errors.contains("--out report.pdf: the form of a report is what its name ends with"), "{errors}");
}

const HOSTILE: &str = "<script>alert(1)</script>";

/// A cluster whose images nobody would name so who means well.
fn hostile_pods(layout: &Layout) {
    let pods = json!({ "kind": "List", "items": [{
        "metadata": { "namespace": "<img src=x onerror=alert(2)>", "name": "p" },
        "spec": { "containers": [
            { "name": "c", "image": HOSTILE }, { "name": "d", "image": "=cmd|' /C calc'!A0" }, { "name": "e", "image": "\u{1b}[2Joci:x" },
        ] },
    }] });
    fs::write(layout.file("pods.json"), pods.to_string()).expect("writes");
}

/// Not a test: writes every form for `tests/report`, in `BULLA_FORMS_DIR`.
#[test]
#[ignore = "writes reports for tests/report"]
fn forms_for_other_readers() {
    let (layout, _) = four();
    hostile_pods(&layout);
    let folder = std::env::var("BULLA_FORMS_DIR").expect("BULLA_FORMS_DIR is set by tests/report/run");
    let mut command = report(&layout, &["oci:images", "--cluster-dump", "pods.json", "--offline"]);
    for form in ["json", "html", "csv", "sarif"] {
        command.arg("--out").arg(format!("{folder}/r.{form}"));
    }
    let (code, said, errors) = run(&mut command);
    assert_eq!(code, 0, "{said}{errors}");
}

#[test]
fn what_strangers_write_is_text_in_every_form() {
    let mut layout = Layout::new();
    layout.image("a");
    hostile_pods(&layout);
    let forms =
        ["--cluster-dump", "pods.json", "--out", "r.html", "--out", "r.csv", "--out", "r.json", "--offline"];
    let (code, said, errors) = run(&mut report(&layout, &forms));
    assert_eq!(code, 0, "{errors}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let html = fs::read_to_string(layout.file("r.html")).expect("is there");
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert!(
        html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("&lt;img src=x"),
        "{html}"
    );
    let csv = fs::read_to_string(layout.file("r.csv")).expect("is there");
    assert!(csv.lines().any(|line| line.starts_with("'=cmd|")), "{csv}");
    let json: Value =
        serde_json::from_slice(&fs::read(layout.file("r.json")).expect("is there")).expect("JSON");
    assert_eq!(json["totals"]["undetermined"], 3, "a name that cannot be read says nothing about an image");
    assert_eq!(json["images"][0]["image_ref"], HOSTILE);
    assert_eq!(json["images"][0]["used_by"], json!(["<img src=x onerror=alert(2)>/p/c"]));
}

#[test]
fn images_are_named_in_lists_and_each_counts_once() {
    let (layout, _) = four();
    fs::write(
        layout.file("list"),
        "# what runs\noci:images:all\n\noci:images:none # twice\noci:images:none\n",
    )
    .expect("writes");
    let (code, said, errors) =
        run(&mut report(&layout, &["--images", "list", "oci:images:all", "--offline"]));
    assert_eq!(code, 0, "{errors}");
    assert!(said.contains("images      2\n"), "{said}");
    let mut child = report(&layout, &["--images", "-", "--offline"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(b"oci:images:old\n").expect("writes");
    let ended = child.wait_with_output().expect("ends");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("images      1\n"));
    fs::write(layout.file("list"), "oci:images:all\nUPPER CASE\n").expect("writes");
    for (more, expected) in [
        (vec!["--images", "list"], "bulla: list line 2: image \"UPPER CASE\": "),
        (
            vec!["--offline", "registry.example/a"],
            "bulla: \"registry.example/a\" is not in a directory, oci:DIR, and with --offline",
        ),
        (vec!["--offline"], "bulla: no image is named: name some, or pass --images FILE,"),
        (
            vec!["oci:images", "--sign"],
            "bulla: --sign signs the JSON report: name its file with --out FILE.json",
        ),
    ] {
        let (code, _, errors) = run(&mut report(&layout, &more));
        assert_eq!(code, 2, "{errors}");
        assert!(errors.starts_with(expected), "{errors}");
    }
}

#[test]
fn a_pipeline_stops_at_what_it_names() {
    let (layout, _) = four();
    for (what, code, said) in [
        ("undetermined", 0, ""),
        ("unsigned", 1, "bulla: of 4 images 1 unsigned\n"),
        (
            "unsigned,not-verified,no-sbom",
            1,
            "bulla: of 4 images 1 unsigned, 1 not-verified, 3 without SBOM\n",
        ),
        ("contradiction", 1, "from a log that contradicts itself\n"),
    ] {
        let (ended, _, errors) = run(&mut report(&layout, &["oci:images", "--offline", "--fail-on", what]));
        assert_eq!(ended, code, "{what}: {errors}");
        assert!(errors.contains(said), "{what}: {errors}");
    }
}

#[test]
fn a_throttled_or_absent_registry_makes_images_undetermined_and_never_unsigned() {
    let mut layout = Layout::new();
    let hash = layout.image("1");
    let manifest = fs::read(layout.file(&format!("images/blobs/sha256/{hash}"))).expect("is there");
    let host = answering(move |path| {
        match path {
        path if path.starts_with("/v2/_catalog") => (200, "application/json", br#"{"repositories":["team/app","team/gone","other"]}"#.to_vec()),
        path if path.starts_with("/v2/team/app/tags/") => (200, "application/json", br#"{"tags":["1","sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.sig"]}"#.to_vec()),
        path if path.starts_with("/v2/team/gone/tags/") => (503, "application/json", b"{}".to_vec()),
        path if path.contains("/manifests/1") => (200, MANIFEST, manifest.clone()),
        path if path.contains("/referrers/") => (429, "application/json", b"{}".to_vec()),
        _ => (404, "application/json", b"{}".to_vec()),
    }
    });
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let absent = format!("{free}/team/app:1");
    let more = [
        "--registry",
        &format!("{host}/team"),
        &absent,
        "--output",
        "json",
        "--fail-on",
        "unsigned,undetermined",
    ];
    let (code, said, errors) = run(&mut report(&layout, &more));
    assert_eq!(code, 3, "{said}{errors}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let rows = said["images"].as_array().expect("a list");
    let reasons: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["image_ref"].as_str().expect("text"),
                row["status"].as_str().expect("text"),
                row["reason"].as_str().expect("text"),
            )
        })
        .collect();
    assert_eq!(rows.len(), 3, "{reasons:#?}");
    assert!(reasons.iter().all(|(_, status, _)| *status == "undetermined"), "{reasons:#?}");
    assert_eq!(reasons[0].0, absent);
    assert!(reasons[1].2.contains("what refers to sha256:") && reasons[1].2.contains("429"), "{reasons:#?}");
    assert!(reasons[2].0.ends_with("/team/gone") && reasons[2].2.contains("503"), "{reasons:#?}");
    assert_eq!(rows[1]["coverage"]["signed"], Value::Null);
}

#[test]
fn a_pipeline_does_not_go_on_with_images_that_nobody_could_read() {
    let (layout, _) = four();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let absent = format!("{free}/team/app:1");
    for (images, what, code, said) in [
        (vec![&absent], "unsigned", 3, "bulla: of 1 images 1 undetermined\n"),
        (vec![&absent], "not-verified", 3, "bulla: of 1 images 1 undetermined\n"),
        (vec![&absent], "no-sbom,no-vex", 3, "bulla: of 1 images 1 undetermined\n"),
        (vec![&absent], "contradiction", 0, ""),
        (vec![&absent, &"oci:images:none".to_owned()], "unsigned", 1, "bulla: of 2 images 1 unsigned\n"),
    ] {
        let mut command = report(&layout, &["--fail-on", what]);
        let (ended, _, errors) = run(command.args(images));
        assert_eq!(ended, code, "{what}: {errors}");
        assert!(errors.contains(said), "{what}: {errors}");
    }
    // That nobody signs the report now changes nothing of what was found.
    let sign = ["--sign", "--sign-key", "no.key", "--sign-url", &format!("http://{free}"), "--out", "r.json"];
    for (what, code) in [("unsigned", 1), ("contradiction", 3)] {
        let mut command = report(&layout, &["oci:images:none", "--fail-on", what]);
        let (ended, _, errors) = run(command.args(sign));
        assert_eq!(ended, code, "{errors}");
        assert!(errors.contains(&format!("http://{free}/signing_config.v0.2.json: ")), "{errors}");
    }
}

#[test]
fn a_report_is_judged_again_without_any_network() {
    let (layout, _) = four();
    made(&layout, &[]);
    let signed = layout.maker.message(&fs::read(layout.file("report.json")).expect("is there"));
    fs::write(layout.file("report.json.sigstore.json"), signed.to_string()).expect("writes");
    let mut alone = Command::new("unshare");
    alone.current_dir(layout.path()).args(["--net", "--map-root-user", env!("CARGO_BIN_EXE_bulla")]);
    alone.args(["report", "verify", "report.json", "--trusted-root", "root.json", "--key", "key.pub"]);
    let (code, said, errors) = run(&mut alone);
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert!(said.starts_with("verified    report.json\nsigned by   the key of sha256 "), "{said}");
    assert!(
        said.contains("judged      6 signatures and statements of 4 images again, under your trusted root\n"),
        "{said}"
    );
    assert!(said.contains("says        2 verified, 1 not-verified, 1 unsigned, 0 undetermined\n"), "{said}");
    let (_, said, _) = recheck(&layout, "report.json", &["--key", "key.pub", "--output", "json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["verdict"], &said["judged_entries"]), (&json!("verified"), &json!(6)));

    // Signed by somebody else, or by nobody.
    let other = made::Maker::new();
    fs::write(layout.file("other.pub"), other.pem()).expect("writes");
    let (code, said, errors) = recheck(&layout, "report.json", &["--key", "other.pub"]);
    assert_eq!(code, 1, "{said}");
    assert!(errors.contains("not verified: signature: "), "{errors}");
    fs::remove_file(layout.file("report.json.sigstore.json")).expect("is removed");
    let (code, _, errors) = recheck(&layout, "report.json", &["--key", "key.pub"]);
    assert_eq!(code, 2);
    assert!(errors.contains("there is no signature of the report: "), "{errors}");
    assert_eq!(recheck(&layout, "report.json", &["--skip-signature-unsafe"]).0, 0);
}

#[test]
fn who_believes_others_comes_to_other_verdicts() {
    let (layout, _) = four();
    made(&layout, &[]);
    let other = made::Maker::new();
    fs::write(layout.file("root.json"), other.trusted_root(&[])).expect("writes");
    let (code, said, _) = recheck(&layout, "report.json", &["--skip-signature-unsafe"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("note        the report was made under another trusted root than yours"), "{said}");
    assert!(said.contains("FAILED      images[0] (oci:images:all): "), "{said}");
    assert!(said.contains("FAILED      totals: totals."), "{said}");
}

#[test]
fn one_flipped_byte_is_found_wherever_it_is_and_named() {
    let (layout, _) = four();
    made(&layout, &[]);
    let whole = fs::read(layout.file("report.json")).expect("is there");
    let members = [
        "the first line",
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
        "images",
        "images[0] (oci:images:all)",
        "images[1] (oci:images:none)",
        "images[2] (oci:images:forged)",
        "images[3] (oci:images:old)",
        "images",
        "digests",
        "seal",
        "the end",
    ];
    let mut start = 0;
    for (at, (line, member)) in whole.split_inclusive(|byte| *byte == b'\n').zip(members).enumerate() {
        // The first byte, one in the middle, the last, and the end of the line.
        let mut places = vec![0, line.len() / 2, line.len() - 2, line.len() - 1];
        places.dedup();
        for place in places {
            let mut changed = whole.clone();
            changed[start + place] ^= 1;
            fs::write(layout.file("changed.json"), &changed).expect("writes");
            let (code, said, errors) = recheck(&layout, "changed.json", &["--skip-signature-unsafe"]);
            assert_eq!(code, 1, "{member} byte {place}: {said}{errors}");
            // What is no letter of the name any more cannot be read as a name. The end of a line is the next one's begin, and
            // of the digests and their seal it is not known which of the two was changed.
            let is_end = place == line.len() - 1;
            let next = members.get(at + 1).filter(|_| is_end).copied().unwrap_or(member);
            let or = if ["seal", "the end"].contains(&member) { "digests" } else { next };
            let named = |name: &str| {
                said.contains(&format!("FAILED      {}", name.split(" (").next().unwrap_or(name)))
            };
            assert!(named(member) || named(or), "{member} byte {place}: {said}");
        }
        start += line.len();
    }
    assert_eq!(start, whole.len(), "every line was tried");
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(layout.file("changed.json"), &whole[..cut]).expect("writes");
        let (code, said, _) = recheck(&layout, "changed.json", &["--skip-signature-unsafe"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("cut short"), "{said}");
    }
}

#[test]
fn a_lie_whose_digests_fit_is_found_by_judging_again() {
    let (layout, _) = four();
    made(&layout, &[]);
    let whole = fs::read_to_string(layout.file("report.json")).expect("is there");
    let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    assert_eq!(resealed(&lines), whole, "that is how it is made");
    for (line, from, to, expected) in [
        (
            16,
            r#""status":"invalid""#,
            r#""status":"valid""#,
            "FAILED      images[2] (oci:images:forged): entries[0].status is \"valid\", judged again it is \"invalid\"",
        ),
        (
            15,
            r#""status":"unsigned""#,
            r#""status":"verified""#,
            "FAILED      images[1] (oci:images:none): status is \"verified\", judged again it is \"unsigned\"",
        ),
        (
            14,
            r#""valid_entries":4"#,
            r#""valid_entries":3"#,
            "FAILED      images[0] (oci:images:all): valid_entries is 3, judged again it is 4",
        ),
        (
            14,
            r#""sbom":true"#,
            r#""sbom":false"#,
            "FAILED      images[0] (oci:images:all): coverage.sbom is false",
        ),
        (
            8,
            r#""unsigned":1"#,
            r#""unsigned":0"#,
            "FAILED      totals: totals.unsigned is 0, judged again it is 1",
        ),
        (
            9,
            r#""images":2"#,
            r#""images":3"#,
            "FAILED      signers: signers[0].images is 3, judged again it is 2",
        ),
        (
            10,
            r#""entries":"#,
            r#""entries":1"#,
            "FAILED      logs: are not those that the entries in the images are of",
        ),
        (2, "2026", "2999", "FAILED      generated_at: is \"2999"),
        (1, "v1", "v9", "FAILED      schema: is \"bulla.report/v9\", \"bulla.report/v1\" was expected"),
        (6, "\"require\":1", "\"require\":9", "FAILED      asked: asked.require: 9 of 1 are required"),
    ] {
        let mut lines = lines.clone();
        assert!(lines[line].contains(from), "line {line}: {}", lines[line]);
        lines[line] = lines[line].replacen(from, to, 1);
        let (code, said) = lie(&layout, &lines);
        assert_eq!(code, 1, "{to}: {said}");
        assert!(said.contains(expected), "{to}: {said}");
    }
    // An image that is left out changes what all of them come to.
    let mut less = lines.clone();
    less.remove(15);
    let (code, said) = lie(&layout, &less);
    assert_eq!(code, 1);
    assert!(said.contains("FAILED      totals: totals."), "{said}");
}

#[test]
fn no_reader_of_json_sees_other_images_than_were_judged() {
    let (layout, _) = four();
    made(&layout, &[]);
    let whole = fs::read_to_string(layout.file("report.json")).expect("is there");
    let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    let evil = lines[14].replace("oci:images:all", "evil");
    let evil = evil.trim_end_matches(',');
    for (line, from, to, expected) in [
        (13, "[", format!("[{evil},"), "images: line 14 is not \"images\":["),
        (18, "],", format!("],\"images\":[{evil}],"), "images: line 19 is not ],"),
        (17, "}", "},".to_owned(), "images[3]: trailing characters"),
        (16, ",\"uses\"", " ,\"uses\"".to_owned(), "images[2]: is not as it was written"),
        (15, "{", "{\"certified\":true,".to_owned(), "images[1]: is not as it was written"),
        (15, "{", "{\"image_ref\":\"x\",".to_owned(), "images[1]: duplicate field `image_ref`"),
        (14, "\"uuid\"", "\"audited\":1,\"uuid\"".to_owned(), "images[0]: is not as it was written"),
        (14, "},", "}".to_owned(), "images[0]: is not the last one, and does not end with a comma"),
        (8, "{", "{\"verified\":9,".to_owned(), "totals: is not as it was written"),
    ] {
        let mut lines = lines.clone();
        // What ends a line is changed at its end.
        let at = if from.starts_with('}') { lines[line].rfind(from) } else { lines[line].find(from) };
        let at = at.expect("is in the line");
        lines[line].replace_range(at..at + from.len(), &to);
        let (code, said) = lie(&layout, &lines);
        assert_eq!(code, 1, "{to}: {said}");
        assert!(said.contains(&format!("FAILED      {expected}")), "{to}: {said}");
    }
}

#[test]
fn without_evidence_nothing_is_said_to_be_judged_again() {
    let (layout, _) = four();
    made(&layout, &["--without-evidence"]);
    let (code, said, _) = recheck(&layout, "report.json", &["--skip-signature-unsafe"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("judged      0 signatures")
            && said.contains("not judged  6, the report does not carry them along\n"),
        "{said}"
    );
    let note = "note        verified only as the report says, by signatures that it does not carry along: oci:images:all, oci:images:old\n";
    assert!(said.contains(note), "{said}");
}

#[test]
fn what_is_not_carried_along_hides_no_lie() {
    let (layout, _) = four();
    made(&layout, &[]);
    let whole = fs::read_to_string(layout.file("report.json")).expect("is there");
    let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    let invalid = r#"{"uuid":null,"timestamp":null,"status":"invalid","problem":"signature: none","kind":"signature","predicate_type":null,"signer":null,"logs":[],"place":"x"}"#;
    let valid = invalid.replace("invalid", "valid").replace("\"signature: none\"", "null");
    let others = |entry: &str| format!("\"entries\":[{entry}]");
    let verified = r#""status":"verified","reason":null"#;
    let unsigned = r#""status":"unsigned","reason":"it has no signatures""#;
    for (more, expected) in [
        (vec![], "invalid_entries is 0, judged again it is 1"),
        (vec![(unsigned, verified)], "invalid_entries is 0, judged again it is 1"),
        (
            vec![
                ("\"total_entries\":0", "\"total_entries\":1"),
                ("\"invalid_entries\":0", "\"invalid_entries\":1"),
                (unsigned, verified),
            ],
            "reason is null, judged again it is \"signature: none\"",
        ),
    ] {
        let mut lines = lines.clone();
        lines[15] = lines[15].replace("\"entries\":[]", &others(invalid));
        for (from, to) in more {
            assert!(lines[15].contains(from), "{from}: {}", lines[15]);
            lines[15] = lines[15].replace(from, to);
        }
        let (code, said) = lie(&layout, &lines);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&format!("FAILED      images[1] (oci:images:none): {expected}")), "{said}");
    }
    // What one of them could bring is the report's word, and is said to be.
    let mut lines = lines.clone();
    lines[15] = lines[15].replace("\"entries\":[]", &others(&valid)).replace(unsigned, verified);
    lines[15] = lines[15]
        .replace("\"total_entries\":0,\"valid_entries\":0", "\"total_entries\":1,\"valid_entries\":1");
    lines[15] = lines[15].replace("\"signed\":false", "\"signed\":true");
    let (_, said) = lie(&layout, &lines);
    assert!(!said.contains("FAILED      images[1]"), "{said}");
    assert!(said.contains("by signatures that it does not carry along: oci:images:none\n"), "{said}");
}

#[test]
fn of_an_image_that_could_not_be_read_nothing_is_said() {
    let (layout, _) = four();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let absent = format!("{free}/team/app:1");
    let (code, said, errors) = run(&mut report(&layout, &[&absent, "--out", "report.json"]));
    assert_eq!(code, 0, "{said}{errors}");
    let (code, said, errors) = recheck(&layout, "report.json", &["--skip-signature-unsafe"]);
    assert_eq!(code, 0, "{said}{errors}");
    let whole = fs::read_to_string(layout.file("report.json")).expect("is there");
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    lines[14] = lines[14].replace("\"undetermined\"", "\"unsigned\"");
    let (code, said) = lie(&layout, &lines);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("status is \"unsigned\", judged again it is \"undetermined\""), "{said}");
}

#[test]
fn a_bundle_in_a_report_is_the_one_that_was_signed() {
    let (layout, [all, ..]) = four();
    let report = made(&layout, &[]);
    let bundle = report["images"][0]["entries"][0]["evidence"]["bundle"].as_str().expect("is text");
    fs::write(layout.file("out.sigstore.json"), bundle).expect("writes");
    let artifact = format!("images/blobs/sha256/{all}");
    let kind = report["images"][0]["entries"][0]["predicate_type"].as_str().expect("text");
    let mut command = bulla();
    command.current_dir(layout.path()).args([
        "verify-attestation",
        &artifact,
        "--type",
        kind,
        "--bundle",
        "out.sigstore.json",
    ]);
    let (code, said, errors) =
        run(command.args(["--trusted-root", "root.json", "--key", "key.pub", "--offline"]));
    assert_eq!(code, 0, "{said}{errors}");
    assert!(Path::new(&layout.file("report.json")).is_file());
}

#[test]
fn what_was_taken_back_counts_no_more() {
    let (layout, _) = four();
    let key = sha256(layout.maker.key.spki());
    let revoke = |maker: &made::Maker, name: &str| {
        let said = json!({ "revoked": { "key": { "sha256": key.to_string() } }, "from": "2026-01-31T12:00:00Z", "reason": "<stolen>" });
        fs::write(layout.file(name), maker.statement(&key, "urn:bulla:revocation:v1", &said).to_string())
            .expect("writes");
    };
    revoke(&layout.maker, "revoked.json");
    let report = made(&layout, &["--revocations", "revoked.json", "--out", "r.html", "--out", "r.sarif"]);
    assert_eq!([&report["totals"]["verified"], &report["totals"]["valid_entries"]], [0, 0]);
    assert_eq!(report["images"][0]["status"], "not-verified");
    let reason = report["images"][0]["reason"].as_str().expect("text");
    assert!(
        reason.starts_with("revocation: the key of sha256 ")
            && reason.contains("is revoked since 2026-01-31T12:00:00Z"),
        "{reason}"
    );
    let listed = &report["revocations"][0];
    assert_eq!(
        [&listed["reason"], &listed["from"], &listed["place"]],
        ["<stolen>", "2026-01-31T12:00:00Z", "revoked.json"]
    );
    assert!(fs::read_to_string(layout.file("r.html")).expect("is there").contains("&lt;stolen&gt;"));
    let sarif: Value =
        serde_json::from_slice(&fs::read(layout.file("r.sarif")).expect("is there")).expect("JSON");
    let rules: Vec<_> = sarif["runs"][0]["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|result| result["ruleId"].clone())
        .collect();
    for rule in [
        "bulla/unsigned",
        "bulla/not-verified",
        "bulla/signature-not-accepted",
        "bulla/log-contradicts-itself",
    ] {
        assert!(rules.contains(&json!(rule)), "{rule}: {rules:?}");
    }
    let (code, said, errors) = recheck(&layout, "report.json", &["--skip-signature-unsafe"]);
    assert_eq!(code, 0, "{said}{errors}");
    // The one who reads a report may know more than the one who made it.
    made(&layout, &[]);
    let signed = layout.maker.message(&fs::read(layout.file("report.json")).expect("is there"));
    fs::write(layout.file("report.json.sigstore.json"), signed.to_string()).expect("writes");
    let (code, said, _) =
        recheck(&layout, "report.json", &["--key", "key.pub", "--revocations", "revoked.json"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("FAILED      signature: revocation: ")
            && said.contains("FAILED      images[0] (oci:images:all): "),
        "{said}"
    );
}

#[test]
fn a_report_that_is_dated_back_is_found_out_and_escapes_no_revocation() {
    // A signature that no clock saw.
    let mut layout = Layout::new();
    let hash = layout.image("clockless");
    let mut bundle = layout.maker.statement(&hash, SIGN, &json!({}));
    let entry = bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().expect("an entry");
    entry.remove("inclusionPromise");
    layout.refer(&hash, &bundle);
    let (code, said, errors) =
        run(&mut report(&layout, &["oci:images:clockless", "--offline", "--out", "report.json"]));
    assert_eq!(code, 0, "{said}{errors}");
    let report: Value =
        serde_json::from_slice(&fs::read(layout.file("report.json")).expect("is there")).expect("JSON");
    assert_eq!(
        (&report["totals"]["verified"], &report["images"][0]["entries"][0]["timestamp"]),
        (&json!(1), &Value::Null),
        "{}",
        report["images"][0]
    );
    let text = fs::read_to_string(layout.file("report.json")).expect("is there");
    let text = text.replace(report["generated_at"].as_str().expect("text"), "2026-11-19T12:00:00Z");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let text = resealed(&lines);
    fs::write(layout.file("report.json"), &text).expect("writes");
    let signed = layout.maker.message(text.as_bytes());
    fs::write(layout.file("report.json.sigstore.json"), signed.to_string()).expect("writes");
    let (code, said, _) = recheck(&layout, "report.json", &["--key", "key.pub"]);
    assert_eq!(code, 1, "{said}");
    let late = "generated_at: is \"2026-11-19T12:00:00Z\", the report was signed more than a day later, 2026-11-21T02:50:00Z";
    assert!(said.contains(&format!("FAILED      {late}\n")), "{said}");
    assert!(!said.contains("FAILED      images"), "{said}");
    // Since then the key was stolen, but its signature of the report was seen before.
    let key = sha256(layout.maker.key.spki());
    let said = json!({ "revoked": { "key": { "sha256": key.to_string() } }, "from": "2026-11-21T02:55:00Z", "reason": "stolen" });
    let revoked = layout.maker.statement(&key, "urn:bulla:revocation:v1", &said).to_string();
    fs::write(layout.file("revoked.json"), revoked).expect("writes");
    let (code, said, _) =
        recheck(&layout, "report.json", &["--key", "key.pub", "--revocations", "revoked.json"]);
    assert_eq!(code, 1, "{said}");
    assert!(!said.contains("FAILED      signature"), "{said}");
    assert!(said.contains("FAILED      images[0] (oci:images:clockless): "), "{said}");
}

#[test]
fn revocations_count_in_a_report_that_nobody_signed_too() {
    let (layout, _) = four();
    made(&layout, &[]);
    let key = sha256(layout.maker.key.spki());
    let said = json!({ "revoked": { "key": { "sha256": key.to_string() } }, "from": "2026-01-31T12:00:00Z", "reason": "stolen" });
    let revoked = layout.maker.statement(&key, "urn:bulla:revocation:v1", &said).to_string();
    fs::write(layout.file("revoked.json"), revoked).expect("writes");
    let unsigned = ["--skip-signature-unsafe", "--revocations"];
    for key in ["--key", "--revoked-by-key"] {
        let (code, said, errors) =
            recheck(&layout, "report.json", &[&unsigned[..], &["revoked.json", key, "key.pub"]].concat());
        assert_eq!(code, 1, "{said}{errors}");
        assert!(said.contains("FAILED      images[0] (oci:images:all): "), "{said}");
    }
    let (code, _, errors) = recheck(&layout, "report.json", &[&unsigned[..], &["absent.json"]].concat());
    assert_eq!(code, 2, "{errors}");
}

#[test]
fn a_row_that_is_no_text_is_named() {
    let (layout, _) = four();
    made(&layout, &[]);
    let whole = fs::read(layout.file("report.json")).expect("is there");
    let mut lines: Vec<Vec<u8>> = whole.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.truncate(lines.len() - 4);
    let name = lines[15].iter().position(|byte| *byte == b'n').expect("has one");
    lines[15][name] = 0xff;
    let digests: Vec<_> = lines.iter().map(|line| sha256(line).to_string()).collect();
    let digests = format!("\"digests\":{},", json!(digests));
    let seal = format!("\"seal\":\"{}\"", sha256(digests.as_bytes()));
    lines.extend([digests.into(), seal.into(), b"}\n".to_vec()]);
    fs::write(layout.file("lie.json"), lines.join(&b'\n')).expect("writes");
    let (code, said, errors) = recheck(&layout, "lie.json", &["--skip-signature-unsafe"]);
    assert_eq!(code, 1, "{said}{errors}");
    assert!(said.contains("FAILED      images[1]: "), "{said}");
}

#[test]
fn everything_that_a_report_says_is_compared() {
    let (layout, _) = four();
    made(&layout, &[]);
    let whole = fs::read_to_string(layout.file("report.json")).expect("is there");
    let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    let entry =
        lines[17].split_once("\"entries\":[").and_then(|(_, rest)| rest.split_once("],\"generated_at"));
    let entry = entry.expect("has one").0;
    let named = format!("oci:images@sha256:{}", "0".repeat(64));
    for (line, from, to, expected) in [
        (4, "It is no claim", "It is a claim", "about: is not what a report says of itself"),
        (6, "{", "{\"audited_by\":\"x\",", "asked: asked.audited_by is \"x\""),
        (10, "\"consistency\":{", "\"audited_by\":1,\"consistency\":{", "logs: is not as it was written: "),
        (10, "\"status\":\"", "\"status\":\"proved, ", "logs[0] ("),
        (
            12,
            "2 of 4 images are signed",
            "all images are signed",
            "controls: controls[0].evidence is \"all images",
        ),
        (
            14,
            "Z\",\"status\":\"verified\"",
            "Y\",\"status\":\"verified\"",
            "images[0] (oci:images:all): generated_at is \"",
        ),
        (15, "oci:images:none", "oci:images:all", "images[1] (oci:images:all): is there twice"),
        (15, "oci:images:none", &named, "images[1] (oci:images@sha256:"),
        (17, entry, &format!("{entry},{entry}"), "images[3] (oci:images:old): entries[1] is there twice"),
    ] {
        let mut lines = lines.clone();
        assert!(lines[line].contains(from), "line {line}: {}", lines[line]);
        lines[line] = lines[line].replacen(from, to, 1);
        let (code, said) = lie(&layout, &lines);
        assert_eq!(code, 1, "{to}: {said}");
        assert!(said.contains(&format!("FAILED      {expected}")), "{to}: {said}");
    }
}

#[test]
fn what_is_no_report_and_where_none_can_be_is_said() {
    let (layout, _) = four();
    for other in ["{\n  \"schema\": \"x/v1\"\n}\n", "{}", "hello\n", "[\n1\n,\n2\n]\n"] {
        fs::write(layout.file("other.json"), other).expect("writes");
        let (code, _, errors) = recheck(&layout, "other.json", &["--skip-signature-unsafe"]);
        assert_eq!(code, 1, "{errors}");
        assert_eq!(errors, "bulla: other.json: not verified: the file: is no bulla.report/v1\n");
    }
    let (code, _, errors) =
        run(&mut report(&layout, &["oci:images", "--offline", "--out", "r.json", "--out", "nodir/x.html"]));
    assert_eq!(code, 2, "{errors}");
    assert_eq!(errors, "bulla: --out nodir/x.html: nodir is no directory: make it first\n");
    assert!(!layout.file("r.json").exists());
}

/// Not a test: makes what `bench/report` measures, in `BULLA_BENCH_DIR`, of `BULLA_BENCH_IMAGES` images.
#[test]
#[ignore = "makes many images for bench/report"]
fn many_images_for_the_benchmark() {
    let set = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by bench/report"));
    let dir = tempfile::Builder::new()
        .prefix("made")
        .disable_cleanup(true)
        .tempdir_in(set("BULLA_BENCH_DIR"))
        .expect("a directory");
    let mut layout = Layout::inside(dir);
    for number in 0..set("BULLA_BENCH_IMAGES").parse::<u32>().expect("a number") {
        let image = layout.unlisted(&number.to_string());
        // As things are: nearly all are signed, most have provenance, some a bill of materials.
        for (every, statement) in [(1, SIGN), (2, PROVENANCE), (4, SBOM)] {
            if number % every == 0 && number % 100 != 7 {
                layout.state(&image, statement);
            }
        }
    }
    layout.write_index();
    println!("{}", layout.path().display());
}
