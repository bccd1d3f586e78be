//! Finds out what is being built, for `/api/v1/version`. Where there is no repository or no git, it says that it does not know.
//! And says how a release is linked.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if has_fixed_address() {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
    let commit = git(&["rev-parse", "HEAD"]);
    let date = git(&["log", "-1", "--format=%cI"]);
    let state = match git(&["status", "--porcelain", "--untracked-files=no"]).as_deref() {
        None => "unknown",
        Some("") => "clean",
        Some(_) => "dirty",
    };
    println!("cargo:rustc-env=BULLA_BUILD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=BULLA_BUILD_DATE={}", date.as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=BULLA_BUILD_TREE_STATE={state}");
    if let Some(dir) = git(&["rev-parse", "--absolute-git-dir"]) {
        println!("cargo:rerun-if-changed={dir}/HEAD");
        println!("cargo:rerun-if-changed={dir}/index");
    }
}

/// On Linux a release has a fixed address. Else the loader rewrites 97,000 pointers, on a copy of every page they are in, before
/// each command does anything: 2 ms, half of what it takes to verify a bundle. Stack, heap and libraries are wherever the
/// system wants them, as before.
fn has_fixed_address() -> bool {
    let is = |name: &str, values: &[&str]| env::var(name).is_ok_and(|value| values.contains(&value.as_str()));
    is("PROFILE", &["release"])
        && is("CARGO_CFG_TARGET_OS", &["linux"])
        && is("CARGO_CFG_TARGET_ENV", &["gnu"])
        && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
