//! Payloads of image signatures: what is read has a digest that can be signed again.
#![no_main]

use std::collections::BTreeMap;

use bulla_claims::simple_signing::{SimpleSigning, payload};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = SimpleSigning::parse(bytes) else { return };
    assert!(read.digest.starts_with("sha256:") || read.digest.starts_with("sha512:"));
    if let Ok(written) = payload(&read.reference, &read.digest, &BTreeMap::new()) {
        let again = SimpleSigning::parse(&written).expect("was written");
        assert_eq!((again.reference, again.digest), (read.reference, read.digest));
    }
});
