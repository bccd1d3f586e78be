//! What can be said on a command line about who must have signed, and whom to believe.

use std::path::{Path, PathBuf};

use bulla_authority::key;
use bulla_claims::identity::{IdentityPattern, Pattern, PatternError, Requires, Who};
use bulla_claims::judge::{Content, MAX_TRUSTED_ROOT, Need, Policy, TrustedRoot};
use bulla_claims::policy::PredicatePolicy;
use bulla_tlog::sha256;

use jiff::Timestamp;

use super::explain::Explain;
use super::heads::{self, Heads};
use super::proofs::Logs;
use super::revocations::{self, Revocations};
use crate::command::Failure;
use crate::keys::{Passwords, verification_key};
use crate::registry::Args as RegistryArgs;
use crate::target::read_small;
use crate::text::{Options, subject_and_issuer};
use crate::trust::{self, Network, Purpose, Whom};
use crate::verification::Answer;

// Options of every command that verifies signatures.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// File, or image: a name such as ghcr.io/org/app:1.2, or oci:DIR or oci:DIR:TAG for an image layout
    #[arg(value_name = "FILE|IMAGE")]
    pub(crate) subject: String,
    /// Bundle with the signature of a file [default: FILE.sigstore.json, of attestations FILE.att.sigstore.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    heads: heads::Args,
    /// Open no connection: files and image layouts only
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Say with which options each signature would have been accepted
    #[arg(long)]
    pub(crate) explain: bool,
    /// What the answer looks like; docs/reference-verify.md describes each
    #[arg(long, value_enum, default_value_t = Answer::Human)]
    pub(crate) output: Answer,
}

// On which terms a signature is accepted.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Terms {
    #[command(flatten)]
    pub(crate) trust: Trust,
    #[command(flatten)]
    signers: Signers,
    #[command(flatten)]
    revocations: revocations::Args,
}

// Who may have signed.
#[derive(clap::Args)]
#[group(skip)]
struct Signers {
    /// Public key that may have signed: a file, `env://NAME`, or the URI of a key that is kept elsewhere; repeat for more
    #[arg(long, value_name = "REF", help_heading = "Who may have signed")]
    key: Vec<String>,
    /// Name in the certificate: an e-mail address, a URI or a user name
    #[arg(long, value_name = "SUBJECT", group = "subject_said", help_heading = "Who may have signed")]
    certificate_identity: Option<String>,
    /// The same as a regular expression, anchored at both ends: ^…$
    #[arg(long, value_name = "REGEX", group = "subject_said", help_heading = "Who may have signed")]
    certificate_identity_regexp: Option<String>,
    /// The same with * for any text without a slash, ** for any text, ? for a character
    #[arg(long, value_name = "GLOB", group = "subject_said", help_heading = "Who may have signed")]
    certificate_identity_glob: Option<String>,
    /// Issuer of identities that vouched for the name
    #[arg(long, value_name = "URL", group = "issuer_said", help_heading = "Who may have signed")]
    certificate_oidc_issuer: Option<String>,
    /// The same as a regular expression, anchored at both ends: ^…$
    #[arg(long, value_name = "REGEX", group = "issuer_said", help_heading = "Who may have signed")]
    certificate_oidc_issuer_regexp: Option<String>,
    /// Name and issuer of one more who may have signed; the last = divides them
    #[arg(long, value_name = "SUBJECT=ISSUER", help_heading = "Who may have signed")]
    identity: Vec<String>,
    /// How many different ones of them must have signed
    #[arg(long, value_name = "K", default_value_t = 1, help_heading = "Who may have signed")]
    require: usize,
}

// Whom to believe.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Trust {
    /// Whom to believe: logs, and authorities for certificates and timestamps, as `bulla trust` and TUF repositories have it
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// Trust repository that says so, one that was added with `bulla trust add` [default: what is configured, or the only one
    /// that was added]
    #[arg(long, value_name = "URL", conflicts_with = "trusted_root")]
    instance: Option<String>,
    /// Accept what no log has; a stolen key goes unseen then
    #[arg(long, alias = "insecure-ignore-tlog")]
    skip_log_unsafe: bool,
    /// Accept certificates that no certificate transparency log has
    #[arg(long, alias = "insecure-ignore-sct")]
    skip_sct_unsafe: bool,
}

