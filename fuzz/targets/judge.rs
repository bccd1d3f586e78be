//! Bundles that strangers made, and the layers that came before them: judged, never believed for a reason that is not there.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bulla_claims::identity::{IdentityPattern, Pattern};
use bulla_claims::judge::{
    Artifact, Check, Content, Layer, Need, Policy, TrustedRoot, judge_bundle, judge_layer,
};
use bulla_claims::simple_signing::MEDIA_TYPE;
use bulla_tlog::sha256;

static ROOT: LazyLock<TrustedRoot> = LazyLock::new(|| {
    let root = include_bytes!("../../crates/claims/tests/bundles/trusted_root.json");
    TrustedRoot::parse(root).expect("a trusted root")
});
static ARTIFACT: &[u8] = include_bytes!("../../crates/claims/tests/bundles/art.txt");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let nobody = Pattern::exact("nobody").expect("a pattern");
    let policy = Policy {
        keys: vec![b"no key".to_vec()],
        identities: vec![IdentityPattern { issuer: nobody.clone(), subject: nobody }],
        content: Content::Signature,
        log: Need::Required,
        sct: Need::Required,
    };
    let judged = judge_bundle(bytes, &Artifact::Bytes(ARTIFACT), &ROOT, &policy, 1_795_300_000);
    assert!(!judged.verified(), "nobody may sign");
    assert_eq!(judged.checks.len(), Check::NAMES.len());
    let text = String::from_utf8_lossy(bytes).into_owned();
    let annotations = BTreeMap::from([
        ("dev.cosignproject.cosign/signature".to_owned(), "MEUCIQ==".to_owned()),
        ("dev.sigstore.cosign/bundle".to_owned(), text.clone()),
        ("dev.sigstore.cosign/certificate".to_owned(), text),
    ]);
    let layer = Layer { media_type: MEDIA_TYPE, payload: bytes, annotations: &annotations };
    assert!(!judge_layer(layer, &sha256(ARTIFACT), &ROOT, &policy, 1_795_300_000).verified());
    let _ = TrustedRoot::parse(bytes);
});
