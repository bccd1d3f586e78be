//! Whom `bulla verify` and `bulla sign` believe when no file says it: trust repositories that were added, their caches, and
//! the configuration.

mod common;
mod stack;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bulla_authority::PrivateKey;
use bulla_authority::tuf::{Expiries, Repository};
use bulla_claims::SigningKey;
use bulla_tlog::sha256;
use common::{answering, bulla, run};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use stack::{Stack, done};

/// A user with directories of its own.
struct User {
    home: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn at_home<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("XDG_CONFIG_HOME", self.path("config")).env("XDG_CACHE_HOME", self.path("cache"))
    }

    fn trust(&self, arguments: &[&str]) -> (i32, String, String) {
        run(self.at_home(bulla().arg("trust").args(arguments)))
    }

    /// What was cached of a repository.
    fn cache(&self, url: &str) -> PathBuf {
        self.path("cache/bulla/trust").join(&sha256(url.as_bytes()).to_string()[..16])
    }

    /// As if it had been asked long ago.
    fn asked_long_ago(&self, url: &str) {
        fs::write(self.cache(url).join("asked"), "2020-01-01T00:00:00Z").expect("is written");
    }
}

const KEY: [&str; 2] = ["--key", "signer.key"];

/// A command without the address of the stack.
fn command(stack: &Stack, user: &User, verb: &str, arguments: &[&str]) -> Command {
    let mut command = bulla();
    command.arg(verb).args(arguments).current_dir(stack.folder.path());
    command.env("XDG_STATE_HOME", stack.path("state"));
    user.at_home(&mut command);
    command
}

#[test]
fn a_repository_that_was_added_says_whom_to_believe_and_where_to_sign() {
    let (stack, user) = (Stack::start(), User::new());
    let url = format!("{}/tuf", stack.url());
    let root = stack.path("data/tuf/repository/1.root.json").display().to_string();
    let verify = |arguments: &[&str]| {
        run(&mut command(&stack, &user, "verify", &[&["file"], &KEY[..], arguments].concat()))
    };
    let (code, _, errors) = verify(&["--instance", &url]);
    let expected = format!(
        "bulla: {url}/ was never added: `bulla trust add {url}/ --root FILE` once, with the root.json that its owner gives you\n"
    );
    assert_eq!((code, errors), (2, expected));

    let (code, out, errors) = user.trust(&["add", &url, "--root", &root, "--output", "json"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    let said: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(said["instances"][0]["url"], format!("{url}/"));
    assert_eq!(said["instances"][0]["root"], 1);
    assert_eq!(done(run(&mut command(&stack, &user, "sign", &[&["file"], &KEY[..]].concat()))), ["signed"]);
    for arguments in [&[][..], &["--instance", &url], &["--offline"]] {
        let (code, out, errors) = verify(arguments);
        assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    }
    // No socket is opened: there is none to be had.
    let inner = command(&stack, &user, "verify", &[&["file", "--offline"], &KEY[..]].concat());
    let mut alone = Command::new("unshare");
    alone.args(["--net", "--map-root-user"]).arg(inner.get_program()).args(inner.get_args());
    alone.current_dir(stack.folder.path());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => alone.env(name, value),
            None => alone.env_remove(name),
        };
    }
    let (code, out, errors) = run(&mut alone);
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");

    // The repository goes away: what it said counts, and that it did not answer is said.
    let Stack { served, folder } = stack;
    served.stop();
    let verify = |user: &User, arguments: &[&str]| {
        let mut command = bulla();
        command.args(["verify", "file"]).args(KEY).args(arguments).current_dir(folder.path());
        run(user.at_home(&mut command))
    };
    let (code, out, errors) = verify(&user, &[]);
    assert_eq!((code, errors.as_str()), (0, ""), "asked within the hour: {out}");
    assert!(!out.contains("note "), "{out}");
    user.asked_long_ago(&format!("{url}/"));
    let (code, out, errors) = verify(&user, &[]);
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    assert!(out.contains("what it said last of 2020-01-01T00:00:00Z counts until 20"), "{out}");
    let (code, _, errors) = user.trust(&["refresh"]);
    assert_eq!(code, 3, "{errors}");
    // Without a cache nothing is known.
    fs::remove_dir_all(user.path("cache")).expect("is removed");
    let (code, _, errors) = verify(&user, &[]);
    assert!(code == 3 && errors.contains("nothing in the cache counts"), "{errors}");
    let (code, _, errors) = verify(&user, &["--offline"]);
    assert!(
        code == 3 && errors.contains("nothing of it is cached and with --offline it is not asked"),
        "{errors}"
    );
    assert_eq!(user.trust(&["forget", &url]).0, 0);
    let (code, _, errors) = verify(&user, &["--offline"]);
    assert!(code == 2 && errors.starts_with("bulla: nobody is believed: "), "{errors}");
}

