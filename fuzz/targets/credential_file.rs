//! Files of credentials: any bytes are read or refused, and what was read is found again.
#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/registry/credentials/file.rs"]
mod file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = file::File::parse(bytes) {
        for (host, name) in [("docker.io", "library/alpine"), ("registry.example:5000", "team/app")] {
            match file.find(host, name) {
                Some(file::Found::Credential(credential)) => {
                    assert!(format!("{credential:?}").ends_with("(hidden)"));
                }
                Some(file::Found::Helper(helper)) => assert!(!helper.program().contains('/')),
                None => {}
            }
        }
    }
});
