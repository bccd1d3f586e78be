//! Manifests and indexes: any bytes are read or refused, and what is read fits its bounds.
#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/registry/digest.rs"]
mod digest;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/registry/manifest.rs"]
mod manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let digest = digest::Digest::of(&bytes);
    for said in [None, Some(manifest::OCI_INDEX), Some(manifest::DOCKER_MANIFEST)] {
        if let Ok(manifest) = manifest::Manifest::parse(bytes.clone(), digest.clone(), said) {
            assert!(manifest.manifests().len() <= manifest::MOST_ENTRIES);
            assert_eq!(manifest.descriptor().size, bytes.len() as u64);
        }
    }
});
