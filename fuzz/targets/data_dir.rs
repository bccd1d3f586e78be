//! The small files of a data directory, and a compressed entry bundle: any bytes in place of each.
#![no_main]

use bulla_fuzz::Directory;
use bulla_ledger::Source as _;
use bulla_ledger::storage::file::DataDir;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let dir = Directory::of_a_log();
    dir.write("format", data);
    if let Ok(opened) = DataDir::open(dir.path()) {
        dir.write("format", opened.format().to_string().as_bytes());
        let again = DataDir::open(dir.path()).expect("what was read is written the same");
        assert_eq!(again.format(), opened.format());
    }
    let dir = Directory::of_a_log();
    dir.write("head", data);
    dir.write("tile/entries/000.zst", data);
    let opened = DataDir::open(dir.path()).expect("opens");
    let _any = opened.journal();
    let bundle = bulla_fuzz::block_on(opened.fetch("tile/entries/000"));
    assert!(
        bundle.is_err() || bundle.is_ok_and(|bundle| bundle.is_some_and(|bytes| bytes.len() <= 256 * 65_537))
    );
});
