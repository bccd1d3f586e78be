//! `bulla proxy` between skopeo and Debian's docker-registry: what is recorded, what is refused when somebody really pushes, and
//! that signatures go on. `./test registry` installs them and runs these.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::{bulla, get, run};
use crate::real::{Registry, USER, copy, image, layout, skopeo, with_tokens};
use crate::registry::{Digest, Layout, Tag};
use crate::stack::{Stack, done};

/// A running proxy.
struct Proxy {
    child: Child,
    host: String,
}

impl Proxy {
    /// Starts it and waits until it says that it listens.
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut host = None;
        // The last line is the command that pulls.
        while let Some(Ok(line)) = lines.next() {
            let at = line.trim_start().strip_prefix("HTTP ").map(|at| at.trim().replace("http://", ""));
            host = host.or(at);
            if line.contains("docker pull ") {
                break;
            }
        }
        Self { child, host: host.expect("it says where it listens") }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Nobody is left to hear of it.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A log, somebody who may approve, and proxies whose records count.
struct Town {
    stack: Stack,
    proxies: Vec<String>,
}

impl Town {
    fn new(proxies: &[&str]) -> Self {
        let town = Self { stack: Stack::start(), proxies: proxies.iter().map(ToString::to_string).collect() };
        for name in proxies.iter().chain(&["approver", "signer", "second"]) {
            let key = format!("{name}.key");
            town.stack.key(&key, "prime256v1");
            let (code, public, errors) = run(bulla().args(["key", "public"]).arg(town.stack.path(&key)));
            assert_eq!(code, 0, "{errors}");
            town.put(&format!("{name}.pub"), public.as_bytes());
        }
        let (_, _, root) = get(&town.stack.served.http, "/trusted_root.json");
        town.put("root.json", root.as_bytes());
        town
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.stack.path(name), bytes).expect("is written");
    }

    /// A command with the keys of all whose word counts.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bulla();
        command.args(arguments).arg("--approver-key").arg(self.stack.path("approver.pub"));
        for name in &self.proxies {
            command.arg("--recorder-key").arg(self.stack.path(&format!("{name}.pub")));
        }
        command
    }

    /// The command of one of the proxies, for a registry.
    fn proxy_command(&self, name: &str, registry: &Registry, more: &[&str]) -> Command {
        let url = self.stack.url();
        let mut command = self.command(&["proxy", "--listen", "127.0.0.1:0", "--url", &url]);
        command.args(["--upstream", &registry.host]).args(more);
        command.arg("--data").arg(self.stack.path(name));
        command.arg("--key").arg(self.stack.path(&format!("{name}.key")));
        command
    }

    fn proxy(&self, name: &str, registry: &Registry) -> Proxy {
        Proxy::start(&mut self.proxy_command(name, registry, &[]))
    }

    /// Everything in the log about a tag; every leaf is read, whatever the search says.
    fn history(&self, tag: &str) -> Value {
        let url = self.stack.url();
        let mut command =
            self.command(&["tag", "history", tag, "--all", "--output", "json", "--rekor-url", &url]);
        let (code, said, errors) = run(command.arg("--trusted-root").arg(self.stack.path("root.json")));
        assert_eq!(code, 0, "{said}{errors}");
        serde_json::from_str(&said).expect("JSON")
    }

    /// The digests that were recorded of a tag, the oldest first.
    fn records(&self, tag: &str) -> Vec<String> {
        let history = self.history(tag);
        let steps = history["steps"].as_array().expect("a list").iter();
        let records = steps.filter(|step| step["kind"] == "record");
        records.map(|step| step["digest"].as_str().expect("text").to_owned()).collect()
    }

    fn approve(&self, tag: &str, to: &Digest) {
        let (url, to) = (self.stack.url(), to.to_string());
        let mut command =
            self.command(&["tag", "approve", tag, "--to", &to, "--reason", "CVE", "--url", &url]);
        let (code, said, errors) = run(command.arg("--key").arg(self.stack.path("approver.key")));
        assert_eq!(code, 0, "{said}{errors}");
    }
}

