//! Leaves of other people's logs, as the search reads them: twice, the second time with their keys remembered.
#![no_main]

use bulla_claims::traces::{KeyCache, traces};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let mut keys = KeyCache::new();
    let found = traces(body, &mut keys);
    assert_eq!(found, traces(body, &mut keys));
    for key in found.into_iter().flat_map(|found| found.keys) {
        assert!(!key.fingerprints.is_empty());
    }
});
