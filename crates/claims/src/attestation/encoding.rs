//! What a DSSE signature is over (<https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>).

/// The pre-authentication encoding ("PAE"): `DSSEv1 <len> <type> <len> <payload>`, lengths in decimal.
pub fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoding = encoding_head(payload_type, payload.len()).into_bytes();
    encoding.extend_from_slice(payload);
    encoding
}

/// All of it that stands before the payload, for those who hash the two one after the other.
pub fn encoding_head(payload_type: &str, payload_len: usize) -> String {
    format!("DSSEv1 {} {payload_type} {payload_len} ", payload_type.len())
}