/// Pushes an image for a platform with skopeo; returns its digest.
fn pushed(registry: &Registry, architecture: &str, name: &str, more: &[&str]) -> Digest {
    let dir = tempfile::tempdir().expect("a directory");
    let there = dir.path().join("layout");
    let made = Layout::create(&there).expect("is made");
    let (manifest, blobs) = image(architecture);
    for blob in blobs.iter().chain([&manifest.bytes]) {
        made.push_blob(blob).expect("is written");
    }
    made.push_manifest(&manifest, Some(&Tag::parse("it").expect("a tag"))).expect("is written");
    let to = format!("docker://{}/{name}", registry.host);
    copy(&format!("oci:{}:it", there.display()), &to, &[&["--preserve-digests"], more].concat());
    manifest.digest
}

/// Pulls with skopeo: the digest of what came, or what was said instead.
fn pull(proxy: &Proxy, name: &str, more: &[&str]) -> Result<Digest, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--preserve-digests"]);
    // Whom the tester is elsewhere is not what is tested.
    command.env("REGISTRY_AUTH_FILE", dir.path().join("none.json"));
    command.args(more).arg(format!("docker://{}/{name}", proxy.host));
    let (code, _, errors) = run(command.arg(format!("dir:{}", dir.path().display())));
    if code != 0 {
        return Err(errors);
    }
    Ok(Digest::of(&std::fs::read(dir.path().join("manifest.json")).expect("is there")))
}

