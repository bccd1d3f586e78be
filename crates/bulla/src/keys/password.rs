//! Where the password of a key comes from: a file, the environment, a person at the terminal, or a pipe.

use std::ffi::OsString;
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _, stderr, stdin};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::command::Failure;
use crate::home::password_in;

/// The longest password, in bytes.
const LONGEST: usize = 4096;

/// Where to ask for a password.
pub(crate) struct Passwords {
    file: Option<PathBuf>,
    /// The option that names the file, for errors.
    option: &'static str,
    /// Variables, the first that is set counts. An empty one is the empty password.
    variables: &'static [&'static str],
}

impl Passwords {
    /// That of the key a command works with.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self::with_option(file, "--password-file")
    }

    /// The same, where the option for the file has another name.
    pub(crate) fn with_option(file: Option<PathBuf>, option: &'static str) -> Self {
        Self { file, option, variables: &["BULLA_KEY_PASSWORD", "COSIGN_PASSWORD"] }
    }

    /// That of a key which is to be written anew under another password.
    pub(crate) fn of_source(file: Option<PathBuf>) -> Self {
        Self { file, option: "--source-password-file", variables: &["BULLA_SOURCE_KEY_PASSWORD"] }
    }

    /// The password that a key has.
    pub(crate) fn old(&self, key: &str) -> Result<Vec<u8>, Failure> {
        match self.given()? {
            Some(password) => Ok(password),
            None if stdin().is_terminal() => hidden(&format!("Password of {key}: ")),
            None => self.piped(key),
        }
    }

    /// The password that a key is to have: who types it has to type it twice.
    pub(crate) fn new_for(&self, key: &str) -> Result<Vec<u8>, Failure> {
        match self.given()? {
            Some(password) => Ok(password),
            None if stdin().is_terminal() => {
                let password = hidden(&format!("New password of {key}: "))?;
                if hidden("The same again: ")? == password {
                    Ok(password)
                } else {
                    Err(Failure::usage("the two passwords differ, nothing was written"))
                }
            }
            None => self.piped(key),
        }
    }

    fn given(&self) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(file) = &self.file {
            return password_in(file).map(Some);
        }
        let mut set = self.variables.iter().filter_map(std::env::var_os);
        Ok(set.next().map(OsString::into_vec))
    }

    /// The next line of standard input. One that ends at once is no empty password: a script that forgot it has the same.
    fn piped(&self, key: &str) -> Result<Vec<u8>, Failure> {
        line()?.ok_or_else(|| {
            let (option, variable) = (self.option, self.variables.first().copied().unwrap_or_default());
            Failure::usage(format!(
                "{key} needs a password and standard input has no line with one: pass {option} FILE, or set {variable}, which may be empty"
            ))
        })
    }
}

fn hidden(prompt: &str) -> Result<Vec<u8>, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::usage(format!("cannot ask for a password: {error}"));
    // Silence first: who is asked may answer at once.
    let _silent = Silent::begin().map_err(|error| failed(&error))?;
    let mut errors = stderr();
    errors.write_all(prompt.as_bytes()).and_then(|()| errors.flush()).map_err(|error| failed(&error))?;
    let line = line();
    // The end of the line was not shown either. If nobody reads that, nobody misses it.
    let _unseen = errors.write_all(b"\n");
    line?.ok_or_else(|| Failure::usage("no password was typed, nothing was done"))
}

/// Reads up to the end of a line, of which the end is no part. `None` at the end of the input.
fn line() -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let read = stdin().lock().take(LONGEST as u64 + 2).read_until(b'\n', &mut line);
    read.map_err(|error| Failure::usage(format!("cannot read a password from standard input: {error}")))?;
    if line.is_empty() {
        return Ok(None);
    }
    let password = line.strip_suffix(b"\n").unwrap_or(&line);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    if password.len() > LONGEST {
        return Err(Failure::usage(format!("password is longer than {LONGEST} bytes")));
    }
    Ok(Some(password.to_vec()))
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // What was typed ahead was shown, so it is thrown away.
        tcsetattr(stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}
