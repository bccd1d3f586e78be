//! What a token says, by claim or by path into nested claims (`kubernetes.io.namespace`); what is missing or of another
//! type is named.

use serde_json::{Map, Value};

use super::error::{TokenError, quoted};

/// The claims of one token.
#[derive(Clone, Debug)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    /// Reads the payload of a token.
    pub(super) fn read(payload: &[u8]) -> Result<Self, TokenError> {
        match serde_json::from_slice(payload) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(TokenError::Malformed("its claims are not a JSON object".to_owned())),
            Err(error) => Err(TokenError::Malformed(format!("its claims are not JSON: {error}"))),
        }
    }

    /// The claim at a path. Names may have dots in them: the longest name that is there is followed.
    pub(super) fn at(&self, path: &str) -> Option<&Value> {
        within(&self.0, path)
    }

    /// A claim that must be a string, and not empty.
    pub(super) fn string(&self, path: &str) -> Result<&str, TokenError> {
        match self.at(path) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            other => Err(TokenError::claim(path, format!("is {}, a string was expected", kind(other)))),
        }
    }

    /// A claim that must be there as text: a string that is not empty, or a whole number, which some issuers write for IDs.
    pub(super) fn text(&self, path: &str) -> Result<String, TokenError> {
        match self.text_if_any(path)? {
            Some(text) => Ok(text),
            None => {
                Err(TokenError::claim(path, format!("is {}, a string was expected", kind(self.at(path)))))
            }
        }
    }

    /// The same of a claim that may be missing, null or empty.
    pub(super) fn text_if_any(&self, path: &str) -> Result<Option<String>, TokenError> {
        match self.at(path) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            other => Err(TokenError::claim(path, format!("is {}, a string was expected", kind(other)))),
        }
    }

    /// A time, in whole seconds since 1970.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<i64>, TokenError> {
        let wrong =
            |shown: String| TokenError::claim(name, format!("is {shown}, seconds since 1970 were expected"));
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                // Fractions are allowed (RFC 7519 §2, NumericDate); years after 9999 are not times.
                let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64));
                let seconds = seconds.filter(|seconds| (0..=LATEST).contains(seconds));
                seconds.map(Some).ok_or_else(|| wrong(number.to_string()))
            }
            other => Err(wrong(kind(other))),
        }
    }
}

fn within<'a>(members: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = members.get(path) {
        return Some(value);
    }
    path.rmatch_indices('.').take(DEEPEST).find_map(|(dot, _)| {
        let nested = members.get(&path[..dot])?.as_object()?;
        within(nested, &path[dot + 1..])
    })
}

/// What a value is, for errors.
pub(super) fn kind(value: Option<&Value>) -> String {
    match value {
        None => "missing".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(Value::String(text)) => quoted(text),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
    }
}

/// The end of the year 9999.
const LATEST: i64 = 253_402_300_799;
/// Dots of a path that are looked at.
const DEEPEST: usize = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> Claims {
        Claims::read(value.to_string().as_bytes()).expect("claims")
    }

    #[test]
    fn paths_lead_through_names_with_dots() {
        let claims =
            claims(&json!({"kubernetes.io": {"serviceaccount": {"name": "a"}}, "a": {"b": 7}, "a.b": 8}));
        assert_eq!(claims.text("kubernetes.io.serviceaccount.name").as_deref(), Ok("a"));
        assert_eq!(claims.text("a.b").as_deref(), Ok("8"));
        assert_eq!(claims.at("kubernetes.io.serviceaccount.uid"), None);
        assert_eq!(claims.at(&".".repeat(1000)), None);
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_named() {
        let claims =
            claims(&json!({"empty": "", "list": [], "half": 1.5, "null": null, "long": "x".repeat(100)}));
        let said = |path: &str| claims.text(path).expect_err("is refused").to_string();
        assert_eq!(said("sha"), r#"token's "sha" is missing, a string was expected"#);
        assert_eq!(said("empty"), r#"token's "empty" is empty, a string was expected"#);
        assert_eq!(said("list"), r#"token's "list" is a list, a string was expected"#);
        assert_eq!(said("half"), r#"token's "half" is 1.5, a string was expected"#);
        assert_eq!(claims.text_if_any("null"), Ok(None));
        let said = claims.seconds("long").expect_err("is refused").to_string();
        assert_eq!(
            said,
            format!("token's \"long\" is \"{}…\", seconds since 1970 were expected", "x".repeat(80))
        );
    }

    #[test]
    fn times_are_seconds_of_this_era() {
        let claims = claims(&json!({"half": 1.5, "late": 1e300, "before": -1, "now": 1_800_000_000}));
        assert_eq!(claims.seconds("half"), Ok(Some(1)));
        assert_eq!(claims.seconds("now"), Ok(Some(1_800_000_000)));
        assert_eq!(claims.seconds("none"), Ok(None));
        assert!(claims.seconds("late").is_err() && claims.seconds("before").is_err());
    }
}
