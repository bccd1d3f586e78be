//! The state file that `fsck` goes on from: it may be anything, and still only the true log passes.
#![no_main]

use bulla_fuzz::Directory;
use bulla_ledger::fsck::{Options, check};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let dir = Directory::empty();
    dir.write("state.json", data);
    let log = bulla_fuzz::log();
    let options = Options { state: Some(dir.path().join("state.json")), ..Options::default() };
    let judged = bulla_fuzz::block_on(check(log.source(None), log.verifier(), options, &|_| {}));
    if let Ok(report) = judged
        && report.fault.is_none()
    {
        assert_eq!(report.resumed_at + report.entries, bulla_fuzz::SIZE, "nothing was left out");
    }
});
