//! People: the e-mail address that the issuer has verified.

use serde_json::Value;

use crate::oidc::claims::{Claims, kind};
use crate::oidc::error::TokenError;
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{self, Kind, Settings};

#[derive(Debug)]
pub(super) struct Email {
    /// The issuer has no accounts whose address it did not verify, and does not say so in tokens.
    skip_verified: bool,
}

impl Email {
    pub(super) fn open(settings: &mut Settings) -> Self {
        Self { skip_verified: settings.skip_email_verified.take().unwrap_or(false) }
    }
}

impl Kind for Email {
    fn identify(&self, claims: &Claims, _extensions: &mut Extensions) -> Result<Name, TokenError> {
        let name = kind::email(claims.string("email")?, "email")?;
        if !self.skip_verified {
            let verified = claims.at("email_verified");
            // Some issuers write it as a string.
            let is_true = match verified {
                Some(Value::Bool(verified)) => *verified,
                Some(Value::String(verified)) => verified == "true",
                _ => false,
            };
            if !is_true {
                let problem = format!("is {}, true was expected", kind(verified));
                return Err(TokenError::claim("email_verified", problem));
            }
        }
        Ok(name)
    }

    fn challenge_claim(&self) -> &'static str {
        "email"
    }
}

/// The issuer for tests and laptops: an address where there is one, else the subject's URI. Its subjects are what names them,
/// so that clients which sign the subject and those which sign the address as a challenge sign the same.
#[derive(Debug)]
pub(in crate::oidc) struct EmailOrUri;

impl Kind for EmailOrUri {
    fn identify(&self, claims: &Claims, extensions: &mut Extensions) -> Result<Name, TokenError> {
        if claims.at("email").is_some() {
            return Email { skip_verified: false }.identify(claims, extensions);
        }
        kind::uri(claims.string("sub")?, "sub")
    }
}
