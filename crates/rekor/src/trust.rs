//! The two documents clients are configured with: `trusted_root.json` says whom to believe, `signing_config.v0.2.json` where to
//! send things (sigstore protobuf-specs, `sigstore_trustroot.proto`). Pure: files, keys and times are arguments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::{Key, PublicKeyDetails};
use bulla_tlog::{Hash, sha256};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

/// Media type of the trusted root; Go and Python refuse any later version.
const TRUSTED_ROOT: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
const SIGNING_CONFIG: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

/// Who a shard of a log is to its clients: a log to those of v2, and another one to those of v1.
#[derive(Debug, Clone)]
pub struct LogIdentity {
    /// First line of its checkpoints.
    pub origin: String,
    /// Where clients reach it, without `/api/v1` or `/api/v2`.
    pub base_url: String,
    /// Its public key, DER.
    pub spki: Vec<u8>,
    /// What its v2 entries name as `logId.keyId`.
    pub log_id: Hash,
    /// The public key of its promises and v1 checkpoints, DER; v1 entries name its hash as `logID`.
    pub v1_spki: Vec<u8>,
    /// When it began to sign.
    pub start: Timestamp,
    /// When it ended, if it has.
    pub end: Option<Timestamp>,
}

/// Authorities outside the log, as members of a trusted root.
#[derive(Debug, Clone, Default)]
pub struct Authorities {
    certifying: Vec<Value>,
    ctlogs: Vec<Value>,
    timestamping: Vec<Value>,
}

/// Services a client is sent to, by URL. What is not there is left out.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// Certificate authorities (Fulcio).
    pub ca_urls: Vec<String>,
    /// Issuers of identity tokens.
    pub oidc_urls: Vec<String>,
    /// Timestamp authorities, whole URLs.
    pub tsa_urls: Vec<String>,
    /// Who runs them and the log.
    pub operator: String,
}

