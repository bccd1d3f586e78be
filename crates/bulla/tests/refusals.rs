//! What `bulla serve` refuses to start with, and that it says what to do. The exact words are part of the promise.

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{Served, bulla, log_entry, new_data, run, serve_command};

/// Runs `serve` with more arguments; it must end with code 2 and nothing on standard output.
fn refused(data: &Path, args: &[&str]) -> String {
    refused_command(serve_command(data).args(args))
}

fn refused_command(command: &mut Command) -> String {
    let (code, said, errors) = run(command);
    assert_eq!((code, said.as_str()), (2, ""), "{errors}");
    errors
}

/// A log that was started once.
fn used() -> (tempfile::TempDir, std::path::PathBuf) {
    let (folder, data) = new_data();
    assert_eq!(Served::on(&data).stop().0, Some(0));
    (folder, data)
}

#[test]
fn a_port_in_use() {
    let (_folder, data) = new_data();
    let held = TcpListener::bind("127.0.0.1:0").expect("listens");
    let addr = held.local_addr().expect("bound").to_string();
    for option in ["--http", "--grpc", "--metrics"] {
        let free = "127.0.0.1:0";
        let mut command = bulla();
        command.arg("serve").arg("--data").arg(&data);
        for other in ["--http", "--grpc", "--metrics"] {
            command.args([other, if other == option { &addr } else { free }]);
        }
        let expected = format!(
            "bulla: cannot listen on {addr}: another program listens there: stop it, or choose another port with {option}\n"
        );
        assert_eq!(refused_command(&mut command), expected);
    }
}

#[test]
fn a_directory_that_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writes");
    let data = file.join("log");
    let errors = refused(&data, &[]);
    assert!(errors.starts_with(&format!("bulla: cannot write to {}: ", data.display())), "{errors}");
    // Not even the administrator may write there.
    let errors = refused(Path::new("/proc/bulla"), &[]);
    assert!(errors.starts_with("bulla: cannot write to /proc/bulla: "), "{errors}");
}

#[test]
fn a_directory_of_a_newer_version() {
    let (_folder, data) = used();
    fs::write(data.join("format"), "bulla 3\nsomething new\n").expect("writes");
    assert_eq!(
        refused(&data, &[]),
        format!(
            "bulla: {} has format 3, this program knows formats up to 2: use the newer program\n",
            data.display()
        )
    );
}

#[test]
fn a_directory_of_another_log() {
    let (folder, data) = used();
    assert_eq!(
        refused(&data, &["--origin", "other.example.org"]),
        format!(
            "bulla: {} holds the log \"localhost\", not \"other.example.org\": pass --origin localhost, or another --data directory\n",
            data.display()
        )
    );
    let other = folder.path().join("other");
    assert_eq!(Served::on(&other).stop().0, Some(0));
    let key = other.join("log.key");
    let errors = refused(&data, &["--key", key.to_str().expect("text")]);
    assert!(
        errors.starts_with(&format!("bulla: the key does not match the log in {}: ", data.display())),
        "{errors}"
    );
}

#[test]
fn a_log_whose_key_is_gone() {
    let (_folder, data) = used();
    fs::remove_file(data.join("log.key")).expect("removes");
    assert_eq!(
        refused(&data, &[]),
        format!(
            "bulla: {} is missing: put the log's key back, or pass --key FILE; a new key would be a new log\n",
            data.join("log.key").display()
        )
    );
    assert!(!data.join("log.key").exists());
}

