//! Debian's docker-registry, and skopeo as the other client. `./test registry` installs them and runs these.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bulla_web::Authorities;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::common::{bulla, run};
use crate::fake::{
    Fake, artifact, by_digest, client, client_with, credentials, index, manifest, serve, tag, with,
};
use crate::registry::{
    Client, Content, Descriptor, Digest, EMPTY, Image, Layout, Listed, Manifest, OCI_MANIFEST, Options,
    Platform, Problem, Reference, Repository, Source, Tag, Verdict,
};

const NEEDS: &str = "needs docker-registry and skopeo: ./test registry";

/// docker-registry on a free port, with a directory of its own.
pub(crate) struct Registry {
    child: Child,
    pub(crate) host: String,
    pub(crate) dir: tempfile::TempDir,
}

impl Registry {
    /// Starts it; `more` is what its configuration says of `auth` and of `http.tls`.
    fn start(more: &dyn Fn(&Path) -> Value) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "info" },
            "storage": { "filesystem": { "rootdirectory": dir.path().join("data") } },
            "http": { "addr": "127.0.0.1:0", "tls": {} },
        });
        let more = more(dir.path());
        config["http"]["tls"] = more["tls"].clone();
        if !more["auth"].is_null() {
            config["auth"] = more["auth"].clone();
        }
        // JSON is YAML.
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config.to_string()).expect("is written");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect(NEEDS);
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = Vec::new();
        let host = loop {
            let Some(Ok(line)) = lines.next() else { panic!("docker-registry ended: {said:#?}") };
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ',', ' ']).next().unwrap_or_default().to_owned();
            }
            said.push(line);
        };
        // What it says later is of no use, and must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, host, dir }
    }

    pub(crate) fn open() -> Self {
        Self::start(&|_| Value::Null)
    }

    pub(crate) fn repository(&self, name: &str) -> Repository {
        Repository::parse(&format!("{}/{name}", self.host)).expect("a name")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Nobody is left to hear of it.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

pub(crate) fn skopeo(arguments: &[&str]) -> String {
    let (code, out, errors) = run(Command::new("skopeo").arg("--insecure-policy").args(arguments));
    assert_eq!(code, 0, "skopeo {arguments:?}: {out}{errors}");
    out
}

pub(crate) fn copy(from: &str, to: &str, more: &[&str]) {
    let mut arguments = vec!["copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"];
    arguments.extend_from_slice(more);
    arguments.extend([from, to]);
    skopeo(&arguments);
}

/// A layer with nothing in it, as a tar archive in gzip.
fn layer() -> Bytes {
    STANDARD.decode("H4sIAAAAAAACA2NgGAWjYBSMVAAALq+17wAEAAAA").expect("base64").into()
}

/// An image for a platform: its manifest, and the blobs it is made of.
pub(crate) fn image(architecture: &str) -> (Manifest, [Bytes; 2]) {
    let diff_id = Digest::of(&[0; 1024]);
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Cmd": ["/none"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let blobs = [Bytes::from(config.to_string()), layer()];
    let [config, layer] =
        ["application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"];
    let described = |media_type: &str, bytes: &Bytes| json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() });
    let document = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": described(config, &blobs[0]), "layers": [described(layer, &blobs[1])],
    });
    (manifest(&document), blobs)
}

fn for_platform(manifest: &Manifest, architecture: &str) -> Descriptor {
    let platform = Platform { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None };
    Descriptor { platform: Some(platform), artifact_type: None, ..manifest.descriptor() }
}

/// A layout with an image for two platforms under the tag `1.0`.
pub(crate) fn layout(dir: &Path) -> (PathBuf, Manifest) {
    let dir = dir.join("layout");
    let layout = Layout::create(&dir).expect("is made");
    let images = ["amd64", "arm64"].map(|architecture| {
        let (manifest, blobs) = image(architecture);
        for blob in blobs.iter().chain([&manifest.bytes]) {
            layout.push_blob(blob).expect("is written");
        }
        for_platform(&manifest, architecture)
    });
    let list = index(&images);
    layout.push_manifest(&list, Some(&Tag::parse("1.0").expect("a tag"))).expect("is written");
    (dir, list)
}

