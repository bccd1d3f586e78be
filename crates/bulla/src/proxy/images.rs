//! By which policy images must be signed to be served, from a file that is read once:
//!
//! ```toml
//! trusted-root = "trusted_root.json"
//!
//! [[policy]]                                    # the first that matches counts; images that match none are served
//! images = ["ghcr.io/org/**"]
//! keys = ["cosign.pub"]
//! identities = [{ subject = "ci@example.org", issuer = "https://issuer.example" }]
//! require = 1
//! ```
//!
//! What is no image is served: signatures must be read before anything can be verified. Some of them say to be images, and are
//! known by what they are made of and where they are: so what a plain tag points to is an image if it says so. What is under an
//! index that was verified is verified with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bulla_claims::identity::{IdentityPattern, Pattern, Requires, Who};
use bulla_claims::judge::{Content as Wanted, MAX_TRUSTED_ROOT, Need, Policy, TrustedRoot, Verdict, verdict};
use bulla_claims::tag::is_made_of_digest;
use bulla_tlog::sha256;
use quick_cache::sync::Cache;
use serde::Deserialize;

use super::policy::names_a_repository;
use super::refusal::Refusal;
use crate::command::Failure;
use crate::home::unix_now;
use crate::keys::{Passwords, verification_key};
use crate::registry::{
    Client, Content, Digest, Image, Manifest, Name, OCI_EMPTY, OCI_MANIFEST, Repository, Source,
};
use crate::target::read_small;
use crate::verification::{Asked, Found};

/// See the module.
pub(crate) struct Images {
    policies: Vec<(Vec<Pattern>, Asked)>,
    /// What was found well, and when: an image, or what an index lists.
    well: Cache<(String, Digest), Instant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    trusted_root: PathBuf,
    policy: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    images: Vec<String>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    identities: Vec<Named>,
    #[serde(default = "one")]
    require: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    subject: String,
    issuer: String,
}

fn one() -> usize {
    1
}

