//! Buildkite: the pipeline that a job belongs to.

use crate::oidc::claims::Claims;
use crate::oidc::error::TokenError;
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{Kind, uri};

#[derive(Debug)]
pub(super) struct BuildkiteJob;

impl Kind for BuildkiteJob {
    fn identify(&self, claims: &Claims, extensions: &mut Extensions) -> Result<Name, TokenError> {
        let text = |claim| claims.text(claim);
        let pipeline =
            format!("https://buildkite.com/{}/{}", text("organization_slug")?, text("pipeline_slug")?);
        let name = uri(&pipeline, "pipeline_slug")?;
        let (build, job) = (text("build_number")?, text("job_id")?);
        extensions.run_invocation_uri = Some(format!("{pipeline}/builds/{build}#{job}"));
        extensions.runner_environment = Some(text("runner_environment")?);
        extensions.source_repository_digest = Some(text("build_commit")?);
        extensions.build_trigger = Some(text("build_source")?);
        Ok(name)
    }
}
