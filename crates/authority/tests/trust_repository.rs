//! The trust repository as clients meet it, judged by a client that is not ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use bulla_authority::PrivateKey;
use bulla_authority::api::tuf::routes;
use bulla_authority::tuf::{Expiries, OnlineRotation, Repository, RepositoryError, ceremony, key_id};
use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tough::{IntoVec as _, RepositoryLoader, TargetName};
use tower::ServiceExt as _;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key"))
}

fn targets(root: &str) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("trusted_root.json".to_owned(), root.as_bytes().to_vec()),
        ("signing_config.v0.2.json".to_owned(), b"{}".to_vec()),
    ])
}

struct Made {
    dir: tempfile::TempDir,
    root: Arc<SigningKey>,
    online: Arc<SigningKey>,
    repository: Repository,
}

impl Made {
    async fn at(now: Timestamp) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, online) = (key(), key());
        let (keys, targets): ([&dyn PrivateKey; 1], _) = ([&*root], targets("one"));
        let repository =
            Repository::create(dir.path(), &keys, online.clone(), &targets, now, Expiries::default());
        let repository = repository.await.expect("a repository");
        Self { dir, root, online, repository }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn version(dir: &Path, role: &str) -> u64 {
    let text = fs::read(dir.join(format!("{role}.json"))).expect("metadata");
    let text: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    text["signed"]["version"].as_u64().expect("a version")
}

fn versions(dir: &Path) -> [u64; 4] {
    ["root", "targets", "snapshot", "timestamp"].map(|role| version(dir, role))
}

/// What a client that was given this root finds as the trusted root.
async fn found(root: &[u8], dir: &Path) -> Result<String, tough::error::Error> {
    let url = |path: &Path| format!("file://{}/", path.display()).parse().expect("a URL");
    let loader = RepositoryLoader::new(&root, url(dir), url(&dir.join("targets")));
    let repository = loader.load().await?;
    let name = TargetName::new("trusted_root.json").expect("a name");
    let target = repository.read_target(&name).await?.expect("is a target");
    Ok(String::from_utf8(target.into_vec().await?).expect("text"))
}

#[tokio::test]
async fn a_client_finds_the_targets_from_the_first_root_on() {
    let now = Timestamp::now();
    let made = Made::at(now).await;
    let first = fs::read(made.path().join("1.root.json")).unwrap();
    assert_eq!(found(&first, made.path()).await.unwrap(), "one");
    assert_eq!(versions(made.path()), [1, 1, 1, 1]);

    assert!(!made.repository.publish(&targets("one"), now).await.unwrap().written);
    assert_eq!(versions(made.path()), [1, 1, 1, 1], "nothing changed");
    assert!(made.repository.publish(&targets("two"), now).await.unwrap().written);
    assert_eq!(versions(made.path()), [1, 2, 2, 2]);
    assert_eq!(found(&first, made.path()).await.unwrap(), "two");
    assert_eq!(fs::read(made.path().join("targets/trusted_root.json")).unwrap(), b"two");

    let rotated = key();
    let online = rotated.spki();
    let prepared =
        OnlineRotation::prepare(made.path(), online, &[&*made.root], now, HOUR * 24 * 365).await.unwrap();
    assert_eq!(versions(made.path()), [1, 2, 2, 2], "nothing happened yet");
    let wrong = key();
    let refused = OnlineRotation::prepare(made.path(), online, &[&*wrong], now, HOUR).await.unwrap_err();
    assert_eq!(refused.to_string(), "root has 0 of 1 signatures that root version 1 asks for");
    let carry_out =
        async || prepared.carry_out(made.path(), rotated.clone(), Expiries::default(), now).await.unwrap();
    let repository = carry_out().await;
    assert_eq!(versions(made.path()), [3, 3, 3, 3]);
    assert_eq!(found(&first, made.path()).await.unwrap(), "two", "over two roots");
    assert!(!repository.refresh(now).await.unwrap().written);
    let again = fs::read(made.path().join("timestamp.json")).unwrap();
    carry_out().await;
    assert_eq!(again, fs::read(made.path().join("timestamp.json")).unwrap(), "once is enough");
    let old = Repository::open(made.path(), made.online.clone(), Expiries::default()).map(|_| ());
    let message = old.unwrap_err().to_string();
    let id = key_id(made.online.spki()).unwrap();
    assert_eq!(message, format!("root version 3 does not name key {id} for targets: add it in a ceremony"));
    assert!(Repository::open(made.path(), rotated, Expiries::default()).is_ok());
}

