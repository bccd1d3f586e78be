//! What anybody submits to the certificate transparency log: bodies of `add-chain` and `add-pre-chain`, and the certificates
//! in them. Whoever comes after the first certificate is taken for a root where that is possible, to get further.
#![no_main]

use bulla_authority::api::ct::parse_chain;
use bulla_authority::ct::{Entry, Kind, Roots, TimestampedEntry, extensions};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let Ok(chain) = parse_chain(body) else { return };
    for roots in [&chain[chain.len()..], &chain[1..], &chain[..]] {
        let Ok(roots) = Roots::new(roots) else { continue };
        for kind in [Kind::Certificate, Kind::Precertificate] {
            let Ok(admitted) = roots.admit(kind, &chain) else { continue };
            assert_eq!(admitted.pre_certificate.is_some(), kind == Kind::Precertificate);
            assert_eq!(matches!(admitted.entry, Entry::Precert { .. }), kind == Kind::Precertificate);
            let entry = TimestampedEntry { timestamp: 7, entry: admitted.entry, extensions: extensions(7) };
            let leaf = entry.leaf().expect("what is admitted is a leaf");
            assert!(leaf.len() <= bulla_tlog::MAX_ENTRY);
        }
    }
});