/// Asserts that a pull is refused with the words that the issue asks for.
fn assert_refused(pulled: Result<Digest, String>, tag: &str, [got, want]: [&Digest; 2]) {
    let said = pulled.expect_err("the tag moved").replace('\\', "");
    let text = format!("tag \"{tag}\" mismatch; got \"{got}\", want \"{want}\"");
    assert!(said.contains(&text), "{text} in {said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn a_tag_that_somebody_pushes_anew_is_refused_until_that_is_approved() {
    let (registry, town) = (Registry::open(), Town::new(&["proxy"]));
    let proxy = town.proxy("proxy", &registry);
    let name = format!("{}/team/app:1.0", registry.host);
    let old = pushed(&registry, "amd64", "team/app:1.0", &[]);
    assert_eq!(pull(&proxy, "team/app:1.0", &[]), Ok(old.clone()));
    assert_eq!(town.records(&name), [old.to_string()]);
    assert_eq!(pull(&proxy, "team/app:1.0", &[]), Ok(old.clone()));
    let new = pushed(&registry, "arm64", "team/app:1.0", &[]);
    assert_refused(pull(&proxy, "team/app:1.0", &[]), &name, [&new, &old]);
    assert_eq!(town.records(&name), [old.to_string()]);
    assert_eq!(pull(&proxy, &format!("team/app@{old}"), &[]), Ok(old.clone()), "a digest is no tag");
    assert_eq!(pull(&proxy, &format!("team/app@{new}"), &[]), Ok(new.clone()));

    town.approve(&name, &new);
    // A refusal is repeated for a second without asking the log.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while pull(&proxy, "team/app:1.0", &[]) != Ok(new.clone()) {
        assert!(std::time::Instant::now() < deadline, "the approval is not seen");
    }
    let history = town.history(&name);
    assert_eq!((&history["sound"], history["steps"].as_array().map(Vec::len)), (&json!(true), Some(3)));
    assert_eq!(history["steps"][2]["finding"], "approved");
    // Once approved is no leave to go back.
    pushed(&registry, "amd64", "team/app:1.0", &[]);
    assert_refused(pull(&proxy, "team/app:1.0", &[]), &name, [&old, &new]);

    let there = format!("docker://{}/team/app", proxy.host);
    let listed: Value =
        serde_json::from_str(&skopeo(&["list-tags", "--tls-verify=false", &there])).expect("JSON");
    assert_eq!(listed["Tags"], json!(["1.0"]));
    let other = pushed(&registry, "amd64", "team/app:1.1", &[]);
    let inspected =
        skopeo(&["inspect", "--tls-verify=false", "--override-arch", "amd64", &format!("{there}:1.1")]);
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    assert_eq!(
        (&inspected["Digest"], &inspected["Name"]),
        (&json!(other.to_string()), &json!(format!("{}/team/app", proxy.host)))
    );
    let mut tags: Vec<_> =
        inspected["RepoTags"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["1.0", "1.1"]);
    let push = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args([format!("{there}:1.1"), format!("{there}:1.2")])
        .output()
        .expect("skopeo runs");
    let said = String::from_utf8_lossy(&push.stderr).into_owned();
    assert!(
        !push.status.success() && said.contains("the proxy is read-only: push to the registry itself"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn an_image_for_two_platforms_has_one_record() {
    let (registry, town) = (Registry::open(), Town::new(&["proxy"]));
    let proxy = town.proxy("proxy", &registry);
    let (dir, list) = layout(registry.dir.path());
    let there = format!("docker://{}/team/app:1.0", registry.host);
    copy(&format!("oci:{}:1.0", dir.display()), &there, &["--all", "--preserve-digests"]);
    for architecture in ["amd64", "arm64"] {
        let found = pull(&proxy, "team/app:1.0", &["--override-arch", architecture]);
        assert_eq!(found, Ok(image(architecture).0.digest), "{architecture}");
    }
    assert_eq!(pull(&proxy, "team/app:1.0", &["--all"]), Ok(list.digest.clone()));
    let name = format!("{}/team/app:1.0", registry.host);
    assert_eq!(town.records(&name), [list.digest.to_string()]);
}

/// What the proxy is told about itself in a file, as Docker and Podman are.
fn logged_in(dir: &Path, host: &str) {
    let mut auths = json!({});
    auths[host] = json!({ "auth": STANDARD.encode(format!("{}:{}", USER.0, USER.1)) });
    std::fs::write(dir.join("config.json"), json!({ "auths": auths }).to_string()).expect("is written");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn with_tokens_the_proxy_pulls_as_itself_or_as_its_client() {
    let (registry, _tokens) = with_tokens(&[]).await;
    let town = Town::new(&["docker", "podman", "client", "nobody"]);
    let name = format!("{}/team/app:1.0", registry.host);
    let login = format!("{}:{}", USER.0, USER.1);
    let old = pushed(&registry, "amd64", "team/app:1.0", &["--dest-creds", &login]);
    logged_in(registry.dir.path(), &registry.host);
    let config = registry.dir.path().join("config.json");

    let nobody = town.proxy("nobody", &registry);
    let said = pull(&nobody, "team/app:1.0", &[]).expect_err("is nobody there");
    assert!(said.contains("unauthorized"), "{said}");
    assert_eq!(town.records(&name), [""; 0]);
    drop(nobody);

    let itself = |who: &str, variable: &str, value: &Path| {
        let mut command = town.proxy_command(who, &registry, &["--upstream-as", "ourselves"]);
        Proxy::start(command.env(variable, value))
    };
    let docker = itself("docker", "DOCKER_CONFIG", registry.dir.path());
    let podman = itself("podman", "REGISTRY_AUTH_FILE", &config);
    let client = Proxy::start(&mut town.proxy_command("client", &registry, &["--upstream-as", "client"]));
    let creds = ["--src-creds", login.as_str()];
    for _ in 0..2 {
        assert_eq!(pull(&docker, "team/app:1.0", &[]), Ok(old.clone()));
        assert_eq!(pull(&podman, "team/app:1.0", &[]), Ok(old.clone()));
        assert_eq!(pull(&client, "team/app:1.0", &creds), Ok(old.clone()));
    }
    assert_eq!(town.records(&name), [old.to_string()], "three proxies, one record");
    // What is known to the proxy is not given to whom the registry would not give it.
    for creds in [&[][..], &["--src-creds", "alice:wrong"]] {
        let said = pull(&client, "team/app:1.0", creds).expect_err("is nobody there");
        assert!(said.contains("unauthorized"), "{said}");
    }
    let new = pushed(&registry, "arm64", "team/app:1.0", &["--dest-creds", &login]);
    for (proxy, creds) in [(&docker, &[][..]), (&podman, &[]), (&client, &creds)] {
        assert_refused(pull(proxy, "team/app:1.0", creds), &name, [&new, &old]);
    }
    town.approve(&name, &new);
    let fresh = Proxy::start(&mut town.proxy_command("nobody", &registry, &["--upstream-as", "client"]));
    assert_eq!(pull(&fresh, "team/app:1.0", &creds), Ok(new.clone()));
    assert_eq!(town.records(&name), [old.to_string(), new.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn signatures_go_on_and_are_verified_through_the_proxy() {
    let (registry, town) = (Registry::open(), Town::new(&["proxy"]));
    let proxy = town.proxy("proxy", &registry);
    let digest = pushed(&registry, "amd64", "team/app:1.0", &[]);
    let [there, here] = [&registry.host, &proxy.host].map(|host| format!("{host}/team/app:1.0"));
    let sign = |key: &str| {
        let forms = ["--log-api", "v1", "--compat", "both", "--key", key];
        done(town.stack.sign(&[&[there.as_str()], &forms[..]].concat()))
    };
    // Read through the proxy, in both forms; how many signatures count.
    let verified = |key: &str| {
        let mut command = bulla();
        command.args(["verify", &here, "--output", "json", "--trusted-root"]);
        let (code, said, errors) =
            run(command.arg(town.stack.path("root.json")).arg("--key").arg(town.stack.path(key)));
        assert_eq!(code, 0, "{said}{errors}");
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let all = said["signatures"].as_array().expect("a list").iter();
        (all.clone().filter(|one| one["verified"] == true).count(), all.count())
    };
    assert_eq!(sign("signer.key"), ["signed", "signed"]);
    assert_eq!(verified("signer.pub"), (2, 2));
    assert_eq!(sign("second.key"), ["signed", "signed"]);
    assert_eq!(verified("second.pub"), (2, 4), "the tags of signatures moved");
    assert_eq!(verified("signer.pub"), (2, 4));
    let signatures = digest.to_string().replace(':', "-") + ".sig";
    for kind in [signatures, digest.referrers_tag()] {
        let raw = |host: &str| {
            skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://{host}/team/app:{kind}")])
        };
        assert_eq!(raw(&proxy.host), raw(&registry.host));
        let history = town.history(&format!("{}/team/app:{kind}", registry.host));
        assert_eq!(history["sound"], true);
        let rules: Vec<_> =
            history["steps"].as_array().expect("a list").iter().map(|step| &step["rule"]).collect();
        assert_eq!(rules, [&json!("moving"); 2], "both are recorded: {history}");
    }
    // Signatures are pushed where the image is.
    let (code, _, errors) = town.stack.sign(&[&here, "--log-api", "v1", "--key", "approver.key"]);
    assert!(code != 0 && errors.contains("405 Method Not Allowed"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn two_proxies_on_one_log_agree_while_many_pull() {
    let (registry, town) = (Registry::open(), Town::new(&["one", "two"]));
    let proxies = &["one", "two"].map(|name| town.proxy(name, &registry));
    let name = format!("{}/team/app:1.0", registry.host);
    let all = || {
        std::thread::scope(|scope| {
            let pulls: Vec<_> = (0..8)
                .map(|turn| scope.spawn(move || pull(&proxies[turn % 2], "team/app:1.0", &[])))
                .collect();
            pulls.into_iter().map(|pull| pull.join().expect("ends")).collect::<Vec<_>>()
        })
    };
    let old = pushed(&registry, "amd64", "team/app:1.0", &[]);
    assert_eq!(all(), vec![Ok(old.clone()); 8]);
    assert_eq!(town.records(&name), [old.to_string()]);
    let new = pushed(&registry, "arm64", "team/app:1.0", &[]);
    // Approved before anybody asks: the first who pulls records the move.
    town.approve(&name, &new);
    assert_eq!(all(), vec![Ok(new.clone()); 8]);
    assert_eq!(town.records(&name), [old.to_string(), new.to_string()]);
    assert_eq!(town.history(&name)["sound"], true);
}
