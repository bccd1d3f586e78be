//! A directory of images that is read once and then known by heart, for who looks at thousands of them: what refers to an
//! image of a directory is found by reading everything in it, which is done here for all of them at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;

use super::digest::Digest;
use super::error::{Error, Problem};
use super::layout::{Layout, failed, read, tag_of};
use super::manifest::Descriptor;
use super::reference::Name;
use super::source::{Image, Source};

/// What there is in a directory.
#[derive(Debug)]
pub(crate) struct Survey {
    /// What `index.json` lists.
    entries: Vec<Descriptor>,
    /// By tag, the places in that list.
    tags: HashMap<String, Vec<usize>>,
    /// What refers to something, by what it refers to.
    referrers: HashMap<Digest, Vec<Descriptor>>,
    /// The first blob that is not what its name says: what it was is not known any more, so neither is what refers to what.
    damaged: Option<String>,
}

impl Survey {
    /// What refers to a manifest.
    pub(super) fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        match &self.damaged {
            Some(problem) => Err(Problem::Invalid(problem.clone()).at("the directory")),
            None => Ok(self.referrers.get(subject).cloned().unwrap_or_default()),
        }
    }

    /// The entries of a tag.
    pub(super) fn tagged(&self, tag: &str) -> Vec<Descriptor> {
        let places = self.tags.get(tag).into_iter().flatten();
        places.map(|place| self.entries[*place].clone()).collect()
    }
}

impl Layout {
    /// Every image that is listed in a directory, in the order of the list; signatures and what else refers to images is none.
    /// The directory is read once, whole: at most a million blobs, and a list of at most 64 MiB.
    pub(crate) fn images(dir: &Path) -> Result<Vec<Image>, Error> {
        let mut layout = Self::open(dir)?;
        let survey = survey(&layout)?;
        let signatures: HashSet<&Digest> =
            survey.referrers.values().flatten().map(|descriptor| &descriptor.digest).collect();
        let mut seen = HashSet::new();
        let images = survey.entries.iter().filter_map(|entry| {
            let tag = tag_of(entry);
            let is_image =
                !signatures.contains(&entry.digest) && !tag.as_deref().is_some_and(is_made_of_digest);
            // Of two images of one tag each is named by its digest, of which there is one.
            let tag = tag.filter(|tag| survey.tags.get(tag).is_some_and(|places| places.len() == 1));
            let dir = dir.display();
            let text = match tag {
                Some(tag) => format!("oci:{dir}:{tag}"),
                None => format!("oci:{dir}@{}", entry.digest),
            };
            (is_image && seen.insert(text.clone())).then(|| (text, Name::Digest(entry.digest.clone())))
        });
        let images: Vec<_> = images.collect();
        layout.survey = Some(std::sync::Arc::new(survey));
        let image = |(text, name)| Image { source: Source::Layout(layout.clone()), name, text };
        Ok(images.into_iter().map(image).collect())
    }
}

fn survey(layout: &Layout) -> Result<Survey, Error> {
    let entries = entries(layout).map_err(|problem| problem.at(layout.index_path().display()))?;
    let mut tags: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Some(tag) = tag_of(entry) {
            tags.entry(tag).or_default().push(place);
        }
    }
    let mut survey = Survey { entries, tags, referrers: HashMap::new(), damaged: None };
    let blobs = layout.blobs();
    let broken = |error: std::io::Error| failed(&error).at(blobs.display());
    let mut found = 0;
    for (seen, file) in fs::read_dir(&blobs).map_err(broken)?.enumerate() {
        let file = file.map_err(broken)?;
        let name = file.file_name();
        let Some(digest) = name.to_str().and_then(|hex| format!("sha256:{hex}").parse().ok()) else {
            continue;
        };
        match layout.maybe_manifest(&digest) {
            Ok(Some(manifest)) => {
                let Some(subject) = &manifest.subject else { continue };
                // What is said in annotations is of no use to who reads the manifest anyway.
                let descriptor = Descriptor { annotations: BTreeMap::new(), ..manifest.descriptor() };
                survey.referrers.entry(subject.digest.clone()).or_default().push(descriptor);
                found += 1;
            }
            Ok(None) => {}
            Err(error) => {
                survey.damaged.get_or_insert(error.to_string());
            }
        }
        if seen >= MOST_BLOBS || found > MOST_REFERRERS {
            let problem = format!("has more than {MOST_BLOBS} blobs or {MOST_REFERRERS} referrers");
            return Err(Problem::Invalid(problem).at(blobs.display()));
        }
    }
    for list in survey.referrers.values_mut() {
        list.sort_unstable_by(|one, other| one.digest.cmp(&other.digest));
    }
    Ok(survey)
}

/// The list, which may be longer than that of an index in a registry.
fn entries(layout: &Layout) -> Result<Vec<Descriptor>, Problem> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Option<Vec<Descriptor>>,
    }
    let bytes = Bytes::from(read(&layout.index_path(), LARGEST_INDEX)?);
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| Problem::Invalid(error.to_string()))?;
    Ok(index.manifests.unwrap_or_default())
}

/// Whether a tag is one under which signatures and lists of referrers are kept: `sha256-…`, `sha256-….sig`.
pub(crate) fn is_made_of_digest(tag: &str) -> bool {
    let Some(rest) = tag.strip_prefix("sha256-") else { return false };
    let hex = rest.split('.').next().unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

const MOST_BLOBS: usize = 1_000_000;
const MOST_REFERRERS: usize = 200_000;
const LARGEST_INDEX: u64 = 64 << 20;
