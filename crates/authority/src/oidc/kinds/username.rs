//! Subjects that are names of accounts: `NAME!DOMAIN`.

use crate::oidc::claims::Claims;
use crate::oidc::error::{TokenError, quoted};
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{Kind, Settings};

#[derive(Debug)]
struct Username {
    domain: String,
}

pub(super) fn open(settings: &mut Settings) -> Result<Box<dyn Kind>, String> {
    let domain = settings.required("subject-domain", "example.org")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if domain.is_empty() || domain.len() > 253 || !domain.bytes().all(plain) {
        return Err(format!(
            "subject-domain is {domain:?}, a host name such as \"example.org\" was expected"
        ));
    }
    Ok(Box::new(Username { domain }))
}

impl Kind for Username {
    fn identify(&self, claims: &Claims, _extensions: &mut Extensions) -> Result<Name, TokenError> {
        let subject = claims.string("sub")?;
        let odd =
            |character: char| character.is_control() || character.is_whitespace() || "@!".contains(character);
        if subject.contains(odd) || subject.len() > LONGEST {
            let expected = "a name of at most 255 bytes without @, ! and white space was expected";
            return Err(TokenError::claim("sub", format!("is {}, {expected}", quoted(subject))));
        }
        Ok(Name::Username(format!("{subject}!{}", self.domain)))
    }

    fn subject_domain(&self) -> Option<&str> {
        Some(&self.domain)
    }
}

const LONGEST: usize = 255;