#[test]
fn the_configuration_pins_whom_to_believe() {
    let (stack, user) = (Stack::start(), User::new());
    assert_eq!(done(stack.sign(&[&["file"], &KEY[..]].concat())), ["signed"]);
    let verify = || run(&mut command(&stack, &user, "verify", &[&["file", "--offline"], &KEY[..]].concat()));
    assert_eq!(verify().0, 2);
    fs::create_dir_all(user.path("config/bulla")).expect("is made");
    let write = |text: &str| fs::write(user.path("config/bulla/config.toml"), text).expect("is written");
    fs::copy(stack.path("data/clients/trusted_root.json"), user.path("config/bulla/root.json"))
        .expect("is copied");
    write("[verify]\ntrusted-root = \"root.json\"\n");
    let (code, out, errors) = verify();
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    for (text, problem) in [
        (
            "[verify]\ntrusted-root = \"a\"\ninstance = \"b\"\n",
            "verify has trusted-root and instance, one was expected",
        ),
        ("[verify]\nroot = \"a\"\n", "unknown field `root`, expected `trusted-root` or `instance`"),
        (
            "[verify]\ninstance = \"https://trust.example.org\"\n",
            "https://trust.example.org/ was never added",
        ),
        (
            "[verify]\ninstance = \"trust.example.org\"\n",
            "instance \"trust.example.org\": relative URL without a base",
        ),
    ] {
        write(text);
        let (code, _, errors) = verify();
        assert!(code == 2 && errors.contains("config.toml: ") && errors.contains(problem), "{errors}");
    }
}

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key"))
}

/// A repository that was made at that time, in a directory that is served.
struct Made {
    dir: tempfile::TempDir,
    repository: Repository,
    url: String,
}

impl Made {
    fn at(now: Timestamp) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, online) = (key(), key());
        let keys: [&dyn PrivateKey; 1] = [&*root];
        let targets = targets("{}");
        let made = Repository::create(dir.path(), &keys, online, &targets, now, Expiries::default());
        let repository = wait(made).expect("a repository");
        let url = serve(dir.path().to_owned());
        Self { dir, repository, url }
    }

    fn root(&self) -> String {
        self.dir.path().join("1.root.json").display().to_string()
    }
}

fn targets(root: &str) -> BTreeMap<String, Vec<u8>> {
    ["trusted_root.json", "signing_config.v0.2.json"]
        .map(|name| (name.to_owned(), root.as_bytes().to_vec()))
        .into()
}

fn wait<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(task)
}

/// Files of a directory over HTTP, for as long as the test runs.
fn serve(dir: PathBuf) -> String {
    let host = answering(move |path| {
        let read = fs::read(dir.join(path.trim_start_matches('/')));
        read.map_or((404, "text/plain", Vec::new()), |body| (200, "application/octet-stream", body))
    });
    format!("http://{host}/")
}

