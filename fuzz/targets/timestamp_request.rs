//! What anyone may ask of the timestamp authority, in DER and in JSON. What is read can be written, and says the same then.
#![no_main]

use bulla_authority::tsa::Request;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    for request in [Request::from_der(body), Request::from_json(body)].into_iter().flatten() {
        let der = request.to_der().expect("is written");
        assert_eq!(Request::from_der(&der).as_ref(), Ok(&request));
    }
});
