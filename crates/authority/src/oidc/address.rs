//! Where an issuer is: its URL, or a pattern of URLs for issuers that are made on demand, such as one for each cluster.

use bulla_web::is_loopback;
use reqwest::Url;

/// The `iss` of tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Address {
    /// Exactly this.
    Url(String),
    /// Each `*` stands for one run of characters: in the host within a label, in the path within a segment.
    Wildcard(String),
}

impl Address {
    pub(super) fn url(text: &str) -> Result<Self, String> {
        check(text)
            .map(|_url| Self::Url(text.to_owned()))
            .map_err(|problem| format!("url is {text:?}, {problem}"))
    }

    pub(super) fn wildcard(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| Err(format!("wildcard is {text:?}, {problem}"));
        let stars = text.matches('*').count();
        if stars == 0 {
            return wrong("it has no *: call it url");
        }
        if stars > MOST_STARS {
            return wrong("at most 8 * are read");
        }
        if let Err(problem) = check(&text.replace('*', "x")) {
            return wrong(&problem);
        }
        let (_scheme, rest) = text.split_once("://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let labels: Vec<&str> = host.split('.').collect();
        let starred: Vec<usize> =
            labels.iter().enumerate().filter(|(_, label)| label.contains('*')).map(|(at, _)| at).collect();
        match starred[..] {
            [] => {}
            // Whoever can have any name below two labels can have all of them: that is a registry's, nobody's own.
            [at] if labels[at] == "*" && labels.len() - at > 2 && !labels.contains(&"") => {}
            _ => {
                return wrong(
                    "at most one whole label of the host may be *, with two labels at least after it",
                );
            }
        }
        if path.contains("**") {
            return wrong("two * side by side are one");
        }
        Ok(Self::Wildcard(text.to_owned()))
    }

    /// The text in the issuers file.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Url(text) | Self::Wildcard(text) => text,
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }

    /// Whether tokens of this issuer are meant.
    pub(super) fn covers(&self, issuer: &str) -> bool {
        match self {
            Self::Url(url) => url == issuer,
            Self::Wildcard(pattern) => issuer.len() <= LONGEST && covers(pattern, issuer),
        }
    }
}

fn covers(pattern: &str, issuer: &str) -> bool {
    if pattern.matches('/').count() != issuer.matches('/').count() {
        return false;
    }
    // Before the host there are `https:` and an empty segment.
    pattern.split('/').zip(issuer.split('/')).enumerate().all(|(at, (pattern, segment))| {
        matches(pattern, segment, if at == 2 { within_label } else { within_segment })
    })
}

/// Whether a segment is as the pattern says, each `*` being at least one character of that sort.
fn matches(pattern: &str, text: &str, sort: fn(u8) -> bool) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    // What only dots name is another segment than it seems.
    if pattern == "*" && rest.bytes().all(|byte| byte == b'.') {
        return false;
    }
    let run = rest.bytes().take_while(|byte| sort(*byte)).count();
    (1..=run).any(|length| matches(after, &rest[length..], sort))
}

fn within_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn within_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// Reads the URL of an issuer: https, or http on this machine; a host; no user, query or fragment.
pub(crate) fn check(text: &str) -> Result<Url, String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let url = Url::parse(text).map_err(|error| format!("which is not a URL: {error}"))?;
    if !is_secure(&url) {
        return Err("https is expected, or http on a loopback address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user is no part of an issuer's URL".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or fragment is no part of an issuer's URL".to_owned());
    }
    // Tokens are compared with the text, so that a host in capitals would never be met.
    if url.as_str() != text && url.as_str() != format!("{text}/") {
        return Err(format!("write it as {:?}", url.as_str()));
    }
    Ok(url)
}

/// Whether nobody on the way can answer in its stead.
pub(crate) fn is_secure(url: &Url) -> bool {
    match (url.scheme(), url.host_str()) {
        ("https", Some(host)) => !host.is_empty(),
        ("http", Some(host)) => is_loopback(host),
        _ => false,
    }
}

const LONGEST: usize = 512;
const MOST_STARS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_run_within_a_label_or_segment() {
        let eks = Address::wildcard("https://oidc.eks.*.amazonaws.com/id/*").expect("a wildcard");
        assert!(eks.covers("https://oidc.eks.eu-west-1.amazonaws.com/id/A9F0"));
        for other in [
            "https://oidc.eks..amazonaws.com/id/A",
            "https://oidc.eks.a.b.amazonaws.com/id/A",
            "https://oidc.eks.a.amazonaws.com/id/",
            "https://oidc.eks.a.amazonaws.com/id/A/B",
            "https://oidc.eks.a.amazonaws.com/id/..",
            "https://oidc.eks.a.amazonaws.com/id/%2e",
            "https://oidc.eks.a.amazonaws.com/id/A?b",
            "https://oidc.eks.a@b.amazonaws.com/id/A",
            "https://oidc.eks.a:1.amazonaws.com/id/A",
            "https://oidc.eks.example.org#.amazonaws.com/id/A",
            "http://oidc.eks.a.amazonaws.com/id/A",
            "https://oidc.eks.a.amazonaws.com.example.org/id/A",
        ] {
            assert!(!eks.covers(other), "{other}");
        }
        let two = Address::wildcard("https://ci.example.org/a-*-b-*/c").expect("a wildcard");
        assert!(
            two.covers("https://ci.example.org/a-1-b-2/c") && two.covers("https://ci.example.org/a-b-b-b/c")
        );
        assert!(!two.covers("https://ci.example.org/a--b-2/c"));
    }

    #[test]
    fn issuers_are_secure() {
        for right in [
            "https://a.example",
            "https://a.example/b",
            "http://localhost:1",
            "http://127.0.0.1:1/a",
            "http://[::1]",
        ] {
            assert!(Address::url(right).is_ok(), "{right}");
        }
        for wrong in [
            "http://a.example",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "ftp://a.example",
            "https://",
            "a",
            "https://u@a.example",
            "https://a.example/?b",
            "https://a.example/#b",
            "https://A.example",
            "https://a.example/b/../c",
        ] {
            assert!(Address::url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wildcards_leave_a_name_that_somebody_owns() {
        for wrong in [
            "https://*",
            "https://*.com",
            "https://*/a",
            "https://a*.example.org",
            "https://*.*.example.org",
            "http://a.example/*",
            "https://a.example",
            "https://a.example/**",
            "https://a.example/*/*/*/*/*/*/*/*/*",
            "https://a.*.com/id",
        ] {
            assert!(Address::wildcard(wrong).is_err(), "{wrong}");
        }
        for right in ["https://*.example.org", "https://a.example/*", "http://127.0.0.1:8080/*"] {
            assert!(Address::wildcard(right).is_ok(), "{right}");
        }
    }
}
