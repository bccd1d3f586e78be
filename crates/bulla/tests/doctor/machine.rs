//! What is wrong on this machine: variables, tokens, and the directory of a server.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::common::{exchange, run};
use crate::stack::{Stack, only};

/// A check, variables that it does not like, and what is said.
type Set<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn a_token_that_will_be_refused_is_found() {
    let stack = Stack::start();
    let issuer = format!("{}/oidc", stack.url());
    let with = |token: &str| {
        Stack::found_by(stack.command(&["--url", &stack.url()]).env("SIGSTORE_ID_TOKEN", token))
    };
    let (_, _, minted) = exchange(&stack.served.http, "POST", "/oidc/mint", "email=alice@example.org");
    let minted: Value = serde_json::from_str(&minted).expect("JSON");
    assert_eq!(with(minted["token"].as_str().expect("a token")), []);
    let token = |claims: &Value| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let far = 4_000_000_000_u64;
    // The variable of cosign may name a file, whose token is judged.
    let in_file = |text: &str| {
        fs::write(stack.path("token"), text).expect("is written");
        Stack::found_by(stack.command(&["--url", &stack.url()]).env("COSIGN_IDENTITY_TOKEN", "token"))
    };
    assert_eq!(in_file(minted["token"].as_str().expect("a token")), []);
    let other = token(&json!({ "iss": issuer, "aud": "other", "exp": far }));
    assert!(only("audience", &in_file(&other)).contains("with the audience sigstore"));
    assert!(only("audience", &in_file("none")).contains("or to the name of a file that has one"));
    // Both variables, one token.
    fs::write(stack.path("token"), minted["token"].as_str().expect("a token")).expect("is written");
    let both = |held: &str| {
        let mut command = stack.command(&["--url", &stack.url()]);
        Stack::found_by(command.env("COSIGN_IDENTITY_TOKEN", "token").env("SIGSTORE_ID_TOKEN", held))
    };
    assert_eq!(both(minted["token"].as_str().expect("a token")), []);
    assert_eq!(both(&other)[0].0, "environment");
    // What is there and cannot be looked into without taking something away is not judged.
    let named = |value: &str| {
        let found =
            Stack::found_by(stack.command(&["--url", &stack.url()]).env("COSIGN_IDENTITY_TOKEN", value));
        (only("audience", &found), found[0].1.clone())
    };
    assert_eq!(named("/dev/zero").1, "unknown");
    assert_eq!(named(".").1, "unknown");
    fs::write(stack.path("large"), vec![b'a'; 17 << 10]).expect("is written");
    assert_eq!(named("large").1, "problem");
    let (fix, standing) = named("secret/none");
    assert!(standing == "problem" && !fix.contains("secret"), "{fix}");
    for (token, said) in [
        (token(&json!({ "iss": issuer, "aud": "other", "exp": far })), "with the audience sigstore"),
        (
            token(&json!({ "iss": issuer, "aud": ["sigstore"], "exp": 1_700_000_000 })),
            "unset SIGSTORE_ID_TOKEN # and get",
        ),
        (token(&json!({ "iss": format!("{issuer}/"), "aud": "sigstore", "exp": far })), "--oidc-issuer"),
        ("/var/run/token".to_owned(), "not to the name of a file"),
    ] {
        let fix = only("audience", &with(&token));
        assert!(fix.contains(said) && !fix.contains("c2ln"), "{fix}");
    }
}

