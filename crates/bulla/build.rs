//! Finds out what is being built, for `/api/v1/version`. Where there is no repository or no git, it says that it does not know.

use std::process::Command;

fn main() {
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

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
