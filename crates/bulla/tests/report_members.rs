//! Images for several platforms in a report: an index counts by what is about itself, as `bulla verify` judges it; what its members
//! have is shown beneath it, counted apart, and judged again like everything else.

mod common;
mod layout;
#[path = "../../claims/tests/made/mod.rs"]
mod made;
mod reported;

use std::fs;

use bulla_tlog::Hash;
use common::{bulla, run};
use layout::{Layout, SIGN};
use reported::{lie, lines, recheck, report};
use serde_json::{Value, json};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// Two indexes of two platforms each. Of `shop` a member is signed and the index is not, of `tool` the other way round.
fn two() -> (Layout, [Hash; 2]) {
    let mut layout = Layout::new();
    let ((amd, amd_entry), (_, arm_entry)) = (layout.member("shop", "amd64"), layout.member("shop", "arm64"));
    layout.state(&amd, SIGN);
    layout.state(&amd, PROVENANCE);
    let shop = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [amd_entry, arm_entry] });
    let shop = layout.list(&shop, "shop");
    let entries = ["amd64", "arm64"].map(|architecture| layout.member("tool", architecture).1);
    let tool =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": { "a": "b" } });
    let tool = layout.list(&tool, "tool");
    layout.state(&tool, SIGN);
    (layout, [shop, tool])
}