impl Images {
    /// Reads a file, and the files that it names, which are beside it.
    pub(crate) async fn open(path: &Path) -> Result<Self, Failure> {
        let named =
            |problem: String| Failure::usage(format!("--verify-policy {}: {problem}", path.display()));
        let beside = |file: &Path| path.parent().unwrap_or(Path::new("")).join(file);
        let bytes = read_small(path, LARGEST)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| named("is no text".to_owned()))?;
        let File { trusted_root, policy } = toml::from_str(text).map_err(|error| named(error.to_string()))?;
        let root_json = read_small(&beside(&trusted_root), MAX_TRUSTED_ROOT as u64)?;
        let mut policies = Vec::new();
        for line in policy {
            for images in &line.images {
                names_a_repository(images).map_err(&named)?;
            }
            let patterns =
                line.images.iter().map(|images| Pattern::glob(images)).collect::<Result<Vec<_>, _>>();
            let patterns = patterns.map_err(|error| named(format!("images: {error}")))?;
            let (mut keys, mut identities) = (Vec::new(), Vec::new());
            for key in &line.keys {
                let reference = if key.contains(':') {
                    key.clone()
                } else {
                    beside(Path::new(key)).display().to_string()
                };
                keys.push(verification_key(&reference, &Passwords::new(None)).await?.spki().to_vec());
            }
            for Named { subject, issuer } in &line.identities {
                let exact =
                    |text: &str| Pattern::exact(text).map_err(|error| named(format!("identities: {error}")));
                identities.push(IdentityPattern { issuer: exact(issuer)?, subject: exact(subject)? });
            }
            let of = keys.iter().map(|key| Who::Key(sha256(key)));
            let of = of.chain(identities.iter().cloned().map(Who::Identity)).collect();
            let requires = Requires::new(line.require, of)
                .map_err(|error| named(format!("require = {}: {error}", line.require)))?;
            let root =
                TrustedRoot::parse(&root_json).map_err(|error| named(format!("trusted-root: {error}")))?;
            let policy = Policy {
                keys,
                identities,
                content: Wanted::Signature,
                log: Need::Required,
                sct: Need::Required,
            };
            let asked = Asked::plain(policy, requires, line.require, root, root_json.clone());
            policies.push((patterns, asked));
        }
        Ok(Self { policies, well: Cache::new(REMEMBERED) })
    }

    /// Refuses an image that is not signed as it must be. `tag` is the one that was asked for; none if that was a digest.
    pub(crate) async fn judge(
        &self,
        client: &Client,
        repository: &Repository,
        manifest: &Manifest,
        tag: Option<&str>,
    ) -> Result<(), Refusal> {
        let name = repository.to_string();
        let matching = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&name));
        let Some((_, asked)) = self.policies.iter().find(|(patterns, _)| matching(patterns)) else {
            return Ok(());
        };
        // What a list of signatures names is judged when it is asked for.
        let is_list = tag.is_some_and(is_made_of_digest) && matches!(manifest.content, Content::Index(_));
        if is_list || is_evidence(manifest, tag) {
            return Ok(());
        }
        let key = |digest: &Digest| (name.clone(), digest.clone());
        if self.well.get(&key(&manifest.digest)).is_some_and(|since| since.elapsed() < GOOD_FOR) {
            return Ok(());
        }
        let image = Image {
            source: Source::Registry(client.clone(), repository.clone()),
            name: Name::Digest(manifest.digest.clone()),
            text: format!("{name}@{}", manifest.digest),
        };
        let found = Found::of_image(&image, manifest, asked, unix_now()).await;
        let judged = found.candidates.iter().map(|candidate| &candidate.judged);
        let cause = match verdict(&asked.requires, judged, found.unread.len()) {
            Verdict::Verified => {
                let now = Instant::now();
                self.well.insert(key(&manifest.digest), now);
                for member in manifest.manifests() {
                    self.well.insert(key(&member.digest), now);
                }
                return Ok(());
            }
            Verdict::NotVerified => {
                let of = found.candidates.len();
                format!("none of its {of} signatures is by whom it must be, see bulla verify --explain")
            }
            Verdict::Undetermined => {
                let why = found.unread.first().map_or("", |unread| unread.problem.as_str());
                format!("its signatures cannot be read: {why}")
            }
        };
        Err(Refusal::Unsigned { image: image.text, cause })
    }
}

/// Whether something can be nothing but evidence about an image: an OCI manifest whose layers are all of types that signatures,
/// attestations and bills of materials have. Runtimes differ in what they take for an image, so everything else is one. Cosign's
/// tags have manifests that say to be images; by a digest nobody needs those.
fn is_evidence(manifest: &Manifest, tag: Option<&str>) -> bool {
    let Content::Image { config, layers } = &manifest.content else { return false };
    let is_document = |media_type: &str| {
        EVIDENCE.contains(&media_type) || media_type.starts_with("application/vnd.dev.sigstore.bundle")
    };
    let config = config.media_type.as_str();
    let is_config = config == OCI_EMPTY || EVIDENCE_CONFIGS.iter().any(|known| config.starts_with(known));
    let is_cosign = config == IMAGE_CONFIG && tag.is_some_and(is_made_of_digest);
    manifest.media_type == OCI_MANIFEST
        && !layers.is_empty()
        && layers.iter().all(|layer| is_document(&layer.media_type))
        && (is_config || is_cosign)
}

const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EVIDENCE_CONFIGS: [&str; 3] =
    ["application/vnd.dev.cosign.", "application/vnd.dev.sigstore.", "application/vnd.cncf.notary.signature"];
const EVIDENCE: [&str; 12] = [
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.in-toto+json",
    "application/jose+json",
    "application/cose",
    "text/spdx",
    "text/spdx+json",
    "text/spdx+xml",
    "application/vnd.cyclonedx",
    "application/vnd.cyclonedx+json",
    "application/vnd.cyclonedx+xml",
    "application/vnd.syft+json",
];
const LARGEST: u64 = 1 << 20;
const REMEMBERED: usize = 16 << 10;
/// After that an image is judged anew: a signature may have been taken back.
const GOOD_FOR: Duration = Duration::from_mins(5);
