//! "Optionally serve only images whose signature satisfies a verification policy."

use http::Method;
use serde_json::{Value, json};

use crate::pushable::Registry;
use crate::registry::{Digest, OCI_INDEX, OCI_MANIFEST};
use crate::stand::{Answer, Proxy, Stand};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A registry with one image, a proxy that wants images to be signed, and who pulls.
struct Verified {
    // Before the runtime, which drives none of it.
    stand: Stand,
    registry: Registry,
    proxy: Proxy,
    client: reqwest::Client,
    host: String,
    runtime: tokio::runtime::Runtime,
}

impl Verified {
    fn start() -> Self {
        let (stand, registry) = (Stand::start(), Registry::start());
        let host = registry.image().split('/').next().expect("a host").to_owned();
        stand.key("signer");
        stand.key("stranger");
        let policy = format!(
            "trusted-root = \"root.json\"\n[[policy]]\nimages = [\"{host}/**\"]\nkeys = [\"signer.pub\"]\n"
        );
        stand.file("verify.toml", &policy);
        let proxy = stand.proxy("a", &["--upstream", &host, "--verify-policy", "verify.toml"]);
        let client = bulla_web::client().build().expect("a client");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self { stand, registry, proxy, client, host, runtime }
    }

    fn pull(&self, name: &str) -> Answer {
        self.runtime.block_on(self.proxy.pull(name))
    }

    /// Signs the image with a key in the directory.
    fn sign(&self, key: &str, form: &str) {
        let signed = self.stand.run(&["sign", &self.registry.image(), "--key", key, "--compat", form]);
        assert_eq!(signed.code, 0, "{signed:?}");
    }

    /// Puts a manifest into the registry; returns its digest.
    fn put(&self, name: &str, manifest: &Value) -> String {
        let media_type = manifest["mediaType"].as_str().expect("text").to_owned();
        let text = manifest.to_string();
        let request = self.client.put(format!("http://{}/v2/team/app/manifests/{name}", self.host));
        let sent = request.header("content-type", media_type).body(text.clone()).send();
        assert_eq!(self.runtime.block_on(sent).expect("answers").status(), 201);
        Digest::of(text.as_bytes()).to_string()
    }

    /// Not to be served, for that reason.
    fn refused(&self, name: &str, reason: &str) {
        let (status, code, message) = self.pull(name).error();
        assert_eq!((status, code.as_str()), (403, "DENIED"), "{name}: {message}");
        let begins = message.starts_with(&format!("image {}/team/app@sha256:", self.host));
        assert!(begins && message.ends_with(&format!(" may not be served: {reason}")), "{message}");
        let path = format!("/v2/team/app/manifests/{name}");
        let head = self.runtime.block_on(self.proxy.ask(Method::HEAD, &path, &[]));
        assert_eq!((head.status, head.body.len()), (403, 0));
    }
}

fn image(config: &str, layers: &[&str]) -> Value {
    let part = |media_type: &str| json!({ "mediaType": media_type, "digest": Digest::of(b"{}"), "size": 2 });
    let layers: Vec<_> = layers.iter().map(|layer| part(layer)).collect();
    json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part(config), "layers": layers })
}

fn none_of(count: usize) -> String {
    format!("none of its {count} signatures is by whom it must be, see bulla verify --explain")
}

#[test]
fn an_image_is_served_once_it_is_signed_by_whom_it_must_be() {
    for form in ["bundle", "legacy"] {
        let verified = Verified::start();
        verified.refused("1.0", &none_of(0));
        verified.sign("stranger.key", form);
        verified.refused("1.0", &none_of(1));
        verified.sign("signer.key", form);
        let answer = verified.pull("1.0");
        let digest = answer.served().1.expect("a digest").to_owned();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(OCI_INDEX)), "{form}");
        // What the index lists is verified with it, and what refers to it can be read.
        let member = answer.json()["manifests"][0]["digest"].as_str().expect("text").to_owned();
        assert_eq!(verified.pull(&member).status, 200, "{form}");
        let stem = digest.replace(':', "-");
        if form == "legacy" {
            assert_eq!(verified.pull(&format!("{stem}.sig")).status, 200);
        } else {
            let list = verified.pull(&stem);
            assert_eq!(list.status, 200, "{list:?}");
            for referrer in list.json()["manifests"].as_array().expect("a list") {
                assert_eq!(verified.pull(referrer["digest"].as_str().expect("text")).status, 200);
            }
        }
        let checked = verified.stand.tag(&["check", &verified.registry.image()]);
        assert_eq!(checked.code, 0, "{checked:?}");
    }
}

