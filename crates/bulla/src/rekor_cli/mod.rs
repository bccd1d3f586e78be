//! The program under the name `rekor-cli`: what scripts for that program type does here what it did there. Options, output
//! lines, state file, environment and exit codes are those of rekor-cli 1.5; beneath, it is what `bulla entry` is made of.

mod commands;
mod entry;
mod options;
mod state;
mod yaml;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::command::say;

/// Whether the program was called by that name.
pub(crate) fn is_invoked() -> bool {
    let name = std::env::args_os().next();
    let name = name.as_deref().and_then(|path| Path::new(path).file_name()?.to_str());
    name.is_some_and(|name| name == "rekor-cli" || name.starts_with("rekor-cli-") || name == "rekor-cli.exe")
}

/// Does what the command line says. Results go to standard output, everything else to standard error; the exit code is 0 or 1.
pub(crate) fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    // What a test binary of theirs is given before its own arguments.
    let leading = args.iter().skip(1).take_while(|arg| arg.to_string_lossy().starts_with("-test.")).count();
    args.drain(1..=leading);
    match options::parse(&args) {
        Ok(options::Parsed::Show(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(options::Parsed::Run(cli)) => match crate::complete(commands::run(*cli)) {
            Ok(output) => {
                say(&output);
                ExitCode::SUCCESS
            }
            Err(failure) => refuse(&failure.to_string()),
        },
        Err(problem) => refuse(&problem),
    }
}

/// Says something that is no result.
fn note(text: &str) {
    // If nobody can be told, the exit code still says what matters.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}

fn refuse(problem: &str) -> ExitCode {
    note(problem.trim_end());
    ExitCode::FAILURE
}
