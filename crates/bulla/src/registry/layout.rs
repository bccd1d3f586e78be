//! Images in a directory, for who verifies or signs without a registry. The OCI image layout:
//! <https://github.com/opencontainers/image-spec>, "Image Layout".
//!
//! The directory is as little believed as a registry: digests are computed, paths are made of digests alone, and only
//! plain files are read.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::digest::Digest;
use super::error::{Error, Problem};
use super::manifest::{Descriptor, LARGEST_MANIFEST, MOST_ENTRIES, Manifest, OCI_INDEX};
use super::reference::{Name, Reference, Tag};
use super::referrers::{Listed, Referrers};
use super::survey::Survey;

/// A directory of images.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(super) dir: PathBuf,
    /// What was found when everything in it was read at once.
    pub(super) survey: Option<Arc<Survey>>,
}

impl Layout {
    /// Opens a directory that is an image layout.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Marker {
            image_layout_version: String,
        }
        let layout = Self { dir: dir.to_owned(), survey: None };
        let path = dir.join(MARKER);
        let read = || {
            let marker = read(&path, LARGEST_MARKER)?;
            let marker: Marker =
                serde_json::from_slice(&marker).map_err(|error| Problem::Invalid(error.to_string()))?;
            match marker.image_layout_version.as_str() {
                VERSION => Ok(()),
                other => {
                    Err(Problem::Invalid(format!("imageLayoutVersion is {other:?}, {VERSION:?} is known")))
                }
            }
        };
        read().map_err(|problem| problem.at(path.display()))?;
        Ok(layout)
    }

    /// Opens a directory, or makes it an image layout if it is empty or not there.
    pub(crate) fn create(dir: &Path) -> Result<Self, Error> {
        let is_empty = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(failed(&error).at(dir.display())),
        };
        if !is_empty {
            return Self::open(dir);
        }
        let layout = Self { dir: dir.to_owned(), survey: None };
        fs::create_dir_all(layout.blobs()).map_err(|error| failed(&error).at(dir.display()))?;
        layout.write_index(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }))?;
        layout.write(&dir.join(MARKER), json!({ "imageLayoutVersion": VERSION }).to_string().as_bytes())?;
        Ok(layout)
    }

    /// What `index.json` lists.
    pub(crate) fn entries(&self) -> Result<Vec<Descriptor>, Error> {
        let (index, _) = self.index()?;
        Ok(index.manifests().to_vec())
    }

    /// The image that is meant when none is named: the only one that has a tag, or the only one at all. What refers to
    /// others, such as signatures, is not counted.
    pub(crate) fn only(&self) -> Result<Name, Error> {
        let entries = self.entries()?;
        let images = |wanted: &dyn Fn(&Descriptor) -> bool| {
            let mut digests: Vec<_> =
                entries.iter().filter(|entry| wanted(entry)).map(|entry| &entry.digest).collect();
            digests.sort_unstable();
            digests.dedup();
            digests
        };
        // What cosign writes says which of its entries is the image.
        let kind = |entry: &Descriptor| entry.annotations.get(COSIGN_KIND).cloned();
        let of_cosign =
            |entry: &Descriptor| matches!(kind(entry).as_deref(), Some(COSIGN_IMAGE | COSIGN_IMAGE_INDEX));
        let tagged = |entry: &Descriptor| entry.annotations.contains_key(REF_NAME);
        for digests in [images(&of_cosign), images(&tagged), images(&|_| true)] {
            if let [digest] = digests.as_slice() {
                return Ok(Name::Digest((*digest).clone()));
            }
        }
        let tags: Vec<_> =
            entries.iter().filter_map(|entry| entry.annotations.get(REF_NAME)).take(10).collect();
        let problem = match entries.len() {
            0 => "has no image".to_owned(),
            len => format!("has {len} entries: name one by tag or digest, of tags there are {tags:?}"),
        };
        Err(Problem::Invalid(problem).at(self.dir.display()))
    }

    /// Reads a manifest or an index of at most 4 MiB.
    pub(crate) fn manifest(&self, name: &Name) -> Result<Manifest, Error> {
        let (digest, media_type) = match name {
            Name::Digest(digest) => (digest.clone(), None),
            Name::Tag(tag) => {
                let found = self.tagged(tag)?;
                (found.digest, Some(found.media_type))
            }
        };
        let read = || {
            let bytes = self.read_blob(&digest, LARGEST_MANIFEST)?;
            Manifest::parse(bytes, digest.clone(), media_type.as_deref()).map_err(Problem::Invalid)
        };
        read().map_err(|problem| problem.at(self.place(&digest)))
    }

    /// Reads a blob of at most `most` bytes whatever its descriptor says.
    pub(crate) fn blob(&self, descriptor: &Descriptor, most: u64) -> Result<Bytes, Error> {
        let Descriptor { digest, size, .. } = descriptor;
        let read = || match self.read_blob(digest, most.min(*size))? {
            bytes if bytes.len() as u64 == *size => Ok(bytes),
            bytes => Err(Problem::Invalid(format!("it has {} bytes, {size} were promised", bytes.len()))),
        };
        read().map_err(|problem| problem.at(self.place(digest)))
    }

    /// Everything in the directory that refers to a manifest, listed or not: some programs list signatures, others leave
    /// them among the blobs.
    pub(crate) fn referrers(&self, subject: &Digest) -> Result<Referrers, Error> {
        if let Some(survey) = &self.survey {
            let descriptors = survey.referrers(subject)?;
            return Ok(Referrers { descriptors, listed: Listed::Search });
        }
        let blobs = self.blobs();
        let failed = |error: std::io::Error| failed(&error).at(blobs.display());
        let mut descriptors = Vec::new();
        for (seen, file) in fs::read_dir(&blobs).map_err(failed)?.enumerate() {
            let file = file.map_err(failed)?;
            if seen >= MOST_BLOBS || descriptors.len() >= MOST_ENTRIES {
                let problem = format!("has more than {MOST_BLOBS} blobs or {MOST_ENTRIES} referrers");
                return Err(Problem::Invalid(problem).at(blobs.display()));
            }
            let name = file.file_name();
            let Some(digest) = name.to_str().and_then(|hex| format!("sha256:{hex}").parse().ok()) else {
                continue;
            };
            // Layers are larger than manifests may be, or are no JSON; neither is what is looked for.
            let Some(manifest) = self.maybe_manifest(&digest)? else { continue };
            if manifest.subject.as_ref().is_some_and(|of| of.digest == *subject) {
                descriptors.push(manifest.descriptor());
            }
        }
        descriptors.sort_unstable_by(|one, other| one.digest.cmp(&other.digest));
        Ok(Referrers { descriptors, listed: Listed::Search })
    }

    /// Writes a blob, unless it is there.
    pub(crate) fn push_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.read_blob(&digest, bytes.len() as u64).is_err() {
            self.write(&self.path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// Writes a manifest and lists it, under a tag if one is given, which it then is the only one to have.
    pub(crate) fn push_manifest(&self, manifest: &Manifest, tag: Option<&Tag>) -> Result<Digest, Error> {
        let digest = self.push_blob(&manifest.bytes)?;
        let (_, mut index) = self.index()?;
        let entry = Descriptor {
            annotations: tag.iter().map(|tag| (REF_NAME.to_owned(), tag.to_string())).collect(),
            ..manifest.descriptor()
        };
        let refused = |problem: &str| Problem::Invalid(problem.to_owned()).at(self.index_path().display());
        let entry = serde_json::to_value(entry).map_err(|error| refused(&error.to_string()))?;
        let entries = index.get_mut("manifests").and_then(Value::as_array_mut);
        let entries = entries.ok_or_else(|| refused("has no manifests"))?;
        if let Some(tag) = tag {
            entries.retain(|entry| entry["annotations"][REF_NAME] != tag.as_str());
        }
        if !entries.contains(&entry) {
            entries.push(entry);
        }
        self.write_index(&index)?;
        Ok(digest)
    }

    /// The entry of a tag.
    fn tagged(&self, tag: &Tag) -> Result<Descriptor, Error> {
        let is_it = |entry: &Descriptor| tag_of(entry).is_some_and(|named| named == tag.as_str());
        let mut found: Vec<_> = match &self.survey {
            Some(survey) => survey.tagged(tag.as_str()),
            None => self.entries()?.into_iter().filter(is_it).collect(),
        };
        found.dedup_by(|one, other| one.digest == other.digest);
        let place = format!("{}:{tag}", self.dir.display());
        match (found.pop(), found.is_empty()) {
            (Some(entry), true) => Ok(entry),
            (None, _) => Err(Problem::Missing("index.json has no entry of that tag".to_owned()).at(place)),
            (Some(_), false) => {
                Err(Problem::Invalid("index.json has two images of that tag".to_owned()).at(place))
            }
        }
    }

    pub(super) fn maybe_manifest(&self, digest: &Digest) -> Result<Option<Manifest>, Error> {
        match self.read_blob(digest, LARGEST_MANIFEST) {
            Ok(bytes) if bytes.first() == Some(&b'{') => {
                Ok(Manifest::parse(bytes, digest.clone(), None).ok())
            }
            Ok(_) | Err(Problem::TooLarge { .. }) => Ok(None),
            Err(problem) => Err(problem.at(self.place(digest))),
        }
    }

    fn read_blob(&self, digest: &Digest, most: u64) -> Result<Bytes, Problem> {
        let bytes = read(&self.path(digest), most)?;
        match digest.same_hash_of(&bytes) {
            actual if actual == *digest => Ok(bytes.into()),
            actual => Err(Problem::Digest { expected: digest.clone(), actual }),
        }
    }

    /// `index.json` as it is read, and as it is written again.
    fn index(&self) -> Result<(Manifest, Value), Error> {
        let read = || {
            let bytes = Bytes::from(read(&self.index_path(), LARGEST_MANIFEST)?);
            let invalid = |error: serde_json::Error| Problem::Invalid(error.to_string());
            let document = serde_json::from_slice(&bytes).map_err(invalid)?;
            let digest = Digest::of(&bytes);
            let index = Manifest::parse(bytes, digest, Some(OCI_INDEX)).map_err(Problem::Invalid)?;
            Ok((index, document))
        };
        read().map_err(|problem: Problem| problem.at(self.index_path().display()))
    }

    fn write_index(&self, index: &Value) -> Result<(), Error> {
        self.write(&self.index_path(), index.to_string().as_bytes())
    }

    /// Writes a file as a whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let written = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
            let beside = path.with_extension("tmp");
            let mut file = fs::File::create(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, path)
        };
        written().map_err(|error: std::io::Error| failed(&error).at(path.display()))
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.dir.join("index.json")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.dir.join("blobs").join("sha256")
    }

    /// Digests are one of two words and hexadecimal digits, so nothing leads out of the directory.
    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    fn place(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.dir.display())
    }
}

