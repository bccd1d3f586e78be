//! Bundles that lie beside images, read before anything of them is verified: any bytes are read or refused, and so is the
//! statement in them.
#![no_main]

use bulla_claims::attestation::Statement;
use sigstore_types::{Bundle, SignatureContent};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(bundle) = Bundle::from_json(&String::from_utf8_lossy(bytes)) else { return };
    assert!(bundle.to_json().is_ok(), "what was read can be written");
    if let SignatureContent::DsseEnvelope(envelope) = &bundle.content {
        drop(Statement::parse(&envelope.payload_type, envelope.payload.as_bytes()));
    }
});
