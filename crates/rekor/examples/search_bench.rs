//! Measures the search index on a log that is made up while it is read: growth from terms to rows on disk, size, and
//! lookups of one digest. `cargo run --release -p bulla-rekor --example search_bench -- DIR LEAVES RARE THREADS`, where
//! RARE is how many terms a leaf shares with no other (one digest: 1); four more are shared by all. With 0 the leaves are
//! hashedrekord entries that one key signed, and what they are found by is read from them.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::traces::Door;
use bulla_ledger::ReadError;
use bulla_rekor::search::{Leaves, Query, ReadTerms, Search, Start, Term, of_entries};
use bytes::Bytes;
use tokio::sync::watch;

/// Leaves are their number and how many rare terms they have, or, with none, entries.
struct MadeUp {
    rare: u8,
    published: watch::Sender<u64>,
}

impl Leaves for MadeUp {
    async fn leaves_from(&self, index: u64) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        let leaf = |i: u64| match self.rare {
            0 => entry(i).into_bytes(),
            rare => [&i.to_be_bytes()[..], &[rare]].concat(),
        };
        Ok((index..(index / 256 + 1) * 256).map(|i| (Bytes::from(leaf(i)), Bytes::new())).collect())
    }

    fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}

fn rare(leaf: u64, which: u8) -> Term {
    let mut text = [0; 17];
    text[..16].copy_from_slice(format!("{leaf:016x}").as_bytes());
    text[16] = b'a' + which;
    Term::new(Door::V1, std::str::from_utf8(&text).expect("hexadecimal"))
}

/// The digest of an entry says its number.
fn digest(leaf: u64) -> String {
    format!("{leaf:064x}")
}

fn entry(leaf: u64) -> String {
    static KEY: LazyLock<String> =
        LazyLock::new(|| STANDARD.encode(include_str!("../../claims/tests/keys/p256.pub")));
    const SIGNATURE: &str =
        "MEUCIQCPWqPgW0Ca6JhNvc1kNIGBZKFKUW8hhHAZxfHCHQSMAAIgK0cJ0lq4cJqf0NvfRcTSu3VzZTTzJCHR5aY2cVB9uPw=";
    format!(
        "{{\"apiVersion\":\"0.0.1\",\"kind\":\"hashedrekord\",\"spec\":{{\"data\":{{\"hash\":{{\"algorithm\":\"sha256\",\
         \"value\":\"{}\"}}}},\"signature\":{{\"content\":\"{SIGNATURE}\",\"publicKey\":{{\"content\":\"{}\"}}}}}}}}",
        digest(leaf),
        *KEY
    )
}

/// What finds a leaf and no other.
fn own(leaf: u64, rare_terms: u8) -> Term {
    match rare_terms {
        0 => Term::new(Door::V1, &format!("sha256:{}", digest(leaf))),
        _ => rare(leaf, 0),
    }
}

fn read_terms() -> ReadTerms {
    let shared = ["kind:hashedrekord", "key", "sha256:key", "spki"].map(|text| Term::new(Door::V1, text));
    Box::new(move |leaf, _, terms| {
        let (number, count) = leaf.split_first_chunk().expect("made above");
        terms.extend((0..count[0]).map(|which| rare(u64::from_be_bytes(*number), which)));
        terms.extend_from_slice(&shared);
        Ok(())
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let mut next = || args.next().ok_or("DIR LEAVES RARE THREADS");
    let dir = PathBuf::from(next()?);
    let leaves: u64 = next()?.parse()?;
    let (rare_terms, threads): (u8, usize) = (next()?.parse()?, next()?.parse()?);
    let log = MadeUp { rare: rare_terms, published: watch::Sender::new(leaves) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _inside = runtime.enter();

    let reader = if rare_terms == 0 { of_entries } else { read_terms };
    let (making, mut read, mut terms) = (cpu_seconds()?, reader(), Vec::new());
    let sample = leaves.min(256_000);
    for bundle in 0..sample / 256 {
        for (leaf, aside) in
            runtime.block_on(log.leaves_from(bundle * 256)).map_err(|error| format!("{error:?}"))?
        {
            terms.clear();
            read(&leaf, &aside, &mut terms)?;
        }
    }
    let making = (cpu_seconds()? - making) * 1e6 / sample as f64;
    println!("leaf to terms  {making:>10.2} µs of CPU an entry, {} terms", terms.len());

    let (started, cpu) = (Instant::now(), cpu_seconds()?);
    let search = Search::rebuild_reading(&dir, reader, &log, threads, |_, _| {})?;
    let wall = started.elapsed().as_secs_f64();
    println!("grown          {:>10.0} entries a second", leaves as f64 / wall);
    let memory = resident()?;
    drop(search);
    let cpu = cpu_seconds()? - cpu;
    println!("               {:>10.2} µs of CPU an entry, merging included", cpu * 1e6 / leaves as f64);
    println!("on disk        {:>10.1} bytes an entry", size_of(&dir)? as f64 / leaves as f64);

    let before = resident()?;
    let started = Instant::now();
    let search = Search::open_reading(&dir, reader)?;
    println!("opened in      {:>10.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let complete = search.complete();
    lookups(&search, rare_terms)?;
    println!(
        "memory         {memory:>10} KiB at the end of growth, {before} closed, {} after lookups",
        resident()?
    );
    let hot = Term::kind(Door::V1, "hashedrekord");
    let started = Instant::now();
    let (count, _) = search.count(&Query::all([hot]))?;
    println!("counted        {count:>10} of one kind in {:.2} ms", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let page = search.find(&Query::all([hot]), Start::Skip(complete / 2), 20)?;
    println!(
        "a page of {:>2}     after skipping half in {:.2} ms",
        page.leaves.len(),
        started.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

/// One digest at a time, all over the log; twice, for the first time warms the caches of the system.
fn lookups(search: &Search, rare_terms: u8) -> Result<(), Box<dyn std::error::Error>> {
    let state = Cell::new(88_172_645_463_325_252_u64);
    let random = || {
        let mut x = state.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        x
    };
    for name in ["first", "then"] {
        let mut times = Vec::new();
        for _ in 0..20_000 {
            let leaf = random() % search.complete();
            let query = Query::any([own(leaf, rare_terms), Term::new(Door::V2, "nothing")]);
            let started = Instant::now();
            let found = search.find(&query, Start::At(0), 10)?;
            times.push(started.elapsed());
            assert_eq!(found.leaves, [leaf]);
        }
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100];
        println!("lookup, {name:<5}  p50 {:?}, p99 {:?}", at(50), at(99));
    }
    Ok(())
}

fn size_of(dir: &Path) -> io::Result<u64> {
    fs::read_dir(dir)?.try_fold(0, |size, entry| {
        let (path, meta) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        Ok(size + if meta.is_dir() { size_of(&path)? } else { meta.len() })
    })
}

/// User and system time of this process.
fn cpu_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10).as_secs_f64())
}

fn resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default())
}
