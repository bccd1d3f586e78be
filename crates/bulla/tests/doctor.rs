//! `bulla doctor` against a whole stack that is well, and then with one thing after another broken on purpose: that very check
//! fails, and what it says mends it.

mod common;
#[path = "doctor/machine.rs"]
mod machine;
#[path = "doctor/proxy.rs"]
mod proxy;
#[path = "doctor/registry.rs"]
mod registry;
#[path = "doctor/services.rs"]
mod services;
#[path = "doctor/stack.rs"]
mod stack;
#[path = "doctor/trust.rs"]
mod trust;

use common::{Served, run};
use stack::Stack;

#[test]
fn a_stack_is_well_as_it_comes() {
    let stack = Stack::start();
    let (code, out, errors) = run(&mut stack.command(&["--url", &stack.url(), "--data", "data"]));
    assert_eq!(code, 0, "{out}{errors}");
    for check in ["one-server", "log-key", "ca-trust", "tsa-trust", "oidc-issuer", "tuf-targets", "clock"] {
        assert!(out.contains(&format!("ok       {check} ")), "{check}: {out}");
    }
    assert!(out.ends_with(" ok, 0 problems, 0 unknown\n"), "{out}");
    assert_eq!(stack.found(&["--data", "data"]), []);
    // Nothing said: the directory that is here, or the usual port.
    assert_eq!(Stack::found_by(stack.command(&[]).current_dir(stack.path("data"))).len(), 1);
}

/// A log without authorities, and a stack whose keys were all replaced: nothing of that is wrong.
#[test]
fn what_is_otherwise_is_not_wrong() {
    let stack = Stack::start();
    let alone = Served::on(&stack.path("alone"));
    let url = format!("http://{}", alone.http);
    assert_eq!(stack.found(&["--url", &url, "--data", "alone"]), []);
    for whose in ["ca", "tsa", "ct", "root", "tuf"] {
        let overlap = if whose == "tuf" { "" } else { "--overlap 0s" };
        stack.follow(&format!("bulla trust rotate {whose} --data data {overlap}"));
    }
    stack.follow("bulla shard rotate --data data");
    assert_eq!(stack.found(&["--url", &stack.url(), "--data", "data"]), []);
}

#[test]
fn wrong_options_are_refused() {
    let stack = Stack::start();
    for (arguments, said) in [
        (
            ["--url", "localhost:3000"],
            "--url is \"localhost:3000\", one such as https://log.example.org was expected",
        ),
        (["--trusted-root", "none.json"], "none.json is no file"),
        (["--registry", "A B"], "A B"),
        (["--disk-reserve", "1GB"], "a number of bytes was expected"),
    ] {
        let (code, _, errors) = run(&mut stack.command(&arguments));
        assert!(code == 2 && errors.contains(said), "{arguments:?}: {code} {errors}");
    }
}
