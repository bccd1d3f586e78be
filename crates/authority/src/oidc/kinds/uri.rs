//! Subjects that are URIs of one host.

use reqwest::Url;

use crate::oidc::claims::Claims;
use crate::oidc::error::{TokenError, quoted};
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{self, Kind, Settings};

#[derive(Debug)]
struct Uri {
    domain: String,
    parsed: Url,
}

pub(super) fn open(settings: &mut Settings) -> Result<Box<dyn Kind>, String> {
    let domain = settings.required("subject-domain", "https://example.org")?;
    let wrong = |problem: &str| {
        format!("subject-domain is {domain:?}, a URL such as \"https://example.org\" was expected: {problem}")
    };
    let parsed = Url::parse(&domain).map_err(|error| wrong(&error.to_string()))?;
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it has no host"));
    }
    let bare = parsed.username().is_empty() && parsed.password().is_none();
    if !bare || parsed.query().is_some() || parsed.fragment().is_some() || !matches!(parsed.path(), "" | "/")
    {
        return Err(wrong("only scheme and host count"));
    }
    Ok(Box::new(Uri { domain, parsed }))
}

impl Kind for Uri {
    fn identify(&self, claims: &Claims, _extensions: &mut Extensions) -> Result<Name, TokenError> {
        let subject = claims.string("sub")?;
        let wrong = |expected: String| {
            Err(TokenError::claim("sub", format!("is {}, {expected} was expected", quoted(subject))))
        };
        let Ok(parsed) = Url::parse(subject) else {
            return wrong(format!("a URI below {}", self.domain));
        };
        // `https://example.org@elsewhere/` and the like are read by people as another host.
        let bare = parsed.username().is_empty() && parsed.password().is_none();
        if kind::is_email(subject) || !bare {
            return wrong("a URI that does not look like an e-mail address".to_owned());
        }
        let place = |url: &Url| {
            (url.scheme().to_owned(), url.host_str().map(ToOwned::to_owned), url.port_or_known_default())
        };
        // What the parser reads into a text must also be its plain beginning, since verifiers may compare texts.
        let begins = format!("{}://{}", parsed.scheme(), parsed.host_str().unwrap_or_default());
        if place(&parsed) != place(&self.parsed) || !subject.starts_with(&begins) {
            return wrong(format!("a URI below {}", self.domain));
        }
        kind::uri(subject, "sub")
    }

    fn subject_domain(&self) -> Option<&str> {
        Some(&self.domain)
    }
}