/// The same, read.
pub(crate) struct Asked {
    pub(crate) policy: Policy,
    pub(crate) requires: Requires,
    pub(crate) need: usize,
    pub(crate) root: TrustedRoot,
    /// The bytes of the trusted root, for who hands on what was believed.
    pub(crate) root_json: Vec<u8>,
    pub(crate) revocations: Revocations,
    pub(crate) heads: Heads,
    pub(crate) logs: Logs,
    /// What should be known of all this.
    pub(crate) notes: Vec<String>,
    /// What attestations must say beside being verified.
    pub(crate) policies: Vec<PredicatePolicy>,
}

impl Args {
    /// Reads keys, patterns and the trusted root.
    pub(crate) async fn read(&self, content: Content) -> Result<Asked, Failure> {
        let mut asked = self.terms.read(content, self.offline).await?;
        asked.heads = self.heads.read(&asked.root)?;
        Ok(asked)
    }

    /// What explains signatures in the words of this command line; `keys` are those that were read from it.
    pub(crate) fn explained<'a>(&'a self, keys: &'a [Vec<u8>]) -> Explain<'a> {
        let mut options = Options::default();
        options.add_path("--bundle", self.bundle.as_deref());
        self.terms.trust.say(&mut options);
        options.add_flag("--offline", self.offline);
        options.add_flag("--allow-http-registry", self.registry.allow_http_registry);
        options.add_path("--registry-ca", self.registry.registry_ca.as_deref());
        Explain { subject: &self.subject, options, keys: keys.iter().zip(&self.terms.signers.key).collect() }
    }
}

impl Terms {
    /// The revocations, and whom to believe: of who judges what was signed on terms that others wrote down.
    pub(crate) async fn read_revocations(&self) -> Result<(TrustedRoot, Vec<u8>, Revocations), Failure> {
        let (root, root_json, _) = self.trust.root(true).await?;
        let policy = self.policy(self.signers.keys(true).await?, self.signers.identities()?, Content::Any);
        let revocations = self.revocations.read(&policy, &root, true).await?;
        Ok((root, root_json, revocations))
    }

    /// The log that is asked.
    pub(crate) fn rekor_url(&self) -> Option<&str> {
        self.revocations.rekor_url()
    }

    fn policy(&self, keys: Vec<Vec<u8>>, identities: Vec<IdentityPattern>, content: Content) -> Policy {
        let unless = |skip| if skip { Need::NotRequired } else { Need::Required };
        let (log, sct) = (unless(self.trust.skip_log_unsafe), unless(self.trust.skip_sct_unsafe));
        Policy { keys, identities, content, log, sct }
    }

    /// Reads keys, patterns and the trusted root.
    pub(crate) async fn read(&self, content: Content, offline: bool) -> Result<Asked, Failure> {
        let identities = self.signers.identities()?;
        let keys = self.signers.keys(offline).await?;
        if keys.is_empty() && identities.is_empty() {
            return Err(Failure::usage(
                "nobody may have signed: say who with --key REF, or with --certificate-identity SUBJECT and \
                 --certificate-oidc-issuer URL",
            ));
        }
        let of = keys.iter().map(|key| Who::Key(sha256(key)));
        let of = of.chain(identities.iter().cloned().map(Who::Identity)).collect();
        let need = self.signers.require;
        let requires =
            Requires::new(need, of).map_err(|error| Failure::usage(format!("--require {need}: {error}")))?;
        let (root, root_json, note) = self.trust.root(offline).await?;
        let policy = self.policy(keys, identities, content);
        let revocations = self.revocations.read(&policy, &root, offline).await?;
        let heads = Heads::default();
        let (notes, policies) = (note.into_iter().collect(), Vec::new());
        let logs = Logs { offline, url: self.rekor_url().map(str::to_owned) };
        Ok(Asked { policy, requires, need, root, root_json, revocations, heads, logs, notes, policies })
    }
}

impl Asked {
    /// What is asked where no command line says it: neither revocations nor heads are known, and any log may be asked for proofs.
    pub(crate) fn plain(
        policy: Policy,
        requires: Requires,
        need: usize,
        root: TrustedRoot,
        root_json: Vec<u8>,
    ) -> Self {
        Self {
            revocations: Revocations::none(&policy),
            policy,
            requires,
            need,
            root,
            root_json,
            heads: Heads::default(),
            logs: Logs::default(),
            notes: Vec::new(),
            policies: Vec::new(),
        }
    }
}

