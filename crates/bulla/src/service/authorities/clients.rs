//! The lines that make each family of clients use a private stack: what `bulla up` prints, and `bulla up --print-client`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use super::ct;
use super::members::Members;
use crate::command::Failure;
use crate::home::Identity;
use crate::text::shell_word;

/// Families of clients, as people name them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Client {
    /// cosign 2.x
    #[value(name = "cosign-2")]
    Cosign2,
    /// cosign 3.x
    #[value(name = "cosign-3")]
    Cosign3,
    /// sigstore-python and what uses it, such as model-signing
    SigstorePython,
    /// sigstore-js and @sigstore/cli
    SigstoreJs,
    /// sigstore-go
    SigstoreGo,
    /// the sigstore-rust crates
    SigstoreRust,
    /// the admission controller of Sigstore
    PolicyController,
    /// Kyverno
    Kyverno,
}

impl Client {
    /// All of them, in the order they are shown in.
    pub(crate) const ALL: [Self; 8] = [
        Self::Cosign3,
        Self::Cosign2,
        Self::SigstorePython,
        Self::SigstoreJs,
        Self::SigstoreGo,
        Self::SigstoreRust,
        Self::PolicyController,
        Self::Kyverno,
    ];
}

/// Where everything is.
#[derive(Clone)]
pub(crate) struct Stack {
    /// Base URL of the log and of the certificate authority.
    pub(crate) url: String,
    /// The issuer of identity tokens that people use.
    pub(crate) issuer: String,
    /// The data directory.
    pub(crate) data: PathBuf,
}

impl Stack {
    /// That in a data directory, as its server described it last.
    pub(crate) fn read(data: &Path) -> Result<Self, Failure> {
        let url = Identity::url(data).ok_or_else(|| {
            Failure::usage(format!(
                "{} holds no stack: start one with `bulla up`, or pass --data DIR",
                data.display()
            ))
        })?;
        let issuer = Members::read(data)?.oidc.unwrap_or_else(|| "ISSUER".to_owned());
        let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
        Ok(Self { url, issuer, data })
    }
}

/// The lines of all families, for whoever started the stack.
pub(crate) fn greeting(stack: &Stack) -> String {
    let mut text = String::from("Clients (each again with bulla up --print-client NAME)\n");
    for client in Client::ALL {
        let name = client.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        // Writing to a string cannot fail.
        let _infallible = write!(text, "\n# {name}\n{}", lines(client, stack));
    }
    let data = stack.data.display();
    let _infallible = write!(
        text,
        "\n# The keys of the roots lie in {data}/offline: nothing here reads them again. Take them away.\n\n"
    );
    text
}