/// The tag of an entry of `index.json`, which may be written alone or behind the name of a repository.
pub(super) fn tag_of(entry: &Descriptor) -> Option<String> {
    let named = entry.annotations.get(REF_NAME)?;
    if !named.contains('/') {
        return Some(named.clone());
    }
    named.parse::<Reference>().ok()?.tag().map(Tag::to_string)
}

/// Reads a plain file of at most so many bytes: no link out of the directory, and no pipe that nobody writes to.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Problem> {
    if !fs::symlink_metadata(path).map_err(|error| failed(&error))?.is_file() {
        return Err(Problem::Invalid("is no plain file".to_owned()));
    }
    let file = fs::File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > most { Err(Problem::TooLarge { limit: most }) } else { Ok(bytes) }
}

pub(super) fn failed(error: &std::io::Error) -> Problem {
    match error.kind() {
        ErrorKind::NotFound => Problem::Missing(error.to_string()),
        _ => Problem::Broken(error.to_string()),
    }
}

const MARKER: &str = "oci-layout";
const VERSION: &str = "1.0.0";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const COSIGN_KIND: &str = "kind";
const COSIGN_IMAGE: &str = "dev.cosignproject.cosign/image";
const COSIGN_IMAGE_INDEX: &str = "dev.cosignproject.cosign/imageIndex";
const LARGEST_MARKER: u64 = 4 << 10;
const MOST_BLOBS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::super::error::Verdict;
    use super::super::manifest::{EMPTY, OCI_EMPTY, OCI_MANIFEST};
    use super::*;

    fn manifest(note: &str, subject: Option<&Manifest>) -> Manifest {
        let config = json!({ "mediaType": OCI_EMPTY, "digest": Digest::of(EMPTY), "size": 2 });
        let mut document = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [config],
            "annotations": { "note": note },
        });
        if let Some(subject) = subject {
            document["subject"] = serde_json::to_value(subject.descriptor()).expect("JSON");
        }
        let bytes = Bytes::from(document.to_string());
        let digest = Digest::of(&bytes);
        Manifest::parse(bytes, digest, None).expect("a manifest")
    }

    fn tag(text: &str) -> Tag {
        Tag::parse(text).expect("a tag")
    }

    fn problem<T>(result: Result<T, Error>) -> String {
        result.err().expect("is refused").problem().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("layout");
        assert_eq!(Layout::open(&dir).err().map(|error| error.verdict()), Some(Verdict::Missing));
        let layout = Layout::create(&dir).expect("is made");
        assert_eq!(problem(layout.only()), "has no image");
        layout.push_blob(EMPTY).expect("is written");
        let (first, second) = (manifest("1", None), manifest("2", None));
        layout.push_manifest(&first, Some(&tag("a"))).expect("is written");
        assert_eq!(layout.only().expect("one"), Name::Digest(first.digest.clone()));
        let signature = manifest("s", Some(&first));
        layout.push_manifest(&signature, None).expect("is written");
        assert_eq!(layout.only().expect("one with a tag"), Name::Digest(first.digest.clone()));
        let layout = Layout::create(&dir).expect("opens");
        let referrers = layout.referrers(&first.digest).expect("is searched");
        assert_eq!(referrers.descriptors, [signature.descriptor()]);
        assert_eq!(layout.referrers(&second.digest).expect("is searched").descriptors, []);
        layout.push_manifest(&second, Some(&tag("a"))).expect("is written");
        assert_eq!(layout.manifest(&Name::Tag(tag("a"))).expect("reads").digest, second.digest);
        assert_eq!(layout.entries().expect("reads").len(), 2, "the tag has moved");
        layout.push_manifest(&first, Some(&tag("b"))).expect("is written");
        assert!(problem(layout.only()).starts_with("has 3 entries: name one by tag or digest"));
        let read = layout.manifest(&Name::Digest(first.digest.clone())).expect("reads");
        assert_eq!(read.bytes, first.bytes);
        let missing = layout.manifest(&Name::Tag(tag("c"))).expect_err("is not there");
        assert!(missing.is_missing());
        let super::super::manifest::Content::Image { config, .. } = read.content else { panic!("an image") };
        assert_eq!(layout.blob(&config, 2).expect("reads"), EMPTY);
        assert_eq!(problem(layout.blob(&config, 1)), "it has more than 1 bytes");
    }

    #[test]
    fn nothing_in_it_is_believed() {
        let folder = tempfile::tempdir().expect("a directory");
        let dir = folder.path().join("layout");
        let layout = Layout::create(&dir).expect("is made");
        let image = manifest("1", None);
        layout.push_manifest(&image, Some(&tag("a"))).expect("is written");
        let name = Name::Digest(image.digest.clone());
        let path = layout.path(&image.digest);
        fs::write(&path, "{}").expect("is written");
        assert!(problem(layout.manifest(&name)).ends_with(&format!("{} was promised", image.digest)));
        fs::remove_file(&path).expect("is removed");
        let outside = folder.path().join("outside");
        fs::write(&outside, &image.bytes).expect("is written");
        std::os::unix::fs::symlink(&outside, &path).expect("is linked");
        assert_eq!(problem(layout.manifest(&name)), "is no plain file");
        fs::write(dir.join("index.json"), r#"{"schemaVersion":2,"manifests":[{"mediaType":"x","size":1,"digest":"sha256:../../../outside"}]}"#)
            .expect("is written");
        assert!(problem(layout.entries()).contains("digest has 16 characters after sha256:"));
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).expect("is written");
        assert_eq!(problem(Layout::open(&dir)), "imageLayoutVersion is \"2.0.0\", \"1.0.0\" is known");
    }
}
