//! A key in the transit engine of Vault (or what speaks its language): `hashivault://KEY`.
//!
//! | variable | what it says |
//! |---|---|
//! | `VAULT_ADDR` | URL of the server |
//! | `VAULT_TOKEN` | the token; without it the first line of `~/.vault-token`, read anew for every question |
//! | `TRANSIT_SECRET_ENGINE_PATH` | where the engine is mounted, `transit` unless said |
//! | `VAULT_NAMESPACE` | the namespace, if there are any |
//! | `VAULT_CACERT` | PEM file of certificates that are believed beside the machine's |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::PublicKeyDetails;
use bulla_claims::pki::x509::PublicKey;
use bulla_web::Authorities;
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::kept::{Found, Keeper, PublicHalf, Trouble, hashed, other_kind, patiently};
use super::web::{self, Environment};
use super::{BoxFuture, parts};

struct VaultKey {
    server: Server,
    sign: Url,
    version: u64,
    details: PublicKeyDetails,
}

struct Server {
    client: Client,
    token: TokenIn,
    namespace: Option<String>,
}

enum TokenIn {
    Variable(String),
    File(PathBuf),
}

/// What the server answers around everything.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "type")]
    kind: String,
    latest_version: u64,
    keys: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Signature {
    signature: String,
}

/// Opens the key that the rest of a URI names.
pub(super) async fn open(rest: &str) -> Result<Found, Trouble> {
    open_in(rest, &Environment::of_process()).await
}

async fn open_in(name: &str, environment: &Environment) -> Result<Found, Trouble> {
    let known = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    if name.is_empty() || !name.chars().all(known) || name.starts_with('.') {
        return Err(Trouble::Uri("it names no key: hashivault://KEY was expected".to_owned()));
    }
    if environment.get("VAULT_ADDR").is_none() {
        return Err(Trouble::Refused("VAULT_ADDR is not set: it is the URL of the server".to_owned()));
    }
    let address = environment.url("VAULT_ADDR", "")?;
    let mount = environment.get("TRANSIT_SECRET_ENGINE_PATH").unwrap_or_else(|| "transit".to_owned());
    let engine =
        web::at(&address, ["v1"].into_iter().chain(mount.split('/').filter(|part| !part.is_empty())));
    let server = Server::new(environment)?;
    let url = web::at(&engine, ["keys", name]);
    let key: Key = patiently(|| server.ask(server.client.get(url.clone()))).await?;
    let version = key.latest_version;
    let half = key.keys.get(&version.to_string()).and_then(|key| key["public_key"].as_str());
    let half = half.ok_or_else(|| other_kind(&format!("of type {}", key.kind)))?;
    let public = PublicHalf::judge(spki(half)?)?;
    let details = public.details;
    let sign = web::at(&engine, ["sign", name]);
    Ok(Found { public, keeper: Box::new(VaultKey { server, sign, version, details }) })
}

/// The engine has PEM for all kinds but Ed25519, whose 32 bytes it gives in base64.
fn spki(half: &str) -> Result<Vec<u8>, Trouble> {
    if half.starts_with("-----") {
        let key = PublicKey::parse(half.as_bytes()).map_err(|error| Trouble::Refused(error.problem))?;
        return Ok(key.spki().to_vec());
    }
    let point = web::bytes("public_key", half)?;
    parts::ed25519_spki(&point)
        .map_err(|error| Trouble::Refused(format!("public_key in its answer: {error}")))
}

impl Keeper for VaultKey {
    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Trouble>> {
        Box::pin(async move {
            let mut body = json!({
                "key_version": self.version,
                "signature_algorithm": "pkcs1v15",
                "marshaling_algorithm": "asn1",
            });
            match hashed(self.details, message) {
                Some(digest) => {
                    let hash = match digest.as_ref().len() {
                        48 => "sha2-384",
                        64 => "sha2-512",
                        _ => "sha2-256",
                    };
                    body["hash_algorithm"] = hash.into();
                    body["prehashed"] = true.into();
                    body["input"] = STANDARD.encode(digest).into();
                }
                None => body["input"] = STANDARD.encode(message).into(),
            }
            let request = web::with_json(self.server.client.post(self.sign.clone()), &body);
            let Signature { signature } = self.server.ask(request).await?;
            let bytes = signature.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
            let (_version, bytes) = bytes.ok_or_else(|| {
                Trouble::Refused("signature in its answer does not begin with vault:v".to_owned())
            })?;
            web::bytes("signature", bytes)
        })
    }
}

impl Server {
    fn new(environment: &Environment) -> Result<Self, Trouble> {
        let roots = match environment.get("VAULT_CACERT") {
            None => Authorities::default(),
            Some(path) => roots(Path::new(&path))
                .map_err(|problem| Trouble::Refused(format!("VAULT_CACERT {path}: {problem}")))?,
        };
        let token = match (environment.get("VAULT_TOKEN"), environment.get("HOME")) {
            (Some(token), _) => TokenIn::Variable(token),
            (None, Some(home)) => TokenIn::File(Path::new(&home).join(".vault-token")),
            (None, None) => return Err(Trouble::Refused("VAULT_TOKEN is not set".to_owned())),
        };
        Ok(Self { client: web::client(&roots)?, token, namespace: environment.get("VAULT_NAMESPACE") })
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Trouble> {
        let token = self.token.read()?;
        let mut request = request.header("x-vault-request", "true").header("x-vault-token", &token);
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let Answer { data } = web::ask(request, &token).await?;
        Ok(data)
    }
}

impl TokenIn {
    fn read(&self) -> Result<String, Trouble> {
        let path = match self {
            Self::Variable(token) => return Ok(token.clone()),
            Self::File(path) => path,
        };
        let text = web::small_file(path);
        let text = text.map_err(|problem| {
            Trouble::Refused(format!("VAULT_TOKEN is not set, and {}: {problem}", path.display()))
        })?;
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    }
}

fn roots(path: &Path) -> Result<Authorities, String> {
    Authorities::from_pem(web::small_file(path)?.as_bytes())
}

#[cfg(test)]
mod tests;
