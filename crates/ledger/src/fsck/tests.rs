//! The judge judged: sound logs of telling sizes pass, and whatever byte, file or history is wrong is named.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::signature::Ed25519KeyPair;
use bulla_tlog::note::Ed25519Signer;
use bulla_tlog::{Edge, Hash, TileKind, leaf_hash, push_entry, widest};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::BoxFuture;
use crate::source::ReadError;

/// A log in memory, written by the definitions and not by the ledger.
#[derive(Default)]
struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    /// Reads that are still answered; then the network is gone.
    left: Option<AtomicUsize>,
    asked: Mutex<Vec<String>>,
}

impl Source for Memory {
    fn fetch<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        self.asked.lock().expect("lock").push(path.to_owned());
        let gone = |left: &AtomicUsize| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
        };
        let answer = if self.left.as_ref().is_some_and(gone) {
            Err(ReadError::unavailable("network is gone"))
        } else {
            Ok(self.files.get(path).map(|bytes| bytes.clone().into()))
        };
        Box::pin(std::future::ready(answer))
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}

fn key() -> Ed25519Signer {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed is a key");
    Ed25519Signer::new("log.example.org", pair).expect("a name")
}

fn verifier() -> Verifier {
    key().verifier().clone()
}

fn leaf(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// The objects of a log of `size` leaves.
fn log_of(size: u64, leaf: impl Fn(u64) -> Vec<u8>) -> Memory {
    let leaves: Vec<_> = (0..size).map(leaf).collect();
    let mut files = BTreeMap::new();
    for (index, chunk) in (0..).zip(leaves.chunks(256)) {
        let mut bundle = Vec::new();
        for leaf in chunk {
            push_entry(&mut bundle, leaf).expect("short");
        }
        let id = widest(TileKind::Entries, index, size).expect("there");
        files.insert(id.path(), bundle);
    }
    let mut level: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let mut edge = Edge::new();
    for hash in &level {
        edge.append(*hash);
    }
    for number in 0..8 {
        let mut above = Vec::new();
        for (index, chunk) in (0..).zip(level.chunks(256)) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|hash| hash.0).collect();
            above.extend(TileNodes::from_bytes(&bytes).expect("tile").root());
            let id = widest(TileKind::Hashes(number), index, size).expect("there");
            files.insert(id.path(), bytes);
        }
        level = above;
    }
    let checkpoint =
        Checkpoint { origin: "log.example.org".to_owned(), size, root: edge.root(), extensions: vec![] };
    files.insert(CHECKPOINT.to_owned(), checkpoint.sign(&key()).expect("sign").to_string().into_bytes());
    Memory { files, ..Memory::default() }
}

fn log(size: u64) -> Memory {
    log_of(size, leaf)
}

fn checkpoint(log: &Memory) -> Checkpoint {
    let note = std::str::from_utf8(&log.files[CHECKPOINT]).expect("text");
    Checkpoint::open(note, &verifier()).expect("signed").0
}

fn earlier(log: &Memory) -> Earlier {
    Earlier { name: "saved note".to_owned(), checkpoint: checkpoint(log) }
}

async fn judged(log: Memory, options: Options) -> Result<Report, CheckError> {
    check(Arc::new(log), &verifier(), options, &|_| {}).await
}

async fn fault(log: Memory) -> Option<Fault> {
    judged(log, Options::default()).await.expect("a verdict").fault
}

#[tokio::test]
async fn sound_logs_of_every_shape_pass() {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_539] {
        let log = log(size);
        let root = checkpoint(&log).root;
        let seen = Mutex::new(Vec::new());
        let note = |progress: Progress| seen.lock().expect("lock").push(progress);
        let report = check(Arc::new(log), &verifier(), Options::default(), &note).await.expect("a verdict");
        assert_eq!(report.fault, None, "{size}");
        assert_eq!((report.entries, report.resumed_at), (size, 0));
        assert_eq!(report.checkpoint.expect("checkpoint").root, root);
        assert_eq!(report.signers.len(), 1);
        assert!(report.signers[0].verified);
        let seen = seen.into_inner().expect("lock");
        assert!(seen.is_sorted_by_key(|progress| progress.checked));
        assert_eq!(seen.last().map(|progress| progress.checked), Some(size));
    }
}

