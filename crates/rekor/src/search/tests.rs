//! The index against the plainest one there is: a list of leaves and their words.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulla_claims::DescribeError;
use bulla_claims::traces::Door;
use bulla_ledger::ReadError;
use bulla_tlog::WIDTH;
use bytes::Bytes;
use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{Found, Leaves, Query, ReadTerms, Search, SearchError, Shape, Start, Term};

/// A log in memory. A leaf is words; an aside is one more.
#[derive(Clone, Default)]
struct Log {
    leaves: Arc<Mutex<Vec<(Bytes, Bytes)>>>,
    published: watch::Sender<u64>,
    unreadable: Arc<AtomicBool>,
}

impl Log {
    fn of(leaves: &[&str]) -> Log {
        let log = Log::default();
        log.publish(leaves.iter().map(|leaf| (*leaf).to_owned()));
        log
    }

    /// With leaf `i` found by `i` and by `hot`, and every hundredth by `warm` too.
    fn counted(size: u64) -> Log {
        let log = Log::default();
        log.publish((0..size).map(counted));
        log
    }

    fn publish(&self, leaves: impl IntoIterator<Item = String>) {
        let mut all = self.leaves.lock().unwrap();
        all.extend(leaves.into_iter().map(|leaf| (Bytes::from(leaf), Bytes::new())));
        self.published.send_replace(all.len() as u64);
    }

    fn size(&self) -> u64 {
        *self.published.borrow()
    }
}

fn counted(i: u64) -> String {
    if i.is_multiple_of(100) { format!("{i} hot warm") } else { format!("{i} hot") }
}

impl Leaves for Log {
    async fn leaves_from(&self, index: u64) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        if self.unreadable.load(Ordering::Acquire) {
            return Err(ReadError::unavailable("the disk sleeps"));
        }
        let all = self.leaves.lock().unwrap();
        let rest = (WIDTH - index % WIDTH) as usize;
        Ok(all.iter().skip(index as usize).take(rest).cloned().collect())
    }

    fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}

fn read_words() -> ReadTerms {
    Box::new(|leaf, aside, terms| {
        let text = std::str::from_utf8(leaf).expect("tests write text");
        if text == "unreadable" {
            return Err(DescribeError::TooLong { len: 0 });
        }
        terms.extend(text.split(' ').map(word));
        terms.extend(std::str::from_utf8(aside).ok().filter(|aside| !aside.is_empty()).map(word));
        Ok(())
    })
}

fn word(word: &str) -> Term {
    Term::new(Door::V1, word)
}

/// Longer than anything waited for takes, so a test that hangs fails.
const LONG: Duration = Duration::from_mins(1);

const SMALL: Shape = Shape { leaves_per_span: 64, spans_per_run: 2 };

fn open(dir: &Path, shape: Shape) -> Search {
    Search::shaped(Some(dir), read_words, shape).expect("opens")
}

fn memory(shape: Shape) -> Search {
    Search::shaped(None, read_words, shape).expect("opens")
}

fn grow(search: &Search, log: &Log) {
    search.grow_now(log, 2, &|_, _| {}).expect("grows");
    assert_eq!(search.complete(), log.size());
}

fn found(search: &Search, query: &Query) -> Vec<u64> {
    search.find(query, Start::At(0), usize::MAX).expect("answers").leaves
}

