//! Public keys and certificates that come with a request: DER from anyone.
#![no_main]

use bulla_claims::Key;

libfuzzer_sys::fuzz_target!(|raw: &[u8]| {
    for key in [Key::from_spki(raw), Key::from_certificate(raw)].into_iter().flatten() {
        let digest = vec![0; key.algorithm().hash().digest_len()];
        let signature = raw.get(..64).unwrap_or(raw);
        assert!(!key.verifies(&digest, signature));
    }
});
