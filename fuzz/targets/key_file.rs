//! Signing key files, plain and encrypted: a key that is read signs what its public half verifies.
#![no_main]

use bulla_claims::{LogSigner, SigningKey};
use bulla_tlog::note::Signer;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for password in [None, Some(b"correct horse".as_slice())] {
        if let Ok(key) = SigningKey::from_pem(text, password)
            && let Ok(signer) = LogSigner::new("log.example.org", key)
        {
            let signature = signer.sign(b"text\n").expect("signs");
            assert!(signer.verifier().verify(b"text\n", &signature));
        }
    }
});
