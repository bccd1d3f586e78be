//! Who we are to a registry: what the files of Docker and Podman, and the helpers that they name, say. Nothing of it is
//! ever logged, and it is looked up only once a registry has asked.

pub(crate) mod file;
mod helper;

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use file::{File, Found};

pub(crate) use file::Credential;

use super::reference::Repository;

/// Where credentials are looked for, first to last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    paths: Vec<PathBuf>,
    /// The first must be there: it was asked for by name.
    named: bool,
}

/// Why it is not known who we are.
#[derive(Debug)]
pub(crate) enum CredentialError {
    /// A file cannot be used.
    File(String),
    /// A helper failed; it may not the next time.
    Helper(String),
}

impl Credentials {
    /// Nobody in particular.
    pub(crate) fn anonymous() -> Self {
        Self::default()
    }

    /// The files that an environment names: `REGISTRY_AUTH_FILE` alone if it is set, else Podman's
    /// (`XDG_RUNTIME_DIR/containers/auth.json`, `XDG_CONFIG_HOME/containers/auth.json`), then Docker's
    /// (`DOCKER_CONFIG/config.json`, or that of `~/.docker`).
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let directory = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(file) = directory("REGISTRY_AUTH_FILE") {
            return Self { paths: vec![file], named: true };
        }
        let home = directory("HOME");
        let below_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let config = directory("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let docker = directory("DOCKER_CONFIG").or_else(|| below_home(".docker"));
        let paths = [
            directory("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
            config.map(|dir| dir.join("containers/auth.json")),
            docker.map(|dir| dir.join("config.json")),
        ];
        Self { paths: paths.into_iter().flatten().collect(), named: false }
    }

    /// The credential for a repository, from the first file that knows one. Reads files and runs helpers: blocks.
    pub(crate) fn find(&self, repository: &Repository) -> Result<Option<Credential>, CredentialError> {
        let host = repository.host().as_str();
        for path in &self.paths {
            let Some(bytes) = self.read(path)? else { continue };
            let named = |problem: String| CredentialError::File(format!("{}: {problem}", path.display()));
            let file = File::parse(&bytes).map_err(named)?;
            let found = match file.find(host, repository.name()) {
                Some(Found::Credential(credential)) => Some(credential.clone()),
                Some(Found::Helper(helper)) => {
                    let server = if host == "docker.io" { HUB_KEY } else { host };
                    helper::ask(helper, server).map_err(CredentialError::Helper)?
                }
                None => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, CredentialError> {
        let failed =
            |problem: &dyn std::fmt::Display| CredentialError::File(format!("{}: {problem}", path.display()));
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.named => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(failed(&format_args!("has more than {LARGEST_FILE} bytes")));
        }
        Ok(Some(bytes))
    }
}

/// What Docker's helpers know Docker Hub by.
const HUB_KEY: &str = "https://index.docker.io/v1/";
const LARGEST_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_for_where_their_programs_write_them() {
        let of = |set: &'static [(&str, &str)]| {
            Credentials::from_environment(move |name| {
                set.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value))
            })
            .paths
        };
        assert_eq!(of(&[("REGISTRY_AUTH_FILE", "/a"), ("HOME", "/h")]), [PathBuf::from("/a")]);
        let files = ["/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"];
        assert_eq!(
            of(&[("XDG_RUNTIME_DIR", "/r"), ("HOME", "/h"), ("DOCKER_CONFIG", "")]),
            files.map(PathBuf::from)
        );
        let files = ["/c/containers/auth.json", "/d/config.json"];
        let set: &[_] = &[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c"), ("DOCKER_CONFIG", "/d")];
        assert_eq!(of(set), files.map(PathBuf::from));
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn the_first_file_that_knows_the_repository_is_believed() {
        let dir = tempfile::tempdir().expect("a directory");
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        std::fs::write(&first, r#"{"auths":{"a.example":{"registrytoken":"1"}}}"#).expect("is written");
        std::fs::write(
            &second,
            r#"{"auths":{"a.example":{"registrytoken":"2"},"b.example":{"registrytoken":"3"}}}"#,
        )
        .expect("is written");
        let credentials = Credentials { paths: vec![dir.path().join("none"), first, second], named: false };
        let token = |text: &str| {
            let repository = Repository::parse(text).expect("a name");
            match credentials.find(&repository).expect("reads") {
                Some(Credential::Token(token)) => token,
                other => format!("{other:?}"),
            }
        };
        assert_eq!(["a.example/x", "b.example/x", "c.example/x"].map(token), ["1", "3", "None"]);
        let named = Credentials { paths: vec![dir.path().join("none")], named: true };
        let error = named.find(&Repository::parse("a").expect("a name")).expect_err("was asked for");
        assert!(matches!(error, CredentialError::File(problem) if problem.contains("none: No such file")));
    }
}
