//! The JSON that anyone may post to the v2 door. What JSON and protobuf both can say, they say alike.
#![no_main]

use bulla_rekor::wire::v2::request::{from_json, from_protobuf};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Ok(proposed) = from_json(body) {
        bulla_fuzz::admit(&proposed);
        if let Some(message) = bulla_fuzz::protobuf(&proposed) {
            assert_eq!(from_protobuf(message).as_ref(), Ok(&proposed));
        }
    }
});