#[test]
fn variables_that_contradict_each_other_are_found() {
    let stack = Stack::start();
    let url = stack.url();
    fs::write(stack.path("there"), "").expect("is written");
    let there = stack.path("there").display().to_string();
    let cases: [Set; 11] = [
        (
            "environment",
            &[("COSIGN_REKOR_URL", &url), ("REKOR_REKOR_SERVER", "https://other.example")],
            "unset REKOR_REKOR_SERVER",
        ),
        (
            "environment",
            &[("SIGSTORE_ID_TOKEN", "a.e30.c"), ("COSIGN_IDENTITY_TOKEN", "d.e30.f")],
            "unset COSIGN_IDENTITY_TOKEN",
        ),
        (
            "environment",
            &[("COSIGN_SIGNING_CONFIG", &there), ("COSIGN_REKOR_URL", &url)],
            "unset COSIGN_REKOR_URL",
        ),
        (
            "environment",
            &[("SIGSTORE_REKOR_PUBLIC_KEY", &there), ("COSIGN_TRUSTED_ROOT", &there)],
            "unset SIGSTORE_REKOR_PUBLIC_KEY",
        ),
        (
            "environment",
            &[("COSIGN_KEY", "k"), ("COSIGN_CERTIFICATE_IDENTITY", "a@b")],
            "unset COSIGN_CERTIFICATE_IDENTITY COSIGN_CERTIFICATE_IDENTITY_REGEXP COSIGN_CERTIFICATE_OIDC_ISSUER",
        ),
        ("environment", &[("COSIGN_REPOSITORY", "registry.example/signatures")], "unset COSIGN_REPOSITORY"),
        ("environment", &[("COSIGN_REKOR_URL", "https://rekor.sigstore.dev")], "unset COSIGN_REKOR_URL"),
        (
            "environment",
            &[("TUF_MIRROR", "MIRROR")],
            "export TUF_ROOT_JSON=FILE # the first root.json of the repository",
        ),
        ("environment-files", &[("SIGSTORE_ROOT_FILE", "/none")], "unset SIGSTORE_ROOT_FILE"),
        ("environment-files", &[("COSIGN_TRUSTED_ROOT", "/none")], "unset COSIGN_TRUSTED_ROOT"),
        ("environment-files", &[("TUF_ROOT_JSON", "/none")], "unset TUF_ROOT_JSON"),
    ];
    let mirror = format!("{url}/tuf");
    for (check, variables, expected) in cases {
        let mut command = stack.command(&["--url", &url]);
        command.env_remove("REKOR_REKOR_SERVER");
        for (name, value) in variables {
            command.env(name, if *value == "MIRROR" { &mirror } else { *value });
        }
        // A token that is none is another matter.
        let found: Vec<_> =
            Stack::found_by(&mut command).into_iter().filter(|one| one.0 != "audience").collect();
        let fix = only(check, &found);
        assert_eq!(fix, expected, "{variables:?}");
        // What is said to a shell is done to the environment.
        let mut mended = stack.command(&["--url", &url]);
        for (name, value) in variables.iter().filter(|(name, _)| !fix.split(' ').any(|word| word == *name)) {
            mended.env(name, if *value == "MIRROR" { &mirror } else { *value });
        }
        if fix.starts_with("export TUF_ROOT_JSON=") {
            mended.env("TUF_ROOT_JSON", stack.path("data/tuf/repository/root.json"));
        }
        let left: Vec<_> =
            Stack::found_by(&mut mended).into_iter().filter(|one| one.0 != "audience").collect();
        assert_eq!(left, [], "{variables:?}");
    }
}

