//! The pages of the issuer: everything is in them, nothing is loaded, and what strangers wrote is escaped.

/// Asks who somebody wants to be. The fields go back as they came.
pub(crate) fn form(action: &str, lead: &str, fields: &[(&str, &str)], user_code: Option<&str>) -> String {
    use std::fmt::Write as _;
    let mut inputs = String::new();
    for (name, value) in fields {
        let (name, value) = (escaped(name), escaped(value));
        let _infallible = write!(inputs, r#"<input type="hidden" name="{name}" value="{value}">"#);
    }
    if let Some(code) = user_code {
        let code = escaped(code);
        let _infallible = write!(
            inputs,
            r#"<label>Code<input name="user_code" value="{code}" autocomplete="off" required placeholder="BCDF-GHJK"></label>"#
        );
    }
    let (action, lead) = (escaped(action), escaped(lead));
    page(
        "Sign in",
        &format!(
            r#"<p>{lead}</p><form method="post" action="{action}">{inputs}<label>E-mail<input type="email" name="email" value="{DEFAULT}" required autofocus></label><button>Sign in</button></form><p class="small">Nobody checks this: the issuer is for tests, and answers this machine alone.</p>"#
        ),
    )
}

/// Shows a code that is to be carried elsewhere by hand.
pub(crate) fn code(code: &str) -> String {
    let code = escaped(code);
    page("Your code", &format!("<p>Copy this to where you started:</p><pre>{code}</pre>"))
}

/// Says something.
pub(crate) fn message(title: &str, text: &str) -> String {
    page(title, &format!("<p>{}</p>", escaped(text)))
}

fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title} – Bulla</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"#
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Who somebody is who does not care.
const DEFAULT: &str = "dev@localhost.localdomain";

const STYLE: &str = ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{margin:0;min-height:100vh;display:grid;\
place-items:center;background:light-dark(#f4efe6,#1d1a16)}main{width:min(24rem,calc(100vw - 3rem));padding:1.5rem 2rem 2rem;\
border-radius:12px;background:light-dark(#fff,#2a2621);box-shadow:0 2px 18px #0002}h1{font-size:1.3rem;margin:.5rem 0}\
label{display:block;margin:1rem 0;font-size:.9rem}input{display:block;box-sizing:border-box;width:100%;margin-top:.25rem;\
padding:.6rem;font:inherit;border:1px solid #8888;border-radius:6px}button{width:100%;padding:.7rem;font:inherit;border:0;\
border-radius:6px;background:#a4502a;color:#fff;cursor:pointer}pre{white-space:pre-wrap;word-break:break-all;padding:1rem;\
border-radius:6px;background:#8882}.small{font-size:.8rem;opacity:.7}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_is_text() {
        let page = form("/authorize", "<b>", &[("state", "\"><script>alert('1')</script>&")], Some("<i>"));
        assert!(!page.contains("<script>") && !page.contains("<b>") && !page.contains("<i>"));
        assert!(page.contains("&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;"));
    }
}
