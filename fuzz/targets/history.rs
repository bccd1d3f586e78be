//! The checkpoint history: any bytes in its growing page.
#![no_main]

use bulla_ledger::storage::Storage as _;
use bytes::Bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let log = bulla_fuzz::log();
    bulla_fuzz::block_on(async {
        let old = log.storage.cell("history").await.expect("reads");
        let new = Bytes::copy_from_slice(data);
        assert!(log.storage.swap("history", old.as_deref(), new).await.expect("writes"));
        let number = data.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
        if let Ok(Some(page)) = log.log.reader().history(number).await {
            let read: usize = 8 + page.iter().map(|kept| 20 + kept.note.len()).sum::<usize>();
            assert_eq!(read, data.len(), "a page is read to its end");
        }
    });
});