/// What is wrong with the parts of a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Clients take the origin from the base URL and would look for another one.
    #[error("origin is {origin:?}, clients expect the host of the base URL {base_url:?}")]
    Origin {
        /// What checkpoints say.
        origin: String,
        /// What clients are given.
        base_url: String,
    },
    /// Not a trusted root that can be merged.
    #[error("trusted root: {0}")]
    TrustedRoot(String),
    /// Not a certificate chain.
    #[error("certificate chain: {0}")]
    Chain(String),
    /// Not a public key that clients know.
    #[error("public key: {0}")]
    Key(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustedRoot<'a> {
    media_type: &'static str,
    tlogs: Vec<LogInstance>,
    certificate_authorities: &'a [Value],
    ctlogs: &'a [Value],
    timestamp_authorities: &'a [Value],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogInstance {
    base_url: String,
    hash_algorithm: &'static str,
    public_key: PublicKeyOf,
    log_id: LogId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyOf {
    raw_bytes: String,
    key_details: &'static str,
    valid_for: ValidFor,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[derive(Serialize, Clone)]
struct ValidFor {
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SigningConfig<'a> {
    media_type: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ca_urls: Vec<Service<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    oidc_urls: Vec<Service<'a>>,
    rekor_tlog_urls: Vec<Service<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tsa_urls: Vec<Service<'a>>,
    rekor_tlog_config: Selection,
    #[serde(skip_serializing_if = "Option::is_none")]
    tsa_config: Option<Selection>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service<'a> {
    url: &'a str,
    major_api_version: u32,
    valid_for: ValidFor,
    operator: &'a str,
}

#[derive(Serialize)]
struct Selection {
    selector: &'static str,
}

/// The versions of the API that clients may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Apis {
    /// The newest that each client knows.
    #[default]
    Both,
    /// Promises and integrated times.
    V1,
    /// Tiles, and times from a timestamp authority.
    V2,
}

/// Writes `trusted_root.json` for all shards of a log.
pub fn trusted_root(shards: &[LogIdentity], authorities: &Authorities) -> Result<String, TrustError> {
    let mut tlogs = Vec::with_capacity(2 * shards.len());
    for shard in shards {
        let mut add = |spki: &[u8], log_id: &Hash| {
            tlogs.push(LogInstance {
                base_url: base_url(shard)?.to_owned(),
                hash_algorithm: "SHA2_256",
                public_key: PublicKeyOf {
                    raw_bytes: STANDARD.encode(spki),
                    key_details: key_details(spki)?,
                    valid_for: ValidFor::of(shard),
                },
                log_id: LogId { key_id: log_id.to_base64() },
            });
            Ok::<(), TrustError>(())
        };
        add(&shard.spki, &shard.log_id)?;
        add(&shard.v1_spki, &sha256(&shard.v1_spki))?;
    }
    let document = TrustedRoot {
        media_type: TRUSTED_ROOT,
        tlogs,
        certificate_authorities: &authorities.certifying,
        ctlogs: &authorities.ctlogs,
        timestamp_authorities: &authorities.timestamping,
    };
    Ok(pretty(&document))
}

/// Writes `signing_config.v0.2.json` for the shard that takes entries.
pub fn signing_config(log: &LogIdentity, services: &Services, apis: Apis) -> Result<String, TrustError> {
    let url = base_url(log)?;
    let versions: &[u32] = match apis {
        Apis::Both => &[2, 1],
        Apis::V1 => &[1],
        Apis::V2 => &[2],
    };
    let service = |version: &u32| Service {
        url,
        major_api_version: *version,
        valid_for: ValidFor::of(log),
        operator: &services.operator,
    };
    let document = SigningConfig {
        media_type: SIGNING_CONFIG,
        ca_urls: services.list(&services.ca_urls, log),
        oidc_urls: services.list(&services.oidc_urls, log),
        rekor_tlog_urls: versions.iter().map(service).collect(),
        tsa_urls: services.list(&services.tsa_urls, log),
        rekor_tlog_config: Selection { selector: "ANY" },
        tsa_config: (!services.tsa_urls.is_empty()).then_some(Selection { selector: "ANY" }),
    };
    Ok(pretty(&document))
}

impl Services {
    /// Services that are valid since the log is; only the log itself can have ended.
    fn list<'a>(&'a self, urls: &'a [String], log: &LogIdentity) -> Vec<Service<'a>> {
        let service = |url: &'a String| Service {
            url: url.as_str(),
            major_api_version: 1,
            valid_for: ValidFor { start: log.start.to_string(), end: None },
            operator: &self.operator,
        };
        urls.iter().map(service).collect()
    }
}

impl ValidFor {
    fn of(log: &LogIdentity) -> Self {
        Self { start: log.start.to_string(), end: log.end.map(|end| end.to_string()) }
    }
}

