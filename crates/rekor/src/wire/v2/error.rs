//! The body of a v2 error: `{"code":…,"message":"…","details":[]}` with a gRPC code (google.rpc.Status in JSON).

/// Writes the error body.
pub fn write(code: i32, message: &str) -> Vec<u8> {
    // A map of a string and a number cannot fail to serialize; an empty message would still be a valid body.
    let quoted = serde_json::to_string(message).unwrap_or_else(|_| String::from("\"\""));
    format!("{{\"code\":{code},\"message\":{quoted},\"details\":[]}}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::write;

    #[test]
    fn a_quote_in_a_message_stays_inside_it() {
        assert_eq!(
            String::from_utf8(write(3, "field \"x\"\n")).as_deref(),
            Ok(r#"{"code":3,"message":"field \"x\"\n","details":[]}"#)
        );
    }
}
