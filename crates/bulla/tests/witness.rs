//! `bulla witness` as people start it, and as the system kills it: whatever it has answered it still knows after SIGKILL,
//! and it never cosigns a second tree.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::Ed25519KeyPair;
use bulla_tlog::add_checkpoint::{Request, parse_response};
use bulla_tlog::cosignature::CosignatureVerifier;
use bulla_tlog::note::{Ed25519Signer, Note, Verifier};
use bulla_tlog::{Checkpoint, Edge, Hash, Node, Plan, leaf_hash, sha256};
use common::{Served, bulla, exchange, get, log_entry, new_data, run, serve_command};

const ORIGIN: &str = "log.example.org";
const LOG_VKEY: &str = "log.example.org+b1db5813+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";

/// A log that forks, or does not, after some leaves.
struct Tree(Ed25519Signer, Vec<Hash>);

impl Tree {
    fn forked(from: usize) -> Self {
        let seed: Vec<u8> = (0..32).collect();
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed is a key");
        let leaf = |number| if number < from { format!("{number}") } else { format!("fork {number}") };
        let leaves = (0..512).map(|number| leaf_hash(leaf(number).as_bytes())).collect();
        Self(Ed25519Signer::new(ORIGIN, pair).expect("a name"), leaves)
    }

    fn root(&self, leaves: std::ops::Range<usize>) -> Hash {
        let mut edge = Edge::new();
        for leaf in &self.1[leaves] {
            edge.append(*leaf);
        }
        edge.root()
    }

    fn head(&self, size: usize) -> Checkpoint {
        let root = self.root(0..size);
        Checkpoint { origin: ORIGIN.to_owned(), size: size as u64, root, extensions: Vec::new() }
    }

    fn body(&self, old: usize, new: usize) -> String {
        let plan = Plan::consistency(old as u64, new as u64).expect("old is not above new");
        let subtree = |at: &Node| {
            let width = 1 << at.level;
            let start = at.index as usize * width;
            self.root(start..start + width)
        };
        let proof = plan.finish(&plan.nodes().iter().map(subtree).collect::<Vec<_>>());
        let checkpoint = self.head(new).sign(&self.0).expect("signs").to_string();
        Request { old: old as u64, proof, checkpoint }.to_string()
    }
}