#[test]
fn metadata_that_has_ended_counts_for_nothing() {
    let user = User::new();
    let made = Made::at(Timestamp::now() - SignedDuration::from_hours(24 * 30));
    let (code, _, errors) = user.trust(&["add", &made.url, "--root", &made.root()]);
    assert_eq!(code, 3, "{errors}");
    let problem = format!("bulla: {}: its timestamp has expired at ", made.url);
    assert!(errors.starts_with(&problem) && errors.contains("its owner must renew it"), "{errors}");
    assert!(!user.path("config").exists(), "it was not added");
    // The owner renews it.
    wait(made.repository.publish(&targets("{}"), Timestamp::now())).expect("is published");
    assert_eq!(user.trust(&["add", &made.url, "--root", &made.root()]).0, 0);
    // A cache that has ended since: the network is not asked, and the fix is said.
    let cache = user.cache(&made.url);
    let old = Made::at(Timestamp::now() - SignedDuration::from_hours(24 * 30));
    copy(old.dir.path(), &cache);
    copy_root(&user, &made.url, &old.root());
    let verify = |arguments: &[&str]| {
        run(user.at_home(bulla().args(["verify", "Cargo.toml", "--identity", "a=b"]).args(arguments)))
    };
    let (code, _, errors) = verify(&["--offline"]);
    assert_eq!(code, 3, "{errors}");
    assert!(errors.contains("in the cache: run `bulla trust refresh` where there is a network"), "{errors}");
}

fn copy(from: &Path, to: &Path) {
    for dir in ["", "targets"] {
        for file in fs::read_dir(from.join(dir)).expect("is there") {
            let file = file.expect("a file");
            if file.path().is_file() {
                fs::copy(file.path(), to.join(dir).join(file.file_name())).expect("is copied");
            }
        }
    }
}

fn copy_root(user: &User, url: &str, root: &str) {
    let pinned = user.path("config/bulla/trust").join(&sha256(url.as_bytes()).to_string()[..16]);
    fs::copy(root, pinned.join("root.json")).expect("is copied");
}

#[test]
fn what_is_older_than_what_was_seen_or_not_signed_is_not_believed() {
    let user = User::new();
    let now = Timestamp::now();
    let made = Made::at(now);
    let first = tempfile::tempdir().expect("a directory");
    fs::create_dir(first.path().join("targets")).expect("is made");
    copy(made.dir.path(), first.path());
    // By the root of somebody else nothing is believed.
    let other = Made::at(now);
    let (code, _, errors) = user.trust(&["add", &made.url, "--root", &other.root()]);
    assert_eq!(code, 1, "{errors}");
    assert_eq!(user.trust(&["add", &made.url, "--root", &made.root()]).0, 0);
    wait(made.repository.publish(&targets("[]"), now)).expect("is published");
    assert_eq!(user.trust(&["refresh", &made.url]).0, 0);
    let newest = fs::read(user.cache(&made.url).join("timestamp.json")).expect("is cached");
    // Played back.
    copy(first.path(), made.dir.path());
    let (code, _, errors) = user.trust(&["refresh"]);
    assert!(code == 1 && errors.contains("what it says is not believed: "), "{errors}");
    // Changed.
    let timestamp =
        String::from_utf8(newest.clone()).expect("text").replace("\"version\": 2", "\"version\": 3");
    fs::write(made.dir.path().join("timestamp.json"), timestamp.replace("\"version\":2", "\"version\":3"))
        .expect("is written");
    let (code, _, errors) = user.trust(&["refresh"]);
    assert!(code == 1 && errors.contains("what it says is not believed: "), "{errors}");
    assert_eq!(fs::read(user.cache(&made.url).join("timestamp.json")).expect("is cached"), newest);
    // Two repositories: which one is meant must be said.
    assert_eq!(user.trust(&["add", &other.url, "--root", &other.root()]).0, 0);
    let (code, _, errors) = run(user.at_home(bulla().args(["verify", "Cargo.toml", "--identity", "a=b"])));
    assert!(code == 2 && errors.starts_with("bulla: 2 trust repositories were added: name one"), "{errors}");
    let (code, out, _) = user.trust(&["list"]);
    assert_eq!((code, out.matches("instance ").count()), (0, 2), "{out}");
}

