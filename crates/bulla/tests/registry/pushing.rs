//! Writing to registries that keep a list of referrers, and to those where it has to be kept for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use crate::fake::{
    Fake, Seen, artifact, by_digest, client, client_with, credentials, index, manifest, serve, status, tag,
    with,
};
use crate::registry::{Digest, EMPTY, Listed, Manifest, Problem, Verdict};

/// A registry that keeps what it is given. `meddle` may answer in its place, or change what it has.
async fn keeping(
    meddle: impl Fn(&Seen, &mut HashMap<String, Bytes>) -> Option<Response> + Send + Sync + 'static,
) -> (Fake, Arc<Mutex<HashMap<String, Bytes>>>) {
    let kept = Arc::new(Mutex::new(HashMap::new()));
    let inside = Arc::clone(&kept);
    let fake = serve(move |seen| {
        let mut kept = inside.lock().expect("lock");
        if let Some(answer) = meddle(seen, &mut kept) {
            return answer;
        }
        let name = seen.path.rsplit('/').next().unwrap_or_default().to_owned();
        if seen.method == Method::POST {
            return with(202, "location", "/v2/team/app/blobs/uploads/1?state=a%20b");
        }
        if seen.method == Method::PUT {
            let name = name.rsplit_once("digest=").map_or(name.clone(), |(_, name)| name.replace("%3A", ":"));
            kept.insert(name, seen.body.clone());
            return with(201, "location", "/x");
        }
        match kept.get(&name) {
            Some(bytes) => {
                let etag = format!("\"{}\"", Digest::of(bytes));
                ([("etag", etag)], bytes.clone()).into_response()
            }
            None => status(404),
        }
    })
    .await;
    (fake, kept)
}

fn listed(kept: &Mutex<HashMap<String, Bytes>>, subject: &Manifest) -> Vec<Digest> {
    let kept = kept.lock().expect("lock");
    let bytes = kept.get(&subject.digest.referrers_tag()).expect("a list").clone();
    let digest = Digest::of(&bytes);
    let list = Manifest::parse(bytes, digest, None).expect("a list");
    list.manifests().iter().map(|entry| entry.digest.clone()).collect()
}

#[tokio::test]
async fn a_blob_is_sent_once() {
    let (fake, kept) = keeping(|_, _| None).await;
    let (client, repository) = (client(), fake.repository());
    let bytes = Bytes::from_static(EMPTY);
    let digest = client.push_blob(&repository, &bytes).await.expect("is written");
    client.push_blob(&repository, &bytes).await.expect("is there");
    assert_eq!(kept.lock().expect("lock")[&digest.to_string()], EMPTY);
    let escaped = digest.to_string().replace(':', "%3A");
    let head = format!("HEAD blobs/{digest}");
    assert_eq!(
        fake.asked(),
        [
            head.clone(),
            "POST blobs/uploads/".to_owned(),
            format!("PUT blobs/uploads/1?state=a%20b&digest={escaped}"),
            head
        ]
    );
}

#[tokio::test]
async fn an_upload_elsewhere_gets_no_credentials() {
    let storage = serve(|_| status(201)).await;
    let location = format!("http://{}/upload", storage.host);
    let (fake, _) = keeping(move |seen, _| match (seen.authorization(), &seen.method) {
        (None, _) => Some(with(401, "www-authenticate", "Basic realm=x")),
        (_, &Method::POST) => Some(with(202, "location", &location)),
        _ => None,
    })
    .await;
    let (_dir, password) = credentials(&fake.host, &serde_json::json!({ "username": "a", "password": "b" }));
    let client = client_with(password);
    client.push_blob(&fake.repository(), &Bytes::from_static(EMPTY)).await.expect("is written");
    let [seen] = storage.seen().try_into().expect("one request");
    assert_eq!((seen.authorization(), seen.body.as_ref()), (None, EMPTY));
}

#[tokio::test]
async fn a_registry_that_lists_is_left_to_it() {
    let image = artifact("image", None);
    let signature = artifact("signature", Some(&image));
    let subject = image.digest.to_string();
    let (fake, _) =
        keeping(move |seen, _| (seen.method == Method::PUT).then(|| with(201, "oci-subject", &subject)))
            .await;
    let (client, repository) = (client(), fake.repository());
    let pushed =
        client.push_manifest(&repository, &by_digest(&signature), &signature).await.expect("is written");
    assert_eq!((pushed.digest.clone(), pushed.listed), (signature.digest.clone(), Some(Listed::Api)));
    assert_eq!(fake.asked(), [format!("PUT manifests/{}", signature.digest)]);
    assert_eq!(fake.seen()[0].header("content-type"), Some(signature.media_type.as_str()));
    let pushed = client.push_manifest(&repository, &tag("plain"), &image).await.expect("is written");
    assert_eq!(pushed.listed, None);
    let error = client.push_manifest(&repository, &by_digest(&image), &signature).await.expect_err("another");
    assert!(matches!(error.problem(), Problem::Digest { .. }), "{error}");
}

