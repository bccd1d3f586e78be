//! A key in Azure Key Vault or Managed HSM: `azurekms://VAULT.vault.azure.net/KEY[/VERSION]`; without a version the newest.
//!
//! Who asks is found, in this order, by the variables `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET` (a client's
//! secret), the first two and `AZURE_FEDERATED_TOKEN_FILE` (workload identity), `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` (the
//! identity of an app service), else the identity of the machine. `AZURE_AUTHORITY_HOST` is another place to sign in than
//! `https://login.microsoftonline.com`, `AZURE_POD_IDENTITY_AUTHORITY_HOST` another one for the machine's identity.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulla_claims::PublicKeyDetails;
use bulla_web::Authorities;
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::json;

use super::host::base;
use super::kept::{Found, Keeper, PublicHalf, Trouble, hashed, other_kind, patiently};
use super::web::{self, AccessToken, Environment, TokenSource, Tokens};
use super::{BoxFuture, parts};

struct AzureKey {
    client: Client,
    tokens: Tokens,
    sign: Url,
    details: PublicKeyDetails,
}

#[derive(Deserialize)]
struct Answer {
    key: Jwk,
}

/// A public key as the service has it (RFC 7517).
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Jwk {
    kid: String,
    kty: String,
    key_ops: Vec<String>,
    crv: String,
    x: String,
    y: String,
    n: String,
    e: String,
}

#[derive(Deserialize)]
struct Signature {
    value: String,
}

/// What a URI says.
#[derive(PartialEq, Eq, Debug)]
struct Name<'a> {
    vault: Url,
    /// For whom access tokens are, `https://…`.
    resource: String,
    key: &'a str,
    version: Option<&'a str>,
}

/// Opens the key that the rest of a URI names.
pub(super) async fn open(rest: &str) -> Result<Found, Trouble> {
    open_in(rest, &Environment::of_process()).await
}

async fn open_in(rest: &str, environment: &Environment) -> Result<Found, Trouble> {
    let name = parse(rest)?;
    let client = web::client(&Authorities::default())?;
    let tokens = Tokens::new(Box::new(credentials(environment, client.clone(), &name.resource)?));
    let url = versioned(web::at(&name.vault, ["keys", name.key].into_iter().chain(name.version)));
    let Answer { key } = patiently(|| tokens.ask(client.get(url.clone()))).await?;
    if !key.key_ops.iter().any(|operation| operation == "sign") {
        return Err(other_kind(&format!("a key for {}", key.key_ops.join(", "))));
    }
    let public = PublicHalf::judge(spki(&key)?)?;
    let details = public.details;
    // The rest of it is a URL that the answer chose.
    let version = key.kid.rsplit('/').next().filter(|version| is_name(version));
    let version = version.ok_or_else(|| Trouble::Refused("kid in its answer has no version".to_owned()))?;
    let sign = versioned(web::at(&name.vault, ["keys", name.key, version, "sign"]));
    Ok(Found { public, keeper: Box::new(AzureKey { client, tokens, sign, details }) })
}

fn parse(rest: &str) -> Result<Name<'_>, Trouble> {
    let refused = |problem: &str| {
        Trouble::Uri(format!("{problem}: azurekms://VAULT.vault.azure.net/KEY[/VERSION] was expected"))
    };
    let mut parts = rest.split('/');
    let host = parts.next().unwrap_or_default();
    let vault = base(host).ok_or_else(|| refused(&format!("{host:?} is not the host of a vault")))?;
    // The token of a stranger's choice of host could be used at all vaults that it is for.
    let suffix = SUFFIXES.iter().find(|suffix| vault.port().is_none() && host.ends_with(*suffix));
    let resource = match suffix {
        Some(suffix) => format!("https://{}", suffix.trim_start_matches('.')),
        None if vault.scheme() == "http" => "https://vault.azure.net".to_owned(),
        None => return Err(refused(&format!("{host:?} is not the host of a vault"))),
    };
    let (key, version) = (parts.next().filter(|key| is_name(key)), parts.next());
    let key = key.ok_or_else(|| refused("it names no key"))?;
    if parts.next().is_some() || version.is_some_and(|version| !is_name(version)) {
        return Err(refused("what follows the key is no version"));
    }
    Ok(Name { vault, resource, key, version })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
}

fn versioned(mut url: Url) -> Url {
    url.query_pairs_mut().append_pair("api-version", API_VERSION);
    url
}

fn spki(key: &Jwk) -> Result<Vec<u8>, Trouble> {
    let number = |name: &str, text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        bytes.map_err(|error| Trouble::Refused(format!("{name} in its answer is not base64url: {error}")))
    };
    let kind = || other_kind(format!("{} {}", key.kty, key.crv).trim_end());
    let made = match key.kty.as_str() {
        "EC" | "EC-HSM" => {
            let (curve, len) = match key.crv.as_str() {
                "P-256" => (parts::P256, 32),
                "P-384" => (parts::P384, 48),
                "P-521" => (parts::P521, 66),
                _ => return Err(kind()),
            };
            let (x, y) = (number("x", &key.x)?, number("y", &key.y)?);
            if x.len() > len || y.len() > len {
                return Err(Trouble::Refused(format!("x or y in its answer is longer than {len} bytes")));
            }
            let mut point = vec![0; 1 + 2 * len];
            point[0] = 4;
            point[1 + len - x.len()..=len].copy_from_slice(&x);
            point[1 + 2 * len - y.len()..].copy_from_slice(&y);
            parts::ec_spki(curve, &point)
        }
        "RSA" | "RSA-HSM" => parts::rsa_spki(&number("n", &key.n)?, &number("e", &key.e)?),
        _ => return Err(kind()),
    };
    made.map_err(|error| Trouble::Refused(format!("public key in its answer: {error}")))
}