impl Authorities {
    /// Takes over the certificate authorities, CT logs and timestamp authorities of an existing trusted root, as they are.
    pub fn merge_trusted_root(&mut self, text: &str) -> Result<(), TrustError> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| TrustError::TrustedRoot(error.to_string()))?;
        let media_type = document.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        if !media_type.starts_with("application/vnd.dev.sigstore.trustedroot") {
            let problem = format!("mediaType is {media_type:?}, {TRUSTED_ROOT:?} was expected");
            return Err(TrustError::TrustedRoot(problem));
        }
        for (member, list) in [
            ("certificateAuthorities", &mut self.certifying),
            ("ctlogs", &mut self.ctlogs),
            ("timestampAuthorities", &mut self.timestamping),
        ] {
            match document.get(member) {
                None | Some(Value::Null) => {}
                Some(Value::Array(members)) => list.extend(members.iter().cloned()),
                Some(_) => return Err(TrustError::TrustedRoot(format!("{member} is not an array"))),
            }
        }
        Ok(())
    }

    /// Adds a certificate authority by its chain in PEM, issuing certificate first, root last, with until when what it signs
    /// is believed, if it was replaced.
    pub fn add_certificate_authority(
        &mut self,
        chain_pem: &str,
        uri: &str,
        end: Option<Timestamp>,
    ) -> Result<(), TrustError> {
        self.certifying.push(authority(chain_pem, uri, end)?);
        Ok(())
    }

    /// Adds a timestamp authority by its chain in PEM, signing certificate first, root last, with until when what it signs is
    /// believed, if it was replaced.
    pub fn add_timestamp_authority(
        &mut self,
        chain_pem: &str,
        uri: &str,
        end: Option<Timestamp>,
    ) -> Result<(), TrustError> {
        self.timestamping.push(authority(chain_pem, uri, end)?);
        Ok(())
    }

    /// Adds a certificate transparency log by its public key in PEM (RFC 6962: its ID is the hash of the key), with when it
    /// began to sign and when it ended, if it has.
    pub fn add_ct_log(
        &mut self,
        key_pem: &str,
        base_url: &str,
        start: Timestamp,
        end: Option<Timestamp>,
    ) -> Result<(), TrustError> {
        let blocks = blocks(key_pem, "PUBLIC KEY").map_err(TrustError::Key)?;
        let [spki] = blocks.as_slice() else {
            let problem = format!("the file holds {} public keys, 1 is needed", blocks.len());
            return Err(TrustError::Key(problem));
        };
        self.ctlogs.push(json!({
            "baseUrl": base_url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(spki),
                "keyDetails": key_details(spki)?,
                "validFor": ValidFor { start: start.to_string(), end: end.map(|end| end.to_string()) },
            },
            "logId": { "keyId": sha256(spki).to_base64() },
        }));
        Ok(())
    }
}

/// A `CertificateAuthority` message. It is valid from when all its certificates are.
fn authority(chain_pem: &str, uri: &str, end: Option<Timestamp>) -> Result<Value, TrustError> {
    let wrong = |problem: String| TrustError::Chain(problem);
    let ders = blocks(chain_pem, "CERTIFICATE").map_err(wrong)?;
    let mut chain = Vec::with_capacity(ders.len());
    for (i, der) in ders.iter().enumerate() {
        let (rest, certificate) = X509Certificate::from_der(der)
            .map_err(|error| wrong(format!("certificate {} is not readable: {error}", i + 1)))?;
        if !rest.is_empty() {
            return Err(wrong(format!("certificate {} has {} bytes too many", i + 1, rest.len())));
        }
        chain.push(certificate);
    }
    let Some(root) = chain.last() else {
        return Err(wrong(String::from("the file holds no certificate")));
    };
    let issuers = chain.iter().skip(1).chain([root]);
    for (i, (certificate, issuer)) in chain.iter().zip(issuers).enumerate() {
        if certificate.issuer().as_raw() != issuer.subject().as_raw() {
            let (number, needed) = (i + 1, certificate.issuer());
            let problem = format!(
                "certificate {number} must be followed by its issuer {needed}, up to a self-signed root"
            );
            return Err(wrong(problem));
        }
    }
    let start = chain.iter().map(|certificate| certificate.validity().not_before.timestamp()).max();
    let start =
        Timestamp::from_second(start.unwrap_or_default()).map_err(|error| wrong(error.to_string()))?;
    let name = |mut attributes: Vec<&str>| attributes.pop().unwrap_or_default().to_owned();
    let organization = root.subject().iter_organization().filter_map(|name| name.as_str().ok()).collect();
    let common_name = root.subject().iter_common_name().filter_map(|name| name.as_str().ok()).collect();
    let certificates: Vec<_> = ders.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
    Ok(json!({
        "subject": { "organization": name(organization), "commonName": name(common_name) },
        "uri": uri,
        "certChain": { "certificates": certificates },
        "validFor": ValidFor { start: start.to_string(), end: end.map(|end| end.to_string()) },
    }))
}

