//! What is said when nobody answers: the address, the innermost cause and what helps, under the exit code of what may be
//! better later.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bulla_claims::SigningKey;

use crate::common::{bulla, run};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../claims/tests/bundles/trusted_root.json");
const TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.AA";
const UNKNOWN: &str = "http://nobody.invalid";
const REFUSED: &str = "Connection refused (os error 111)";
const UNRESOLVED: &str = "failed to lookup address information: ";

/// Signs and attests in vain; both must begin and end like this, with the cause between.
fn in_vain(dir: &Path, arguments: &str, begin: &str, cause: &str, fix: &str) {
    for verb in ["sign", "attest"] {
        let mut command = bulla();
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("COSIGN_")) {
            command.env_remove(name);
        }
        command.arg(verb).args(arguments.split_whitespace()).current_dir(dir);
        if verb == "attest" {
            command.args(["--predicate", "file"]);
        }
        let (code, out, errors) = run(command.env("XDG_STATE_HOME", dir.join("state")));
        assert_eq!((code, out.as_str()), (3, ""), "{errors}");
        assert!(errors.starts_with(&format!("bulla: {begin}: ")) && errors.contains(cause), "{errors}");
        assert!(errors.ends_with(&format!("; {fix}\n")), "{errors}");
    }
}

#[test]
fn whoever_does_not_answer_is_named_with_the_cause_and_what_helps() {
    let folder = tempfile::tempdir().expect("a directory");
    let dir = folder.path();
    fs::write(dir.join("file"), "{}").expect("is written");
    fs::write(dir.join("k.pem"), SigningKey::generate_ecdsa_p256_pem()).expect("is written");
    fs::set_permissions(dir.join("k.pem"), fs::Permissions::from_mode(0o600)).expect("is its owner's");
    // Nobody listens there any more.
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = held.local_addr().expect("an address").to_string();
    drop(held);
    let gone = format!("http://{host}");

    let fix = "is `bulla up` running there? --url, --instance or --signing-config say where else to sign";
    for (url, cause) in [(gone.as_str(), REFUSED), (UNKNOWN, UNRESOLVED)] {
        let begin = format!("{url}/signing_config.v0.2.json");
        in_vain(dir, &format!("file --key k.pem --url {url}"), &begin, cause, fix);
    }

    let fix = "what was signed is kept, the same command logs it; --rekor-url names another log";
    for (url, cause) in [(gone.as_str(), REFUSED), (UNKNOWN, UNRESOLVED)] {
        for api in ["v1", "v2"] {
            let begin = format!("file: {url}/api/{api}/log/entries");
            let arguments =
                format!("file --key k.pem --trusted-root {ROOT} --rekor-url {url} --log-api {api}");
            in_vain(dir, &arguments, &begin, cause, fix);
        }
    }

    let arguments = format!("file --key k.pem --tlog-upload=false --timestamp-server-url {gone}");
    let fix = "try again, or name another one with --timestamp-server-url";
    in_vain(dir, &arguments, &format!("file: timestamp authority {gone}/"), REFUSED, fix);

    let arguments = format!(
        "file --trusted-root {ROOT} --identity-token {TOKEN} --fulcio-url {gone} --rekor-url {gone} \
         --timestamp-server-url {gone}"
    );
    let begin = format!("file: certificate authority at {gone}/api/v2/signingCert does not answer");
    let fix = "try again, or name another one with --fulcio-url";
    in_vain(dir, &arguments, &begin, REFUSED, fix);

    let fix = "is the registry's name right, and can it be reached from here?";
    for (host, url, cause) in
        [(host.as_str(), gone.as_str(), REFUSED), ("nobody.invalid", "https://nobody.invalid", UNRESOLVED)]
    {
        let image = format!("{host}/team/app:1");
        let arguments = format!("{image} --key k.pem --tlog-upload=false");
        in_vain(dir, &arguments, &format!("{image}: {image}: {url}"), cause, fix);
    }
}
