//! JSON that was signed, read strictly: a member that is given twice means two things to two readers, so it is refused; length,
//! depth and the number of values are bounded.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::entry::Refusal;

/// The longest text that is read, in bytes.
pub const MAX_TEXT: usize = 16 << 20;
/// The most values in one text: each takes some thirty bytes of memory, whatever it takes in the text.
pub const MAX_VALUES: usize = 1 << 20;

/// Reads one JSON text of at most [`MAX_TEXT`] bytes and [`MAX_VALUES`] values, nested at most 127 deep. `what` is how the path
/// in an error begins.
pub fn read(text: &[u8], what: &str) -> Result<Value, Refusal> {
    if text.len() > MAX_TEXT {
        let problem = format!("is {} bytes, at most {MAX_TEXT} were expected", text.len());
        return Err(Refusal::new(what, problem));
    }
    let left = Cell::new(MAX_VALUES);
    let mut parser = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let read =
        Strict { left: &left }.deserialize(serde_path_to_error::Deserializer::new(&mut parser, &mut track));
    let read = read.and_then(|value| parser.end().map(|()| value));
    read.map_err(|error| {
        let path = track.path().to_string();
        // Where the text itself breaks off, its last part is a question mark.
        let path = path.trim_end_matches(['.', '?']);
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        Refusal::new(format!("{what}{dot}{path}"), error.to_string())
    })
}

#[derive(Clone, Copy)]
struct Strict<'c> {
    /// How many more values may come.
    left: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| D::Error::custom(format_args!("more than {MAX_VALUES} values")))?);
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "member {name:?} is there twice, once was expected"
                )));
            }
            let value = members.next_value_seed(self)?;
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text.as_bytes(), "payload").expect_err("is refused").to_string()
    }

    #[test]
    fn any_json_is_read_as_the_usual_reader_does() {
        for text in [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "1.5",
            r#""a\u00e9\n""#,
            "[]",
            r#"{"a":[{"b":null}],"c":{}}"#,
        ] {
            assert_eq!(read(text.as_bytes(), "x").ok(), serde_json::from_str(text).ok(), "{text}");
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused_by_its_place() {
        assert_eq!(
            refused(r#"{"a": [{}, {"b": 1, "\u0062": 1}]}"#),
            "payload.a[1]: member \"b\" is there twice, once was expected at line 1 column 28"
        );
        assert_eq!(
            refused(r#"{"a":1,"a":2}"#),
            "payload: member \"a\" is there twice, once was expected at line 1 column 10"
        );
    }

    #[test]
    fn what_is_no_json_or_too_much_of_it_is_refused() {
        assert!(refused("").starts_with("payload: EOF while parsing a value"));
        assert!(refused("{} {}").starts_with("payload: trailing characters"));
        assert!(refused("\u{feff}{}").starts_with("payload: expected value"));
        assert!(read(b"\"\xff\"", "payload").is_err());
        let deep = "[".repeat(100_000);
        assert!(refused(&deep).contains("recursion limit exceeded"), "{}", refused(&deep));
        assert!(read(format!("{}{}", "[".repeat(127), "]".repeat(127)).as_bytes(), "x").is_ok());
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(refused(&many).contains("more than 1048576 values"), "{}", refused(&many));
        let long = format!("\"{}\"", "a".repeat(MAX_TEXT));
        assert_eq!(refused(&long), "payload: is 16777218 bytes, at most 16777216 were expected");
    }
}
