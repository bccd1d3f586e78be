//! Verifier keys of logs and witnesses, as vkey and as SubjectPublicKeyInfo.
#![no_main]

use bulla_tlog::cosignature::CosignatureVerifier;
use bulla_tlog::note::Verifier;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(verifier) = Verifier::from_spki("log.example.org", data) {
        assert_eq!(Verifier::from_vkey(&verifier.vkey()).expect("is one").key_id(), verifier.key_id());
        assert!(!verifier.verify(b"text", data));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(verifier) = Verifier::from_vkey(text) {
        let again = Verifier::from_vkey(&verifier.vkey()).expect("is one");
        assert_eq!((again.name(), again.spki()), (verifier.name(), verifier.spki()));
        assert!(!verifier.verify(b"text", data));
    }
    if let Ok(verifier) = CosignatureVerifier::from_vkey(text) {
        let again = CosignatureVerifier::from_vkey(&verifier.vkey()).expect("is one");
        assert_eq!((again.name(), again.key_id()), (verifier.name(), verifier.key_id()));
    }
});
