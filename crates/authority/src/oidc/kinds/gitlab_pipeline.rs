//! GitLab CI: the pipeline's definition at its ref. The issuer of a GitLab is its own address.

use crate::oidc::claims::Claims;
use crate::oidc::error::{TokenError, quoted};
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{Kind, uri};

#[derive(Debug)]
pub(super) struct GitlabPipeline;

impl Kind for GitlabPipeline {
    fn identify(&self, claims: &Claims, extensions: &mut Extensions) -> Result<Name, TokenError> {
        let server = claims.string("iss")?.trim_end_matches('/');
        let text = |claim| claims.text(claim);
        let definition = format!("https://{}", text("ci_config_ref_uri")?);
        let name = uri(&definition, "ci_config_ref_uri")?;
        // Missing where the definition is in another place.
        let definition_digest = claims.text_if_any("ci_config_sha")?;
        let project = text("project_path")?;
        let branch_or_tag = text("ref_type")?;
        let folder = match branch_or_tag.as_str() {
            "branch" => "heads",
            "tag" => "tags",
            other => {
                let problem = format!("is {}, branch or tag was expected", quoted(other));
                return Err(TokenError::claim("ref_type", problem));
            }
        };
        *extensions = Extensions {
            issuer: std::mem::take(&mut extensions.issuer),
            subject: std::mem::take(&mut extensions.subject),
            build_signer_uri: Some(definition.clone()),
            build_signer_digest: definition_digest.clone(),
            runner_environment: Some(text("runner_environment")?),
            source_repository_uri: Some(format!("{server}/{project}")),
            source_repository_digest: Some(text("sha")?),
            source_repository_ref: Some(format!("refs/{folder}/{}", text("ref")?)),
            source_repository_identifier: Some(text("project_id")?),
            source_repository_owner_uri: Some(format!("{server}/{}", text("namespace_path")?)),
            source_repository_owner_identifier: Some(text("namespace_id")?),
            build_config_uri: Some(definition),
            build_config_digest: definition_digest,
            build_trigger: Some(text("pipeline_source")?),
            run_invocation_uri: Some(format!("{server}/{project}/-/jobs/{}", text("job_id")?)),
            source_repository_visibility_at_signing: Some(text("project_visibility")?),
            deployment_environment: claims.text_if_any("environment")?,
            ..Extensions::default()
        };
        Ok(name)
    }
}
