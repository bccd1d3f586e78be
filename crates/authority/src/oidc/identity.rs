//! Whom a certificate is about, as an issuer type finds it in a token's claims.

/// Whom a token is about, and what a certificate says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The certificate's one subject alternative name.
    pub name: Name,
    /// What proof of possession signs.
    pub challenge: String,
    /// What else the certificate says.
    pub extensions: Extensions,
}

/// A subject alternative name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Name {
    /// rfc822Name.
    Email(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// otherName 1.3.6.1.4.1.57264.1.7: `NAME!DOMAIN`.
    Username(String),
}

/// Values of the extensions 1.3.6.1.4.1.57264.1.N; what is not there is not written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extensions {
    /// Issuer: .1 (raw) and .8.
    pub issuer: String,
    /// Token subject: .24.
    pub subject: String,
    /// .2 (raw, deprecated).
    pub github_workflow_trigger: Option<String>,
    /// .3 (raw, deprecated).
    pub github_workflow_sha: Option<String>,
    /// .4 (raw, deprecated).
    pub github_workflow_name: Option<String>,
    /// .5 (raw, deprecated).
    pub github_workflow_repository: Option<String>,
    /// .6 (raw, deprecated).
    pub github_workflow_ref: Option<String>,
    /// .9.
    pub build_signer_uri: Option<String>,
    /// .10.
    pub build_signer_digest: Option<String>,
    /// .11.
    pub runner_environment: Option<String>,
    /// .12.
    pub source_repository_uri: Option<String>,
    /// .13.
    pub source_repository_digest: Option<String>,
    /// .14.
    pub source_repository_ref: Option<String>,
    /// .15.
    pub source_repository_identifier: Option<String>,
    /// .16.
    pub source_repository_owner_uri: Option<String>,
    /// .17.
    pub source_repository_owner_identifier: Option<String>,
    /// .18.
    pub build_config_uri: Option<String>,
    /// .19.
    pub build_config_digest: Option<String>,
    /// .20.
    pub build_trigger: Option<String>,
    /// .21.
    pub run_invocation_uri: Option<String>,
    /// .22.
    pub source_repository_visibility_at_signing: Option<String>,
    /// .23.
    pub deployment_environment: Option<String>,
}