#[tokio::test]
async fn what_was_tampered_with_is_not_believed() {
    let made = Made::at(Timestamp::now()).await;
    let first = fs::read(made.path().join("1.root.json")).unwrap();
    let dir = made.path().join("targets");
    let digested = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let mut digested = digested.filter(|path| path.to_string_lossy().ends_with(".trusted_root.json"));
    fs::write(digested.next().unwrap(), "eno").unwrap();
    assert!(found(&first, made.path()).await.is_err());
    let other = Made::at(Timestamp::now()).await;
    assert!(found(&first, other.path()).await.is_err(), "of another root");
}

#[tokio::test]
async fn each_role_is_signed_anew_at_half_of_its_life() {
    let now: Timestamp = "2026-01-01T00:00:00.7Z".parse().unwrap();
    let made = Made::at(now).await;
    let at = async |hours: i64| {
        let refreshed = made.repository.refresh(now + HOUR * hours as i32).await.unwrap();
        (refreshed, versions(made.path()))
    };
    let (refreshed, versions) = at(23).await;
    assert_eq!((refreshed.written, versions), (false, [1, 1, 1, 1]));
    assert_eq!(refreshed.timestamp_expires.to_string(), "2026-01-03T00:00:00Z");
    let (refreshed, versions) = at(25).await;
    assert_eq!((refreshed.written, versions), (true, [1, 1, 1, 2]));
    assert_eq!(at(7 * 24 + 1).await.1, [1, 1, 2, 3]);
    assert_eq!(at(46 * 24).await.1, [1, 2, 3, 4]);
    let (refreshed, versions) = at(340 * 24).await;
    assert_eq!((refreshed.written, versions), (true, [1, 3, 4, 5]));
    assert_eq!(refreshed.root_expires.to_string(), "2027-01-01T00:00:00Z");
    // By the system's clock none of this holds any more, so a client is stale.
    let stale = Made::at(Timestamp::now() - HOUR * 49).await;
    let first = fs::read(stale.path().join("1.root.json")).unwrap();
    let error = found(&first, stale.path()).await.unwrap_err();
    assert!(matches!(error, tough::error::Error::ExpiredMetadata { .. }), "{error}");
    stale.repository.refresh(Timestamp::now()).await.unwrap();
    assert_eq!(found(&first, stale.path()).await.unwrap(), "one");
}

#[tokio::test]
async fn what_no_list_has_named_for_long_is_thrown_away() {
    let now = Timestamp::now();
    let made = Made::at(now).await;
    let first = fs::read(made.path().join("1.root.json")).unwrap();
    made.repository.publish(&targets("two"), now).await.unwrap();
    let there = |name: &str| made.path().join(name).exists();
    let digested = || {
        let names = fs::read_dir(made.path().join("targets")).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name().len() > 64).count()
    };
    made.repository.refresh(now + HOUR * 24 * 90).await.unwrap();
    assert!(there("1.targets.json") && there("1.snapshot.json"), "for as long as any list holds");
    assert_eq!(digested(), 3);
    made.repository.refresh(now + HOUR * 24 * 92).await.unwrap();
    assert!(!there("1.targets.json") && !there("1.snapshot.json") && there("1.root.json"));
    assert_eq!(digested(), 2, "what is listed stays");
    made.repository.publish(&targets("two"), now).await.unwrap();
    assert_eq!(found(&first, made.path()).await.unwrap(), "two");
}

