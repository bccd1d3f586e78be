//! What is named on a command line to be signed: a file, or an image with what is in it.

use std::path::PathBuf;

use super::image::Subject;
use crate::command::Failure;
use crate::command::image::failure;
use crate::named;
use crate::registry::{Client, Image, Manifest, Name, OpenError, Source};

/// What is to be signed.
pub(crate) enum Target {
    /// A file.
    File(PathBuf),
    /// An image, and with `--recursive` the members of an index after it.
    Image(Vec<Subject>),
}

/// Finds what a text names: a file, or an image in a directory or a registry. Of an image the digest is what counts from here on.
pub(crate) async fn find(text: &str, client: &Client, recursive: bool) -> Result<Target, Failure> {
    if named::is_file(text)? {
        return Ok(Target::File(PathBuf::from(text)));
    }
    let image = Image::open(text, client).map_err(|error| match error {
        OpenError::Name(problem) => Failure::usage(problem),
        OpenError::Layout(error) => Failure::usage(error),
    })?;
    let unreached = "is the registry's name right, and can it be reached from here?";
    let manifest = image.manifest().await.map_err(|error| failure(error).or(unreached))?;
    let repository = match &image.source {
        Source::Registry(_, repository) => repository.to_string(),
        Source::Layout(_) => {
            let separator = if matches!(image.name, Name::Tag(_)) { ':' } else { '@' };
            let name = format!("{separator}{}", image.name);
            image.text.strip_suffix(&name).unwrap_or(&image.text).to_owned()
        }
    };
    if matches!(image.name, Name::Tag(_)) {
        eprintln!("{} is {} now; that is what is signed.", image.text, manifest.digest);
    }
    let subject =
        |descriptor| Subject { source: image.source.clone(), descriptor, repository: repository.clone() };
    let mut subjects = vec![subject(manifest.descriptor())];
    if recursive {
        subjects.extend(members(&manifest)?.into_iter().map(subject));
    }
    Ok(Target::Image(subjects))
}

fn members(index: &Manifest) -> Result<Vec<crate::registry::Descriptor>, Failure> {
    let members = index.manifests();
    if members.len() > MOST_MEMBERS {
        let (digest, len) = (&index.digest, members.len());
        return Err(Failure::usage(format!(
            "{digest} has {len} members, at most {MOST_MEMBERS} are signed at once"
        )));
    }
    Ok(members.to_vec())
}

/// Each is an entry in a log.
const MOST_MEMBERS: usize = 100;
