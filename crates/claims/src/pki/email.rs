//! E-mail addresses in the free text beside keys.

/// The address that a text is. Only its outer form is looked at: one `@` between two parts without white space.
pub(super) fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.split_once('@')?;
    let plain = |part: &str| {
        !part.is_empty()
            && !part
                .contains(|c: char| c == '@' || c.is_whitespace() || c.is_control() || "<>()\",;".contains(c))
    };
    (text.len() <= 254 && plain(local) && plain(domain)).then(|| text.to_lowercase())
}

/// The address of a PGP user ID: `Name (comment) <address>`, or the address alone.
pub(super) fn of_user_id(id: &str) -> Option<String> {
    match id.rfind('<').zip(id.rfind('>')) {
        Some((from, to)) if from < to => address(&id[from + 1..to]),
        _ => address(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_addresses_and_nothing_else() {
        assert_eq!(of_user_id("A B (c) <A.B@Example.org>").as_deref(), Some("a.b@example.org"));
        assert_eq!(of_user_id("a@example.org").as_deref(), Some("a@example.org"));
        for none in ["", "A B", "<>", "> <a@b", "<a@b@c>", "a b@c", "@b", "a@", "<a@b\u{7}>"] {
            assert_eq!(of_user_id(none), None, "{none:?}");
        }
    }
}
