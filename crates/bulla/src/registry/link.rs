//! Where the next page of a list is: the `Link` header. RFC 8288, §3.

/// Header lines together.
const LONGEST: usize = 8 << 10;

/// Finds the target of the first link whose relation is `next`, as it is written: an absolute or a relative reference.
pub(crate) fn next<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Option<&'a str>, String> {
    let mut len = 0;
    for line in lines {
        len += line.len();
        if len > LONGEST {
            return Err(format!("Link has more than {LONGEST} bytes"));
        }
        let mut rest = line;
        while let Some((target, parameters)) = open(rest) {
            let (is_next, after) = read_parameters(parameters);
            if is_next {
                return Ok(Some(target));
            }
            rest = after;
        }
    }
    Ok(None)
}

/// The target between angle brackets, and what follows it.
fn open(text: &str) -> Option<(&str, &str)> {
    text.trim_start_matches([' ', '\t', ',']).strip_prefix('<')?.split_once('>')
}

/// Whether one of the parameters says that it is the next page; and what follows the comma after them.
fn read_parameters(text: &str) -> (bool, &str) {
    let mut is_next = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let Some(parameter) = rest.strip_prefix(';') else { break };
        let parameter = parameter.trim_start_matches([' ', '\t']);
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let name = parameter[..end].trim_end_matches([' ', '\t']);
        let Some(value) = parameter[end..].strip_prefix('=') else {
            rest = &parameter[end..];
            continue;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => value.split_at(value.find([';', ',', ' ', '\t']).unwrap_or(value.len())),
        };
        rest = after;
        // The first relation counts, later ones are to be ignored.
        if name.eq_ignore_ascii_case("rel") && is_next.is_none() {
            is_next = Some(value.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("next")));
        }
    }
    let after = rest.strip_prefix(',').unwrap_or_default();
    (is_next.unwrap_or(false), after)
}

/// Up to the closing quote, which no backslash stands before; relations have nothing that would be escaped.
fn unquote(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return (&text[..at], &text[at + 1..]),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_page_is_found() {
        let page = "/v2/a/tags/list?n=2&last=b";
        for lines in [
            vec![format!("<{page}>; rel=\"next\"")],
            vec![format!("<{page}>;rel=next")],
            vec![format!("<{page}> ; title=\"a, \\\"b\\\"; rel=prev\"; REL = \"last NEXT\"")],
            vec![format!("</x>; rel=prev, <{page}>; rel=next")],
            vec!["</x>; rel=first".to_owned(), format!("<{page}>; crossorigin; rel=next")],
            vec![format!("</x>; rel=\"prev\"; rel=\"next\", , <{page}>; rel=\"next\"; rel=\"prev\"")],
        ] {
            assert_eq!(next(lines.iter().map(String::as_str)), Ok(Some(page)), "{lines:?}");
        }
    }

    #[test]
    fn without_it_there_is_no_more() {
        for line in [
            "",
            "</x>",
            "</x>; rel=prev",
            "</x>; rel=\"nextish\"",
            "/x; rel=next",
            "</x; rel=next",
            "<a>; rel",
            "<a>;",
        ] {
            assert_eq!(next([line]), Ok(None), "{line}");
        }
        let long = format!("<{}>; rel=next", "a".repeat(LONGEST));
        assert_eq!(next([long.as_str()]), Err("Link has more than 8192 bytes".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_an_end(line in "\\PC{0,80}|[<>;,=\"\\\\ a-z]{0,80}") {
            let _any = next([line.as_str()]);
        }

        #[test]
        fn links_before_it_do_not_hide_it(
            before in "(<[a-z/]{0,9}>; title=\"[a-z,;<> ]{0,9}\"; rel=\"[a-m]{0,5}\", ){0,4}",
            page in "/[a-z0-9?=&/]{0,30}",
        ) {
            let line = format!("{before}<{page}>; rel=\"next\"");
            prop_assert_eq!(next([line.as_str()]), Ok(Some(page.as_str())));
        }
    }
}