#[test]
fn an_index_counts_by_itself_and_its_members_are_shown_beneath_it() {
    let (layout, [shop, _]) = two();
    let report = reported::made(&layout, &["--out", "r.html", "--out", "r.csv"]);
    let [first, second] = [&report["images"][0], &report["images"][1]];
    assert_eq!(
        (first["image_ref"].as_str(), first["status"].as_str()),
        (Some("oci:images:shop"), Some("unsigned"))
    );
    assert_eq!(
        (&first["coverage"]["signed"], &first["coverage"]["provenance"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        (&first["total_entries"], first["digest"].as_str()),
        (&json!(0), Some(&*format!("sha256:{shop}")))
    );
    let members = first["members"].as_array().expect("a list");
    let said = |name: &str| members.iter().map(|member| member[name].clone()).collect::<Vec<_>>();
    assert_eq!(said("platform"), ["linux/amd64", "linux/arm64"]);
    assert_eq!(said("status"), ["verified", "unsigned"]);
    assert_eq!(said("valid_entries"), [2, 0]);
    assert_eq!(members[0]["coverage"]["provenance"], true);
    let name = format!("oci:images@{}", members[0]["digest"].as_str().expect("text"));
    assert_eq!(members[0]["image_ref"], name);
    assert_eq!(second["status"], "verified");
    assert_eq!(second["members"][0]["status"], "unsigned");
    let totals = &report["totals"];
    assert_eq!(
        [&totals["images"], &totals["verified"], &totals["unsigned"], &totals["total_entries"]],
        [2, 1, 1, 1]
    );
    assert_eq!(totals["coverage"]["signed"], json!({ "yes": 1, "no": 1, "undetermined": 0 }));
    assert_eq!(
        totals["members"],
        json!({ "images": 4, "verified": 1, "not_verified": 0, "unsigned": 3, "undetermined": 0,
            "total_entries": 2, "valid_entries": 2, "invalid_entries": 0 })
    );
    assert_eq!(report["signers"][0]["valid_entries"], 3, "an inventory has them all");

    // As the gate judges it.
    for (image, expected) in [("oci:images:shop", 1), ("oci:images:tool", 0), (name.as_str(), 0)] {
        let mut command = bulla();
        let terms = ["--trusted-root", "root.json", "--key", "key.pub", "--offline"];
        command.current_dir(layout.path()).args(["verify", image]).args(terms);
        let (code, said, errors) =
            run(command.env("XDG_STATE_HOME", layout.file(&format!("state-{}", image.len()))));
        assert_eq!(code, expected, "{image}: {said}{errors}");
    }

    let html = fs::read_to_string(layout.file("r.html")).expect("is there");
    assert_eq!(html.matches("<tr class=\"member\">").count(), 4, "{html}");
    assert!(
        html.contains(
            "Its members are shown beneath it for information: 4 of them, 1 verified by themselves"
        )
    );
    assert!(html.contains("<strong>linux/amd64</strong>"), "{html}");
    let csv = fs::read_to_string(layout.file("r.csv")).expect("is there");
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.trim_end().split(',').collect()).collect();
    let [member_of, platform, status] = ["member_of", "platform", "status"]
        .map(|name| rows[0].iter().position(|column| *column == name).expect("is one"));
    let cells: Vec<_> = rows[1..].iter().map(|row| (row[member_of], row[platform], row[status])).collect();
    assert_eq!(
        cells,
        [
            ("", "", "unsigned"),
            ("oci:images:shop", "linux/amd64", "verified"),
            ("oci:images:shop", "linux/arm64", "unsigned"),
            ("", "", "verified"),
            ("oci:images:tool", "linux/amd64", "unsigned"),
            ("oci:images:tool", "linux/arm64", "unsigned"),
        ]
    );
    let (code, said, _) = run(&mut reported::report(&layout, &["oci:images", "--offline"]));
    assert_eq!(code, 0);
    assert!(
        said.contains("members     4 of indexes, 1 verified by themselves, 2 entries; for information\n"),
        "{said}"
    );
}

#[test]
fn members_are_judged_again_and_are_those_that_the_index_lists() {
    let (layout, _) = two();
    let report = reported::made(&layout, &[]);
    let (code, said, errors) = recheck(&layout, "report.json", &["--skip-signature-unsafe"]);
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains("judged      3 signatures and statements of 2 images again"), "{said}");
    let whole = lines(&layout);
    let at = whole.iter().position(|line| line.contains("oci:images:shop")).expect("is there");
    // The row, its members, and what is between and after them.
    let (head, rest) = whole[at].split_once("\"members\":[").expect("has members");
    let rest = rest.strip_suffix("]},").expect("members are last");
    let second = rest.find(",{\"image_ref\":").expect("has two");
    let [one, two] = [&rest[..second], &rest[second + 1..]];
    let put = |head: &str, members: &str, after: &str| {
        let mut lines = whole.clone();
        lines[at] = format!("{head}\"members\":[{members}]{after}}},");
        lie(&layout, &lines)
    };
    assert_eq!(put(head, rest, "").0, 0, "that is how it is made");
    let other = "members are not those that its index lists";
    let digest = |row: &Value| format!("\"digest\":{}", row["digest"]);
    let [first, last] = [&report["images"][0]["members"][0], &report["images"][0]["members"][1]];
    let index = head.find("\"index\":").map(|at| &head[..at]).expect("has its index");
    let deeper = two.replace("\"linux/arm64\"", &format!("\"linux/arm64\",\"members\":[{two}]"));
    for (name, (code, said), expected) in [
        (
            "status",
            put(head, &format!("{one},{}", two.replace("unsigned", "verified")), ""),
            "members[1].status is \"verified\"",
        ),
        (
            "coverage",
            put(head, &format!("{one},{}", two.replace("\"sbom\":false", "\"sbom\":true")), ""),
            "members[1].coverage.sbom is true, judged again it is false",
        ),
        ("platform", put(head, &rest.replace("linux/arm64", "linux/riscv64"), ""), other),
        ("one less", put(head, one, ""), other),
        ("twice", put(head, &format!("{one},{one}"), ""), other),
        ("left out", put(head, rest, ",\"members_left_out\":1"), other),
        ("index", put(&format!("{index}\"index\":\"{{}}\","), rest, ""), "index has the digest sha256:"),
        (
            "digest",
            put(head, &rest.replace(&digest(first), &digest(last)), ""),
            "members[0].digest is sha256:",
        ),
        ("deeper", put(head, &format!("{one},{deeper}"), ""), "members[1] is not as members are written"),
        (
            "signature",
            put(head, &rest.replacen("\"bundle\":\"{", "\"bundle\":\"[", 1), ""),
            "members[0].coverage.",
        ),
    ] {
        assert_eq!(code, 1, "{name}: {said}");
        let image = "FAILED      images[0] (oci:images:shop): ";
        assert!(said.contains(&format!("{image}{expected}")), "{name}: {said}");
    }
    // Without evidence the report's word is taken, and it is said of how many.
    assert!(report["images"][0]["index"].is_string());
    let report = reported::made(&layout, &["--without-evidence"]);
    assert_eq!(report["images"][0]["index"], Value::Null);
    assert_eq!(report["images"][0]["members"].as_array().map(Vec::len), Some(2));
    let (code, said, errors) = recheck(&layout, "report.json", &["--skip-signature-unsafe"]);
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains("not judged  3, the report does not carry them along"), "{said}");
}

#[test]
fn a_member_that_cannot_be_read_is_undetermined_and_its_index_is_what_it_was() {
    let (layout, _) = two();
    let report = reported::made(&layout, &[]);
    let digest = report["images"][1]["members"][0]["digest"].as_str().expect("text");
    let digest = digest.trim_start_matches("sha256:");
    fs::remove_file(layout.file(&format!("images/blobs/sha256/{digest}"))).expect("is removed");
    let report = reported::made(&layout, &[]);
    let image = &report["images"][1];
    assert_eq!(
        (image["status"].as_str(), image["members"][0]["status"].as_str()),
        (Some("verified"), Some("undetermined"))
    );
    assert_eq!(image["members"][0]["coverage"]["signed"], Value::Null);
    assert_eq!(report["totals"]["members"]["undetermined"], 1);
    let (code, said, errors) = recheck(&layout, "report.json", &["--skip-signature-unsafe"]);
    assert_eq!(code, 0, "{said}{errors}");
    // A pipeline stops at images, which members are not.
    let (code, said, errors) = run(&mut self::report(
        &layout,
        &["oci:images:tool", "--offline", "--fail-on", "unsigned,undetermined"],
    ));
    assert_eq!(code, 0, "{said}{errors}");
}