#[tokio::test]
async fn a_flipped_byte_in_any_object_is_named() {
    for size in [1, 3, 256, 300, 600] {
        for file in log(size).files.into_keys() {
            for place in 0..7 {
                let mut log = log(size);
                let bytes = log.files.get_mut(&file).expect("file");
                let offset = place * (bytes.len() - 1) / 6;
                bytes[offset] ^= 1;
                let found = fault(log).await.expect(&file);
                assert_eq!(found.file, file, "{size}, byte {offset}: {found}");
                let is_hashes = file.starts_with("tile/") && !file.starts_with("tile/entries");
                if is_hashes {
                    assert_eq!(found.offset, Some(offset as u64), "{found}");
                    assert_eq!(found.kind, FaultKind::Mismatch);
                } else if file != CHECKPOINT {
                    // An entry is wrong as a whole; a length that is wrong may show in the entry after it.
                    assert!(found.offset.expect("offset").abs_diff(offset as u64) < 16, "{found} {offset}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_in_the_objects_of_a_large_log_is_named() {
    let files = [
        "tile/entries/000",
        "tile/entries/255",
        "tile/entries/256.p/3",
        "tile/0/255",
        "tile/0/256.p/3",
        "tile/1/000",
        "tile/2/000.p/1",
    ];
    for file in files {
        let mut log = log(65_539);
        let bytes = log.files.get_mut(file).expect(file);
        let offset = bytes.len() - 1;
        bytes[offset] ^= 0x80;
        let found = fault(log).await.expect(file);
        assert_eq!(found.file, file, "{found}");
    }
}

#[tokio::test]
async fn messages_name_file_entry_and_byte() {
    let mut wrong = log(300);
    wrong.files.get_mut("tile/entries/000").expect("file")[2 + 3] ^= 1;
    let text = fault(wrong).await.expect("fault").to_string();
    assert!(text.starts_with("tile/entries/000, entry 0, byte 0: bytes 0 to 8 are not the entry"), "{text}");
    let mut wrong = log(300);
    wrong.files.get_mut("tile/0/001.p/44").expect("file")[70] ^= 1;
    let text = fault(wrong).await.expect("fault").to_string();
    assert!(text.starts_with("tile/0/001.p/44, entry 258, byte 70: hash 2 is "), "{text}");
    assert!(text.ends_with("which the hashes above confirm"), "{text}");
}

#[tokio::test]
async fn entry_and_hash_altered_together_are_found_one_level_up() {
    let other = log_of(600, |index| if index == 77 { b"forged".to_vec() } else { leaf(index) });
    let mut wrong = log(600);
    for file in ["tile/entries/000", "tile/0/000"] {
        wrong.files.insert(file.to_owned(), other.files[file].clone());
    }
    let found = fault(wrong).await.expect("fault");
    assert_eq!((found.file.as_str(), found.offset, found.entry), ("tile/1/000.p/2", Some(0), Some(0)));
    assert!(found.problem.contains("what lies below was altered"), "{found}");
    // Every tile altered: only the signed root is left to contradict.
    let mut wrong = other;
    wrong.files.insert(CHECKPOINT.to_owned(), log(600).files[CHECKPOINT].clone());
    assert_eq!(fault(wrong).await.expect("fault").kind, FaultKind::Root);
}

#[tokio::test]
async fn truncated_and_lengthened_files_are_named() {
    for size in [1, 300] {
        for file in log(size).files.into_keys() {
            let len = log(size).files[&file].len();
            for keep in [0, 1, len / 2, len - 1] {
                let mut log = log(size);
                log.files.get_mut(&file).expect("file").truncate(keep);
                let found = fault(log).await.expect(&file);
                assert_eq!(found.file, file, "{found}");
                assert!(found.offset.is_none_or(|offset| offset <= keep as u64), "{found} {keep}");
            }
            let mut log = log(size);
            log.files.get_mut(&file).expect("file").extend([0, 0, 0]);
            assert_eq!(fault(log).await.expect(&file).file, file);
        }
    }
}

#[tokio::test]
async fn missing_files_are_named() {
    for file in log(300).files.into_keys() {
        let mut log = log(300);
        log.files.remove(&file);
        let verdict = judged(log, Options::default()).await;
        if file == CHECKPOINT {
            assert!(matches!(verdict, Err(CheckError::Unavailable { file, .. }) if file == CHECKPOINT));
        } else {
            let found = verdict.expect("a verdict").fault.expect("fault");
            assert_eq!((found.kind, found.file), (FaultKind::Missing, file));
        }
    }
}

#[tokio::test]
async fn a_partial_tile_that_is_gone_is_cut_from_the_full_one() {
    let (mut young, old) = (log(300), log(600));
    for file in ["tile/0/001.p/44", "tile/entries/001.p/44"] {
        young.files.remove(file);
    }
    for file in ["tile/0/001", "tile/entries/001"] {
        young.files.insert(file.to_owned(), old.files[file].clone());
    }
    assert_eq!(fault(young).await, None);
}

#[tokio::test]
async fn smaller_partial_tiles_that_are_still_there_are_checked() {
    let mut grown = log(600);
    for size in [520, 521, 599, 256] {
        let files = log(size).files.into_iter().filter(|(file, _)| file.contains(".p/"));
        grown.files.extend(files);
    }
    let smaller = ["tile/0/002.p/8", "tile/entries/002.p/9", "tile/entries/002.p/87", "tile/1/000.p/1"];
    for file in smaller {
        let mut wrong = Memory { files: grown.files.clone(), ..Memory::default() };
        let bytes = wrong.files.get_mut(file).expect("file");
        let offset = bytes.len() - 1;
        bytes[offset] ^= 1;
        let found = fault(wrong).await.expect(file);
        assert_eq!((found.file.as_str(), found.offset), (file, Some(offset as u64)));
    }
    assert_eq!(fault(grown).await, None);
}

#[tokio::test]
async fn another_key_or_origin_is_a_fault_of_the_checkpoint() {
    let other = Verifier::from_spki("other.example.org", verifier().spki()).expect("key");
    let report = check(Arc::new(log(3)), &other, Options::default(), &|_| {}).await.expect("a verdict");
    assert_eq!(report.fault.expect("fault").kind, FaultKind::Signature);
    let policy = "witness w witness.example.org+0ea12664+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X https://w/\nquorum w\n";
    let options = Options { policy: Some(Policy::parse(policy).expect("policy")), ..Options::default() };
    let found = judged(log(3), options).await.expect("a verdict").fault.expect("fault");
    assert_eq!((found.kind, found.file.as_str()), (FaultKind::Signature, CHECKPOINT));
    assert_eq!(found.problem, "cosigned by 0 of the policy's 1 witnesses, which is no quorum");
}

#[tokio::test]
async fn earlier_checkpoints_must_be_prefixes() {
    for size in [0, 1, 255, 256, 257, 300, 512, 599, 600] {
        let options = Options { earlier: vec![earlier(&log(size))], ..Options::default() };
        assert_eq!(judged(log(600), options).await.expect("a verdict").fault, None, "{size}");
        let forked = log_of(size.max(1), |index| if index == 0 { b"x".to_vec() } else { leaf(index) });
        let options = Options { earlier: vec![earlier(&forked)], ..Options::default() };
        let found = judged(log(600), options).await.expect("a verdict").fault.expect("fault");
        assert_eq!(found.kind, FaultKind::Fork, "{size}");
        assert!(found.problem.contains("saved note"), "{found}");
    }
    let options = Options { earlier: vec![earlier(&log(601))], ..Options::default() };
    let found = judged(log(600), options).await.expect("a verdict").fault.expect("fault");
    assert_eq!(found.kind, FaultKind::Rollback);
    assert_eq!(found.problem, "log has 600 entries, it had 601 as saved note shows");
}

fn with_state(path: &Path) -> Options {
    Options { state: Some(path.to_owned()), window: 4, ..Options::default() }
}

#[tokio::test]
async fn a_check_goes_on_where_it_was_interrupted() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("state.json");
    let mut first = log(65_539 + 256 * 9);
    first.left = Some(AtomicUsize::new(2 * 258 + 6));
    let error = judged(first, with_state(&path)).await.expect_err("interrupted");
    assert!(matches!(error, CheckError::Unavailable { .. }), "{error}");
    let report = judged(log(65_539 + 256 * 9), with_state(&path)).await.expect("a verdict");
    assert_eq!((report.fault, report.resumed_at, report.entries), (None, 65_536, 256 * 9 + 3));
    // And on from there when the log has grown, twice.
    for (size, resumed_at) in [(68_000, 67_840), (140_000, 67_840), (140_000, 139_776)] {
        let report = judged(log(size), with_state(&path)).await.expect("a verdict");
        assert_eq!(report.fault, None, "{size}");
        assert_eq!(report.resumed_at, resumed_at);
        if size == 140_000 && resumed_at > 100_000 {
            assert!(report.entries < 256);
        }
    }
    // A log that forgot, or that forked before or behind what was verified, is caught.
    let found = judged(log(139_999), with_state(&path)).await.expect("a verdict").fault.expect("fault");
    assert_eq!(found.kind, FaultKind::Rollback);
    for fork in [0, 67_000, 139_775, 139_776, 139_999] {
        for size in [140_000, 140_001] {
            let forked = log_of(size, |index| if index == fork { b"x".to_vec() } else { leaf(index) });
            let found = judged(forked, with_state(&path)).await.expect("a verdict").fault.expect("fault");
            assert_eq!(found.kind, FaultKind::Fork, "{fork} {size}: {found}");
        }
    }
    // What was refused left the state as it was.
    let report = judged(log(140_000), with_state(&path)).await.expect("a verdict");
    assert_eq!((report.fault, report.resumed_at), (None, 139_776));
}

#[tokio::test]
async fn a_state_file_of_something_else_is_refused() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("state.json");
    judged(log(700), with_state(&path)).await.expect("a verdict");
    let good = std::fs::read_to_string(&path).expect("state");
    assert_eq!(std::fs::read_dir(dir.path()).expect("directory").count(), 1, "nothing else is left behind");
    let wrong = [
        good.replace("\"size\": 512", "\"size\": 513"),
        good.replace("\"size\": 512", "\"size\": 768"),
        good.replace("\"origin\": \"log", "\"origin\": \"dog"),
        good.replace("\\n700\\n", "\\n701\\n"),
        good.replace("\"format\": 1", "\"format\": 2"),
        good.replace("\"format\"", "\"farmat\""),
        String::new(),
        "{}".to_owned(),
    ];
    for text in wrong {
        assert_ne!(text, good);
        std::fs::write(&path, &text).expect("write");
        let error = judged(log(700), with_state(&path)).await.expect_err(&text);
        assert!(matches!(&error, CheckError::State(problem) if problem.starts_with("state file")), "{error}");
    }
}

#[tokio::test]
async fn memory_is_bounded_by_the_window() {
    /// Counts bundles that are fetched and not yet dropped, by the references to one shared buffer.
    struct Counting(Memory, AtomicUsize);
    impl Source for Counting {
        fn fetch<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
            Box::pin(async move {
                let number = path.strip_prefix("tile/entries/").and_then(|n| n.parse::<usize>().ok());
                if number == Some(0) {
                    // The first bundle is slow: the others must not run away meanwhile.
                    for _ in 0..1000 {
                        tokio::task::yield_now().await;
                    }
                }
                self.1.fetch_max(number.unwrap_or(0), Ordering::SeqCst);
                if number == Some(0) {
                    assert!(self.1.load(Ordering::SeqCst) < 8, "window of 4");
                }
                self.0.fetch(path).await
            })
        }
        fn name(&self) -> String {
            self.0.name()
        }
    }
    let source = Arc::new(Counting(log(20_000), AtomicUsize::new(0)));
    let options = Options { window: 4, ..Options::default() };
    let report = check(source, &verifier(), options, &|_| {}).await.expect("a verdict");
    assert_eq!(report.fault, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_single_change_goes_unnoticed(size in 1_u64..800, pick: prop::sample::Index, at: prop::sample::Index, flip in 1_u8..) {
        let mut wrong = log(size);
        let files: Vec<_> = wrong.files.keys().cloned().collect();
        let file = pick.get(&files).clone();
        let bytes = wrong.files.get_mut(&file).expect("file");
        let offset = at.index(bytes.len());
        bytes[offset] ^= flip;
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let found = runtime.block_on(fault(wrong)).expect("noticed");
        prop_assert_eq!(found.file, file);
    }
}
