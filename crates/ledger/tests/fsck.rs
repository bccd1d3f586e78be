//! What the ledger writes, judged from outside: the directory of a log passes its own judge after every stop, goes on
//! from what was verified before, and is caught when a byte of it changes at rest.

mod common;

use std::path::Path;
use std::sync::Arc;

use bulla_ledger::fsck::{Options, Report, check};
use bulla_ledger::storage::file::{DataDir, FileStorage, Format};
use bulla_tlog::Hash;
use bytes::Bytes;

async fn grow(dir: &Path, numbers: std::ops::Range<usize>) {
    let format = Format::new(common::ORIGIN, Hash([7; 32]), 1_700_000_000);
    let log = common::start(Arc::new(FileStorage::open(dir, &format).expect("opens"))).await.expect("starts");
    for numbers in numbers.collect::<Vec<_>>().chunks(100) {
        let added = numbers.iter().map(|number| log.add(Bytes::from(format!("leaf {number}"))));
        for sequenced in futures_util::future::join_all(added).await {
            sequenced.expect("accepted");
        }
    }
    log.stop().await.expect("stops");
}

async fn judge(dir: &Path, state: &Path) -> Report {
    let source = Arc::new(DataDir::open(dir).expect("opens"));
    let options = Options { state: Some(state.to_owned()), ..Options::default() };
    check(source, common::key().verifier(), options, &|_| {}).await.expect("a verdict")
}

#[tokio::test]
async fn a_data_directory_is_sound_after_every_stop_and_damage_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, state) = (dir.path().join("data"), dir.path().join("state.json"));
    let mut size = 0;
    for grown in [0, 1, 255, 256, 300, 700] {
        grow(&data, size..grown).await;
        size = grown;
        let report = judge(&data, &state).await;
        assert_eq!(report.fault, None, "{size}");
        assert_eq!(report.checkpoint.map(|checkpoint| checkpoint.size), Some(size as u64));
    }
    let report = judge(&data, &state).await;
    assert_eq!((report.resumed_at, report.entries), (512, 188));

    let tile = data.join("tile/0/001");
    let mut bytes = std::fs::read(&tile).expect("a full tile");
    let offset = bytes.len() - 1;
    bytes[offset] ^= 1;
    std::fs::write(&tile, bytes).expect("writes");
    let found = judge(&data, &dir.path().join("none.json")).await.fault.expect("a fault");
    assert_eq!(found.file, "tile/0/001", "{found}");
    assert_eq!((found.entry, found.offset), (Some(511), Some(8191)));
}
