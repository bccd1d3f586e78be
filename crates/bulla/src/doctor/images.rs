//! A registry: how it is spoken with, and who we are to it.

use super::seen::Seen;
use super::{Check, Said};
use crate::registry::{
    CredentialError, Credentials, Digest, Error, Image, Problem, Repository, Source, Verdict,
};
use crate::text::shell_word;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "registry-credentials",
        why: "without the credentials that the files of Docker and Podman promise, private images are not found",
        look: credentials,
    },
    Check {
        name: "registry",
        why: "signatures lie beside the image: who cannot read it cannot tell unsigned from unknown",
        look: registry,
    },
];

/// What came of asking.
pub(super) struct Looked {
    image: String,
    host: String,
    /// Why it is not known who we are; and whether it is a program that failed.
    credentials: Result<bool, (String, bool)>,
    manifest: Result<Digest, Error>,
}

impl Looked {
    /// Asks for an image, after looking for credentials.
    pub(super) async fn at(image: Image) -> Self {
        let repository = match &image.source {
            Source::Registry(_, repository) => Some(repository.clone()),
            Source::Layout(_) => None,
        };
        let host =
            repository.as_ref().map(|repository| repository.host().as_str().to_owned()).unwrap_or_default();
        let credentials = match repository {
            Some(repository) => {
                tokio::task::spawn_blocking(move || known(&repository)).await.unwrap_or(Ok(false))
            }
            None => Ok(false),
        };
        let manifest = image.manifest().await.map(|manifest| manifest.digest);
        Self { image: image.text, host, credentials, manifest }
    }
}

/// Whether there are credentials. Never which.
fn known(repository: &Repository) -> Result<bool, (String, bool)> {
    let credentials = Credentials::from_environment(|name| std::env::var_os(name));
    match credentials.find(repository) {
        Ok(found) => Ok(found.is_some()),
        Err(CredentialError::File(problem)) => Err((problem, false)),
        Err(CredentialError::Helper(problem)) => Err((problem, true)),
    }
}

fn credentials(seen: &Seen) -> Vec<Said> {
    let Some(Looked { host, credentials, .. }) = seen.image.as_ref().filter(|looked| !looked.host.is_empty())
    else {
        return Vec::new();
    };
    vec![match credentials {
        Ok(true) => Said::well(format!("there are credentials for {host}")),
        Ok(false) => Said::well(format!("there are no credentials for {host}, it is asked without")),
        Err((problem, true)) if problem.contains("No such file") => {
            let program = problem.split(':').next().unwrap_or_default();
            let seen_here =
                format!("{program}, which the file of credentials names for {host}, is not installed");
            Said::problem(
                seen_here,
                format!(
                    "install {program}, or take it out of credHelpers and credsStore in ~/.docker/config.json and sign in again: docker login {host}"
                ),
            )
        }
        Err((problem, true)) => {
            Said::problem(problem.as_str(), format!("sign in again: docker login {host}"))
        }
        Err((problem, false)) => {
            Said::problem(problem.as_str(), format!("mend the file, or write it anew: docker login {host}"))
        }
    }]
}

fn registry(seen: &Seen) -> Vec<Said> {
    let Some(Looked { image, host, credentials, manifest }) = &seen.image else { return Vec::new() };
    let error = match manifest {
        Ok(digest) => return vec![Said::well(format!("{image} is {digest}"))],
        Err(_) if credentials.is_err() => return Vec::new(),
        Err(error) => error,
    };
    let text = error.to_string();
    let speaks_no_tls =
        ["InvalidContentType", "wrong version", "corrupt message"].iter().any(|word| text.contains(word));
    vec![match (error.problem(), error.verdict()) {
        (Problem::Broken(_), _) if speaks_no_tls => {
            let fix = format!(
                "bulla doctor --registry {} --allow-http-registry # and that option wherever the image is named",
                shell_word(image)
            );
            Said::problem(format!("{host} speaks no TLS, and plain HTTP was not asked for: {text}"), fix)
        }
        (Problem::Broken(_), _) if text.contains("dns error") => {
            Said::problem(text, format!("getent hosts {host} # mend the name"))
        }
        (Problem::Broken(_), _) if text.contains("certificate") => {
            Said::problem(text, "name who vouches for the registry: --registry-ca FILE")
        }
        (Problem::Broken(_), _) if text.contains("Connection refused") => {
            Said::problem(text, format!("start the registry, or name the port that it listens on in {image}"))
        }
        (Problem::Unauthorized(_), _) => Said::problem(text, format!("docker login {host}")),
        (Problem::Missing(_), _) => Said::problem(text, "push the image, or mend its name"),
        (_, Verdict::Undetermined) => Said::unknown(text, "ask again later"),
        _ => Said::problem(text, "mend the name of the image"),
    }]
}