/// The contents of all PEM blocks; each must have that label.
fn blocks(pem: &str, label: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut contents = Vec::new();
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        let block = block.map_err(|error| format!("not PEM: {error}"))?;
        if block.label != label {
            return Err(format!("PEM block is {:?}, {label:?} is needed", block.label));
        }
        contents.push(block.contents);
    }
    Ok(contents)
}

/// The name of a log key's type. Logs sign with pure Ed25519, clients' artifacts with Ed25519ph.
fn key_details(spki: &[u8]) -> Result<&'static str, TrustError> {
    let key = Key::from_spki(spki).map_err(|error| TrustError::Key(error.problem))?;
    Ok(match key.algorithm().details() {
        PublicKeyDetails::PkixEd25519Ph => PublicKeyDetails::PkixEd25519.name(),
        other => other.name(),
    })
}

/// The base URL without a trailing slash, once its host is known to be the origin (§4.5).
fn base_url(log: &LogIdentity) -> Result<&str, TrustError> {
    let base_url = log.base_url.trim_end_matches('/');
    let host = base_url.parse::<http::Uri>().ok().and_then(|uri| {
        uri.scheme()?;
        uri.host().map(str::to_owned)
    });
    // An IPv6 address stands in brackets in a URL only.
    let host = host.as_deref().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    if host == Some(log.origin.as_str()) {
        return Ok(base_url);
    }
    Err(TrustError::Origin { origin: log.origin.clone(), base_url: log.base_url.clone() })
}

