//! Any other issuer: names and extensions by templates from the issuers file.

use crate::oidc::claims::Claims;
use crate::oidc::error::{TokenError, quoted};
use crate::oidc::identity::{Extensions, Name};
use crate::oidc::kind::{self, Kind, Settings};
use crate::oidc::nearest::nearest;
use crate::oidc::template::Template;

#[derive(Debug)]
struct Generic {
    name: Template,
    form: Form,
    extensions: Vec<(Field, Template)>,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Uri,
    Email,
    Username,
}

/// Where an extension's value goes.
type Field = fn(&mut Extensions) -> &mut Option<String>;

pub(super) fn open(settings: &mut Settings) -> Result<Box<dyn Kind>, String> {
    let name = settings.required("name", "https://ci.example.org/{project}")?;
    let name = Template::parse(&name).map_err(|problem| format!("name {problem}"))?;
    let form = match settings.texts.remove("name-kind").as_deref() {
        None | Some("uri") => Form::Uri,
        Some("email") => Form::Email,
        Some("username") => Form::Username,
        Some(other) => {
            return Err(format!("name-kind is {other:?}, one of uri, email, username was expected"));
        }
    };
    let mut extensions = Vec::new();
    for (field, template) in settings.extensions.take().unwrap_or_default() {
        let known = FIELDS.iter().find(|(name, _)| *name == field);
        let Some((_, place)) = known else {
            let hint = nearest(&field, FIELDS.iter().map(|(name, _)| *name));
            let hint = hint.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default();
            return Err(format!("extensions has the unknown key {field:?}{hint}"));
        };
        let template =
            Template::parse(&template).map_err(|problem| format!("extensions' {field:?} {problem}"))?;
        extensions.push((*place, template));
    }
    Ok(Box::new(Generic { name, form, extensions }))
}

impl Kind for Generic {
    fn identify(&self, claims: &Claims, extensions: &mut Extensions) -> Result<Name, TokenError> {
        for (place, template) in &self.extensions {
            let value = template.fill(claims)?;
            *place(extensions) = Some(value).filter(|value| !value.is_empty());
        }
        let name = self.name.fill(claims)?;
        match self.form {
            Form::Uri => kind::uri(&name, "name"),
            Form::Email => kind::email(&name, "name"),
            Form::Username => username(name),
        }
    }
}

/// `NAME!DOMAIN`, each once.
fn username(name: String) -> Result<Name, TokenError> {
    let odd = |character: char| character.is_control() || character.is_whitespace() || character == '@';
    let whole = name
        .split_once('!')
        .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('!'));
    if !whole || name.contains(odd) || name.len() > 512 {
        return Err(TokenError::claim("name", format!("is {}, NAME!DOMAIN was expected", quoted(&name))));
    }
    Ok(Name::Username(name))
}

/// Every extension, as Fulcio's own configuration calls it.
const FIELDS: &[(&str, Field)] = &[
    ("github-workflow-trigger", |to| &mut to.github_workflow_trigger),
    ("github-workflow-sha", |to| &mut to.github_workflow_sha),
    ("github-workflow-name", |to| &mut to.github_workflow_name),
    ("github-workflow-repository", |to| &mut to.github_workflow_repository),
    ("github-workflow-ref", |to| &mut to.github_workflow_ref),
    ("build-signer-uri", |to| &mut to.build_signer_uri),
    ("build-signer-digest", |to| &mut to.build_signer_digest),
    ("runner-environment", |to| &mut to.runner_environment),
    ("source-repository-uri", |to| &mut to.source_repository_uri),
    ("source-repository-digest", |to| &mut to.source_repository_digest),
    ("source-repository-ref", |to| &mut to.source_repository_ref),
    ("source-repository-identifier", |to| &mut to.source_repository_identifier),
    ("source-repository-owner-uri", |to| &mut to.source_repository_owner_uri),
    ("source-repository-owner-identifier", |to| &mut to.source_repository_owner_identifier),
    ("build-config-uri", |to| &mut to.build_config_uri),
    ("build-config-digest", |to| &mut to.build_config_digest),
    ("build-trigger", |to| &mut to.build_trigger),
    ("run-invocation-uri", |to| &mut to.run_invocation_uri),
    ("source-repository-visibility-at-signing", |to| &mut to.source_repository_visibility_at_signing),
    ("deployment-environment", |to| &mut to.deployment_environment),
];
