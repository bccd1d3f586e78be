//! docs/reference-options.md is what the program says: after a change of an option, run this with `BULLA_BLESS=1`.

mod common;

use std::fmt::Write as _;

use common::{bulla, run};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference-options.md");
const COMMANDS: &[&str] = &[
    "serve",
    "trust root",
    "trust signing-config",
    "trust rotate",
    "trust add",
    "trust list",
    "trust refresh",
    "trust forget",
    "freeze",
    "key generate",
    "key import",
    "key public",
    "entry upload",
    "entry get",
    "entry search",
    "entry verify",
    "log info",
    "log proof",
    "shard rotate",
    "shard list",
    "reindex",
    "fsck",
    "inspect",
    "tag approve",
    "tag history",
    "tag check",
    "image show",
    "sign",
    "attest",
    "revoke",
    "verify",
    "verify-attestation",
    "report",
    "report verify",
    "doctor",
    "witness",
    "proxy",
    "health",
    "bench",
    "",
];

#[test]
fn the_reference_lists_every_option() {
    let mut page = String::from(
        "# Options\n\nWritten by `BULLA_BLESS=1 cargo test -p bulla --test options`. How options, environment and file go together is in\n\
         [guide-run.md](guide-run.md).\n",
    );
    for command in COMMANDS {
        let (code, help, errors) =
            run(bulla().args(command.split_whitespace()).arg("--help").env("COLUMNS", "110"));
        assert_eq!(code, 0, "{errors}");
        let help: Vec<_> = help.lines().map(str::trim_end).collect();
        let name = format!("bulla {command}");
        write!(page, "\n## {}\n\n```text\n{}\n```\n", name.trim_end(), help.join("\n").trim_end())
            .expect("a string");
    }
    if std::env::var_os("BULLA_BLESS").is_some() {
        std::fs::write(PAGE, &page).expect("writes");
    }
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        kept == page,
        "docs/reference-options.md is not what --help says: run this test with BULLA_BLESS=1"
    );
}

/// What `bulla --help` says of a command is what the command says of itself.
#[test]
fn commands_say_what_they_do() {
    let (_, all, _) = run(bulla().arg("--help").env("COLUMNS", "110"));
    let listed = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let mut commands: Vec<String> = Vec::new();
    for line in listed.take_while(|line| !line.is_empty()) {
        // What is longer than a line goes on below.
        match commands.last_mut().filter(|_| line.starts_with("   ")) {
            Some(last) => *last = format!("{last} {}", line.trim()),
            None => commands.push(line.trim().to_owned()),
        }
    }
    commands.retain(|command| !command.starts_with("help "));
    assert!(commands.len() > 15, "{all}");
    for command in commands {
        let (name, does) = command.split_once(' ').expect("a name and what it does");
        let (_, own, _) = run(bulla().args([name, "--help"]).env("COLUMNS", "110"));
        let own: Vec<_> = own.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(own.join(" "), does.trim(), "{name}");
    }
}
