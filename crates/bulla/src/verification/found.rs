//! The signatures that an image has, in both forms in which they are kept: bundles that refer to it, and layers under a tag
//! made of its digest. What cannot be read is kept as that; it is never taken for nothing.

use std::collections::BTreeMap;

use bulla_claims::judge::{
    Artifact, Content as Wanted, Judged, Layer, MAX_BUNDLE, judge_bundle, judge_layer,
};
use bulla_claims::policy::apply;
use bulla_claims::simple_signing;
use bulla_tlog::Hash;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{StreamExt as _, iter};

use super::Asked;
use crate::registry::{
    Content, Descriptor, Digest, Error, Image, Listed, Manifest, Name, OCI_EMPTY, Problem, Source, Tag,
    present,
};

/// A signature that was read and judged.
pub(crate) struct Candidate {
    /// Where it is.
    pub(crate) place: String,
    /// What was judged.
    pub(crate) judged: Judged,
    /// The same, as it was fetched.
    pub(crate) form: Form,
}

/// A signature, or a list of them, that could not be read.
pub(crate) struct Unread {
    /// Where it would be.
    pub(crate) place: String,
    /// Why.
    pub(crate) problem: String,
}

/// All there is to judge.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) unread: Vec<Unread>,
    /// Who says what refers to the image.
    pub(crate) listed: Option<Listed>,
}

/// Something to judge, as it was fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// A bundle.
    Bundle(Bytes),
    /// A layer of what lies under a tag.
    Layer {
        /// Whether it is an attestation, and what if not.
        media_type: String,
        /// Its bytes.
        payload: Bytes,
        /// What else it came with.
        annotations: BTreeMap<String, String>,
    },
}

impl Found {
    /// The one bundle of a file.
    pub(crate) fn of_file(
        place: String,
        bundle: &[u8],
        artifact: &Artifact<'_>,
        asked: &Asked,
        now: u64,
    ) -> Self {
        let judged = judge_bundle(bundle, artifact, &asked.root, &asked.policy, now);
        let judged = apply(&asked.policies, judged, now);
        let form = Form::Bundle(Bytes::copy_from_slice(bundle));
        Self { candidates: vec![Candidate { place, judged, form }], ..Self::default() }
    }

    /// Everything that an image has.
    pub(crate) async fn of_image(image: &Image, manifest: &Manifest, asked: &Asked, now: u64) -> Self {
        let mut found = Self::default();
        let Some(hash) = sha256_of(&manifest.digest) else {
            found.refuse(&manifest.digest, "only images with a sha256 digest can be judged");
            return found;
        };
        let source = &image.source;
        let suffixes: &[&str] = match asked.policy.content {
            Wanted::Signature => &["sig"],
            Wanted::Attestation(_) => &["att"],
            Wanted::Any => &["sig", "att"],
        };
        let stem = manifest.digest.to_string().replacen(':', "-", 1);
        let tags: Vec<_> = suffixes.iter().map(|suffix| format!("{stem}.{suffix}")).collect();
        let (referrers, tagged) = tokio::join!(
            source.referrers(&manifest.digest),
            join_all(tags.iter().map(|tag| layers(source, tag)))
        );
        let mut places: Vec<Place> = Vec::new();
        match referrers {
            Ok(referrers) => {
                found.listed = Some(referrers.listed);
                places.extend(referrers.descriptors.into_iter().filter(may_be_bundle).map(Place::Referrer));
            }
            Err(error) => found.unread(format!("what refers to {}", manifest.digest), &error),
        }
        for (tag, layers) in tags.iter().zip(tagged) {
            match layers {
                Ok(layers) => places.extend(layers.into_iter().map(|layer| Place::Layer(tag.clone(), layer))),
                Err(error) => found.unread(format!("tag {tag}"), &error),
            }
        }
        if places.len() > MOST {
            let problem = format!("there are {} signatures, the first {MOST} were read", places.len());
            found.unread.push(Unread { place: manifest.digest.to_string(), problem });
            places.truncate(MOST);
        }
        let mut fetched = iter(places).map(|place| fetch(source, place)).buffered(AT_ONCE);
        let mut bytes = 0;
        while let Some((place, came)) = fetched.next().await {
            match came {
                Ok(None) => {}
                Ok(Some(form)) => {
                    bytes += form.len();
                    if bytes > MOST_BYTES {
                        let problem = format!(
                            "signatures have more than {} MiB, the rest was not read",
                            MOST_BYTES >> 20
                        );
                        found.unread.push(Unread { place, problem });
                        break;
                    }
                    let judged = form.judge(&hash, asked, now);
                    found.candidates.push(Candidate { place, judged, form });
                }
                Err(error) => found.unread(place, &error),
            }
        }
        drop(fetched);
        found.prove(&hash, asked, now).await;
        found
    }