async fn push(
    client: &Client,
    repository: &Repository,
    (manifest, blobs): &(Manifest, [Bytes; 2]),
    name: &str,
) {
    for blob in blobs {
        client.push_blob(repository, blob).await.expect("is written");
    }
    client.push_manifest(repository, &tag(name), manifest).await.expect("is written");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn what_skopeo_pushes_is_read_to_the_last_byte() {
    let registry = Registry::open();
    let (dir, list) = layout(registry.dir.path());
    let there = format!("docker://{}/team/app", registry.host);
    for name in ["1.0", "1.1", "1.2"] {
        copy(
            &format!("oci:{}:1.0", dir.display()),
            &format!("{there}:{name}"),
            &["--all", "--preserve-digests"],
        );
    }
    let (client, repository) = (client(), registry.repository("team/app"));
    client.ping(&repository).await.expect("answers");
    let mut tags = client.tags(&repository).await.expect("reads");
    tags.sort_unstable();
    assert_eq!(tags, ["1.0", "1.1", "1.2"]);
    let found = client.manifest(&repository, &tag("1.0")).await.expect("reads");
    assert_eq!((&found.digest, &found.bytes), (&list.digest, &list.bytes));
    let claimed = client.head(&repository, &tag("1.0")).await.expect("is said");
    assert_eq!(claimed.digest, Some(list.digest.clone()));
    let source = Source::Registry(client.clone(), repository.clone());
    let here = Source::Layout(Layout::open(&dir).expect("opens"));
    for source in [&source, &here] {
        for entry in found.manifests() {
            let name = crate::registry::Name::Digest(entry.digest.clone());
            let Content::Image { config, layers } = source.manifest(&name).await.expect("reads").content
            else {
                panic!("an image")
            };
            assert_eq!(source.blob(&layers[0], 1 << 20).await.expect("reads"), layer());
            let config: Value =
                serde_json::from_slice(&source.blob(&config, 1 << 20).await.expect("reads")).expect("JSON");
            assert_eq!(
                Some(config["architecture"].as_str()),
                entry.platform.as_ref().map(|of| Some(&*of.architecture))
            );
        }
        assert!(source.referrers(&list.digest).await.expect("are listed").descriptors.is_empty());
    }
    // A layout that skopeo wrote, and Docker's own types.
    let theirs = registry.dir.path().join("theirs");
    copy(&format!("{there}:1.0"), &format!("oci:{}:x", theirs.display()), &["--all"]);
    let image = Image::open(&format!("oci:{}", theirs.display()), &client).expect("one image");
    assert_eq!(image.manifest().await.expect("reads").digest, list.digest);
    copy(&format!("{there}:1.0"), &format!("{there}:docker"), &["--format", "v2s2"]);
    let docker = client.manifest(&repository, &tag("docker")).await.expect("reads");
    assert_eq!(docker.media_type, "application/vnd.docker.distribution.manifest.v2+json");
    for (name, part) in [("none", "MANIFEST_UNKNOWN"), ("sha256-00", "MANIFEST_UNKNOWN")] {
        let error = client.manifest(&repository, &tag(name)).await.expect_err("is not there");
        assert!(error.is_missing() && error.to_string().contains(part), "{error}");
    }
    let error = client.tags(&registry.repository("no/such")).await.expect_err("is not there");
    assert!(error.is_missing() && error.to_string().contains("NAME_UNKNOWN"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn what_is_pushed_here_skopeo_copies_and_referrers_are_listed() {
    let registry = Registry::open();
    let (client, repository) = (client(), registry.repository("team/app"));
    let image = image("amd64");
    push(&client, &repository, &image, "1.0").await;
    client.push_blob(&repository, &Bytes::from_static(EMPTY)).await.expect("is written");
    let signatures = ["one", "two", "three"].map(|note| artifact(note, Some(&image.0)));
    for signature in &signatures {
        let pushed = client.push_manifest(&repository, &by_digest(signature), signature).await;
        assert_eq!(pushed.expect("is written").listed, Some(Listed::Tag), "it has no referrers API");
    }
    let found = client.referrers(&repository, &image.0.digest).await.expect("are listed");
    assert_eq!(found.listed, Listed::Tag);
    assert_eq!(found.descriptors, signatures.each_ref().map(Manifest::descriptor));
    for (entry, signature) in found.descriptors.iter().zip(&signatures) {
        let read = client.manifest(&repository, &crate::registry::Name::Digest(entry.digest.clone())).await;
        assert_eq!(read.expect("reads").bytes, signature.bytes);
    }
    let there = format!("docker://{}/team/app", registry.host);
    let raw = |name: &str| skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("{there}{name}")]);
    assert_eq!(raw(":1.0").as_bytes(), image.0.bytes);
    assert_eq!(raw(&format!("@{}", signatures[0].digest)).as_bytes(), signatures[0].bytes);
    let listed: Value =
        serde_json::from_str(&raw(&format!(":{}", image.0.digest.referrers_tag()))).expect("JSON");
    assert_eq!(listed["manifests"][2]["annotations"]["note"], "three");
    let theirs = registry.dir.path().join("theirs");
    copy(&format!("{there}:1.0"), &format!("oci:{}:1.0", theirs.display()), &["--preserve-digests"]);
    let copied = Image::open(&format!("oci:{}:1.0", theirs.display()), &client).expect("is there");
    assert_eq!(copied.manifest().await.expect("reads").bytes, image.0.bytes);
    copy(
        &format!("{there}@{}", signatures[0].digest),
        &format!("dir:{}", registry.dir.path().join("one").display()),
        &[],
    );
}

/// Name and password, and how htpasswd keeps them.
pub(crate) const USER: (&str, &str) = ("alice", "wonder:land");
const HTPASSWD: &str = "alice:$2b$05$abcdefghijklmnopqrstuu12xgx35XzVimpLAARVsY.qvjwFuB00y\n";

fn with_passwords() -> Registry {
    Registry::start(&|dir| {
        let path = dir.join("htpasswd");
        std::fs::write(&path, HTPASSWD).expect("is written");
        json!({ "auth": { "htpasswd": { "realm": "a \"quoted\" realm", "path": path } } })
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn a_password_opens_the_registry() {
    let registry = with_passwords();
    let repository = registry.repository("team/app");
    let error = client().manifest(&repository, &tag("1.0")).await.expect_err("nobody");
    assert!(matches!(error.problem(), Problem::Unauthorized(_)), "{error}");
    let (_dir, wrong) = credentials(&registry.host, &json!({ "username": "alice", "password": "w" }));
    let error = client_with(wrong).manifest(&repository, &tag("1.0")).await.expect_err("is wrong");
    assert_eq!(error.verdict(), Verdict::Refused, "{error}");
    let (_dir, right) = credentials(&registry.host, &json!({ "auth": STANDARD.encode("alice:wonder:land") }));
    let client = client_with(right);
    let image = image("amd64");
    push(&client, &repository, &image, "1.0").await;
    assert_eq!(client.manifest(&repository, &tag("1.0")).await.expect("reads").bytes, image.0.bytes);
    let there = format!("docker://{}/team/app:1.0", registry.host);
    let login = format!("{}:{}", USER.0, USER.1);
    assert_eq!(
        skopeo(&["inspect", "--raw", "--tls-verify=false", "--creds", &login, &there]).as_bytes(),
        image.0.bytes
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn the_command_shows_images_with_the_credentials_of_its_user() {
    let registry = with_passwords();
    let (_dir, right) = credentials(&registry.host, &json!({ "auth": STANDARD.encode("alice:wonder:land") }));
    let (client, repository) = (client_with(right), registry.repository("team/app"));
    let image = image("arm64");
    push(&client, &repository, &image, "1.0").await;
    client.push_blob(&repository, &Bytes::from_static(EMPTY)).await.expect("is written");
    let signature = artifact("one", Some(&image.0));
    client.push_manifest(&repository, &by_digest(&signature), &signature).await.expect("is written");

    let home = registry.dir.path().join("home");
    std::fs::create_dir_all(home.join(".docker")).expect("is made");
    let helper = home.join("docker-credential-wonder");
    let script = format!(
        "#!/bin/sh\nread host; [ $1 = get ] && [ $host = {} ] && echo '{{\"Username\":\"alice\",\"Secret\":\"wonder:land\"}}'\n",
        registry.host
    );
    std::fs::write(&helper, script).expect("is written");
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o700)).expect("is made a program");
    let path = format!("{}:{}", home.display(), std::env::var("PATH").unwrap_or_default());
    let show = |config: &Value, arguments: &[&str]| {
        std::fs::write(home.join(".docker/config.json"), config.to_string()).expect("is written");
        let mut command = bulla();
        for name in ["REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"] {
            command.env_remove(name);
        }
        run(command.env("HOME", &home).env("PATH", &path).args(["image", "show"]).args(arguments))
    };
    let name = format!("{repository}:1.0");
    let mut helpers = json!({});
    helpers[&registry.host] = "wonder".into();
    let with_helper = json!({ "credHelpers": helpers });
    let (code, shown, errors) = show(&with_helper, &[&name]);
    assert_eq!(code, 0, "{errors}");
    let digest = &image.0.digest;
    for part in [
        format!("image       {name}\ndigest      {digest}\nmedia type  {OCI_MANIFEST}\n"),
        format!("platform    linux/arm64  {digest}\n"),
        format!("referrer    {}  application/vnd.example.note\n", signature.digest),
        "referrers   1, not verified, says the tag that whoever pushes keeps\n".to_owned(),
    ] {
        assert!(shown.contains(&part), "{part} in {shown}");
    }
    let mut auths = json!({});
    auths[format!("{}/team", registry.host)] = json!({ "auth": STANDARD.encode("alice:wonder:land") });
    let (code, shown, errors) = show(&json!({ "auths": auths }), &[&name, "--output", "json"]);
    assert_eq!(code, 0, "{errors}");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&shown["digest"], &shown["referrersListedBy"]), (&digest.to_string().into(), &"tag".into()));
    assert_eq!(shown["platforms"][0]["platform"]["architecture"], "arm64");
    assert_eq!(shown["referrers"][0]["annotations"]["note"], "one");

    let none = json!({});
    let missing = format!("{repository}:none");
    let closed = "127.0.0.1:1/a";
    for (config, arguments, expected, part) in [
        (&with_helper, &missing, 1, "is not there (404 Not Found, MANIFEST_UNKNOWN"),
        (&none, &name, 2, "the registry wants a name and a password: log in to"),
        (&none, &"A".to_owned(), 2, "names of repositories are lower case"),
        (&none, &format!("oci:{}", home.display()), 2, "oci-layout: is not there"),
        (
            &json!({ "credsStore": "none-such" }),
            &name,
            3,
            "no credentials: docker-credential-none-such: No such file",
        ),
        (&none, &closed.to_owned(), 3, "Connection refused"),
        (&json!({ "auths": 1 }), &name, 2, "config.json: is not JSON of the expected shape"),
    ] {
        let (code, shown, errors) = show(config, &[arguments]);
        assert_eq!((code, shown.as_str()), (expected, ""), "{errors}");
        assert!(errors.contains(part) && !errors.contains("wonder:land"), "{part} in {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn a_registry_with_tls_is_believed_by_its_authority() {
    let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let registry = Registry::start(&|dir| {
        let [certificate, private] = ["cert.pem", "key.pem"].map(|name| dir.join(name));
        std::fs::write(&certificate, key.cert.pem()).expect("is written");
        std::fs::write(&private, key.signing_key.serialize_pem()).expect("is written");
        json!({ "tls": { "certificate": certificate, "key": private } })
    });
    let authorities = Authorities::from_pem(key.cert.pem().as_bytes()).expect("a certificate");
    let trusting = Client::new(Options { authorities, ..Options::default() }).expect("a client");
    let repository = registry.repository("team/app");
    push(&trusting, &repository, &image("amd64"), "1.0").await;
    let error = client().manifest(&repository, &tag("1.0")).await.expect_err("is not believed");
    assert_eq!(error.verdict(), Verdict::Undetermined);
    assert!(error.to_string().contains("certificate"), "no plain HTTP after a wrong certificate: {error}");
    let ca = registry.dir.path().join("cert.pem").display().to_string();
    let name = format!("{repository}:1.0");
    let show =
        |arguments: &[&str]| run(bulla().env("HOME", "/nowhere").args(["image", "show"]).args(arguments));
    let (code, shown, errors) = show(&[&name, "--registry-ca", &ca]);
    assert!(code == 0 && shown.contains("linux/amd64"), "{errors}");
    assert_eq!(show(&[&name]).0, 3);
    let (code, _, errors) = show(&[&name, "--registry-ca", "/dev/null"]);
    assert!(code == 2 && errors.contains("has no certificate in PEM"), "{errors}");
}

/// Gives tokens to alice, and to everybody for what strangers may do.
async fn token_server(strangers: &'static [&'static str]) -> (Fake, String) {
    let certified = rcgen::generate_simple_self_signed(["tokens.example".to_owned()]).expect("a certificate");
    let private = certified.signing_key.serialize_der();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private).expect("a key");
    let (key, chain) = (Arc::new(key), STANDARD.encode(certified.cert.der()));
    let alice = format!("Basic {}", STANDARD.encode(format!("{}:{}", USER.0, USER.1)));
    let server = serve(move |seen| {
        let is_alice = match seen.authorization() {
            None => false,
            Some(shown) if shown == alice => true,
            Some(_) => return with(401, "content-type", "text/plain"),
        };
        let url = reqwest::Url::parse(&format!("http://h{}", seen.path)).expect("a URL");
        let access: Vec<_> = url
            .query_pairs()
            .filter(|(name, _)| name == "scope")
            .map(|(_, scope)| {
                let [kind, name, actions] = scope.split(':').collect::<Vec<_>>().try_into().expect("a scope");
                let allowed: Vec<_> =
                    actions.split(',').filter(|action| is_alice || strangers.contains(action)).collect();
                json!({ "type": kind, "name": name, "actions": allowed })
            })
            .collect();
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "iss": "tokens.example", "sub": "", "aud": "the registry", "iat": now, "nbf": now - 10, "exp": now + 60,
            "jti": "1", "access": access,
        });
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [chain] });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).expect("signs");
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        json!({ "access_token": token, "expires_in": 60 }).to_string().into_response()
    })
    .await;
    (server, certified.cert.pem())
}