/// Every leaf of a counted log is found by its number, and together by what they share.
fn assert_counted(search: &Search, size: u64) {
    for i in 0..size {
        assert_eq!(found(search, &Query::any([word(&i.to_string())])), [i]);
    }
    assert_eq!(found(search, &Query::any([word("hot")])), (0..size).collect::<Vec<_>>());
    assert_eq!(found(search, &Query::any([word("warm")])), (0..size).step_by(100).collect::<Vec<_>>());
    assert_eq!(found(search, &Query::any([word(&size.to_string())])), [0; 0]);
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("starts")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("is listed") {
        let path = entry.expect("is listed").path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

// What is asked and how it is answered

#[test]
fn groups_are_all_needed_and_one_term_of_each_will_do() {
    let (runtime, search) = (runtime(), memory(SMALL));
    let _inside = runtime.enter();
    grow(&search, &Log::of(&["a b", "a", "b c", "a c", "d"]));
    assert_eq!(found(&search, &Query::any([word("a")])), [0, 1, 3]);
    assert_eq!(found(&search, &Query::any([word("b"), word("d")])), [0, 2, 4]);
    assert_eq!(found(&search, &Query::all([word("a"), word("c")])), [3]);
    assert_eq!(found(&search, &Query::any([word("a"), word("d")]).and_any([word("b"), word("c")])), [0, 3]);
    assert_eq!(found(&search, &Query::everything()), [0, 1, 2, 3, 4]);
    assert_eq!(found(&search, &Query::everything().within(1..3)), [1, 2]);
    assert_eq!(found(&search, &Query::any([])), [0; 0]);
    assert_eq!(found(&search, &Query::any([Term::new(Door::V2, "a")])), [0; 0]);
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is tried")]
    let backwards = Query::everything().within(4..1);
    assert_eq!(found(&search, &backwards), [0; 0]);
    assert_eq!(search.count(&backwards), Ok((0, 5)));
}

#[test]
fn a_leaf_that_cannot_be_read_is_passed_over() {
    let (runtime, search) = (runtime(), memory(SMALL));
    let _inside = runtime.enter();
    grow(&search, &Log::of(&["a", "unreadable", "a"]));
    assert_eq!(found(&search, &Query::any([word("a")])), [0, 2]);
    assert_eq!(found(&search, &Query::any([word("unreadable")])), [0; 0]);
    assert_eq!(search.complete(), 3);
}

#[test]
fn what_was_said_beside_a_leaf_finds_it() {
    let (runtime, search, log) = (runtime(), memory(SMALL), Log::of(&["a", "b"]));
    let _inside = runtime.enter();
    log.leaves.lock().unwrap()[1].1 = Bytes::from_static(b"sha256:00");
    grow(&search, &log);
    assert_eq!(found(&search, &Query::any([word("sha256:00")])), [1]);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<Vec<u8>>),
    /// Everything in memory is lost.
    Kill,
    /// What is in memory is written out first.
    Reopen,
    Ask {
        groups: Vec<Vec<u8>>,
        range: Range<u64>,
        from: u64,
        skip: u64,
        limit: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Small letters are frequent, large ones rare.
    let letter = (0_u8..5, 0_u8..5).prop_map(|(a, b)| a * b);
    let leaf = prop::collection::vec(letter.clone(), 1..4);
    let ask = (
        prop::collection::vec(prop::collection::vec(letter, 0..3), 0..3),
        (0_u64..700, 0_u64..700).prop_map(|(low, high)| low..high),
        (0_u64..700, 0_u64..300, 0_usize..200),
    );
    let step = prop_oneof![
        4 => prop::collection::vec(leaf, 0..150).prop_map(Step::Publish),
        1 => Just(Step::Kill),
        1 => Just(Step::Reopen),
        6 => ask.prop_map(|(groups, range, (from, skip, limit))| Step::Ask { groups, range, from, skip, limit }),
    ];
    prop::collection::vec(step, 1..25)
}

fn letter(letter: u8) -> String {
    char::from(b'a' + letter).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn it_answers_as_a_plain_list_would(
        steps in steps(), leaves_per_span in prop::sample::select(vec![16_usize, 64, 256]), on_disk in any::<bool>(),
    ) {
        let (runtime, dir) = (runtime(), tempfile::tempdir().expect("a directory"));
        let _inside = runtime.enter();
        let shape = Shape { leaves_per_span, spans_per_run: 2 };
        let at = |dir: &Path| if on_disk { open(dir, shape) } else { memory(shape) };
        let (log, mut plain) = (Log::default(), Vec::<Vec<u8>>::new());
        let mut search = at(dir.path());
        for step in steps {
            match step {
                Step::Publish(leaves) => {
                    log.publish(leaves.iter().map(|leaf| {
                        leaf.iter().map(|l| letter(*l)).collect::<Vec<_>>().join(" ")
                    }));
                    plain.extend(leaves);
                    grow(&search, &log);
                }
                Step::Kill => {
                    drop(search);
                    search = at(dir.path());
                    prop_assert!(search.complete() <= log.size());
                    grow(&search, &log);
                }
                Step::Reopen => {
                    search.shared.write_out(1).expect("is written");
                    drop(search);
                    search = at(dir.path());
                    let whole = log.size() - log.size() % leaves_per_span as u64;
                    prop_assert_eq!(search.complete(), if on_disk { whole } else { 0 });
                    grow(&search, &log);
                }
                Step::Ask { groups, range, from, skip, limit } => {
                    let query = Query {
                        groups: groups.iter().map(|g| g.iter().map(|l| word(&letter(*l))).collect()).collect(),
                        range: range.clone(),
                    };
                    let expected: Vec<u64> = (0_u64..).zip(&plain)
                        .filter(|(i, leaf)| range.contains(i)
                            && groups.iter().all(|group| group.iter().any(|l| leaf.contains(l))))
                        .map(|(i, _)| i).collect();
                    let complete = log.size();
                    let after: Vec<u64> = expected.iter().copied().filter(|i| *i >= from).take(limit).collect();
                    prop_assert_eq!(
                        search.find(&query, Start::At(from), limit), Ok(Found { leaves: after, complete }));
                    let page: Vec<u64> = expected.iter().copied().skip(skip as usize).take(limit).collect();
                    prop_assert_eq!(
                        search.find(&query, Start::Skip(skip), limit), Ok(Found { leaves: page, complete }));
                    prop_assert_eq!(search.count(&query), Ok((expected.len() as u64, complete)));
                }
            }
        }
    }
}

// Starting, stopping, growing

#[test]
fn a_rebuild_tells_its_progress_and_is_there_at_the_next_start() {
    let (runtime, dir, log) = (runtime(), tempfile::tempdir().expect("a directory"), Log::counted(9000));
    let _inside = runtime.enter();
    let at = dir.path().join("search");
    let told = Mutex::new(Vec::new());
    let tell = |done, total| told.lock().unwrap().push((done, total));
    let search = Search::rebuild_reading(&at, read_words, &log, 3, tell).expect("is rebuilt");
    assert_counted(&search, 9000);
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted() && told.iter().all(|(_, total)| *total == 9000), "{told:?}");
    assert_eq!(told.last(), Some(&(9000, 9000)));
    drop(search);
    let search = Search::open_reading(&at, read_words).expect("opens");
    assert_eq!(search.complete(), 8192);
    // A leaf in the open span is none of the index after a start and before it has grown.
    assert_eq!(found(&search, &Query::any([word("8999")])), [0; 0]);
    grow(&search, &log);
    assert_counted(&search, 9000);
    drop(search);
    fs::write(at.join("0/garbage"), b"x").expect("is written");
    let search = Search::rebuild_reading(&at, read_words, &log, 1, |_, _| {}).expect("is rebuilt");
    assert_counted(&search, 9000);
    assert!(!at.join("0/garbage").exists());
}

#[test]
fn an_index_of_another_log_is_grown_again() {
    let (runtime, dir) = (runtime(), tempfile::tempdir().expect("a directory"));
    let _inside = runtime.enter();
    let search = open(dir.path(), SMALL);
    grow(&search, &Log::counted(300));
    // One that is shorter, as after a backup was put back.
    grow(&search, &Log::counted(150));
    assert_counted(&search, 150);
    grow(&search, &Log::counted(300));
    drop(search);
    let other = Log::default();
    other.publish((1000..1300).map(counted));
    let search = open(dir.path(), SMALL);
    assert_eq!(search.complete(), 256);
    grow(&search, &other);
    assert_eq!(found(&search, &Query::any([word("1007")])), [7]);
    assert_eq!(found(&search, &Query::any([word("7")])), [0; 0]);
}

#[test]
fn spans_of_another_size_are_grown_again() {
    let (runtime, dir, log) = (runtime(), tempfile::tempdir().expect("a directory"), Log::counted(700));
    let _inside = runtime.enter();
    let search = open(dir.path(), SMALL);
    grow(&search, &log);
    drop(search);
    let search = open(dir.path(), Shape { leaves_per_span: 256, ..SMALL });
    assert_eq!(search.complete(), 0);
    grow(&search, &log);
    assert_counted(&search, 700);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_follower_keeps_up_and_whoever_waits_is_told() {
    let (dir, log) = (tempfile::tempdir().expect("a directory"), Log::counted(500));
    let search = open(dir.path(), SMALL);
    let (stop, stopping) = watch::channel(false);
    let follower = search.follow(log.clone(), 2, stopping);
    assert_eq!(search.wait_for(500, LONG).await, 500);
    for size in 501..1000 {
        log.publish([counted(size - 1)]);
        assert_eq!(search.wait_for(size, LONG).await, size);
        assert_eq!(found(&search, &Query::any([word(&(size - 1).to_string())])), [size - 1]);
    }
    assert_eq!(search.wait_for(1500, Duration::from_millis(1)).await, 999, "nothing more will come");
    stop.send(true).expect("is heard");
    follower.await.expect("ends");
    assert_counted(&search, 999);
    drop(search);
    assert_eq!(open(dir.path(), SMALL).complete(), 999 / 64 * 64, "an orderly end loses only the open span");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn readers_see_whole_answers_while_the_index_grows() {
    let (dir, log) = (tempfile::tempdir().expect("a directory"), Log::default());
    let search = open(dir.path(), SMALL);
    let (stop, stopping) = watch::channel(false);
    let follower = search.follow(log.clone(), 2, stopping);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let search = search.clone();
            tokio::task::spawn_blocking(move || {
                loop {
                    let hot =
                        search.find(&Query::any([word("hot")]), Start::At(0), usize::MAX).expect("answers");
                    assert_eq!(hot.leaves, (0..hot.complete).collect::<Vec<_>>());
                    let warm = search.count(&Query::all([word("hot"), word("warm")])).expect("answers");
                    assert_eq!(warm.0, warm.1.div_ceil(100));
                    if hot.complete == 6000 {
                        return;
                    }
                }
            })
        })
        .collect();
    for step in 0..120 {
        log.publish((step * 50..step * 50 + 50).map(counted));
        tokio::task::yield_now().await;
    }
    for reader in readers {
        reader.await.expect("has seen no gap");
    }
    stop.send(true).expect("is heard");
    follower.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_read_is_asked_again() {
    let (search, log) = (memory(SMALL), Log::counted(100));
    let (stop, stopping) = watch::channel(false);
    let follower = search.follow(log.clone(), 1, stopping);
    assert_eq!(search.wait_for(100, LONG).await, 100);
    log.unreadable.store(true, Ordering::Release);
    log.publish((100..300).map(counted));
    assert_eq!(search.wait_for(300, Duration::from_millis(150)).await, 100);
    log.unreadable.store(false, Ordering::Release);
    assert_eq!(search.wait_for(300, LONG).await, 300);
    assert_counted(&search, 300);
    stop.send(true).expect("is heard");
    follower.await.expect("ends");
}

// Disks

#[test]
fn damage_to_any_file_is_noticed_and_mended() {
    let (runtime, dir, log) = (runtime(), tempfile::tempdir().expect("a directory"), Log::counted(700));
    let _inside = runtime.enter();
    let sound = dir.path().join("sound");
    let search = open(&sound, SMALL);
    grow(&search, &log);
    drop(search);
    let names: Vec<PathBuf> =
        files(&sound).iter().map(|path| path.strip_prefix(&sound).expect("is below").to_owned()).collect();
    assert!(names.len() > 3, "{names:?}");
    let copy = dir.path().join("copy");
    for name in &names {
        let whole = fs::read(sound.join(name)).expect("is read");
        let mut damaged: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new())];
        damaged.push(Some(whole[..whole.len() / 2].to_vec()));
        damaged.push(Some(whole[..whole.len().saturating_sub(1)].to_vec()));
        damaged.push(Some(vec![0xff; whole.len()]));
        for at in (0..whole.len()).step_by(whole.len().div_ceil(16).max(1)) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x55;
            damaged.push(Some(flipped));
        }
        for damaged in damaged {
            for from in &names {
                let to = copy.join(from);
                fs::create_dir_all(to.parent().expect("is below")).expect("is made");
                fs::copy(sound.join(from), to).expect("is copied");
            }
            match damaged {
                Some(bytes) => fs::write(copy.join(name), bytes).expect("is written"),
                None => fs::remove_file(copy.join(name)).expect("is removed"),
            }
            let search = open(&copy, SMALL);
            let ask = |i: u64| {
                let query = Query::any([word(&i.to_string())]);
                search.find(&query, Start::At(0), 10).expect("answers")
            };
            for i in (0..700).step_by(7) {
                let answer = ask(i);
                assert_eq!(answer.leaves, if i < answer.complete { vec![i] } else { Vec::new() }, "{name:?}");
            }
            grow(&search, &log);
            for i in (0..700).step_by(7) {
                let answer = ask(i);
                assert_eq!(answer.leaves, if i < answer.complete { vec![i] } else { Vec::new() }, "{name:?}");
            }
            grow(&search, &log);
            assert_eq!(found(&search, &Query::any([word("hot")])), (0..700).collect::<Vec<_>>());
            drop(search);
            fs::remove_dir_all(&copy).expect("is removed");
        }
    }
}

