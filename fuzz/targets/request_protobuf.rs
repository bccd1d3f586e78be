//! The protobuf that anyone may send to the gRPC door.
#![no_main]

use bulla_rekor::wire::v2::protos::dev::sigstore::rekor::v2::CreateEntryRequest;
use bulla_rekor::wire::v2::request::from_protobuf;
use prost::Message as _;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Ok(message) = CreateEntryRequest::decode(body)
        && let Ok(proposed) = from_protobuf(message)
    {
        bulla_fuzz::admit(&proposed);
    }
});
