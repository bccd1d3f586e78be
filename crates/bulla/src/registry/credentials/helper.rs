//! Programs that keep credentials (`docker-credential-NAME`), asked within bounds of time and output.
//! <https://github.com/docker/docker-credential-helpers>.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::file::{Credential, Helper};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a helper for a registry's credential; none is what it says when it has none. Blocks for at most [`LONGEST_WAIT`].
pub(super) fn ask(helper: &Helper, server: &str) -> Result<Option<Credential>, String> {
    ask_within(&helper.program(), server, LONGEST_WAIT)
}

fn ask_within(program: &str, server: &str, most: Duration) -> Result<Option<Credential>, String> {
    let failed = |problem: &dyn std::fmt::Display| format!("{program}: {problem}");
    let deadline = Instant::now() + most;
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // What it starts is stopped with it.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A name is shorter than a pipe is wide, so this waits for nobody; a helper that does not listen is found out below.
        let _deaf = stdin.write_all(server.as_bytes());
    }
    let (sender, answers) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(LONGEST_ANSWER + 1).read_to_end(&mut bytes);
            // Nobody listens any more when the time was over.
            let _late = sender.send(read.map(|_| bytes));
        });
    }
    let answer = answers.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    let ended = match &answer {
        Ok(Ok(bytes)) if bytes.len() as u64 <= LONGEST_ANSWER => wait(&mut child, deadline),
        _ => None,
    };
    let Some(status) = ended else {
        let group = rustix::process::Pid::from_child(&child);
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _reaped = child.wait();
        return Err(match answer {
            Ok(Ok(bytes)) if bytes.len() as u64 > LONGEST_ANSWER => {
                failed(&format_args!("answered more than {LONGEST_ANSWER} bytes"))
            }
            Ok(Err(error)) => failed(&error),
            _ => failed(&format_args!("did not answer within {} ms", most.as_millis())),
        });
    };
    let bytes = answer.ok().and_then(Result::ok).unwrap_or_default();
    if !status.success() {
        // Helpers say so in these words, on standard output.
        return match bytes.trim_ascii() {
            NONE => Ok(None),
            _ => Err(failed(&format_args!("ended with {status}"))),
        };
    }
    // The library's message could quote the secret.
    let answer: Answer = serde_json::from_slice(&bytes)
        .map_err(|_| failed(&"did not answer with Username and Secret in JSON"))?;
    Ok(match answer {
        Answer { secret, .. } if secret.is_empty() => None,
        Answer { username, secret } if username == "<token>" => Some(Credential::Identity(secret)),
        Answer { username, secret } => Some(Credential::Password { username, password: secret }),
    })
}

/// Waits for the end of a child whose output has ended, which is near.
fn wait(child: &mut std::process::Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a helper says that has nothing for the registry.
const NONE: &[u8] = b"credentials not found in native keychain";
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn answer(script: &str) -> Result<Option<Credential>, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("helper");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("is made a program");
        let path = path.display().to_string();
        let most = if script.contains("sleep") { Duration::from_millis(300) } else { LONGEST_WAIT };
        let answer = ask_within(&path, "registry.example:5000", most);
        answer.map_err(|error| error.replace(&path, "helper"))
    }

    #[test]
    fn a_helper_hears_the_host_and_answers() {
        let script = r#"read host; echo "{\"ServerURL\":\"x\",\"Username\":\"$1\",\"Secret\":\"$host\"}""#;
        let expected =
            Credential::Password { username: "get".to_owned(), password: "registry.example:5000".to_owned() };
        assert_eq!(answer(script), Ok(Some(expected)));
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert_eq!(answer(token), Ok(Some(Credential::Identity("t".to_owned()))));
        assert_eq!(answer("echo credentials not found in native keychain; exit 1"), Ok(None));
        assert_eq!(answer("echo '{}'"), Ok(None));
    }

    #[test]
    fn a_helper_is_not_waited_for_and_not_listened_to_for_ever() {
        assert_eq!(answer("echo secret; exit 3"), Err("helper: ended with exit status: 3".to_owned()));
        let problem = "helper: did not answer with Username and Secret in JSON";
        assert_eq!(answer("echo secret"), Err(problem.to_owned()));
        let problem = "helper: did not answer within 300 ms";
        assert_eq!(answer("sleep 100 & sleep 100"), Err(problem.to_owned()));
        assert_eq!(answer("exec >&-; sleep 100"), Err(problem.to_owned()));
        let problem = "helper: answered more than 65536 bytes";
        assert_eq!(answer("while :; do echo secret secret secret; done"), Err(problem.to_owned()));
        let error = ask_within("/nowhere/docker-credential-x", "h", LONGEST_WAIT).expect_err("is not there");
        assert!(error.contains("No such file"), "{error}");
    }
}
