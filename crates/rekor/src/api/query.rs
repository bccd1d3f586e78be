//! Query parameters, read without a form's rule that `+` is a space: base64 uses it.

use std::borrow::Cow;

/// The first value of a parameter, percent-decoded; `None` if it is not there or does not decode.
pub(crate) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| percent_decoded(value))?
    })
}

/// Every parameter with its value, in order; `None` for a value that does not decode.
pub(crate) fn parameters(query: Option<&str>) -> impl Iterator<Item = (&str, Option<Cow<'_, str>>)> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name, percent_decoded(value))
    })
}

fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        out.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
        rest = after;
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::parameter;

    #[test]
    fn a_plus_stays_a_plus_and_escapes_are_undone() {
        let query = Some("a=1&leafHash=%2F+w%3d&leafHash=2&b=%zz&c");
        assert_eq!(parameter(query, "leafHash").as_deref(), Some("/+w="));
        assert_eq!(parameter(query, "b"), None);
        assert_eq!(parameter(query, "c").as_deref(), Some(""));
        assert_eq!(parameter(query, "d"), None);
        assert_eq!(parameter(None, "a"), None);
    }
}
