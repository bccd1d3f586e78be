//! GitHub Actions: the workflow that runs, at its ref, as GitHub's documentation of its tokens names the claims.

use reqwest::Url;

use crate::oidc::claims::Claims;
use crate::oidc::error::TokenError;
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{Kind, uri};

#[derive(Debug)]
pub(super) struct GithubWorkflow;

/// The server whose workflows an issuer vouches for. A server of one's own issues below its own address.
fn server(issuer: &str) -> String {
    let Ok(url) = Url::parse(issuer) else { return issuer.to_owned() };
    match url.host_str().map(|host| (host, host.strip_prefix("token.actions."))) {
        Some(("token.actions.githubusercontent.com", _)) => "https://github.com".to_owned(),
        Some((_, Some(host))) => format!("https://{host}"),
        _ => url.origin().ascii_serialization(),
    }
}

impl Kind for GithubWorkflow {
    fn identify(&self, claims: &Claims, extensions: &mut Extensions) -> Result<Name, TokenError> {
        let server = server(claims.string("iss")?);
        let text = |claim| claims.text(claim);
        let below = |claim| text(claim).map(|path| format!("{server}/{path}"));
        let build_signer_uri = below("job_workflow_ref")?;
        let name = uri(&build_signer_uri, "job_workflow_ref")?;
        let (repository, event, sha, git_ref) =
            (text("repository")?, text("event_name")?, text("sha")?, text("ref")?);
        *extensions = Extensions {
            issuer: std::mem::take(&mut extensions.issuer),
            subject: std::mem::take(&mut extensions.subject),
            github_workflow_trigger: Some(event.clone()),
            github_workflow_sha: Some(sha.clone()),
            github_workflow_name: Some(text("workflow")?),
            github_workflow_repository: Some(repository.clone()),
            github_workflow_ref: Some(git_ref.clone()),
            build_signer_uri: Some(build_signer_uri),
            build_signer_digest: Some(text("job_workflow_sha")?),
            runner_environment: Some(text("runner_environment")?),
            source_repository_uri: Some(format!("{server}/{repository}")),
            source_repository_digest: Some(sha),
            source_repository_ref: Some(git_ref),
            source_repository_identifier: Some(text("repository_id")?),
            source_repository_owner_uri: Some(below("repository_owner")?),
            source_repository_owner_identifier: Some(text("repository_owner_id")?),
            build_config_uri: Some(below("workflow_ref")?),
            build_config_digest: Some(text("workflow_sha")?),
            build_trigger: Some(event),
            run_invocation_uri: Some(format!(
                "{server}/{repository}/actions/runs/{}/attempts/{}",
                text("run_id")?,
                text("run_attempt")?
            )),
            source_repository_visibility_at_signing: Some(text("repository_visibility")?),
            deployment_environment: claims.text_if_any("environment")?,
        };
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_issuers() {
        for (issuer, expected) in [
            ("https://token.actions.githubusercontent.com", "https://github.com"),
            ("https://token.actions.githubusercontent.com/octo", "https://github.com"),
            ("https://token.actions.octo.ghe.com", "https://octo.ghe.com"),
            ("https://git.example.org/_services/token", "https://git.example.org"),
        ] {
            assert_eq!(server(issuer), expected);
        }
    }
}
