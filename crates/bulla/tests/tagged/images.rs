//! A registry whose tags a test moves, and in whose place it may answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use axum::response::Response;
use serde_json::json;

use crate::fake::{self, Fake, Seen, artifact, serve, served, status};
use crate::registry::{Manifest, OCI_INDEX};

/// See the module.
pub(crate) struct Images {
    pub(crate) fake: Fake,
    kept: Arc<Mutex<HashMap<String, Manifest>>>,
    meddling: Arc<Mutex<Meddle>>,
}

/// What answers in place of the registry, if it does.
type Meddle = Box<dyn Fn(&Seen) -> Option<Response> + Send + Sync>;

impl Images {
    /// A registry with nothing.
    pub(crate) async fn open() -> Self {
        let kept = Arc::new(Mutex::new(HashMap::<String, Manifest>::new()));
        let meddling: Arc<Mutex<Meddle>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let (inside, meddle) = (Arc::clone(&kept), Arc::clone(&meddling));
        let fake = serve(move |seen| {
            let answer = (meddle.lock().expect("lock"))(seen);
            answer.unwrap_or_else(|| {
                let name = seen.path.split('?').next().and_then(|path| path.rsplit('/').next());
                let kept = inside.lock().expect("lock");
                let found = kept.get(name.unwrap_or_default()).filter(|_| seen.path.contains("/manifests/"));
                found.map_or_else(|| status(404), served)
            })
        })
        .await;
        Self { fake, kept, meddling }
    }

    /// From now on that answers, where it does.
    pub(crate) fn meddle(&self, meddle: impl Fn(&Seen) -> Option<Response> + Send + Sync + 'static) {
        *self.meddling.lock().expect("lock") = Box::new(meddle);
    }

    /// From now on it answers everything with that status.
    pub(crate) fn always(&self, code: u16) {
        self.meddle(move |_| Some(status(code)));
    }

    /// Nobody meddles any more.
    pub(crate) fn honest(&self) {
        self.meddle(|_| None);
    }

    /// Points a tag to a manifest; returns its digest.
    pub(crate) fn put(&self, tag: &str, manifest: &Manifest) -> String {
        let mut kept = self.kept.lock().expect("lock");
        let digest = manifest.digest.to_string();
        kept.insert(tag.to_owned(), manifest.clone());
        kept.insert(digest.clone(), manifest.clone());
        digest
    }

    /// Points a tag to an artifact with that note; returns its digest.
    pub(crate) fn tag(&self, tag: &str, note: &str) -> String {
        self.put(tag, &artifact(note, None))
    }

    /// Points a tag to an index of artifacts with these notes; returns its digest and theirs.
    pub(crate) fn index(&self, tag: &str, notes: &[&str]) -> (String, Vec<String>) {
        let members: Vec<_> = notes.iter().map(|note| artifact(note, None)).collect();
        let digests = members.iter().map(|member| self.put(&member.digest.to_string(), member)).collect();
        let entries: Vec<_> = members.iter().map(Manifest::descriptor).collect();
        let index =
            fake::manifest(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries }));
        (self.put(tag, &index), digests)
    }

    /// The name of a tag of `team/app` here.
    pub(crate) fn name(&self, tag: &str) -> String {
        format!("{}/team/app:{tag}", self.fake.host)
    }

    /// How often something was asked for, `manifests/1` such as it.
    pub(crate) fn asked(&self, method: &Method, rest: &str) -> usize {
        self.fake.asked().iter().filter(|asked| **asked == format!("{method} {rest}")).count()
    }
}