fn damage_tables(dir: &Path, part: impl Fn(usize) -> Range<usize>) {
    let is_table = |path: &PathBuf| path.parent().is_some_and(|dir| dir.ends_with("tables"));
    for table in files(dir).into_iter().filter(is_table) {
        let mut bytes = fs::read(&table).expect("is read");
        let part = part(bytes.len());
        bytes[part].fill(0xaa);
        fs::write(&table, bytes).expect("is written");
    }
}

fn ask_for_each(search: &Search, size: u64) {
    for i in 0..size {
        let answer = search.find(&Query::any([word(&i.to_string())]), Start::At(0), 10).expect("answers");
        assert_eq!(answer.leaves, if i < answer.complete { vec![i] } else { Vec::new() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_met_while_following_is_mended_by_the_follower() {
    let (dir, log) = (tempfile::tempdir().expect("a directory"), Log::counted(700));
    let search = open(dir.path(), SMALL);
    tokio::task::block_in_place(|| grow(&search, &log));
    drop(search);
    damage_tables(dir.path(), |_| 100..140);
    let search = open(dir.path(), SMALL);
    let (stop, stopping) = watch::channel(false);
    let follower = search.follow(log.clone(), 2, stopping);
    ask_for_each(&search, 700);
    log.publish([counted(700)]);
    assert_eq!(search.wait_for(701, LONG).await, 701);
    assert_counted(&search, 701);
    stop.send(true).expect("is heard");
    follower.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_met_when_the_follower_was_done_is_mended_though_nothing_more_comes() {
    let (dir, log) = (tempfile::tempdir().expect("a directory"), Log::counted(5000));
    let search = open(dir.path(), SMALL);
    let (stop, stopping) = watch::channel(false);
    let follower = search.follow(log.clone(), 2, stopping);
    assert_eq!(search.wait_for(5000, LONG).await, 5000);
    damage_tables(dir.path(), |len| len / 4..len / 2);
    let complete = search.shared.complete.subscribe();
    ask_for_each(&search, 5000);
    assert!(complete.has_changed().expect("lives"), "the damage was not met");
    assert_eq!(search.wait_for(5000, LONG).await, 5000);
    assert_counted(&search, 5000);
    stop.send(true).expect("is heard");
    follower.await.expect("ends");
    drop(search);
    assert_eq!(fs::read_dir(dir.path()).expect("is listed").count(), 1, "what was damaged is gone");
    assert_counted(&open(dir.path(), SMALL), 4992);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("file"), b"").expect("is written");
    let error = Search::open_reading(&dir.path().join("file/search"), read_words).err().expect("is refused");
    assert!(matches!(&error, SearchError::Unavailable(cause) if cause.contains("file/search: ")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_refuses_rows_is_tried_again_and_answers_stay_right() {
    let (dir, log) = (tempfile::tempdir().expect("a directory"), Log::counted(700));
    let at = dir.path().join("search");
    let search = open(&at, SMALL);
    let (stop, stopping) = watch::channel(false);
    let follower = search.follow(log.clone(), 2, stopping);
    assert_eq!(search.wait_for(700, LONG).await, 700);
    // Directories where the next tables would be: what is there can be read, and nothing can be added.
    let tables = at.join("0/tables");
    let blocked: Vec<PathBuf> = (0..5000)
        .map(|id| tables.join(id.to_string()))
        .filter(|table| fs::create_dir(table).is_ok())
        .collect();
    log.publish((700..1400).map(counted));
    assert_eq!(search.wait_for(1152, LONG).await, 1152);
    assert_eq!(search.wait_for(1400, Duration::from_millis(300)).await, 1152);
    assert_counted(&search, 1152);
    for blocked in blocked {
        fs::remove_dir(blocked).expect("is removed");
    }
    assert_eq!(search.wait_for(1400, LONG).await, 1400);
    assert_counted(&search, 1400);
    stop.send(true).expect("is heard");
    follower.await.expect("ends");
}