/// What to type, or to apply to a cluster. Words in capitals are for the reader to replace.
pub(crate) fn lines(client: Client, stack: &Stack) -> String {
    let Stack { url, issuer, .. } = stack;
    let file = |name: &str| stack.data.join(name).display().to_string();
    let (root, trust) = (file("tuf/repository/root.json"), file("clients/trusted_root.json"));
    let config = file("clients/client_trust_config.json");
    let (root_word, config_word) = (shell_word(&root), shell_word(&config));
    let tsa = format!("{url}/api/v1/timestamp");
    match client {
        Client::Cosign3 => format!(
            "cosign initialize --mirror {url}/tuf --root {root_word}\n\
             cosign sign --oidc-issuer {issuer} IMAGE@DIGEST\n\
             cosign verify --certificate-identity WHO --certificate-oidc-issuer {issuer} IMAGE@DIGEST\n"
        ),
        Client::Cosign2 => format!(
            "cosign initialize --mirror {url}/tuf --root {root_word}\n\
             cosign sign --fulcio-url {url} --rekor-url {url} --oidc-issuer {issuer} --timestamp-server-url {tsa} IMAGE@DIGEST\n\
             cosign verify --rekor-url {url} --certificate-identity WHO --certificate-oidc-issuer {issuer} IMAGE@DIGEST\n"
        ),
        Client::SigstorePython => format!(
            "sigstore --instance {url}/tuf trust-instance {root_word}\n\
             sigstore --instance {url}/tuf sign FILE\n\
             sigstore --instance {url}/tuf verify identity --cert-identity WHO --cert-oidc-issuer {issuer} FILE\n\
             # without a browser here, or with the token of a workflow:\n\
             sigstore --instance {url}/tuf sign --oauth-force-oob FILE\n\
             sigstore --instance {url}/tuf sign --identity-token TOKEN FILE\n\
             # with a file instead of the repository, as model_signing wants it:\n\
             sigstore --trust-config {config_word} sign --identity-token TOKEN FILE\n\
             sigstore --trust-config {config_word} verify identity --cert-identity WHO --cert-oidc-issuer {issuer} FILE\n\
             model_signing sign sigstore --trust_config {config_word} --identity_token TOKEN --signature SIGNATURE MODEL\n\
             model_signing verify sigstore --trust_config {config_word} --identity WHO --identity_provider {issuer} \
             --signature SIGNATURE MODEL\n"
        ),
        Client::SigstoreJs => format!(
            "sigstore initialize --mirror {url}/tuf --root {root_word}\n\
             SIGSTORE_ID_TOKEN=TOKEN CI=true sigstore attest STATEMENT --fulcio-url {url} --rekor-url {url} --tsa-server-url {url} \
             --output-file BUNDLE\n\
             sigstore verify BUNDLE --certificate-identity-email WHO --certificate-issuer {issuer} --tuf-mirror-url {url}/tuf \
             --tuf-root-path {root_word}\n\
             // in a program: import {{ sign, verify }} from 'sigstore'\n\
             const here = {{ fulcioURL: '{url}', rekorURL: '{url}', tsaServerURL: '{url}', identityToken: TOKEN,\n\
             \x20\x20tufMirrorURL: '{url}/tuf', tufRootPath: {root} }}\n",
            root = literal(&root),
        ),
        Client::SigstoreGo => format!(
            "// with github.com/sigstore/sigstore-go/pkg/{{root,tuf}}\n\
             first, err := os.ReadFile({root})\n\
             options := tuf.DefaultOptions().WithRepositoryBaseURL(\"{url}/tuf\").WithRoot(first)\n\
             trustedRoot, err := root.FetchTrustedRootWithOptions(options)\n\
             signingConfig, err := root.FetchSigningConfigWithOptions(options)\n\
             // or from a file: root.NewTrustedRootFromPath({trust})\n",
            root = literal(&root),
            trust = literal(&trust),
        ),
        Client::SigstoreRust => format!(
            "// with sigstore-trust-root, its feature `tuf`, and sigstore-sign\n\
             let root = std::fs::read({root:?})?;\n\
             let repository = TufConfig::custom(\"{url}/tuf\", TufBootstrap::trusted(root));\n\
             let trusted_root = TrustedRoot::from_tuf(repository.clone()).await?;\n\
             let signing_config = SigningConfig::from_tuf(repository).await?;\n"
        ),
        Client::PolicyController => policy_controller(stack, &root_word),
        Client::Kyverno => kyverno(stack),
    }
}

/// A string as JavaScript and Go write it, which is how JSON does.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Resources for a cluster: whom to believe, and a policy that uses it.
fn policy_controller(Stack { url, issuer, .. }: &Stack, root: &str) -> String {
    format!(
        "kubectl apply -f - <<YAML\n\
         apiVersion: policy.sigstore.dev/v1alpha1\n\
         kind: TrustRoot\n\
         metadata:\n\
         \x20 name: bulla\n\
         spec:\n\
         \x20 remote:\n\
         \x20   mirror: {url}/tuf\n\
         \x20   root: $(base64 -w0 {root})\n\
         ---\n\
         apiVersion: policy.sigstore.dev/v1beta1\n\
         kind: ClusterImagePolicy\n\
         metadata:\n\
         \x20 name: signed-by-us\n\
         spec:\n\
         \x20 images:\n\
         \x20 - glob: \"**\"\n\
         \x20 authorities:\n\
         \x20 - keyless:\n\
         \x20     url: {url}\n\
         \x20     trustRootRef: bulla\n\
         \x20     identities:\n\
         \x20     - issuer: {issuer}\n\
         \x20       subject: WHO\n\
         \x20   ctlog:\n\
         \x20     url: {url}\n\
         \x20     trustRootRef: bulla\n\
         YAML\n"
    )
}