#[test]
fn a_root_that_is_none_is_the_fault_of_the_file() {
    let (user, made) = (User::new(), Made::at(Timestamp::now()));
    let file = user.path("given.json");
    let other = Made::at(Timestamp::now());
    let read = |made: &Made| -> Value {
        serde_json::from_slice(&fs::read(made.root()).expect("is there")).expect("JSON")
    };
    let mut stripped = read(&made);
    stripped["signatures"] = Value::Array(Vec::new());
    let mut changed = read(&made);
    changed["signatures"] = read(&other)["signatures"].clone();
    let mut misshapen = read(&made);
    misshapen["signed"]["version"] = "one".into();
    let timestamp = fs::read(made.dir.path().join("timestamp.json")).expect("is there");
    for (bytes, problem) in [
        (Vec::new(), "is empty, "),
        (b"\n".to_vec(), "is empty, "),
        (b"<html>no JSON</html>".to_vec(), "is not JSON (expected value at line 1 column 1), "),
        (vec![0xff; 9], "is not JSON ("),
        (b"[]".to_vec(), "has no _type, \"root\" is needed: "),
        (timestamp, "has the _type \"timestamp\", \"root\" is needed: "),
        (
            br#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#.to_vec(),
            "is a trusted root, as --trusted-root takes it; ",
        ),
        (misshapen.to_string().into_bytes(), "is no root (invalid type: string \"one\""),
        (stripped.to_string().into_bytes(), "is not signed by the keys that it names ("),
        (changed.to_string().into_bytes(), "is not signed by the keys that it names ("),
    ] {
        fs::write(&file, bytes).expect("is written");
        let (code, out, errors) = user.trust(&["add", &made.url, "--root", &file.display().to_string()]);
        assert_eq!((code, out.as_str()), (2, ""), "{errors}");
        assert!(errors.starts_with(&format!("bulla: {}: {problem}", file.display())), "{errors}");
        assert!(errors.ends_with("the root.json of a trust repository was expected\n"), "{errors}");
        assert!(!errors.contains(&made.url) && !user.path("config").exists(), "{errors}");
    }
    fs::write(&file, vec![b' '; (1 << 20) + 1]).expect("is written");
    let expected = format!(
        "bulla: {}: has more than 1048576 bytes: --root is the root.json that the repository's owner gave you\n",
        file.display()
    );
    let file = file.display().to_string();
    assert_eq!(user.trust(&["add", &made.url, "--root", &file]), (2, String::new(), expected));
    fs::copy(made.root(), &file).expect("is copied");
    assert_eq!(user.trust(&["add", &made.url, "--root", &file]).0, 0);
}

#[test]
fn a_repository_begins_where_it_is_said_and_not_where_it_was_mistyped() {
    let dir = tempfile::tempdir().expect("a directory");
    let begin = |data: &str, draft: &str| {
        run(bulla().args(["trust", "init", "--data", data, "--draft", draft]).current_dir(dir.path()))
    };
    let at = dir.path().canonicalize().expect("is there").display().to_string();
    let (code, out, errors) = begin("mistyped/data", "draft.json");
    let expected = format!(
        "bulla: --data mistyped/data: neither {at}/mistyped/data nor {at}/mistyped is there: say where the log is, or make \
         {at}/mistyped if a new repository is to begin below it\n"
    );
    assert_eq!((code, out.as_str(), errors.as_str()), (2, "", expected.as_str()));
    assert!(!dir.path().join("draft.json").exists(), "nothing is begun");
    fs::write(dir.path().join("file"), "").expect("is written");
    assert_eq!(
        begin("file", "draft.json"),
        (2, String::new(), "bulla: --data file: is no directory\n".to_owned())
    );
    for (data, draft) in [("new", "draft.json"), (".", "other.json")] {
        let (code, out, errors) = begin(data, draft);
        let place = if data == "." { at.clone() } else { format!("{at}/{data}") };
        let expected =
            format!("version 1 begins a new trust repository at {place}/tuf/repository: there is none yet\n");
        assert_eq!((code, errors), (0, expected), "{out}");
        assert!(out.starts_with("root        version 1, until "), "{out}");
    }
    // The next version of one that is there begins nothing.
    let made = Made::at(Timestamp::now());
    fs::create_dir_all(dir.path().join("data/tuf/repository/targets")).expect("is made");
    copy(made.dir.path(), &dir.path().join("data/tuf/repository"));
    let (code, out, errors) = begin("data", "second.json");
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("root        version 2, until "), "{out}");
}
