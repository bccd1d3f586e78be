//! Where names and passwords are kept: `config.json` of Docker and `auth.json` of Podman and its kin, which are one format.
//! containers-auth.json(5); <https://docs.docker.com/reference/cli/docker/login/>.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// What is shown to a registry or to who hands out its tokens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A name and a password, or what stands for one.
    Password {
        /// Who.
        username: String,
        /// Never to be shown.
        password: String,
    },
    /// To be exchanged for tokens (OAuth 2 refresh token).
    Identity(String),
    /// A token for the registry itself.
    Token(String),
}

/// A file of credentials.
#[derive(Debug, Default)]
pub(crate) struct File {
    entries: BTreeMap<String, Credential>,
    helpers: BTreeMap<String, Helper>,
    store: Option<Helper>,
}

/// The program `docker-credential-NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Helper(String);

/// What a file says about a repository.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// This.
    Credential(&'a Credential),
    /// To ask that program.
    Helper(&'a Helper),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "auth")]
    encoded: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl File {
    /// Reads a file. Its errors name members, and never quote values.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        // The library's message would quote what it found in place of what it expected.
        let config: Config = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("is not JSON of the expected shape (line {line}, column {column})")
        })?;
        let mut file = Self::default();
        for (key, auth) in config.auths {
            let wrong = |problem: &str| format!("auths[{key:?}].{problem}");
            if let Some(credential) = auth.credential().map_err(|problem| wrong(&problem))? {
                file.entries.insert(normal(&key), credential);
            }
        }
        for (key, name) in config.cred_helpers {
            // An empty name says that there is none for this registry.
            if !name.is_empty() {
                let helper = Helper::named(name).map_err(|error| format!("credHelpers[{key:?}]: {error}"))?;
                file.helpers.insert(normal(&key), helper);
            }
        }
        if let Some(name) = config.creds_store.filter(|name| !name.is_empty()) {
            file.store = Some(Helper::named(name).map_err(|error| format!("credsStore: {error}"))?);
        }
        Ok(file)
    }

    /// What it says about a repository: the most exact key of host and path; for the host itself a helper comes first.
    pub(crate) fn find(&self, host: &str, name: &str) -> Option<Found<'_>> {
        let mut key = format!("{host}/{name}");
        while let Some(slash) = key.rfind('/') {
            if let Some(credential) = self.entries.get(&key) {
                return Some(Found::Credential(credential));
            }
            key.truncate(slash);
        }
        let helper = self.helpers.get(host).map(Found::Helper);
        let written = || self.entries.get(host).map(Found::Credential);
        helper.or_else(written).or_else(|| self.store.as_ref().map(Found::Helper))
    }
}

impl Auth {
    fn credential(self) -> Result<Option<Credential>, String> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.registrytoken) {
            return Ok(Some(Credential::Token(token)));
        }
        if let Some(token) = given(self.identitytoken) {
            return Ok(Some(Credential::Identity(token)));
        }
        if let Some(auth) = given(self.encoded) {
            let bytes = STANDARD.decode(auth.trim()).map_err(|_| "auth is not base64".to_owned())?;
            let text = String::from_utf8(bytes).map_err(|_| "auth is not base64 of text".to_owned())?;
            let (username, password) = text.split_once(':').ok_or("auth is not base64 of NAME:PASSWORD")?;
            // Docker has written zero bytes at the end.
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Some(Credential::Password { username: username.to_owned(), password }));
        }
        match (given(self.username), given(self.password)) {
            (Some(username), Some(password)) => Ok(Some(Credential::Password { username, password })),
            (None, None) => Ok(None),
            (Some(_), None) => Err("password is missing beside username".to_owned()),
            (None, Some(_)) => Err("username is missing beside password".to_owned()),
        }
    }
}

impl Helper {
    fn named(name: String) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.len() <= 64 && name.bytes().all(allowed) {
            return Ok(Self(name));
        }
        Err("a helper's name has at most 64 letters, digits, dots, underscores and hyphens".to_owned())
    }

    /// What is run.
    pub(crate) fn program(&self) -> String {
        format!("docker-credential-{}", self.0)
    }
}

/// Keys are written as hosts, as hosts with a path, and as URLs of several APIs.
fn normal(key: &str) -> String {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let (host, path) = bare.split_once('/').map_or((bare, None), |(host, path)| (host, Some(path)));
    let host = host.to_ascii_lowercase();
    let host = if HUB_ALIASES.contains(&host.as_str()) { HUB.to_owned() } else { host };
    path.map_or(host.clone(), |path| format!("{host}/{path}"))
}

