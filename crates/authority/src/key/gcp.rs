//! A key in Google Cloud KMS: `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/V]`, the last part also
//! as `/versions/V`; without it the newest version that is enabled.
//!
//! | variable | what it says |
//! |---|---|
//! | `GOOGLE_APPLICATION_CREDENTIALS` | file with the key of a service account; without it the metadata server is asked |
//! | `GCE_METADATA_HOST` | another metadata server than `metadata.google.internal` |
//! | `CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS` | another address of the service |

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bulla_claims::pki::x509::PublicKey;
use bulla_claims::{PublicKeyDetails, SigningKey};
use bulla_web::Authorities;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::BoxFuture;
use super::kept::{Found, Keeper, PublicHalf, Trouble, hashed, other_kind, patiently};
use super::web::{self, AccessToken, Environment, TokenSource, Tokens};
use crate::oidc::is_secure;

struct GcpKey {
    service: Service,
    sign: Url,
    details: PublicKeyDetails,
}

struct Service {
    client: Client,
    tokens: Tokens,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    #[serde(default)]
    crypto_key_versions: Vec<Version>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Deserialize)]
struct Version {
    name: String,
}

#[derive(Deserialize)]
struct Public {
    pem: String,
    algorithm: String,
}

#[derive(Deserialize)]
struct Signature {
    signature: String,
}

/// Opens the key that the rest of a URI names.
pub(super) async fn open(rest: &str) -> Result<Found, Trouble> {
    open_in(rest, &Environment::of_process()).await
}

async fn open_in(rest: &str, environment: &Environment) -> Result<Found, Trouble> {
    let (key, version) = parse(rest)?;
    let base =
        environment.url("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", "https://cloudkms.googleapis.com")?;
    let client = web::client(&Authorities::default())?;
    let source = credentials(environment, client.clone())?;
    let service = Service { client, tokens: Tokens::new(source) };
    let key = web::at(&base, ["v1"].into_iter().chain(key.split('/')));
    let version = match version {
        Some(version) => version.to_owned(),
        None => patiently(|| service.newest(&key)).await?.to_string(),
    };
    let name = web::at(&key, ["cryptoKeyVersions", &version]);
    let url = web::at(&name, ["publicKey"]);
    let Public { pem, algorithm } = patiently(|| service.tokens.ask(service.client.get(url.clone()))).await?;
    let read = PublicKey::parse(pem.as_bytes()).map_err(|error| Trouble::Refused(error.problem))?;
    let public = PublicHalf::judge(read.spki().to_vec())?;
    let details = public.details;
    if algorithm != algorithm_of(details) {
        return Err(other_kind(&algorithm));
    }
    let mut sign = name;
    sign.set_path(&format!("{}:asymmetricSign", sign.path()));
    Ok(Found { public, keeper: Box::new(GcpKey { service, sign, details }) })
}

/// The name of the key, and the version if one is named.
fn parse(rest: &str) -> Result<(&str, Option<&str>), Trouble> {
    let expected =
        "gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/V] was expected";
    let refused = || Trouble::Uri(expected.to_owned());
    let parts: Vec<&str> = rest.split('/').collect();
    let known = |character: char| character.is_ascii_alphanumeric() || "_-.:".contains(character);
    let named = |part: &&str| !part.is_empty() && part.chars().all(known) && !part.starts_with('.');
    if !parts.iter().all(named) {
        return Err(refused());
    }
    match parts[..] {
        ["projects", _, "locations", _, "keyRings", _, "cryptoKeys", _] => Ok((rest, None)),
        [
            "projects",
            _,
            "locations",
            _,
            "keyRings",
            _,
            "cryptoKeys",
            _,
            kind @ ("cryptoKeyVersions" | "versions"),
            version,
        ] => {
            let key = &rest[..rest.len() - version.len() - kind.len() - 2];
            Ok((key, Some(version)))
        }
        _ => Err(refused()),
    }
}

fn algorithm_of(details: PublicKeyDetails) -> &'static str {
    match details {
        PublicKeyDetails::PkixEcdsaP256Sha256 => "EC_SIGN_P256_SHA256",
        PublicKeyDetails::PkixEcdsaP384Sha384 => "EC_SIGN_P384_SHA384",
        PublicKeyDetails::PkixEd25519 => "EC_SIGN_ED25519",
        PublicKeyDetails::PkixRsaPkcs1v15Of2048Sha256 => "RSA_SIGN_PKCS1_2048_SHA256",
        PublicKeyDetails::PkixRsaPkcs1v15Of3072Sha256 => "RSA_SIGN_PKCS1_3072_SHA256",
        PublicKeyDetails::PkixRsaPkcs1v15Of4096Sha256 => "RSA_SIGN_PKCS1_4096_SHA256",
        // The service has no other.
        _ => "",
    }
}