impl Trust {
    /// The file that says whom to believe, if one was named.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.trusted_root.as_deref()
    }

    fn say(&self, options: &mut Options) {
        options.add_path("--trusted-root", self.trusted_root.as_deref());
        options.add("--instance", self.instance.as_deref());
        options.add_flag("--skip-log-unsafe", self.skip_log_unsafe);
        options.add_flag("--skip-sct-unsafe", self.skip_sct_unsafe);
    }

    /// The trusted root, the bytes that say it, and what should be known of it.
    pub(crate) async fn root(
        &self,
        offline: bool,
    ) -> Result<(TrustedRoot, Vec<u8>, Option<String>), Failure> {
        let whom = trust::whom(Purpose::Verify, self.trusted_root.as_deref(), self.instance.as_deref())?;
        let (place, bytes, note) = match whom {
            None => {
                return Err(Failure::usage(
                    "nobody is believed: name a trusted root with --trusted-root FILE, as `bulla trust root` prints that of \
                     a log, or add a trust repository with `bulla trust add URL --root FILE`",
                ));
            }
            Some(Whom::File(path)) => {
                (path.display().to_string(), read_small(&path, MAX_TRUSTED_ROOT as u64)?, None)
            }
            Some(Whom::Repository(pinned)) => {
                let network = if offline { Network::Never } else { Network::IfNeeded };
                let found = pinned.target(trust::TRUSTED_ROOT, network, Timestamp::now()).await?;
                (pinned.url.to_string(), found.bytes, found.note)
            }
        };
        let root = TrustedRoot::parse(&bytes).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
        Ok((root, bytes, note))
    }
}

impl Signers {
    async fn keys(&self, offline: bool) -> Result<Vec<Vec<u8>>, Failure> {
        let passwords = Passwords::new(None);
        let mut keys = Vec::new();
        for reference in &self.key {
            keys.push(public_key("--key", reference, &passwords, offline).await?);
        }
        Ok(keys)
    }

    fn identities(&self) -> Result<Vec<IdentityPattern>, Failure> {
        let subject = first([
            ("--certificate-identity", &self.certificate_identity, Pattern::exact),
            ("--certificate-identity-regexp", &self.certificate_identity_regexp, Pattern::regex),
            ("--certificate-identity-glob", &self.certificate_identity_glob, Pattern::glob),
        ])?;
        let issuer = first([
            ("--certificate-oidc-issuer", &self.certificate_oidc_issuer, Pattern::exact as Reader),
            ("--certificate-oidc-issuer-regexp", &self.certificate_oidc_issuer_regexp, Pattern::regex),
        ])?;
        let mut identities = match (subject, issuer) {
            (Some(subject), Some(issuer)) => vec![IdentityPattern { issuer, subject }],
            (None, None) => Vec::new(),
            (Some(_), None) => {
                return Err(Failure::usage(
                    "--certificate-identity without --certificate-oidc-issuer: anybody could vouch for the name",
                ));
            }
            (None, Some(_)) => {
                return Err(Failure::usage(
                    "--certificate-oidc-issuer without --certificate-identity: anybody whom it vouches for could sign",
                ));
            }
        };
        for text in &self.identity {
            let refused = |problem: String| Failure::usage(format!("--identity {text}: {problem}"));
            identities.push(exactly(text).map_err(refused)?);
        }
        Ok(identities)
    }
}

/// The public key that a reference names, DER.
pub(super) async fn public_key(
    option: &str,
    reference: &str,
    passwords: &Passwords,
    offline: bool,
) -> Result<Vec<u8>, Failure> {
    // A token in hardware is no service.
    if offline && key::is_uri(reference) && !reference.starts_with("pkcs11:") {
        let problem = "with --offline nobody is asked for it, name a file with the public key";
        return Err(Failure::usage(format!("{option} {reference}: {problem}")));
    }
    Ok(verification_key(reference, passwords).await?.spki().to_vec())
}

/// The pattern of one identity, `SUBJECT=ISSUER`.
pub(super) fn exactly(text: &str) -> Result<IdentityPattern, String> {
    let (subject, issuer) = subject_and_issuer(text)?;
    let exact = |text: &str| Pattern::exact(text).map_err(|error| error.to_string());
    Ok(IdentityPattern { issuer: exact(&issuer)?, subject: exact(&subject)? })
}

type Reader = fn(&str) -> Result<Pattern, PatternError>;

/// The one that was given.
fn first<const N: usize>(options: [(&str, &Option<String>, Reader); N]) -> Result<Option<Pattern>, Failure> {
    let given = options.into_iter().find_map(|(name, text, read)| Some((name, text.as_deref()?, read)));
    given
        .map(|(name, text, read)| read(text).map_err(|error| Failure::usage(format!("{name}: {error}"))))
        .transpose()
}