#[test]
fn another_key_for_the_v1_door() {
    let (folder, data) = used();
    let (_other_folder, other) = used();
    let key = other.join("v1.key");
    let errors = refused(&data, &["--v1-key", key.to_str().expect("text")]);
    let problem = format!(
        "key file {} is not the key of this log's v1 door, whose public half is in {}: promises given so far could not be \
         verified any more, pass the right --v1-key",
        key.display(),
        data.join("v1.pub").display()
    );
    assert!(errors.contains(&problem), "{errors}");
    // The same key from elsewhere is taken.
    let moved = folder.path().join("moved.key");
    fs::rename(data.join("v1.key"), &moved).expect("moves");
    let served = Served::start(serve_command(&data).arg("--v1-key").arg(&moved));
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn a_list_of_shards_that_does_not_fit_the_directory() {
    let (_folder, data) = used();
    let before = fs::read(data.join("shards.json")).expect("is there");
    let (code, _, errors) = run(bulla().args(["shard", "rotate", "--data"]).arg(&data));
    assert_eq!(code, 0, "{errors}");
    let after = fs::read(data.join("shards.json")).expect("is there");
    let shard =
        fs::read_dir(data.join("shards")).expect("is there").next().expect("one").expect("one").path();

    let served = Served::on(&data);
    assert_eq!(log_entry(&served.http).0, 201);
    assert_eq!(served.stop().0, Some(0));

    // From a copy made before the rotation: the new shard's entry would be gone.
    fs::write(data.join("shards.json"), before).expect("writes");
    let (code, _, errors) = run(&mut serve_command(&data));
    let problem = format!("shards.json does not say that {} followed it", shard.display());
    assert!(code == 1 && errors.contains(&problem), "{errors}");

    // As when a disk is not mounted: the shard must not begin anew.
    fs::write(data.join("shards.json"), after).expect("writes");
    fs::rename(&shard, data.join("elsewhere")).expect("moves");
    fs::create_dir(&shard).expect("makes");
    let (code, _, errors) = run(&mut serve_command(&data));
    let problem = format!("{} holds no log: restore it from a copy", shard.display());
    assert!(code == 1 && errors.contains(&problem), "{errors}");
    assert_eq!(fs::read_dir(&shard).expect("is there").count(), 0);

    fs::remove_dir(&shard).expect("removes");
    fs::rename(data.join("elsewhere"), &shard).expect("moves");
    assert_eq!(Served::on(&data).stop().0, Some(0));
}

#[test]
fn a_directory_too_deep_for_a_socket_can_be_rotated_when_it_is_stopped() {
    let folder = tempfile::tempdir().expect("a directory");
    let data = folder.path().join("d".repeat(120));
    assert_eq!(Served::on(&data).stop().0, Some(0));
    let (code, said, errors) = run(bulla().args(["shard", "rotate", "--data"]).arg(&data));
    assert_eq!(code, 0, "{errors}");
    assert!(said.starts_with("ended  shard "), "{said}");
}

#[test]
fn a_second_process() {
    let (_folder, data) = new_data();
    let _first = Served::on(&data);
    assert_eq!(
        refused(&data, &[]),
        format!(
            "bulla: {} is in use by another process: stop that one first, or pass another --data DIR\n",
            data.display()
        )
    );
}

#[test]
fn an_origin_that_clients_cannot_find() {
    let (_folder, data) = new_data();
    for (origin, problem, fix) in [
        ("my log", "a space", "my"),
        ("log+1.example.org", "'+'", "log"),
        ("localhost:3000", "':'", "localhost"),
        ("https://log.example.org", "':'", "log.example.org"),
    ] {
        assert_eq!(
            refused(&data, &["--origin", origin]),
            format!(
                "bulla: --origin \"{origin}\" has {problem}: clients take the origin from the host name in the log's URL, \
                 pass that alone, such as --origin {fix}\n"
            )
        );
    }
    assert!(!data.exists(), "nothing is made for a log that cannot be");
    let errors = refused(&data, &["--origin", "log.example.org", "--url", "https://other.example.org"]);
    assert!(
        errors.contains("has the host \"other.example.org\", the log signs as \"log.example.org\""),
        "{errors}"
    );
}

#[test]
fn key_files() {
    let (folder, data) = new_data();
    let path = folder.path().join("key");
    let key = path.to_str().expect("text");
    let errors = refused(&data, &["--key", key]);
    assert!(errors.starts_with(&format!("bulla: key file {key}: ")), "{errors}");
    assert!(errors.contains("No such file"), "{errors}");
    fs::write(&path, "not a key").expect("writes");
    assert!(refused(&data, &["--key", key]).contains(&format!("key file {key}: ")));

    let openssl = |args: &[&str]| {
        let (code, _, errors) = run(Command::new("openssl").args(args));
        assert_eq!(code, 0, "{errors}");
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "pass:right", "-out", key]);
    let password = folder.path().join("password");
    fs::write(&password, "wrong\n").expect("writes");
    let file = password.to_str().expect("text");
    assert!(refused(&data, &["--key", key]).contains("password"));
    assert!(refused(&data, &["--key", key, "--key-password-file", file]).contains("password"));
    fs::write(&password, "right\n").expect("writes");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("allowed");
    let log = Served::start(serve_command(&data).args(["--key", key, "--key-password-file", file]));
    assert!(!data.join("log.key").exists());
    let (code, logged) = log.stop();
    assert_eq!(code, Some(0));
    assert!(
        logged.contains(&format!("others can read the key file (mode 644): run chmod 600 {key}")),
        "{logged}"
    );
    let log = Served::start(serve_command(&data).args(["--key", key]).env("BULLA_KEY_PASSWORD", "right"));
    assert_eq!(log.stop().0, Some(0));
}