struct Running {
    child: Child,
    at: String,
    vkey: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut greeting = String::new();
        while !greeting.contains("\nquorum w1\n") {
            assert_ne!(stdout.read_line(&mut greeting).expect("text"), 0, "it ended: {greeting}");
        }
        let line = greeting.lines().find(|line| line.starts_with("witness w1 ")).expect("a policy");
        let [_, _, vkey, url] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let at = url.strip_prefix("http://").expect("a URL").to_owned();
        Self { child, at, vkey: vkey.to_owned() }
    }

    /// The size that monitors are told.
    fn size(&self) -> Option<usize> {
        let (status, _, note) = get(&self.at, &format!("/{}/checkpoint", sha256(ORIGIN.as_bytes())));
        (status == 200).then(|| note.lines().nth(1).expect("a size").parse().expect("a number"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn witness(data: &Path) -> Command {
    let mut command = bulla();
    command.args(["witness", "--http", "127.0.0.1:0", "--name", "w.example.org"]).arg("--data").arg(data);
    command
}

#[test]
fn sigkill_at_any_moment_loses_nothing_that_was_answered() {
    let (_folder, data) = new_data();
    let (tree, rounds) = (Tree::forked(usize::MAX), 40_u32);
    let (mut answered, mut kept, mut lost) = (0, 0, 0);
    for round in 0..rounds {
        let mut running = Running::start(witness(&data).args(["--log", LOG_VKEY]));
        let key = CosignatureVerifier::from_vkey(&running.vkey).expect("a vkey");
        let mut size = running.size().unwrap_or(0);
        assert!(size >= answered, "round {round}: {answered} was answered, {size} is known");
        for _ in 0..2 {
            let (status, _, lines) =
                exchange(&running.at, "POST", "/add-checkpoint", &tree.body(size, size + 1));
            assert_eq!(status, 200, "round {round}: {lines}");
            size += 1;
            let lines = parse_response(lines.as_bytes()).expect("signature lines");
            assert!(key.cosigned(&tree.head(size), &lines).is_some());
        }
        // Killed somewhere between the request's arrival and its answer; each round gives it a little longer.
        let body = tree.body(size, size + 1);
        let mut stream = TcpStream::connect(&running.at).expect("connects");
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).expect("sends");
        let moment = Instant::now() + Duration::from_micros(100) * round;
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        running.child.kill().expect("runs");
        running.child.wait().expect("ends");
        let mut answer = String::new();
        let whole = stream.read_to_string(&mut answer).is_ok() && answer.contains("\r\n\r\n\u{2014} ");
        answered = size + usize::from(whole);

        let running = Running::start(witness(&data).args(["--log", LOG_VKEY]));
        let now = running.size().expect("cosigned before");
        assert!((answered..=size + 1).contains(&now), "round {round}: {answered} answered, {now} known");
        if now == size {
            lost += 1;
        } else {
            kept += 1;
        }
        let fork = Tree::forked(now - 1);
        let status = |body: &str| exchange(&running.at, "POST", "/add-checkpoint", body).0;
        assert_eq!(status(&fork.body(now, now)), 422);
        assert_eq!(status(&fork.body(now, now + 1)), 422);
        assert_eq!(status(&tree.body(now - 1, now - 1)), 409);
        answered = now;
    }
    eprintln!(
        "{rounds} kills: the checkpoint in flight was recorded {kept} times and not recorded {lost} times"
    );
}

#[test]
fn the_first_run_and_its_refusals() {
    let (_folder, data) = new_data();
    let (code, vkey, problem) = run(&mut witness(&data));
    assert_eq!(code, 2);
    assert!(vkey.starts_with("w.example.org+"), "a log's operator needs this first: {vkey}");
    assert!(problem.contains("no log to follow: pass --log VKEY or --logs FILE"), "{problem}");

    let logs = data.with_extension("policy");
    std::fs::write(&logs, format!("# ours\nlog {LOG_VKEY} https://log.example.org/\n")).expect("writes");
    let running = Running::start(witness(&data).arg("--logs").arg(&logs));
    assert_eq!(running.vkey, vkey.trim_end());
    let (code, _, problem) = run(witness(&data).arg("--logs").arg(&logs));
    assert_eq!(code, 2);
    assert!(problem.contains("is in use by another witness"), "{problem}");
    let (code, _, problem) = run(witness(&data).args(["--log", "log.example.org"]));
    assert_eq!(code, 2);
    assert!(problem.contains("--log log.example.org: not a vkey"), "{problem}");
}

#[test]
fn a_log_and_its_witness_from_two_commands() {
    let (folder, data) = new_data();
    Served::on(&data).stop();
    let log_vkey = std::fs::read_to_string(data.join("log.vkey")).expect("the log's key");
    let log_vkey = log_vkey.trim_end();
    let witness_data = folder.path().join("witness");
    let running = Running::start(witness(&witness_data).args(["--log", log_vkey]));
    let (vkey, at) = (running.vkey.clone(), running.at.clone());
    drop(running);

    // Closed, and the witness is down: the entry is in the log, but nothing is published, so nobody is told so.
    let policy = folder.path().join("policy");
    std::fs::write(&policy, format!("witness w1 {vkey} http://{at}\nquorum w1\n")).expect("writes");
    let mut command = serve_command(&data);
    command.args(["--witness-fail", "closed", "--witness-policy"]).arg(&policy);
    let log = Served::start(&mut command);
    let (status, _, body) = log_entry(&log.http);
    assert_eq!(status, 503, "{body}");
    let note = || Note::parse(&get(&log.http, "/checkpoint").2).expect("a note");
    let checkpoint = |note: &Note| Checkpoint::parse(&note.text).expect("a checkpoint");
    assert_eq!(checkpoint(&note()).size, 0);

    // Up again: what waited is published by itself, cosigned.
    let mut command = bulla();
    command.args(["witness", "--http", &at, "--log", log_vkey]).arg("--data").arg(&witness_data);
    let running = Running::start(&mut command);
    let patience = Instant::now() + Duration::from_mins(1);
    let published = loop {
        let note = note();
        if checkpoint(&note).size == 1 {
            break note;
        }
        assert!(Instant::now() < patience, "the log does not find its witness again");
        std::thread::yield_now();
    };
    assert!(published.verified_by(&Verifier::from_vkey(log_vkey).expect("a vkey")));
    let key = CosignatureVerifier::from_vkey(&vkey).expect("a vkey");
    assert!(key.cosigned(&checkpoint(&published), &published.signatures).is_some());
    // Monitors see at the witness what clients see at the log.
    let hash = sha256(checkpoint(&published).origin.as_bytes());
    assert_eq!(get(&running.at, &format!("/{hash}/checkpoint")).2, published.to_string());
    log.stop();
}
