//! A log that is served by a stranger: one object is replaced by any bytes, and `fsck` says so. The first byte chooses
//! which, the rest is what it becomes.
#![no_main]

use bulla_ledger::fsck::{Options, check};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else { return };
    let log = bulla_fuzz::log();
    let (path, bytes) = log.replacement(*which, bytes);
    let same = log.objects[&path] == bytes;
    let source = log.source(Some((path, bytes)));
    let judged = bulla_fuzz::block_on(check(source, log.verifier(), Options::default(), &|_| {}));
    let report = judged.expect("a stranger's bytes are a fault, not a failure");
    assert_eq!(report.fault.is_none(), same, "{:?}", report.fault);
});
