//! What is merged into the trust files: another trusted root, certificate chains, the key of a CT log.
#![no_main]

use bulla_rekor::trust::{Authorities, LogIdentity, trusted_root};
use bulla_tlog::Hash;
use jiff::Timestamp;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut authorities = Authorities::default();
    let merged = authorities.merge_trusted_root(text).is_ok();
    let _any = authorities.add_certificate_authority(text, "https://ca.example.org", None);
    let _any = authorities.add_timestamp_authority(text, "https://tsa.example.org", None);
    let _any = authorities.add_ct_log(text, "https://ct.example.org", Timestamp::UNIX_EPOCH, None);
    let log = LogIdentity {
        origin: "log.example.org".to_owned(),
        base_url: "https://log.example.org".to_owned(),
        spki: bulla_fuzz::signer().key().spki().to_vec(),
        log_id: Hash([1; 32]),
        v1_spki: bulla_fuzz::signer().key().spki().to_vec(),
        start: Timestamp::UNIX_EPOCH,
        end: None,
    };
    let written = trusted_root(&[log], &authorities).expect("is written");
    if merged {
        Authorities::default().merge_trusted_root(&written).expect("what was merged can be merged again");
    }
});
