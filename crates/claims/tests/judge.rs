//! Bundles of four clients that we did not write, judged: each gets the verdict that these clients give each other, and each
//! byte of them that means something is missed when it is another.

use std::path::PathBuf;

use bulla_claims::attestation::WantedType;
use bulla_claims::identity::{IdentityPattern, Pattern};
use bulla_claims::judge::{Artifact, Content, Judged, Need, Outcome, Policy, TrustedRoot, judge_bundle};
use bulla_claims::keys::Key;
use bulla_tlog::sha256;

const NOW: u64 = 1_795_300_000;
const ISSUER: &str = "http://127.0.0.1:8765";

fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bundles").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> TrustedRoot {
    TrustedRoot::parse(&read("trusted_root.json")).expect("a trusted root")
}

fn why(judged: &Judged) -> String {
    let failed = judged.checks.iter().filter_map(|check| match &check.outcome {
        Outcome::Failed(problem) => Some(format!("{}: {problem}", check.name)),
        _ => None,
    });
    failed.collect::<Vec<_>>().join("; ")
}
#[test]
fn probe() {
    let root = root();
    let art = read("art.txt");
    for entry in std::fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bundles")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".json") || name == "trusted_root.json" { continue; }
        let bundle = read(&name);
        let text = String::from_utf8_lossy(&bundle);
        let content = if text.contains("dsseEnvelope") {
            Content::Attestation(WantedType::parse("https://example.org/x").unwrap())
        } else { Content::Signature };
        let pubs = if name.contains("rawkey") {
            let pem = String::from_utf8(read(&format!("{}-rawkey.pub", &name[..18]))).unwrap();
            use base64::Engine as _;
            vec![base64::engine::general_purpose::STANDARD.decode(pem.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap()]
        } else { vec![] };
        let policy = Policy { keys: pubs, identities: vec![IdentityPattern { issuer: Pattern::exact(ISSUER).unwrap(), subject: Pattern::exact("alice@example.org").unwrap() }], content, log: Need::Required, sct: Need::Required };
        let judged = judge_bundle(&bundle, &Artifact::Bytes(&art), &root, &policy, NOW);
        println!("{name}: {} {}", judged.verified(), why(&judged));
    }
    let _ = (sha256(b""), Key::from_spki(b""));
}