const HUB: &str = "docker.io";
const HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(hidden)",
            Self::Identity(_) => "Identity(hidden)",
            Self::Token(_) => "Token(hidden)",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn password(username: &str, password: &str) -> Credential {
        Credential::Password { username: username.to_owned(), password: password.to_owned() }
    }

    fn found(file: &File, host: &str, name: &str) -> Option<Credential> {
        match file.find(host, name) {
            Some(Found::Credential(credential)) => Some(credential.clone()),
            _ => None,
        }
    }

    #[test]
    fn the_most_exact_key_is_found() {
        // "dXNlcjpwYXNz" is user:pass, "YTpiOmM=" is a:b:c.
        let text = r#"{ "auths": {
            "https://index.docker.io/v1/": { "auth": "dXNlcjpwYXNz" },
            "quay.example": { "auth": "YTpiOmM=" },
            "quay.example/org": { "username": "o", "password": "p" },
            "quay.example/org/app": { "identitytoken": "i", "auth": "dXNlcjpwYXNz" },
            "localhost:5000": { "registrytoken": "t" },
            "empty.example": {}
        }, "HttpHeaders": { "x": "y" } }"#;
        let file = File::parse(text.as_bytes()).expect("reads");
        assert_eq!(found(&file, "docker.io", "library/alpine"), Some(password("user", "pass")));
        assert_eq!(found(&file, "quay.example", "other"), Some(password("a", "b:c")));
        assert_eq!(found(&file, "quay.example", "org/x"), Some(password("o", "p")));
        assert_eq!(found(&file, "quay.example", "org/app/x"), Some(Credential::Identity("i".to_owned())));
        assert_eq!(found(&file, "quay.example", "organisation"), Some(password("a", "b:c")));
        assert_eq!(found(&file, "localhost:5000", "x"), Some(Credential::Token("t".to_owned())));
        for host in ["empty.example", "localhost", "quay.example.org", "example"] {
            assert_eq!(file.find(host, "x"), None, "{host}");
        }
        assert!(!format!("{file:?}").contains("pass"), "{file:?}");
    }

    #[test]
    fn helpers_are_asked_for_their_registries() {
        let text = r#"{ "auths": { "a.example": { "auth": "dXNlcjpwYXNz" }, "b.example/org": { "auth": "dXNlcjpwYXNz" } },
            "credHelpers": { "b.example": "b-login", "c.example": "" }, "credsStore": "desktop" }"#;
        let file = File::parse(text.as_bytes()).expect("reads");
        let helper = |host, name| match file.find(host, name) {
            Some(Found::Helper(helper)) => Some(helper.program()),
            _ => None,
        };
        assert_eq!(helper("a.example", "x"), None);
        assert_eq!(helper("b.example", "org/x"), None, "a path is more exact than a helper's host");
        assert_eq!(helper("b.example", "x").as_deref(), Some("docker-credential-b-login"));
        assert_eq!(helper("c.example", "x").as_deref(), Some("docker-credential-desktop"));
    }

    #[test]
    fn errors_name_the_member_and_keep_the_secret() {
        for (text, problem) in [
            ("[1]", "is not JSON of the expected shape (line 1, column 2)"),
            (r#"{"auths":{"h":{"auth":"secret"#, "is not JSON of the expected shape (line 1, column 29)"),
            (r#"{"auths":{"h":{"password":"secret"}}}"#, "auths[\"h\"].username is missing beside password"),
            (r#"{"auths":{"h":{"username":"secret"}}}"#, "auths[\"h\"].password is missing beside username"),
            (r#"{"auths":{"h":{"auth":"secret!"}}}"#, "auths[\"h\"].auth is not base64"),
            (r#"{"auths":{"h":{"auth":"c2VjcmV0"}}}"#, "auths[\"h\"].auth is not base64 of NAME:PASSWORD"),
            (
                r#"{"credsStore":"../../secret"}"#,
                "credsStore: a helper's name has at most 64 letters, digits, dots, underscores and hyphens",
            ),
        ] {
            let error = File::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error, problem);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _any = File::parse(&bytes);
        }

        #[test]
        fn what_is_written_for_a_host_is_found_below_it(
            host in "[a-z]{1,9}(:[0-9]{1,4})?",
            name in "[a-z]{1,5}(/[a-z]{1,5}){0,3}",
            secret in "[ -~]{1,30}",
        ) {
            let auth = STANDARD.encode(format!("user:{secret}"));
            let text = serde_json::json!({ "auths": { format!("https://{host}/v2/"): { "auth": auth } } });
            let file = File::parse(text.to_string().as_bytes()).expect("reads");
            prop_assert_eq!(found(&file, &host, &name), Some(password("user", &secret)));
        }
    }
}
