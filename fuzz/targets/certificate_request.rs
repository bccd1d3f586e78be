//! Public keys and certificate requests that strangers want certified: PEM, base64 and DER from anyone.
#![no_main]

use bulla_authority::ca::{KeyPolicy, Request, is_proof, read_public_key};

libfuzzer_sys::fuzz_target!(|raw: &[u8]| {
    if let Ok(request) = Request::read(raw) {
        let _verdicts = (KeyPolicy::default().judge(request.key()), request.judge());
    }
    let Ok(text) = std::str::from_utf8(raw) else { return };
    if let Ok(key) = read_public_key(text) {
        let _verdict = KeyPolicy::default().judge(&key);
        assert!(!is_proof(&key, "challenge", raw));
    }
});