#[tokio::test]
async fn the_list_under_a_tag_keeps_what_others_wrote() {
    let image = artifact("image", None);
    let [one, two] = ["one", "two"].map(|note| artifact(note, Some(&image)));
    let (fake, kept) = keeping(|_, _| None).await;
    let (client, repository) = (client(), fake.repository());
    let name = image.digest.referrers_tag();
    // Somebody's list, with members that we do not know.
    let theirs = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "theirs": [1],
        "manifests": [{ "mediaType": image.media_type, "digest": Digest::of(b"x"), "size": 1, "urls": ["u"] }],
    });
    let theirs = manifest(&theirs);
    kept.lock().expect("lock").insert(name.clone(), theirs.bytes.clone());
    for signature in [&one, &two, &one] {
        let pushed =
            client.push_manifest(&repository, &by_digest(signature), signature).await.expect("is written");
        assert_eq!(pushed.listed, Some(Listed::Tag));
    }
    assert_eq!(listed(&kept, &image), [Digest::of(b"x"), one.digest.clone(), two.digest.clone()]);
    let document: serde_json::Value =
        serde_json::from_slice(&kept.lock().expect("lock")[&name]).expect("JSON");
    assert_eq!((&document["theirs"][0], &document["manifests"][0]["urls"][0]), (&1.into(), &"u".into()));
    let entry = &document["manifests"][1];
    assert_eq!(entry["artifactType"], "application/vnd.example.note");
    assert_eq!(entry["annotations"]["note"], "one");
    let found = client.referrers(&repository, &image.digest).await.expect("are listed");
    assert_eq!((found.descriptors.len(), found.listed), (3, Listed::Tag));
    let conditions: Vec<_> = fake
        .seen()
        .iter()
        .filter(|seen| seen.method == Method::PUT && seen.path.ends_with(&name))
        .map(|seen| seen.header("if-match").map(str::to_owned))
        .collect();
    assert_eq!(conditions[0], Some(format!("\"{}\"", theirs.digest)), "only what was read is replaced");
    assert_eq!(conditions.len(), 2, "what is listed is not written again");
}

#[tokio::test]
async fn two_who_write_a_list_both_end_in_it() {
    let image = artifact("image", None);
    let [ours, theirs] = ["ours", "theirs"].map(|note| artifact(note, Some(&image)));
    // With conditions: theirs comes between our reading and our writing. Without: theirs takes the place of ours.
    for conditional in [true, false] {
        let name = image.digest.referrers_tag();
        let list = index(&[theirs.descriptor()]);
        let first = Mutex::new(true);
        let (fake, kept) = keeping(move |seen, kept| {
            let is_write = seen.method == Method::PUT && seen.path.ends_with(&name);
            if !is_write || !std::mem::take(&mut *first.lock().expect("lock")) {
                return None;
            }
            assert_eq!(seen.header("if-none-match"), Some("*"));
            kept.insert(name.clone(), list.bytes.clone());
            Some(status(if conditional { 412 } else { 201 }))
        })
        .await;
        let (client, repository) = (client(), fake.repository());
        client.push_manifest(&repository, &by_digest(&ours), &ours).await.expect("is written");
        assert_eq!(listed(&kept, &image), [theirs.digest.clone(), ours.digest.clone()], "{conditional}");
    }
    let name = image.digest.referrers_tag();
    let (fake, _) = keeping(move |seen, _| {
        (seen.method == Method::PUT && seen.path.ends_with(&name)).then(|| status(412))
    })
    .await;
    let error =
        client().push_manifest(&fake.repository(), &by_digest(&ours), &ours).await.expect_err("never");
    assert_eq!(error.verdict(), Verdict::Undetermined);
    assert!(error.to_string().ends_with("others changed the list of referrers 5 times meanwhile"), "{error}");
}

#[tokio::test]
async fn a_registry_that_does_not_keep_what_it_was_given_is_found_out() {
    let image = artifact("image", None);
    let other = Digest::of(b"other").to_string();
    let (fake, _) = keeping(move |seen, _| {
        (seen.method == Method::PUT).then(|| with(201, "docker-content-digest", &other))
    })
    .await;
    let error = client().push_manifest(&fake.repository(), &tag("a"), &image).await.expect_err("another");
    assert!(matches!(error.problem(), Problem::Digest { .. }), "{error}");
    for (code, verdict) in [(405, Verdict::Refused), (413, Verdict::Refused), (500, Verdict::Undetermined)] {
        let (fake, _) = keeping(move |seen, _| (seen.method != Method::HEAD).then(|| status(code))).await;
        let (client, repository) = (client(), fake.repository());
        let error = client.push_manifest(&repository, &tag("a"), &image).await.expect_err("is no success");
        assert_eq!(error.verdict(), verdict, "{error}");
        let error =
            client.push_blob(&repository, &Bytes::from_static(EMPTY)).await.expect_err("is no success");
        assert_eq!(error.verdict(), verdict, "{error}");
    }
}
