//! Kubernetes: the service account that a projected token is for.

use crate::oidc::claims::Claims;
use crate::oidc::error::{TokenError, quoted};
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{Kind, uri};

#[derive(Debug)]
pub(super) struct Kubernetes;

impl Kind for Kubernetes {
    fn identify(&self, claims: &Claims, _extensions: &mut Extensions) -> Result<Name, TokenError> {
        let namespace = object_name(claims, "kubernetes.io.namespace")?;
        let account = object_name(claims, "kubernetes.io.serviceaccount.name")?;
        let name = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}");
        uri(&name, "kubernetes.io.serviceaccount.name")
    }
}

/// Kubernetes names no object otherwise (RFC 1123 subdomains).
fn object_name<'a>(claims: &'a Claims, path: &str) -> Result<&'a str, TokenError> {
    let name = claims.string(path)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends = |name: &str| name.starts_with(['-', '.']) || name.ends_with(['-', '.']);
    if name.len() > 253 || !name.bytes().all(plain) || ends(name) {
        let problem = format!("is {}, the name of an object in Kubernetes was expected", quoted(name));
        return Err(TokenError::claim(path, problem));
    }
    Ok(name)
}