impl Service {
    async fn newest(&self, key: &Url) -> Result<u64, Trouble> {
        let mut url = web::at(key, ["cryptoKeyVersions"]);
        url.query_pairs_mut().append_pair("filter", "state=ENABLED").append_pair("pageSize", "1000");
        let listed: Versions = self.tokens.ask(self.client.get(url)).await?;
        if !listed.next_page_token.is_empty() {
            return Err(Trouble::Refused("it has more than 1000 versions: name one of them".to_owned()));
        }
        let numbers = listed
            .crypto_key_versions
            .iter()
            .filter_map(|version| version.name.rsplit('/').next()?.parse().ok());
        numbers.max().ok_or_else(|| Trouble::Refused("it has no version that is enabled".to_owned()))
    }
}

impl Keeper for GcpKey {
    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
        Box::pin(async move {
            // Checksums beside them, which the service offers, would say nothing that the signature does not.
            let body = match hashed(self.details, message) {
                Some(digest) if digest.as_ref().len() == 48 => {
                    json!({"digest": {"sha384": STANDARD.encode(digest)}})
                }
                Some(digest) => json!({"digest": {"sha256": STANDARD.encode(digest)}}),
                None => json!({"data": STANDARD.encode(message)}),
            };
            let request = web::with_json(self.service.client.post(self.sign.clone()), &body);
            let Signature { signature } = self.service.tokens.ask(request).await?;
            web::bytes("signature", &signature)
        })
    }
}

fn credentials(environment: &Environment, client: Client) -> Result<Box<dyn TokenSource>, Trouble> {
    if let Some(path) = environment.get(CREDENTIALS) {
        return Ok(Box::new(ServiceAccount { client, path: path.into() }));
    }
    let host = environment.get("GCE_METADATA_HOST").unwrap_or_else(|| "metadata.google.internal".to_owned());
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let url = Url::parse(&url).map_err(|error| {
        Trouble::Refused(format!("GCE_METADATA_HOST is {host:?}, HOST was expected: {error}"))
    })?;
    Ok(Box::new(Metadata { client, url }))
}

/// The account of the machine that this runs on.
struct Metadata {
    client: Client,
    url: Url,
}

impl TokenSource for Metadata {
    fn fetch(&self) -> BoxFuture<'_, Result<AccessToken, Trouble>> {
        Box::pin(async move {
            let request = self.client.get(self.url.clone()).header("metadata-flavor", "Google");
            let asked = web::ask(request, "").await;
            asked.map_err(|trouble| {
                trouble.about(&format!(
                    "{CREDENTIALS} is not set, and the metadata server gives no access token"
                ))
            })
        })
    }
}

/// An account whose key is in a file, read anew for every token.
struct ServiceAccount {
    client: Client,
    path: PathBuf,
}

#[derive(Deserialize)]
struct AccountFile {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    token_uri: String,
}

impl TokenSource for ServiceAccount {
    fn fetch(&self) -> BoxFuture<'_, Result<AccessToken, Trouble>> {
        Box::pin(async move {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let (url, assertion) = assertion(&self.path, now).map_err(|problem| {
                Trouble::Refused(format!("{CREDENTIALS} {}: {problem}", self.path.display()))
            })?;
            let fields = [("grant_type", JWT_BEARER), ("assertion", &assertion)];
            let asked = web::ask(web::with_form(self.client.post(url), &fields), &assertion).await;
            asked.map_err(|trouble| trouble.about("no access token for the service account"))
        })
    }
}

/// What a service account asks for a token with (RFC 7523 §2.1), and where.
fn assertion(path: &Path, now: u64) -> Result<(Url, String), String> {
    let text = web::small_file(path)?;
    // The words of the parser could repeat a line of the key.
    let file: AccountFile =
        serde_json::from_str(&text).map_err(|_error| "is not a JSON file of credentials".to_owned())?;
    if file.kind != "service_account" {
        return Err(format!("is of the type {:?}, \"service_account\" was expected", file.kind));
    }
    let url = Url::parse(&file.token_uri).ok().filter(is_secure);
    let url = url.ok_or_else(|| format!("token_uri is {:?}, https://… was expected", file.token_uri))?;
    let key =
        SigningKey::from_pem(&file.private_key, None).map_err(|error| format!("private_key {error}"))?;
    let claims = json!({
        "iss": file.client_email, "scope": SCOPE, "aud": file.token_uri, "iat": now, "exp": now + 3600,
    });
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": file.private_key_id});
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = key.sign(signed.as_bytes()).map_err(|error| error.to_string())?;
    Ok((url, format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

const CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[cfg(test)]
mod tests;
