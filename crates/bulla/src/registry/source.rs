//! Where an image is read from, and its signatures are written to: a registry, or a directory. Signing and verification do
//! not care which.

use std::path::Path;

use bytes::Bytes;

use super::client::Client;
use super::digest::Digest;
use super::error::Error;
use super::layout::Layout;
use super::manifest::{Descriptor, Manifest};
use super::reference::{Name, Reference, Repository, Tag};
use super::referrers::Referrers;

/// A repository, or a directory of images.
#[derive(Clone)]
pub(crate) enum Source {
    /// In a registry.
    Registry(Client, Repository),
    /// On the disk.
    Layout(Layout),
}

/// An image that was named on a command line.
#[derive(Clone)]
pub(crate) struct Image {
    /// Where it is.
    pub(crate) source: Source,
    /// Which it is there.
    pub(crate) name: Name,
    /// Its name in full.
    pub(crate) text: String,
}

/// Why there is no image to read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// What was given names none.
    #[error("{0}")]
    Name(String),
    /// The directory cannot be used.
    #[error(transparent)]
    Layout(Error),
}

impl Image {
    /// Finds what is meant by `[HOST/]NAME[:TAG][@DIGEST]`, or by `oci:DIR[:TAG|@DIGEST]`. Asks no registry.
    pub(crate) fn open(text: &str, client: &Client) -> Result<Self, OpenError> {
        if let Some(image) = Self::in_layout(text)? {
            return Ok(image);
        }
        let reference: Reference = text
            .parse()
            .map_err(|error: super::reference::ReferenceError| OpenError::Name(error.to_string()))?;
        let source = Source::Registry(client.clone(), reference.repository().clone());
        Ok(Self { source, name: reference.name(), text: reference.to_string() })
    }

    /// Finds what is meant by `oci:DIR[:TAG|@DIGEST]`. None if the text does not name a directory.
    pub(crate) fn in_layout(text: &str) -> Result<Option<Self>, OpenError> {
        let Some(rest) = text.strip_prefix(LAYOUT) else { return Ok(None) };
        let refused = |problem: String| OpenError::Name(format!("image {text:?}: {problem}"));
        // A directory may have a colon in its path, a tag has no slash.
        let tagged = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        let (dir, name) = if let Some((dir, digest)) = rest.split_once("@sha") {
            let digest = format!("sha{digest}").parse();
            let digest = digest.map_err(|error: super::digest::DigestError| refused(error.to_string()))?;
            (dir, Some(Name::Digest(digest)))
        } else if let Some((dir, tag)) = tagged {
            (dir, Some(Name::Tag(Tag::parse(tag).map_err(refused)?)))
        } else {
            (rest, None)
        };
        let layout = Layout::open(Path::new(dir)).map_err(OpenError::Layout)?;
        let name = name.map_or_else(|| layout.only(), Ok).map_err(OpenError::Layout)?;
        let separator = if matches!(name, Name::Tag(_)) { ':' } else { '@' };
        let text = format!("{LAYOUT}{dir}{separator}{name}");
        Ok(Some(Self { source: Source::Layout(layout), name, text }))
    }

    /// Reads its manifest, or its index.
    pub(crate) async fn manifest(&self) -> Result<Manifest, Error> {
        self.source.manifest(&self.name).await
    }
}

impl Source {
    /// Reads a manifest or an index of at most 4 MiB; its digest holds.
    pub(crate) async fn manifest(&self, name: &Name) -> Result<Manifest, Error> {
        match self {
            Self::Registry(client, repository) => client.manifest(repository, name).await,
            Self::Layout(layout) => layout.manifest(name),
        }
    }

    /// Reads a blob of at most `most` bytes; its size and digest hold.
    pub(crate) async fn blob(&self, descriptor: &Descriptor, most: u64) -> Result<Bytes, Error> {
        match self {
            Self::Registry(client, repository) => client.blob(repository, descriptor, most).await,
            Self::Layout(layout) => layout.blob(descriptor, most),
        }
    }

    /// Lists what refers to a manifest. Empty means that there is nothing; not to know is an error.
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Referrers, Error> {
        match self {
            Self::Registry(client, repository) => client.referrers(repository, subject).await,
            Self::Layout(layout) => layout.referrers(subject),
        }
    }

    /// Writes a blob, unless it is there.
    pub(crate) async fn push_blob(&self, bytes: &Bytes) -> Result<Digest, Error> {
        match self {
            Self::Registry(client, repository) => client.push_blob(repository, bytes).await,
            Self::Layout(layout) => layout.push_blob(bytes),
        }
    }

    /// Writes a manifest that refers to another, by its digest. In a directory it is found by what it refers to and not
    /// listed, as cosign has it: what is listed there are images.
    pub(crate) async fn push_referrer(&self, manifest: &Manifest) -> Result<(), Error> {
        match self {
            Self::Registry(client, repository) => {
                let name = Name::Digest(manifest.digest.clone());
                client.push_manifest(repository, &name, manifest).await.map(drop)
            }
            Self::Layout(layout) => layout.push_blob(&manifest.bytes).map(drop),
        }
    }
}

const LAYOUT: &str = "oci:";