#[test]
fn a_member_alone_is_not_signed() {
    let verified = Verified::start();
    verified.sign("signer.key", "bundle");
    let url = format!("http://{}/v2/team/app/manifests/1.0", verified.host);
    let index = verified.runtime.block_on(async {
        verified.client.get(url).send().await.expect("answers").bytes().await.expect("a body")
    });
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let member = index["manifests"][0]["digest"].as_str().expect("text");
    verified.refused(member, &none_of(0));
    assert_eq!(verified.pull("1.0").status, 200);
    assert_eq!(verified.pull(member).status, 200, "once the index was verified");
}

#[test]
fn what_could_be_run_is_no_signature_whatever_its_tag() {
    let verified = Verified::start();
    let tag = format!("sha256-{}", "ab".repeat(32));
    let runnable = [
        image(CONFIG, &[LAYER]),
        image(CONFIG, &[]),
        image(
            "application/vnd.docker.container.image.v1+json",
            &["application/vnd.docker.image.rootfs.diff.tar.gzip"],
        ),
        // Docker runs these, too: old clients pushed them.
        image("application/octet-stream", &[LAYER]),
        image("application/json", &["application/x-tar"]),
        image(CONFIG, &["application/x-tar"]),
        image("application/vnd.oci.empty.v1+json", &[LAYER]),
        // What no runtime should know, and some unpack.
        image("x/y", &["application/vnd.docker.container.image.v1+json"]),
        image(CONFIG, &["application/x+json"]),
        image("application/vnd.oci.empty.v1+json", &["text/plain"]),
        image(CONFIG, &["application/vnd.dev.cosign.simplesigning.v1+json", LAYER]),
    ];
    for manifest in &runnable {
        for suffix in [".sig", ".att", ".sbom", ""] {
            verified.put(&format!("{tag}{suffix}"), manifest);
            verified.refused(&format!("{tag}{suffix}"), &none_of(0));
        }
        let digest = verified.put("by-digest", manifest);
        verified.refused(&digest, &none_of(0));
    }
    // An index under the tag of a list names what is judged when it is asked for.
    let digest = verified.put("x", &runnable[0]);
    let entry = json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 2 });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] });
    verified.put(&tag, &index);
    assert_eq!(verified.pull(&tag).status, 200);
    verified.refused(&digest, &none_of(0));
    verified.put("2.0", &index);
    verified.refused("2.0", &none_of(0));
    // Evidence is served, and what says to be an image where signatures are.
    let note = image("application/vnd.oci.empty.v1+json", &["application/vnd.dev.sigstore.bundle.v0.3+json"]);
    let evidence = image(CONFIG, &["application/vnd.in-toto+json"]);
    for (manifest, names) in [(&note, &[None, Some("note")][..]), (&evidence, &[Some(&format!("{tag}.att"))])]
    {
        for name in names {
            let digest = verified.put(name.unwrap_or("by-digest"), manifest);
            assert_eq!(verified.pull(name.unwrap_or(&digest)).status, 200, "{name:?}");
        }
    }
    let digest = verified.put("3.0", &evidence);
    verified.refused("3.0", &none_of(0));
    verified.refused(&digest, &none_of(0));
}

#[test]
fn a_policy_that_cannot_be_kept_is_refused_at_the_start() {
    let stand = Stand::start();
    stand.key("signer");
    let refused = stand.refused("a", &["--verify-policy", "verify.toml"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    for (policy, problem) in [
        (
            "trusted-root = \"root.json\"\n[[policy]]\nimages = [\"**\"]\nkeys = [\"signer.pub\"]\nrequire = 2\n",
            "require = 2: ",
        ),
        ("trusted-root = \"root.json\"\n[[policy]]\nimages = [\"**\"]\n", "require = 1: "),
        ("[[policy]]\nimages = [\"**\"]\n", "missing field `trusted-root`"),
        (
            "trusted-root = \"root.json\"\n[[policy]]\nimages = [\"**\"]\nkey = [\"signer.pub\"]\n",
            "unknown field `key`",
        ),
    ] {
        stand.file("verify.toml", policy);
        let refused = stand.refused("a", &["--verify-policy", "verify.toml"]);
        assert!(refused.code == 2 && refused.errors.contains(problem), "{problem}: {refused:?}");
    }
    let client = stand.refused("a", &["--verify-policy", "verify.toml", "--upstream-as", "client"]);
    assert!(
        client.code == 2 && client.errors.contains("signatures are read by the proxy, which is nobody there"),
        "{client:?}"
    );
}
