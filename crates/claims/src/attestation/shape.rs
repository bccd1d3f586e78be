//! A place in a document, and what is asked of the value there. Every refusal names the path, the value and what was expected.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::{Map, Value};

use crate::entry::Refusal;

/// A value and the path that leads to it.
#[derive(Clone)]
pub(crate) struct At<'a> {
    pub(crate) value: &'a Value,
    path: String,
}

impl<'a> At<'a> {
    /// A predicate.
    pub(crate) fn root(value: &'a Value) -> Self {
        Self::new(value, "predicate")
    }

    /// A document with its own name.
    pub(crate) fn new(value: &'a Value, what: &str) -> Self {
        Self { value, path: what.to_owned() }
    }

    /// A refusal of the value.
    pub(crate) fn refuse(&self, expected: &str) -> Refusal {
        Refusal::new(&*self.path, format!("{} was found, {expected} was expected", shown(self.value)))
    }

    pub(crate) fn object(&self) -> Result<&'a Map<String, Value>, Refusal> {
        self.value.as_object().ok_or_else(|| self.refuse("an object"))
    }

    /// A member that must be there; `null` is not.
    pub(crate) fn member(&self, name: &str) -> Result<At<'a>, Refusal> {
        self.optional(name)?.ok_or_else(|| self.lacks(name, "it is required"))
    }

    /// A refusal of what has no such member.
    pub(crate) fn lacks(&self, name: &str, why: &str) -> Refusal {
        Refusal::new(self.below(name), format!("is missing, {why}"))
    }

    /// A member that may be there.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<At<'a>>, Refusal> {
        let value = self.object()?.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| At { value, path: self.below(name) }))
    }

    fn below(&self, name: &str) -> String {
        let plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@-".contains(&byte));
        if plain {
            format!("{}.{name}", self.path)
        } else {
            format!("{}[{}]", self.path, shown(&name.into()))
        }
    }

    /// Every member.
    pub(crate) fn members(&self) -> Result<impl Iterator<Item = (&'a str, At<'a>)> + '_, Refusal> {
        let members = self.object()?.iter();
        Ok(members.map(|(name, value)| (name.as_str(), At { value, path: self.below(name) })))
    }

    /// Refuses members of any other name.
    pub(crate) fn nothing_but(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.object()?.keys().find(|name| !known.contains(&name.as_str())) {
            Some(other) => Err(Refusal::new(
                self.below(other),
                format!("is not known, {} were expected", known.join(", ")),
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn items(&self) -> Result<impl Iterator<Item = At<'a>> + '_, Refusal> {
        let items = self.value.as_array().ok_or_else(|| self.refuse("a list"))?.iter().enumerate();
        Ok(items.map(|(at, value)| At { value, path: format!("{}[{at}]", self.path) }))
    }

    /// A list of at least one.
    pub(crate) fn some_items(&self) -> Result<impl Iterator<Item = At<'a>> + '_, Refusal> {
        let mut items = self.items()?.peekable();
        if items.peek().is_none() {
            return Err(self.refuse("a list of at least one"));
        }
        Ok(items)
    }

    /// Text that may be empty.
    pub(crate) fn any_text(&self) -> Result<&'a str, Refusal> {
        self.value.as_str().ok_or_else(|| self.refuse("text"))
    }

    pub(crate) fn text(&self) -> Result<&'a str, Refusal> {
        match self.value.as_str() {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.refuse("text")),
        }
    }

    pub(crate) fn bool(&self) -> Result<bool, Refusal> {
        self.value.as_bool().ok_or_else(|| self.refuse("true or false"))
    }

    /// One of some words.
    pub(crate) fn one_of(&self, words: &[&str]) -> Result<&'a str, Refusal> {
        let found = self.value.as_str().filter(|text| words.contains(text));
        found.ok_or_else(|| match words {
            [word] => self.refuse(&format!("{word:?}")),
            words => self.refuse(&format!("one of {}", words.join(", "))),
        })
    }

    /// A whole number of at least one.
    pub(crate) fn count(&self) -> Result<u64, Refusal> {
        let count = self.value.as_u64().filter(|count| *count > 0);
        count.ok_or_else(|| self.refuse("a whole number of at least 1"))
    }

    /// A time as RFC 3339 writes it.
    pub(crate) fn time(&self) -> Result<Timestamp, Refusal> {
        let time = self.value.as_str().and_then(|text| text.parse().ok());
        time.ok_or_else(|| self.refuse("a time of RFC 3339 such as 2026-01-31T12:00:00Z"))
    }

    /// The same, or one without an offset, as the dateTime of XML may be.
    pub(crate) fn dated(&self) -> Result<(), Refusal> {
        let is_local = self.value.as_str().is_some_and(|text| text.parse::<DateTime>().is_ok());
        if is_local { Ok(()) } else { self.time().map(drop) }
    }

    /// Digests by algorithm, all of them text.
    pub(crate) fn digests(&self) -> Result<(), Refusal> {
        self.members()?.try_for_each(|(_, value)| value.text().map(drop))
    }
}

/// A value as JSON, cut to what fits into a sentence.
pub(crate) fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(members) => format!("an object of {} members", members.len()),
        Value::String(text) if text.chars().nth(MOST).is_some() => {
            format!("{}…", Value::from(text.chars().take(MOST).collect::<String>()))
        }
        value => value.to_string(),
    }
}
