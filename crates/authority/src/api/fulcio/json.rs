//! Requests in protobuf JSON (<https://protobuf.dev/programming-guides/json/>): names in either spelling, null is absent, and
//! what is unknown is stepped over.

use http::HeaderValue;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::ca;

/// The content type of what is answered.
pub(super) const CONTENT: HeaderValue = HeaderValue::from_static("application/json");

/// An object in a request, and how one gets there.
pub(super) struct Object<'a> {
    members: &'a Map<String, Value>,
    path: String,
}

/// Reads a body as JSON.
pub(super) fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Invalid(format!("body is not JSON: {error}")))
}

impl<'a> Object<'a> {
    /// The outermost one.
    pub(super) fn of(value: &'a Value) -> Result<Self, Refusal> {
        let members = value.as_object();
        let members = members
            .ok_or_else(|| Refusal::Invalid(format!("body is {}, an object was expected", kind(value))))?;
        Ok(Self { members, path: String::new() })
    }

    /// A member, by its name in JSON.
    fn member(&self, name: &str) -> Option<(&'a Value, String)> {
        let value = self.members.get(name).or_else(|| self.members.get(&snake_case(name)))?;
        (!value.is_null()).then(|| (value, format!("{}{name}", self.path)))
    }

    /// An object in it.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        let Some((value, path)) = self.member(name) else { return Ok(None) };
        let members = value.as_object();
        let members = members.ok_or_else(|| wrong(&path, value, "an object"))?;
        Ok(Some(Self { members, path: format!("{path}.") }))
    }

    /// A text in it; none if it is empty, as protobuf cannot tell.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let Some((value, path)) = self.member(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| wrong(&path, value, "a string"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Bytes in it, in base64.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let bytes = ca::base64(text);
        bytes.map(Some).ok_or_else(|| Refusal::Invalid(format!("{}{name} is not base64", self.path)))
    }
}

fn wrong(path: &str, value: &Value, expected: &str) -> Refusal {
    Refusal::Invalid(format!("{path} is {}, {expected} was expected", kind(value)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The name of a field before protobuf made a JSON name of it.
fn snake_case(name: &str) -> String {
    let mut original = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            original.push('_');
        }
        original.push(c.to_ascii_lowercase());
    }
    original
}