    /// Nothing, because the image itself could not be read.
    pub(crate) fn nothing(place: String, problem: String) -> Self {
        Self { unread: vec![Unread { place, problem }], ..Self::default() }
    }

    fn unread(&mut self, place: String, error: &Error) {
        self.unread.push(Unread { place, problem: error.to_string() });
    }

    fn refuse(&mut self, place: &Digest, problem: &str) {
        self.unread.push(Unread { place: place.to_string(), problem: problem.to_owned() });
    }
}

impl Form {
    /// Bytes of it.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bundle(bytes) | Self::Layer { payload: bytes, .. } => bytes.len(),
        }
    }

    /// Judges it for the image of that SHA-256.
    pub(crate) fn judge(&self, image: &Hash, asked: &Asked, now: u64) -> Judged {
        let judged = match self {
            Self::Bundle(bytes) => {
                judge_bundle(bytes, &Artifact::Sha256(*image), &asked.root, &asked.policy, now)
            }
            Self::Layer { media_type, payload, annotations } => judge_layer(
                Layer { media_type, payload, annotations },
                image,
                &asked.root,
                &asked.policy,
                now,
            ),
        };
        apply(&asked.policies, judged, now)
    }
}

/// Where a signature is.
enum Place {
    Referrer(Descriptor),
    Layer(String, Descriptor),
}

/// The layers under a tag. No tag, no layers.
async fn layers(source: &Source, tag: &str) -> Result<Vec<Descriptor>, Error> {
    let Ok(tag) = Tag::parse(tag) else { return Ok(Vec::new()) };
    let manifest = present(source.manifest(&Name::Tag(tag)).await)?;
    Ok(match manifest.map(|manifest| manifest.content) {
        Some(Content::Image { layers, .. }) => layers,
        _ => Vec::new(),
    })
}

async fn fetch(source: &Source, place: Place) -> (String, Result<Option<Form>, Error>) {
    match place {
        Place::Referrer(descriptor) => {
            (format!("referrer {}", descriptor.digest), bundle(source, &descriptor).await)
        }
        Place::Layer(tag, descriptor) => {
            (format!("layer {} of {tag}", descriptor.digest), layer(source, descriptor).await)
        }
    }
}

/// The bundle in what refers to the image. None if it is something else.
async fn bundle(source: &Source, descriptor: &Descriptor) -> Result<Option<Form>, Error> {
    let manifest = source.manifest(&Name::Digest(descriptor.digest.clone())).await?;
    let Content::Image { layers, .. } = &manifest.content else { return Ok(None) };
    let [only] = layers.as_slice() else { return Ok(None) };
    if !only.media_type.starts_with(BUNDLE) {
        return Ok(None);
    }
    refused_is_empty(source.blob(only, MAX_BUNDLE as u64).await).map(|bytes| Some(Form::Bundle(bytes)))
}

async fn layer(source: &Source, descriptor: Descriptor) -> Result<Option<Form>, Error> {
    if ![simple_signing::MEDIA_TYPE, DSSE].contains(&descriptor.media_type.as_str()) {
        return Ok(None);
    }
    let payload = refused_is_empty(source.blob(&descriptor, MAX_BUNDLE as u64).await)?;
    let Descriptor { media_type, annotations, .. } = descriptor;
    Ok(Some(Form::Layer { media_type, payload, annotations }))
}

/// What is too large to be a signature is none, whoever put it there; the judgement of no bytes says so.
fn refused_is_empty(came: Result<Bytes, Error>) -> Result<Bytes, Error> {
    match came {
        Err(error) if matches!(error.problem(), Problem::TooLarge { .. }) => Ok(Bytes::new()),
        came => came,
    }
}

/// Lists may leave the type out, or say that of the empty config.
fn may_be_bundle(descriptor: &Descriptor) -> bool {
    descriptor.artifact_type.as_deref().is_none_or(|said| said.starts_with(BUNDLE) || said == OCI_EMPTY)
}

fn sha256_of(digest: &Digest) -> Option<Hash> {
    Hash::from_hex(digest.to_string().strip_prefix("sha256:")?)
}

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
pub(super) const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
/// The most signatures of one image that are read, and how many at a time.
const MOST: usize = 1000;
const AT_ONCE: usize = 8;
/// The most bytes of them.
const MOST_BYTES: usize = 64 << 20;