#[tokio::test]
async fn what_a_crash_left_is_written_over() {
    let now = Timestamp::now();
    let made = Made::at(now).await;
    let first = fs::read(made.path().join("1.root.json")).unwrap();
    for name in ["2.targets.json", "2.snapshot.json", "targets.json", "snapshot.json", ".timestamp.json.new"]
    {
        fs::write(made.path().join(name), "half a fi").unwrap();
    }
    assert_eq!(found(&first, made.path()).await.unwrap(), "one");
    made.repository.publish(&targets("two"), now).await.unwrap();
    assert_eq!(versions(made.path()), [1, 2, 2, 2]);
    assert_eq!(found(&first, made.path()).await.unwrap(), "two");
    let names = [("a/b", RepositoryError::TargetName("a/b".to_owned()))];
    for (name, expected) in names {
        let wrong = BTreeMap::from([(name.to_owned(), Vec::new())]);
        assert_eq!(made.repository.publish(&wrong, now).await.unwrap_err(), expected);
    }
    let again = Repository::create(made.path(), &[], key(), &targets("x"), now, Expiries::default()).await;
    assert!(matches!(again.map(|_| ()), Err(RepositoryError::Exists(_))));
}

#[tokio::test]
async fn a_root_is_made_and_replaced_by_those_who_hold_its_keys() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let draft = elsewhere.path().join("draft.json");
    let (one, two, three, online) = (key(), key(), key(), key());
    let pem = |key: &SigningKey| public_key_pem(key.spki());
    let now = Timestamp::now();
    let life = HOUR * 24 * 365;
    let problem = |result: Result<ceremony::Draft, RepositoryError>| result.unwrap_err().to_string();

    assert!(ceremony::show(&draft).is_err());
    ceremony::init(dir.path(), &draft, 2, now, life).unwrap();
    assert!(matches!(ceremony::init(dir.path(), &draft, 2, now, life), Err(RepositoryError::Exists(_))));
    assert!(
        problem(ceremony::publish(&draft, dir.path(), now))
            .contains("draft names 0 of 1 keys that targets needs")
    );
    ceremony::add_online_key(&draft, &pem(&online)).unwrap();
    // Drafts go from hand to hand: what one role asks for, all three do, since that is what is shown.
    let honest = fs::read_to_string(&draft).unwrap();
    for (role, member, with, said) in [
        ("targets", "threshold", json!(2), "asks for 2 signatures"),
        ("snapshot", "keyids", json!([]), "names other keys than timestamp does"),
    ] {
        let mut changed: Value = serde_json::from_str(&honest).unwrap();
        changed["signed"]["roles"][role][member] = with;
        fs::write(&draft, changed.to_string()).unwrap();
        for refused in [problem(ceremony::show(&draft)), problem(ceremony::sign(&draft, &*one).await)] {
            assert!(refused.contains(role) && refused.contains(said), "{refused}");
        }
        assert!(problem(ceremony::publish(&draft, dir.path(), now)).contains(said));
    }
    fs::write(&draft, &honest).unwrap();
    ceremony::add_key(&draft, &pem(&one)).unwrap();
    ceremony::sign(&draft, &*one).await.unwrap();
    assert!(
        problem(ceremony::publish(&draft, dir.path(), now))
            .contains("draft names 1 of 2 keys that root needs")
    );
    assert_eq!(ceremony::add_key(&draft, &pem(&two)).unwrap().signed_by, [""; 0], "it was changed");
    ceremony::sign(&draft, &*one).await.unwrap();
    ceremony::sign(&draft, &*one).await.unwrap();
    ceremony::sign(&draft, &*three).await.unwrap();
    let missing = "root has 1 of 2 signatures that root version 1 asks for";
    assert_eq!(problem(ceremony::publish(&draft, dir.path(), now)), missing);
    ceremony::sign(&draft, &*two).await.unwrap();
    let published = ceremony::publish(&draft, dir.path(), now).unwrap();
    assert_eq!((published.version, published.signed_by.len()), (1, 2), "a stranger's signature is left out");
    assert!(
        problem(ceremony::publish(&draft, dir.path(), now)).contains("draft is version 1, 2 was expected")
    );
    let repository = Repository::open(dir.path(), online.clone(), Expiries::default()).unwrap();
    repository.publish(&targets("one"), now).await.unwrap();
    let first = fs::read(dir.path().join("1.root.json")).unwrap();
    assert_eq!(found(&first, dir.path()).await.unwrap(), "one");

    // Another takes the place of the first, and of two one is enough from now on.
    fs::remove_file(&draft).unwrap();
    ceremony::init(dir.path(), &draft, 1, now, life).unwrap();
    ceremony::add_key(&draft, &pem(&three)).unwrap();
    assert!(ceremony::remove_key(&draft, "").is_err());
    assert!(ceremony::add_key(&draft, "no PEM").is_err());
    let changed = ceremony::remove_key(&draft, &key_id(one.spki()).unwrap()[..16]).unwrap();
    assert_eq!((changed.version, changed.threshold, changed.root_keys.len()), (2, 1, 2));
    ceremony::sign(&draft, &*three).await.unwrap();
    let missing = "root has 0 of 2 signatures that root version 1 asks for";
    assert_eq!(problem(ceremony::publish(&draft, dir.path(), now)), missing);
    ceremony::sign(&draft, &*two).await.unwrap();
    assert!(problem(ceremony::publish(&draft, dir.path(), now)).contains("1 of 2 signatures"));
    ceremony::sign(&draft, &*one).await.unwrap();
    assert!(problem(ceremony::publish(&draft, dir.path(), now + life)).contains("draft expired at"));
    ceremony::publish(&draft, dir.path(), now).unwrap();
    assert_eq!(versions(dir.path()), [2, 1, 1, 1]);
    assert_eq!(found(&first, dir.path()).await.unwrap(), "one");
    let second = fs::read(dir.path().join("2.root.json")).unwrap();
    assert_eq!(found(&second, dir.path()).await.unwrap(), "one");
    // Whoever signs from day to day must stay named.
    fs::remove_file(&draft).unwrap();
    let drafted = ceremony::init(dir.path(), &draft, 3, now, life).unwrap();
    assert_eq!((drafted.missing_keys, drafted.missing_signatures), (1, 3));
    fs::remove_file(&draft).unwrap();
    ceremony::init(dir.path(), &draft, 1, now, life).unwrap();
    ceremony::add_online_key(&draft, &pem(&key())).unwrap();
    ceremony::remove_online_key(&draft, &key_id(online.spki()).unwrap()).unwrap();
    assert_eq!(ceremony::sign(&draft, &*two).await.unwrap().missing_signatures, 0);
    let id = key_id(online.spki()).unwrap();
    let dropped = format!("draft does not name key {id} for targets, and it is the only one that signs now");
    assert_eq!(problem(ceremony::publish(&draft, dir.path(), now)), dropped);
    assert_eq!(versions(dir.path()), [2, 1, 1, 1]);
    // A crash between the two names of a root: the numbered one counts.
    fs::write(dir.path().join("root.json"), &first).unwrap();
    fs::remove_file(&draft).unwrap();
    assert_eq!(ceremony::init(dir.path(), &draft, 1, now, life).unwrap().version, 3);
}

