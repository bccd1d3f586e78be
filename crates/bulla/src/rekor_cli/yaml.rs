//! The file of options: the part of YAML that such files are written in, one `name: value` a line, with quotes, comments,
//! lists of plain values, and texts of several lines after `|`. Anything else is refused with its line.

use std::collections::BTreeMap;

/// Reads the file; a list becomes its values with commas between them.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') || content == "---" || content == "..." {
            continue;
        }
        let wrong = |problem: &str| format!("line {}: {problem}: {content:?}", number + 1);
        if line.starts_with([' ', '\t']) {
            return Err(wrong("a name at the beginning of the line was expected"));
        }
        let (name, rest) = content.split_once(':').ok_or_else(|| wrong("name: value was expected"))?;
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            return Err(wrong("a space after the colon was expected"));
        }
        let rest = rest.trim();
        let value = match rest {
            "|" | "|-" | "|+" => {
                let mut block = String::new();
                while let Some((_, line)) =
                    lines.next_if(|(_, line)| line.starts_with([' ', '\t']) || line.trim().is_empty())
                {
                    block.push_str(line.trim());
                    block.push('\n');
                }
                block
            }
            "" => {
                let mut items = Vec::new();
                while let Some((_, line)) = lines.next_if(|(_, line)| line.trim_start().starts_with("- ")) {
                    items.push(scalar(line.trim_start()[2..].trim()).map_err(wrong)?);
                }
                items.join(",")
            }
            list if list.starts_with('[') => {
                let inner = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
                let inner = inner.ok_or_else(|| wrong("the list has no end on its line"))?;
                let items = inner.split(',').map(|item| scalar(item.trim()));
                items.collect::<Result<Vec<_>, _>>().map_err(wrong)?.join(",")
            }
            plain => scalar(plain).map_err(wrong)?,
        };
        // The names of options are not told apart by case.
        values.insert(scalar(name.trim()).map_err(wrong)?.to_ascii_lowercase(), value);
    }
    Ok(values)
}

fn scalar(text: &str) -> Result<String, &'static str> {
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        if text.starts_with(['{', '&', '*', '!', '>', '%', '@', '`']) {
            return Err("a plain value was expected");
        }
        let end = text.find(" #").unwrap_or(text.len());
        return Ok(text[..end].trim_end().to_owned());
    };
    let inner = &text[1..];
    let end = inner.rfind(quote).ok_or("the quote has no end")?;
    let after = inner[end + 1..].trim_start();
    if !after.is_empty() && !after.starts_with('#') {
        return Err("nothing was expected after the quote");
    }
    let inner = &inner[..end];
    Ok(if quote == '"' { inner.replace("\\n", "\n").replace("\\\"", "\"") } else { inner.replace("''", "'") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        let text = "---\n# a comment\nrekor_server: http://localhost:3000 # here\nFormat: 'json'\nretry: 5\n\n\
                    public-key:\n  - a.pub\n  - \"b.pub\"\nother: [x, 'y']\n\
                    rekor_server_public_key: |\n  -----BEGIN PUBLIC KEY-----\n  AAAA\n  -----END PUBLIC KEY-----\n\
                    timeout: 10s\nempty:\n";
        let read = read(text).expect("YAML");
        let get = |name: &str| read.get(name).map(String::as_str);
        assert_eq!(get("rekor_server"), Some("http://localhost:3000"));
        assert_eq!((get("format"), get("retry"), get("timeout")), (Some("json"), Some("5"), Some("10s")));
        assert_eq!(
            (get("public-key"), get("other"), get("empty")),
            (Some("a.pub,b.pub"), Some("x,y"), Some(""))
        );
        let key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert_eq!(get("rekor_server_public_key"), Some(key));
    }

    #[test]
    fn anything_else_is_refused_with_its_line() {
        for (text, said) in [
            ("a: 1\nb", "line 2: name: value was expected: \"b\""),
            ("  a: 1", "line 1: a name at the beginning of the line was expected: \"a: 1\""),
            ("a:1", "line 1: a space after the colon was expected: \"a:1\""),
            ("a: {b: c}", "line 1: a plain value was expected: \"a: {b: c}\""),
            ("a: 'b", "line 1: the quote has no end: \"a: 'b\""),
            ("a: 'b' c", "line 1: nothing was expected after the quote: \"a: 'b' c\""),
            ("a: [b", "line 1: the list has no end on its line: \"a: [b\""),
        ] {
            assert_eq!(read(text), Err(said.to_owned()));
        }
    }
}