/// A policy with the keys in it: this controller takes no repository in a policy.
fn kyverno(Stack { url, issuer, data, .. }: &Stack) -> String {
    let mut text = String::new();
    let indented = |file: &str| {
        format!("$(sed 's/^/                /' {})", shell_word(&data.join(file).display().to_string()))
    };
    // Writing to a string cannot fail.
    let _infallible = write!(
        text,
        "kubectl apply -f - <<YAML\n\
         apiVersion: kyverno.io/v1\n\
         kind: ClusterPolicy\n\
         metadata:\n\
         \x20 name: signed-by-us\n\
         spec:\n\
         \x20 webhookConfiguration:\n\
         \x20   failurePolicy: Fail\n\
         \x20 rules:\n\
         \x20 - name: signed-by-us\n\
         \x20   match:\n\
         \x20     any:\n\
         \x20     - resources:\n\
         \x20         kinds: [Pod]\n\
         \x20   verifyImages:\n\
         \x20   - imageReferences: [\"*\"]\n\
         \x20     failureAction: Enforce\n\
         \x20     attestors:\n\
         \x20     - entries:\n\
         \x20       - keyless:\n\
         \x20           subject: WHO\n\
         \x20           issuer: {issuer}\n\
         \x20           roots: |-\n{roots}\n\
         \x20           rekor:\n\
         \x20             url: {url}\n\
         \x20             pubkey: |-\n{rekor}\n\
         \x20           ctlog:\n\
         \x20             pubkey: |-\n{ctlog}\n\
         YAML\n",
        roots = indented("ca/chain.pem"),
        rekor = indented("v1.pub"),
        ctlog = indented(&format!("{}/ct.pub", ct::active_dir(data))),
    );
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn stack() -> Stack {
        Stack {
            url: "https://log.example.org".to_owned(),
            issuer: "https://issuer.example.org".to_owned(),
            data: PathBuf::from("/srv/a b'c\"d$e\\f"),
        }
    }

    /// What a shell makes of the words of a line, one a line.
    fn words(line: &str) -> Vec<String> {
        let said =
            Command::new("sh").args(["-c", &format!("printf '%s\\n' {line}")]).output().expect("sh runs");
        assert!(said.status.success(), "{line}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_path_is_one_word_of_the_shell() {
        let stack = stack();
        let root = stack.data.join("tuf/repository/root.json").display().to_string();
        let config = stack.data.join("clients/client_trust_config.json").display().to_string();
        for client in [Client::Cosign3, Client::Cosign2, Client::SigstorePython, Client::SigstoreJs] {
            let text = lines(client, &stack);
            let held: Vec<_> =
                text.lines().filter(|line| line.contains("/srv/") && !line.contains("  tuf")).collect();
            assert!(!held.is_empty());
            for line in held {
                let words = words(line);
                assert!(words.contains(&root) || words.contains(&config), "{line}: {words:?}");
            }
        }
    }

    #[test]
    fn a_path_is_one_string_of_a_program() {
        let stack = stack();
        let root = stack.data.join("tuf/repository/root.json").display().to_string();
        let escaped = r#""/srv/a b'c\"d$e\\f/tuf/repository/root.json""#;
        assert_eq!(serde_json::from_str::<String>(escaped).expect("JSON"), root);
        for client in [Client::SigstoreJs, Client::SigstoreGo, Client::SigstoreRust] {
            assert!(lines(client, &stack).contains(escaped), "{}", lines(client, &stack));
        }
    }

    /// The resources are made by the shell, from files below the directory.
    #[test]
    fn resources_are_made_from_files_with_any_name() {
        let folder = tempfile::tempdir().expect("made");
        let stack = Stack { data: folder.path().join("a b'c\"d$e"), ..stack() };
        for (file, text) in [
            ("tuf/repository/root.json", "{}"),
            ("ca/chain.pem", "the chain"),
            ("v1.pub", "the key of the log"),
            ("ct/ct.pub", "the key of the CT log"),
        ] {
            let path = stack.data.join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        for (client, expected) in [
            (Client::PolicyController, vec!["root: e30="]),
            (Client::Kyverno, vec!["the chain", "the key of the log", "the key of the CT log"]),
        ] {
            let script = format!("kubectl() {{ cat; }}\n{}", lines(client, &stack));
            let said = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
            let text = String::from_utf8_lossy(&said.stdout);
            assert!(
                expected.iter().all(|part| text.contains(part)),
                "{text} {}",
                String::from_utf8_lossy(&said.stderr)
            );
            assert!(said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
        }
    }
}