/// JSON a person can read. Strings, arrays and objects with string keys always serialize.
fn pretty(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> LogIdentity {
        LogIdentity {
            origin: "log.example.org".into(),
            base_url: "https://log.example.org/".into(),
            spki: STANDARD
                .decode("MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
                .expect("base64"),
            log_id: Hash::from_base64("sdtYEz6hIEwKlmY7d6z8L76DNO1idnBvbRifndKG4L0=").expect("hash"),
            v1_spki: STANDARD
                .decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==")
                .expect("base64"),
            start: "2026-01-01T00:00:00Z".parse().expect("time"),
            end: None,
        }
    }

    /// Documents that sigstore-python was seen to accept, and the v1 side of the same tree.
    #[test]
    fn documents_are_those_of_the_reference() {
        let root: Value =
            serde_json::from_str(&trusted_root(&[log()], &Authorities::default()).expect("root"))
                .expect("JSON");
        assert_eq!(
            root,
            json!({"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs":[{"baseUrl":"https://log.example.org","hashAlgorithm":"SHA2_256",
                    "publicKey":{"rawBytes":"MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
                        "keyDetails":"PKIX_ED25519","validFor":{"start":"2026-01-01T00:00:00Z"}},
                    "logId":{"keyId":"sdtYEz6hIEwKlmY7d6z8L76DNO1idnBvbRifndKG4L0="}},
                    {"baseUrl":"https://log.example.org","hashAlgorithm":"SHA2_256",
                    "publicKey":{"rawBytes":STANDARD.encode(log().v1_spki),
                        "keyDetails":"PKIX_ECDSA_P256_SHA_256","validFor":{"start":"2026-01-01T00:00:00Z"}},
                    "logId":{"keyId":"wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0="}}],
                "certificateAuthorities":[],"ctlogs":[],"timestampAuthorities":[]})
        );
        let services = Services {
            ca_urls: vec!["https://fulcio.example.org".into()],
            oidc_urls: vec!["https://oidc.example.org/auth".into()],
            tsa_urls: vec!["https://tsa.example.org/api/v1/timestamp".into()],
            operator: "example.org".into(),
        };
        let config: Value =
            serde_json::from_str(&signing_config(&log(), &services, Apis::V2).expect("config"))
                .expect("JSON");
        let service = |url: &str, version: u32| json!([{"url":url,"majorApiVersion":version,"validFor":{"start":"2026-01-01T00:00:00Z"},"operator":"example.org"}]);
        assert_eq!(
            config,
            json!({"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls":service("https://fulcio.example.org",1),
                "oidcUrls":service("https://oidc.example.org/auth",1),
                "rekorTlogUrls":service("https://log.example.org",2),
                "tsaUrls":service("https://tsa.example.org/api/v1/timestamp",1),
                "rekorTlogConfig":{"selector":"ANY"},"tsaConfig":{"selector":"ANY"}})
        );
        let both = signing_config(&log(), &services, Apis::Both).expect("config");
        let both: Value = serde_json::from_str(&both).expect("JSON");
        let versions = [&both["rekorTlogUrls"][0], &both["rekorTlogUrls"][1]];
        assert_eq!(versions.map(|service| service["majorApiVersion"].as_u64()), [Some(2), Some(1)]);
    }

    #[test]
    fn an_origin_that_clients_would_not_derive_is_refused() {
        for base_url in
            ["https://other.example.org", "log.example.org", "", "https://log.example.org.evil.example"]
        {
            let log = LogIdentity { base_url: base_url.into(), ..log() };
            let error = trusted_root(&[log], &Authorities::default()).expect_err(base_url);
            assert!(matches!(error, TrustError::Origin { .. }), "{base_url}: {error}");
        }
        let log = LogIdentity { base_url: "http://log.example.org:3000/rekor".into(), ..log() };
        assert!(trusted_root(&[log], &Authorities::default()).is_ok());
    }

    /// The captured clients accepted this trusted root; the same must come out of its parts.
    #[test]
    fn authorities_from_pem_equal_those_that_clients_accepted() {
        let captured = include_str!("../tests/trust/trusted_root.json");
        let mut merged = Authorities::default();
        merged.merge_trusted_root(captured).expect("merges");
        let mut made = Authorities::default();
        let base = "http://127.0.0.1:8765";
        let start = "2026-11-21T01:49:57Z".parse().expect("time");
        made.add_certificate_authority(include_str!("../tests/trust/fulcio-chain.pem"), base, None)
            .expect("chain");
        made.add_ct_log(include_str!("../tests/trust/ct.pub"), &format!("{base}/ct"), start, None)
            .expect("key");
        made.add_timestamp_authority(
            include_str!("../tests/trust/tsa-chain.pem"),
            &format!("{base}/api/v1/timestamp"),
            None,
        )
        .expect("chain");
        let untimed = |mut members: Vec<Value>| {
            for member in &mut members {
                member.as_object_mut().expect("object").remove("validFor");
            }
            members
        };
        assert_eq!(untimed(made.certifying.clone()), untimed(merged.certifying.clone()));
        assert_eq!(untimed(made.timestamping.clone()), untimed(merged.timestamping.clone()));
        assert_eq!(made.ctlogs, merged.ctlogs);
        assert_eq!(made.timestamping[0]["validFor"]["start"], json!("2026-11-20T02:49:57Z"));
    }

    #[test]
    fn a_chain_in_the_wrong_order_or_of_other_blocks_is_refused() {
        let chain = include_str!("../tests/trust/fulcio-chain.pem");
        let middle = chain.find("-----END CERTIFICATE-----\n").expect("two blocks") + 26;
        let (issuing, root) = chain.split_at(middle);
        let refused =
            |pem: &str| Authorities::default().add_certificate_authority(pem, "", None).expect_err("refused");
        assert!(refused(&format!("{root}{issuing}")).to_string().contains("must be followed by its issuer"));
        assert!(refused(issuing).to_string().contains("up to a self-signed root"));
        assert!(
            refused(include_str!("../tests/trust/ct.pub")).to_string().contains("\"CERTIFICATE\" is needed")
        );
        assert_eq!(refused("").to_string(), "certificate chain: the file holds no certificate");
    }
}
