//! The journal after a crash: any bytes in its two files, as they are and with their checksums made right, so that what
//! lies behind a checksum is reached too.
#![no_main]

use bulla_fuzz::Directory;
use bulla_ledger::storage::file::DataDir;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let middle = (data.len() / 2).next_multiple_of(bulla_fuzz::BLOCK).min(data.len());
    let (first, second) = data.split_at(middle);
    check(first, second);
    let (mut first, mut second) = (first.to_vec(), second.to_vec());
    bulla_fuzz::seal_journal(&mut first, 1);
    bulla_fuzz::seal_journal(&mut second, 2);
    check(&first, &second);
});

fn check(first: &[u8], second: &[u8]) {
    let dir = Directory::of_a_log();
    for (name, bytes) in [("journal/0", first), ("journal/1", second)] {
        dir.write(name, bytes);
        // The files never grow or shrink; one of another length is refused unread.
        let file = std::fs::File::options().write(true).open(dir.path().join(name)).expect("opens");
        file.set_len(16 << 20).expect("has the length of a journal file");
    }
    let Ok(Some(found)) = DataDir::open(dir.path()).expect("opens").journal() else { return };
    let mut at = found.settled;
    for batch in found.staged {
        assert_eq!(batch.base, at.size, "each batch stands on the one before");
        assert_eq!(batch.head.size - batch.base, batch.leaves.len() as u64);
        at = batch.head;
    }
}