#[test]
fn what_is_wrong_with_a_directory_is_found() {
    let stack = Stack::start();
    let arguments = ["--url", &stack.url(), "--data", "data"];
    let mode = |mode| {
        fs::set_permissions(stack.path("data/ca/ca.key"), fs::Permissions::from_mode(mode)).expect("is set");
    };
    mode(0o644);
    let fix = stack.one("key-permissions", &arguments);
    assert_eq!(fix, "chmod 600 data/ca/ca.key");
    stack.follow(&fix);
    assert_eq!(stack.found(&arguments), []);
    let reserve = [&arguments[..], &["--disk-reserve", "9999999GiB"]].concat();
    assert!(stack.one("disk-space", &reserve).contains("--disk-reserve"));
    assert!(stack.one("data", &["--data", "none"]).contains("--data DIR"));
    // To have the file open, as who searches a disk has, is not to hold it.
    let open = fs::File::open(stack.path("data/lock")).expect("opens");
    let mut other = Command::new("sleep").arg("300").stdin(Stdio::from(open)).spawn().expect("sleep runs");
    assert_eq!(stack.found(&arguments), []);
    let (_, out, _) = run(&mut stack.command(&arguments));
    assert!(out.contains("one server has data locked: bulla, process "), "{out}");
    other.kill().expect("is killed");
    other.wait().expect("ends");
    // Several that hold it, as on a file system whose locks are none. Which is meant, only its owner knows.
    let (code, _, errors) =
        run(Command::new("cp").args(["-a", "data", "copy"]).current_dir(stack.folder.path()));
    assert_eq!(code, 0, "{errors}");
    let mut holders: Vec<_> = (0..2).map(|_| held(&stack.path("copy/lock"))).collect();
    let fix = stack.one("one-server", &["--url", &stack.url(), "--data", "copy"]);
    assert!(fix.starts_with("find out which of them is meant to write there"), "{fix}");
    let (_, out, _) = run(&mut stack.command(&["--url", &stack.url(), "--data", "copy"]));
    assert!(out.contains("copy is locked by several: "), "{out}");
    for holder in &holders {
        assert!(out.contains(&format!("flock, process {}", holder.id())), "{out}");
        assert!(!fix.contains("kill") && !fix.contains(&holder.id().to_string()), "{fix}");
    }
    for holder in &mut holders {
        drop(holder.stdin.take());
        holder.wait().expect("ends");
    }
    assert_eq!(stack.found(&["--url", &stack.url(), "--data", "copy"]), []);
}

/// A process that holds a lock until nothing more is said to it.
fn held(lock: &Path) -> Child {
    let mut command = Command::new("flock");
    command.arg("--shared").arg(lock).args(["sh", "-c", "echo held; exec cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("flock runs");
    let mut said = [0; 5];
    child.stdout.as_mut().expect("is piped").read_exact(&mut said).expect("says so");
    child
}

/// The same command by somebody who may not look into everything, nor into where the program was built. It is copied by a
/// process of its own: what this one has open to write, no child of another test could let go in time.
fn as_nobody(stack: &Stack, command: &Command) -> Command {
    let program = stack.path("bulla");
    let (code, _, errors) = run(Command::new("cp").arg(command.get_program()).arg(&program));
    assert_eq!(code, 0, "{errors}");
    let mut other = Command::new(program);
    other.args(command.get_args()).current_dir(stack.folder.path()).uid(65534).gid(65534);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

/// What this user may not look into is not wrong, and nothing is said of what is in it.
#[test]
fn a_directory_that_cannot_be_read_is_not_known() {
    // Everybody may look in there, and it is on a disk.
    let stack = Stack::start_in(tempfile::tempdir_in("/var/tmp").expect("a directory"));
    fs::set_permissions(stack.folder.path(), fs::Permissions::from_mode(0o755)).expect("is set");
    let closed = stack.path("closed");
    fs::create_dir(&closed).expect("is made");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("is set");
    let name = closed.to_str().expect("text");
    let mut command = stack.command(&["--url", &stack.url(), "--data", name]);
    let owner = run(Command::new("id").arg("-un")).1;
    if owner.trim() == "root" {
        command = as_nobody(&stack, &command);
    }
    let (closed_found, out) = (Stack::found_by(&mut command), run(&mut command).1);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("is set");
    let [(check, standing, fix)] = closed_found.as_slice() else { panic!("{closed_found:#?}") };
    assert_eq!((check.as_str(), standing.as_str()), ("data", "unknown"));
    let expected = match owner.trim() {
        "root" => "ask again as root, who may read it: sudo -u root".to_owned(),
        owner => format!("ask again as root, or have {owner} allow it first: chmod u+rx {name}"),
    };
    assert_eq!(*fix, expected);
    assert!(out.contains(&format!("is of {}, with the permissions 0", owner.trim())), "{out}");
}

#[test]
fn a_directory_in_memory_is_found() {
    let stack = Stack::start_in(tempfile::tempdir_in("/dev/shm").expect("memory"));
    let fix = stack.one("file-system", &["--url", &stack.url(), "--data", "data"]);
    assert!(fix.contains("copy the directory to a local disk"), "{fix}");
}
