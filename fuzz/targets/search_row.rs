//! A row of the search index: any bytes, in spans of several sizes. What is read is written the same.
#![no_main]

use bulla_rekor::search::row::{read, write};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, value)) = data.split_first() else { return };
    let span = [16, 64, 256, 4096][usize::from(size % 4)];
    if let Some(leaves) = read(value, span) {
        let offsets: Vec<u16> = leaves.iter().collect();
        assert_eq!(offsets.len() as u64, leaves.count());
        assert!(!offsets.is_empty() && offsets.iter().all(|offset| usize::from(*offset) < span));
        let mut written = Vec::new();
        write(&offsets, span, &mut written);
        assert_eq!(written, value);
    }
});