#[tokio::test]
async fn ed25519_keys_do_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let key = || Arc::new(SigningKey::from_pem(&SigningKey::generate_ed25519_pem(), None).unwrap());
    let (root, now) = (key(), Timestamp::now());
    Repository::create(dir.path(), &[&*root], key(), &targets("one"), now, Expiries::default())
        .await
        .unwrap();
    let first = fs::read(dir.path().join("root.json")).unwrap();
    assert_eq!(found(&first, dir.path()).await.unwrap(), "one");
}

#[tokio::test]
async fn files_are_served_and_nothing_else() {
    let made = Made::at(Timestamp::now()).await;
    fs::write(made.path().join("key.pem"), "a secret").unwrap();
    fs::write(made.path().join(".timestamp.json.new"), "half").unwrap();
    let ask = async |path: &str, known: &str| {
        let request = http::Request::get(path).header("if-none-match", known).body(Body::empty()).unwrap();
        routes(Arc::from(made.path())).oneshot(request).await.unwrap()
    };
    let answer = ask("/timestamp.json", "").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-cache");
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, fs::read(made.path().join("timestamp.json")).unwrap());
    assert_eq!(ask("/timestamp.json", &format!("\"x\", W/{tag}")).await.status(), 304);
    let root = ask("/1.root.json", "").await;
    assert!(root.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(ask("/targets/trusted_root.json", "").await.status(), 200);
    for path in [
        "/2.root.json",
        "/key.pem",
        "/.timestamp.json.new",
        "/targets/../key.pem",
        "/targets/%2e%2e/key.pem",
        "/targets/..%2fkey.pem",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/targets",
        "/targets/",
        "/",
    ] {
        assert_eq!(ask(path, "").await.status(), 404, "{path}");
    }
}