/// A registry that believes such a server.
pub(crate) async fn with_tokens(strangers: &'static [&'static str]) -> (Registry, Fake) {
    let (tokens, certificate) = token_server(strangers).await;
    let realm = format!("http://{}/token", tokens.host);
    let registry = Registry::start(&|dir| {
        let path = dir.join("tokens.pem");
        std::fs::write(&path, &certificate).expect("is written");
        json!({ "auth": { "token": {
            "realm": realm, "service": "the registry", "issuer": "tokens.example", "rootcertbundle": path,
        } } })
    });
    (registry, tokens)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry and skopeo: ./test registry"]
async fn tokens_of_another_server_open_the_registry() {
    let (registry, tokens) = with_tokens(&["pull"]).await;
    let repository = registry.repository("team/app");
    let (_dir, right) = credentials(&registry.host, &json!({ "username": USER.0, "password": USER.1 }));
    let (alice, image) = (client_with(right), image("amd64"));
    push(&alice, &repository, &image, "1.0").await;
    assert_eq!(alice.manifest(&repository, &tag("1.0")).await.expect("reads").digest, image.0.digest);
    assert_eq!(tokens.seen().len(), 1, "one token, to push and to pull");
    let anybody = client();
    assert_eq!(anybody.manifest(&repository, &tag("1.0")).await.expect("reads").digest, image.0.digest);
    assert!(
        anybody.referrers(&repository, &image.0.digest).await.expect("are listed").descriptors.is_empty()
    );
    assert_eq!(tokens.seen().len(), 2);
    let error = anybody.push_blob(&repository, &Bytes::from_static(b"x")).await.expect_err("may only pull");
    assert!(matches!(error.problem(), Problem::Unauthorized(_)), "{error}");
    let (_dir, wrong) = credentials(&registry.host, &json!({ "username": USER.0, "password": "w" }));
    let error = client_with(wrong).manifest(&repository, &tag("1.0")).await.expect_err("is wrong");
    assert!(error.to_string().contains("the credentials for it are not taken"), "{error}");
    let reference: Reference = format!("{repository}:1.0").parse().expect("a name");
    assert_eq!(reference.repository(), &repository);
    let there = format!("docker://{reference}");
    assert_eq!(skopeo(&["inspect", "--raw", "--tls-verify=false", &there]).as_bytes(), image.0.bytes);
}
