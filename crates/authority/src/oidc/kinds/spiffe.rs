//! SPIFFE: a workload within one trust domain (SPIFFE-ID §2).

use crate::oidc::claims::Claims;
use crate::oidc::error::{TokenError, quoted};
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{Kind, Settings, uri};

#[derive(Debug)]
struct Spiffe {
    trust_domain: String,
}

pub(super) fn open(settings: &mut Settings) -> Result<Box<dyn Kind>, String> {
    let trust_domain = settings.required("spiffe-trust-domain", "example.org")?;
    if !is_trust_domain(&trust_domain) {
        return Err(format!(
            "spiffe-trust-domain is {trust_domain:?}, a name in lower case such as \"example.org\" was expected"
        ));
    }
    Ok(Box::new(Spiffe { trust_domain }))
}

fn is_trust_domain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(plain)
}

impl Kind for Spiffe {
    fn identify(&self, claims: &Claims, _extensions: &mut Extensions) -> Result<Name, TokenError> {
        let id = claims.string("sub")?;
        let wrong = |expected: String| {
            Err(TokenError::claim("sub", format!("is {}, {expected} was expected", quoted(id))))
        };
        let Some((domain, path)) = id.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
            return wrong(format!("spiffe://{}/WORKLOAD", self.trust_domain));
        };
        if domain != self.trust_domain {
            return wrong(format!("a workload of the trust domain {:?}", self.trust_domain));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
        if !path.split('/').all(segment) {
            return wrong("a path of letters, digits, -, . and _".to_owned());
        }
        uri(id, "sub")
    }

    fn spiffe_trust_domain(&self) -> Option<&str> {
        Some(&self.trust_domain)
    }
}
