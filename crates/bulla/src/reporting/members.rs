//! The members of an image that is an index, such as one for several platforms. What the index is is said by its own signatures,
//! as `bulla verify` judges it; what its members have is told beneath it.

use std::collections::HashSet;

use super::evidence::Blob;
use super::row::Row;
use crate::registry::{DOCKER_LIST, DOCKER_MANIFEST, Digest, Manifest, OCI_INDEX, OCI_MANIFEST};

/// A member as its index lists it.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Member {
    /// The image, by its digest.
    pub(super) image_ref: String,
    /// The same.
    pub(super) digest: Digest,
    /// What it is said to run on.
    pub(super) platform: Option<String>,
}

/// The members that are followed, each once, and how many are left out because they are too many. Of an image there are none.
pub(super) fn listed(image_ref: &str, manifest: &Manifest) -> (Vec<Member>, usize) {
    let mut seen = HashSet::new();
    let images = manifest.manifests().iter().filter(|member| {
        // What is listed there of another kind is about the images, and is no image.
        let is_image =
            [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST].contains(&member.media_type.as_str());
        is_image && member.artifact_type.is_none() && seen.insert(member.digest.clone())
    });
    let mut members: Vec<_> = images
        .map(|member| Member {
            image_ref: by_digest(image_ref, &member.digest),
            digest: member.digest.clone(),
            platform: member.platform.as_ref().map(ToString::to_string),
        })
        .collect();
    let left_out = members.len().saturating_sub(MOST);
    members.truncate(MOST);
    (members, left_out)
}

/// Compares the members that a row has with those that its index lists, which is in the row too.
pub(super) fn recheck(row: &Row, index: &Blob) -> Result<(), String> {
    let bytes = index.bytes()?;
    let digest = Digest::of(&bytes);
    if row.digest.as_deref() != Some(digest.to_string().as_str()) {
        return Err(format!("index has the digest {digest}, and not that of the image"));
    }
    let manifest = Manifest::parse(bytes, digest, None).map_err(|problem| format!("index: {problem}"))?;
    let (members, left_out) = listed(&row.image_ref, &manifest);
    let listed = members.iter().map(|member| (&member.image_ref, &member.platform));
    if !listed.eq(row.members.iter().map(|member| (&member.image_ref, &member.platform)))
        || left_out != row.members_left_out
    {
        return Err("members are not those that its index lists".to_owned());
    }
    Ok(())
}

/// The name of what lies beside an image: its repository or directory, and the digest.
fn by_digest(image_ref: &str, digest: &Digest) -> String {
    let named = image_ref.split_once('@').map_or(image_ref, |(named, _)| named);
    let (scheme, rest) = named.strip_prefix("oci:").map_or(("", named), |rest| ("oci:", rest));
    let repository = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    format!("{scheme}{}@{digest}", repository.map_or(rest, |(repository, _)| repository))
}

/// Of one index.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_named_by_digest_where_their_index_is() {
        let digest = Digest::of(b"m");
        for (index, expected) in [
            ("registry.example:5000/app:1", "registry.example:5000/app"),
            ("registry.example:5000/app", "registry.example:5000/app"),
            ("registry.example/app:1@sha256:aa", "registry.example/app"),
            ("oci:images:tag", "oci:images"),
            ("oci:images@sha256:aa", "oci:images"),
            ("oci:/a:b/images", "oci:/a:b/images"),
        ] {
            assert_eq!(by_digest(index, &digest), format!("{expected}@{digest}"), "{index}");
        }
    }

    #[test]
    fn each_image_of_an_index_is_a_member_once_and_not_too_many_are() {
        let member = |number: usize| {
            json!({
                "mediaType": OCI_MANIFEST, "size": 1, "digest": Digest::of(number.to_string().as_bytes()),
                "platform": { "os": "linux", "architecture": "arm64", "variant": "v8" },
            })
        };
        let of = |manifests: Vec<serde_json::Value>| {
            let bytes = Bytes::from(json!({ "schemaVersion": 2, "manifests": manifests }).to_string());
            let digest = Digest::of(&bytes);
            listed("oci:d:t", &Manifest::parse(bytes, digest, Some(OCI_INDEX)).expect("an index"))
        };
        let (mut artifact, mut other) = (member(3), member(4));
        artifact["artifactType"] = json!("a/b");
        other["mediaType"] = json!("text/plain");
        let (members, left_out) = of(vec![member(1), member(2), member(1), artifact, other]);
        assert_eq!((members.len(), left_out), (2, 0));
        assert_eq!(members[0].platform.as_deref(), Some("linux/arm64/v8"));
        let (members, left_out) = of((0..MOST + 3).map(member).collect());
        assert_eq!((members.len(), left_out), (MOST, 3));
    }
}