#[test]
fn options_that_mean_nothing() {
    let (folder, data) = new_data();
    let errors = refused(&data, &["--orgin", "localhost"]);
    assert!(errors.contains("unexpected argument '--orgin'") && errors.contains("'--origin'"), "{errors}");

    let path = folder.path().join("bulla.toml");
    let config = path.to_str().expect("text");
    fs::write(&path, "orgin = \"localhost\"\n").expect("writes");
    assert_eq!(
        refused(&data, &["--config", config]),
        format!("bulla: {config}: unknown option \"orgin\", did you mean \"origin\"?\n")
    );
    fs::write(&path, "[witness]\ncolour = 1\n").expect("writes");
    assert_eq!(
        refused(&data, &["--config", config]),
        format!("bulla: {config}: unknown option \"witness-colour\"\n")
    );
    fs::write(&path, "queue = \"many\"\n").expect("writes");
    let errors = refused(&data, &["--config", config]);
    assert!(errors.contains("invalid value 'many' for '--queue <N>'"), "{errors}");
    assert!(errors.ends_with(&format!("The value comes from {config}, option \"queue\".\n")), "{errors}");
    let errors = refused_command(serve_command(&data).env("BULLA_QUEUE", "few"));
    assert!(errors.ends_with("The value comes from the environment variable BULLA_QUEUE.\n"), "{errors}");
    fs::write(&path, "queue = 1.5\n").expect("writes");
    let errors = refused(&data, &["--config", config]);
    assert!(
        errors.contains("option \"queue\" is a float, a string, an integer or a boolean was expected"),
        "{errors}"
    );
    fs::write(&path, "queue 5\n").expect("writes");
    assert!(refused(&data, &["--config", config]).contains(config));
    assert!(!data.exists());
}

#[test]
fn the_nearest_source_wins_and_is_named() {
    let (folder, data) = new_data();
    let path = folder.path().join("bulla.toml");
    let config = path.to_str().expect("text");
    let toml = "queue = 7\nmax-batch = 8\nread-only = true\nca-url = [\"https://a.example\", \"https://b.example\"]\n[retry]\nafter = 9\n";
    fs::write(&path, toml).expect("writes");
    let mut command = bulla();
    command.args(["serve", "--print-config", "--queue", "5", "--data"]).arg(&data);
    command.env("BULLA_CONFIG", config).env("BULLA_MAX_BATCH", "6").env("BULLA_KEY_PASSWORD", "swordfish");
    command.env("BULLA_CA_KEY", "pkcs11:token=a;object=b?pin-value=swordfish");
    let (code, printed, errors) = run(&mut command);
    assert_eq!(code, 0, "{errors}");
    let line = |key: &str| {
        let found =
            printed.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{key} =")));
        found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("queue"), "queue = 5 # command line");
    assert_eq!(line("max-batch"), "max-batch = 6 # environment BULLA_MAX_BATCH");
    assert_eq!(line("retry-after"), format!("retry-after = 9 # {config}"));
    assert_eq!(line("read-only"), format!("read-only = true # {config}"));
    assert_eq!(line("ca-url"), format!("ca-url = [\"https://a.example\", \"https://b.example\"] # {config}"));
    assert_eq!(line("http"), "http = \"127.0.0.1:3000\" # default");
    assert_eq!(line("origin"), "# origin = # not set");
    assert_eq!(line("key-password"), "key-password = \"(hidden)\" # environment BULLA_KEY_PASSWORD");
    assert_eq!(line("ca-key"), "ca-key = \"(hidden)\" # environment BULLA_CA_KEY");
    assert_eq!(line("log-level"), "log-level = \"info\" # default");
    assert!(!printed.contains("swordfish") && !data.exists());

    // What is printed can be read again.
    fs::write(&path, &printed).expect("writes");
    let (code, again, errors) = run(bulla().args(["serve", "--print-config", "--config", config]));
    assert_eq!(code, 0, "{errors}");
    assert!(again.contains(&format!("# {config}")) && again.contains("queue = 5 "), "{again}");

    // The other commands on the same log take the same file.
    let (code, _, errors) = run(bulla().args(["freeze", "--config", config]));
    assert_eq!(code, 2);
    assert!(errors.contains("holds no log"), "{errors}");
}