impl Keeper for AzureKey {
    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
        Box::pin(async move {
            let algorithm = match self.details {
                PublicKeyDetails::PkixEcdsaP256Sha256 => "ES256",
                PublicKeyDetails::PkixEcdsaP384Sha384 => "ES384",
                PublicKeyDetails::PkixEcdsaP521Sha512 => "ES512",
                _ => "RS256",
            };
            // No key of the service signs whole messages.
            let digest = hashed(self.details, message).ok_or_else(|| other_kind("Ed25519"))?;
            let body = json!({"alg": algorithm, "value": URL_SAFE_NO_PAD.encode(digest)});
            let request = web::with_json(self.client.post(self.sign.clone()), &body);
            let Signature { value } = self.tokens.ask(request).await?;
            let signature = URL_SAFE_NO_PAD.decode(value.trim_end_matches('='));
            let signature = signature.map_err(|error| {
                Trouble::Refused(format!("value in its answer is not base64url: {error}"))
            })?;
            if algorithm == "RS256" {
                return Ok(signature);
            }
            parts::ecdsa_der(&signature)
                .map_err(|error| Trouble::Refused(format!("signature in its answer: {error}")))
        })
    }
}

/// Where access tokens are asked for.
struct Identity {
    client: Client,
    how: How,
    resource: String,
}

enum How {
    Secret { url: Url, client_id: String, secret: String },
    Federated { url: Url, client_id: String, file: PathBuf },
    App { url: Url, header: String, client_id: Option<String> },
    Machine { url: Url, client_id: Option<String> },
}

fn credentials(environment: &Environment, client: Client, resource: &str) -> Result<Identity, Trouble> {
    let resource = resource.to_owned();
    let client_id = environment.get("AZURE_CLIENT_ID");
    let secret = environment.get("AZURE_CLIENT_SECRET");
    let file = environment.get("AZURE_FEDERATED_TOKEN_FILE");
    let how = if secret.is_some() || file.is_some() {
        let missing = |name: &str| {
            Trouble::Refused(format!(
                "AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE is set, and {name} is not"
            ))
        };
        let client_id = client_id.ok_or_else(|| missing("AZURE_CLIENT_ID"))?;
        let tenant = environment.get("AZURE_TENANT_ID").ok_or_else(|| missing("AZURE_TENANT_ID"))?;
        let authority = environment.url("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com")?;
        let url = web::at(&authority, [tenant.as_str(), "oauth2", "v2.0", "token"]);
        match (secret, file) {
            (Some(secret), _) => How::Secret { url, client_id, secret },
            (None, file) => How::Federated { url, client_id, file: file.unwrap_or_default().into() },
        }
    } else if let (Some(_), Some(header)) =
        (environment.get("IDENTITY_ENDPOINT"), environment.get("IDENTITY_HEADER"))
    {
        How::App { url: environment.url("IDENTITY_ENDPOINT", "")?, header, client_id }
    } else {
        let host = environment.url("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://169.254.169.254")?;
        How::Machine { url: web::at(&host, ["metadata", "identity", "oauth2", "token"]), client_id }
    };
    Ok(Identity { client, how, resource })
}

impl TokenSource for Identity {
    fn fetch(&self) -> BoxFuture<'_, Result<AccessToken, Trouble>> {
        Box::pin(async move {
            let scope = format!("{}/.default", self.resource);
            let asked = match &self.how {
                How::Secret { url, client_id, secret } => {
                    let request = self.sign_in(url, client_id, &scope, &[("client_secret", secret)]);
                    web::ask(request, secret).await
                }
                How::Federated { url, client_id, file } => {
                    let token = web::small_file(file).map_err(|problem| {
                        Trouble::Refused(format!("AZURE_FEDERATED_TOKEN_FILE {}: {problem}", file.display()))
                    })?;
                    let assertion = token.trim();
                    let fields = [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion)];
                    web::ask(self.sign_in(url, client_id, &scope, &fields), assertion).await
                }
                How::App { url, header, client_id } => {
                    let request = self.metadata(url, "2019-08-01", client_id.as_deref());
                    web::ask(request.header("x-identity-header", header), header).await
                }
                How::Machine { url, client_id } => {
                    let request = self.metadata(url, "2018-02-01", client_id.as_deref());
                    web::ask(request.header("metadata", "true"), "").await
                }
            };
            asked.map_err(|trouble| trouble.about("no access token"))
        })
    }
}

impl Identity {
    fn sign_in(&self, url: &Url, client_id: &str, scope: &str, proof: &[(&str, &str)]) -> RequestBuilder {
        let fields = [("grant_type", "client_credentials"), ("client_id", client_id), ("scope", scope)];
        web::with_form(self.client.post(url.clone()), &[&fields, proof].concat())
    }

    fn metadata(&self, url: &Url, api_version: &str, client_id: Option<&str>) -> RequestBuilder {
        let mut url = url.clone();
        url.query_pairs_mut()
            .append_pair("api-version", api_version)
            .append_pair("resource", &self.resource)
            .extend_pairs(client_id.map(|id| ("client_id", id)));
        self.client.get(url)
    }
}

/// Hosts of vaults, in each of the clouds.
const SUFFIXES: [&str; 6] = [
    ".vault.azure.net",
    ".managedhsm.azure.net",
    ".vault.azure.cn",
    ".managedhsm.azure.cn",
    ".vault.usgovcloudapi.net",
    ".managedhsm.usgovcloudapi.net",
];
const API_VERSION: &str = "7.4";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[cfg(test)]
mod tests;
