//! What stands in a certificate transparency log: leaves, data tiles, timestamps. What is read is written again the same.
#![no_main]

use bulla_authority::ct::{AddChainResponse, Rest, Sct, TileLeaf, TimestampedEntry, leaf_index};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(leaves) = TileLeaf::parse_tile(data) {
        let again: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.encode().expect("it was read")).collect();
        assert_eq!(again, data);
    }
    if let Ok(entry) = TimestampedEntry::parse_leaf(data) {
        assert_eq!(entry.leaf().expect("it was read"), data);
        let _any = leaf_index(&entry.extensions);
        let _any = Rest::parse(data, &entry.entry);
    }
    if let Ok(sct) = Sct::parse(data) {
        assert_eq!(sct.encode().expect("it was read"), data);
        assert_eq!(Sct::try_from(&AddChainResponse::from(&sct)).as_ref(), Ok(&sct));
    }
    if let Ok(response) = serde_json::from_slice::<AddChainResponse>(data) {
        let _any = Sct::try_from(&response);
    }
});
