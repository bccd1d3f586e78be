//! Which images are meant: words on a command line, lists, what a registry has, what runs in a cluster.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use bulla_claims::identity::Pattern;
use futures_util::stream::{StreamExt as _, iter};
use serde::Deserialize;

use crate::command::Failure;
use crate::command::image::{failure, open_failure};
use crate::registry::{Client, Image, Layout, Reference, Repository, Tag, is_made_of_digest, present};

// Which images.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct NamedArgs {
    /// Images: names such as ghcr.io/org/app:1.2, oci:DIR for all images of an image layout, oci:DIR:TAG for one
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// List of images, one a line, # begins a comment; - is standard input
    #[arg(long = "images", value_name = "FILE", help_heading = "Which images")]
    list: Vec<PathBuf>,
    /// Everything that a registry has, or what is below a name in it
    #[arg(long, value_name = "HOST[/NAMESPACE]", help_heading = "Which images")]
    registry: Vec<String>,
    /// Of a registry only what is called so: NAME:TAG with * for any text without a slash, ** for any text, ? for a character
    #[arg(long, value_name = "GLOB", requires = "registry", help_heading = "Which images")]
    only: Vec<String>,
    /// What runs in a cluster: what `kubectl get pods -A -o json` printed
    #[arg(long, value_name = "FILE", help_heading = "Which images")]
    cluster_dump: Vec<PathBuf>,
}

/// An image that is to be judged.
pub(crate) struct Named {
    /// Its name in full.
    pub(crate) text: String,
    /// Where it is, or why that is not known.
    pub(crate) image: Result<Image, String>,
    /// How many containers run it.
    pub(crate) uses: u64,
    /// The first of them.
    pub(crate) used_by: Vec<String>,
}

impl NamedArgs {
    /// Where the images were named, for the record.
    pub(crate) fn sources(&self) -> Vec<String> {
        let words = (!self.images.is_empty()).then(|| format!("{} on the command line", self.images.len()));
        let lists = self.list.iter().map(|file| format!("list {}", file.display()));
        let registries = self.registry.iter().map(|name| format!("registry {name}"));
        let only = self.only.iter().map(|glob| format!("only {glob}"));
        let clusters = self.cluster_dump.iter().map(|file| format!("cluster {}", file.display()));
        words.into_iter().chain(lists).chain(registries).chain(only).chain(clusters).collect()
    }
}

/// Finds all that are meant, each once, in the order in which they were named. Without a client no registry is asked.
pub(crate) async fn named(args: &NamedArgs, client: Option<&Client>) -> Result<Vec<Named>, Failure> {
    let mut all = All::default();
    for text in &args.images {
        all.word(text, client)?;
    }
    for file in &args.list {
        let text = read_text(file, LARGEST_LIST)?;
        for (number, line) in text.lines().enumerate() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |error: Failure| {
                let message = format!("{} line {}: {error}", file.display(), number + 1);
                Failure::with_code(error.code(), message)
            };
            all.word(line, client).map_err(at)?;
        }
    }
    for file in &args.cluster_dump {
        let dump = BufReader::new(open_file(file)?.take(LARGEST_DUMP));
        let dump: Dump = serde_json::from_reader(dump).map_err(|error| {
            Failure::usage(format!(
                "{}: {error}: what kubectl get pods -A -o json prints was expected",
                file.display()
            ))
        })?;
        all.cluster(&dump, client)
            .map_err(|problem| Failure::usage(format!("{}: {problem}", file.display())))?;
    }
    for name in &args.registry {
        let Some(client) = client else {
            return Err(Failure::usage(format!("--registry {name}: with --offline no registry is asked")));
        };
        all.registry(name, &args.only, client).await?;
    }
    if all.named.is_empty() {
        return Err(Failure::usage(
            "no image is named: name some, or pass --images FILE, --registry HOST/NAMESPACE or --cluster-dump FILE",
        ));
    }
    Ok(all.named)
}

#[derive(Default)]
struct All {
    named: Vec<Named>,
    places: BTreeMap<String, usize>,
}

impl All {
    /// An image, or all of a directory.
    fn word(&mut self, text: &str, client: Option<&Client>) -> Result<(), Failure> {
        if let Some(dir) =
            text.strip_prefix("oci:").map(Path::new).filter(|dir| dir.join("oci-layout").is_file())
        {
            for image in Layout::images(dir).map_err(failure)? {
                self.add(image.text.clone(), Ok(image), None)?;
            }
            return Ok(());
        }
        let image = open(text, client)?;
        self.add(image.text.clone(), Ok(image), None)
    }

    fn add(
        &mut self,
        text: String,
        image: Result<Image, String>,
        used_by: Option<String>,
    ) -> Result<(), Failure> {
        let uses = u64::from(used_by.is_some());
        if let Some(place) = self.places.get(&text) {
            let named = &mut self.named[*place];
            named.uses += uses;
            named.used_by.extend(used_by.filter(|_| named.used_by.len() < MOST_USERS));
            return Ok(());
        }
        if self.named.len() >= MOST_IMAGES {
            return Err(Failure::usage(format!(
                "more than {MOST_IMAGES} images are named: make several reports, one for each namespace"
            )));
        }
        self.places.insert(text.clone(), self.named.len());
        self.named.push(Named { text, image, uses, used_by: used_by.into_iter().collect() });
        Ok(())
    }

    fn cluster(&mut self, dump: &Dump, client: Option<&Client>) -> Result<(), Failure> {
        let mut found = 0;
        for pod in dump.pods() {
            for (container, image, image_id) in pod.containers() {
                found += 1;
                let user = format!("{}/{}/{container}", pod.metadata.namespace, pod.metadata.name);
                let text = running(image, image_id);
                // A name that cannot be read must not hide the others.
                let opened = open(&text, client).map_err(|failure| failure.to_string());
                let text = opened.as_ref().map_or(text, |image| image.text.clone());
                self.add(text, opened, Some(user))?;
            }
        }
        if found == 0 {
            return Err(Failure::usage(
                "has no pods with containers, what kubectl get pods -A -o json prints was expected",
            ));
        }
        Ok(())
    }

    async fn registry(&mut self, text: &str, only: &[String], client: &Client) -> Result<(), Failure> {
        let globs = only.iter().map(|glob| Pattern::glob(glob)).collect::<Result<Vec<_>, _>>();
        let globs = globs.map_err(|error| Failure::usage(format!("--only: {error}")))?;
        let refused = |error: &dyn std::fmt::Display| Failure::usage(format!("--registry {text}: {error}"));
        let (host, namespace) =
            text.trim_end_matches('/').split_once('/').unwrap_or((text.trim_end_matches('/'), ""));
        // A registry is asked in the name of a repository; of the whole registry none is meant.
        let asked =
            if namespace.is_empty() { format!("{host}/catalog") } else { format!("{host}/{namespace}") };
        let asked = Repository::parse(&asked).map_err(|error| refused(&error))?;
        let all = client.repositories(&asked).await.map_err(|error| {
            let fix = "not every registry lists its repositories: name the images with --images FILE";
            Failure::with_code(failure_code(&error), format!("--registry {text}: {error}; {fix}"))
        })?;
        let below = format!("{namespace}/");
        let wanted = all
            .into_iter()
            .filter(|name| namespace.is_empty() || name == namespace || name.starts_with(&below));
        let mut tags = iter(wanted.collect::<Vec<_>>()).map(|name| async move {
            let repository = Repository::parse(&format!("{host}/{name}"));
            let listed = match &repository {
                Ok(repository) => present(client.tags(repository).await).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            (name, listed)
        });
        let mut tags = tags.by_ref().buffered(AT_ONCE);
        while let Some((name, listed)) = tags.next().await {
            let mut listed = match listed {
                Ok(listed) => listed.unwrap_or_default(),
                // Nobody knows what is there: that is said, and not that there is nothing.
                Err(problem) => {
                    self.add(format!("{host}/{name}"), Err(problem), None)?;
                    continue;
                }
            };
            // Not every registry sorts them, and two reports are to be compared.
            listed.sort_unstable();
            for tag in listed.iter().filter(|tag| !is_made_of_digest(tag)) {
                let short = format!("{name}:{tag}");
                if !globs.is_empty() && !globs.iter().any(|glob| glob.matches(&short)) {
                    continue;
                }
                let opened =
                    open(&format!("{host}/{short}"), Some(client)).map_err(|error| error.to_string());
                let text =
                    opened.as_ref().map_or_else(|_| format!("{host}/{short}"), |image| image.text.clone());
                self.add(text, opened, None)?;
            }
        }
        Ok(())
    }
}

fn failure_code(error: &crate::registry::Error) -> u8 {
    match error.verdict() {
        crate::registry::Verdict::Undetermined => 3,
        crate::registry::Verdict::Missing | crate::registry::Verdict::Refused => 2,
    }
}

fn open(text: &str, client: Option<&Client>) -> Result<Image, Failure> {
    match client {
        Some(client) => Image::open(text, client).map_err(open_failure),
        None => Image::in_layout(text).map_err(open_failure)?.ok_or_else(|| {
            Failure::usage(format!(
                "{text:?} is not in a directory, oci:DIR, and with --offline no registry is asked"
            ))
        }),
    }
}

/// The name of what a container runs: as the pod names it, and with the digest that the node says it runs.
fn running(image: &str, image_id: Option<&str>) -> String {
    let digest = image_id.and_then(|id| id.rsplit_once('@')).map(|(_, digest)| digest);
    let Some(digest) = digest.filter(|digest| digest.starts_with("sha256:")) else { return image.to_owned() };
    match image.parse::<Reference>() {
        Ok(reference) if reference.digest().is_none() => {
            let tag = reference.tag().map_or("latest", Tag::as_str);
            format!("{}:{tag}@{digest}", reference.repository())
        }
        _ => image.to_owned(),
    }
}

/// A list of pods, or one pod. What else there is in it is passed over.
#[derive(Deserialize)]
struct Dump {
    #[serde(default)]
    items: Vec<Pod>,
    #[serde(flatten)]
    alone: Pod,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodStatus {
    #[serde(rename = "containerStatuses")]
    containers: Vec<Container>,
    #[serde(rename = "initContainerStatuses")]
    init: Vec<Container>,
    #[serde(rename = "ephemeralContainerStatuses")]
    ephemeral: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Container {
    name: String,
    image: String,
    #[serde(rename = "imageID")]
    image_id: Option<String>,
}

impl Dump {
    fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.items.iter().chain([&self.alone])
    }
}

impl Pod {
    /// Name, image, and what the node says that it is, of all containers.
    fn containers(&self) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
        let (spec, status) = (&self.spec, &self.status);
        let kinds = [
            (&spec.init_containers, &status.init),
            (&spec.containers, &status.containers),
            (&spec.ephemeral_containers, &status.ephemeral),
        ];
        kinds.into_iter().flat_map(|(containers, statuses)| {
            containers.iter().filter(|container| !container.image.is_empty()).map(|container| {
                let status = statuses.iter().find(|status| status.name == container.name);
                let id = status.and_then(|status| status.image_id.as_deref());
                (container.name.as_str(), container.image.as_str(), id)
            })
        })
    }
}

/// A file, or standard input.
fn open_file(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(stdin().lock()));
    }
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()));
    Ok(Box::new(File::open(file).map_err(failed)?))
}

fn read_text(file: &Path, most: u64) -> Result<String, Failure> {
    let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", file.display()));
    let mut text = String::new();
    open_file(file)?.take(most + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > most {
        return Err(failed(&format!("has more than {most} bytes")));
    }
    Ok(text)
}

const MOST_IMAGES: usize = 100_000;
const MOST_USERS: usize = 5;
const AT_ONCE: usize = 8;
const LARGEST_LIST: u64 = 64 << 20;
const LARGEST_DUMP: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn what_runs_is_named_as_the_pod_names_it_by_the_digest_that_the_node_says() {
        let id = |prefix: &str| format!("{prefix}registry.example/mirror/app@{D}");
        for (image, image_id, expected) in [
            ("registry.example/app:1", Some(id("")), format!("registry.example/app:1@{D}")),
            ("registry.example/app:1", Some(id("docker-pullable://")), format!("registry.example/app:1@{D}")),
            ("app", Some(id("")), format!("docker.io/library/app:latest@{D}")),
            // The identity of what was loaded by hand is that of no manifest.
            ("registry.example/app:1", Some(format!("docker://{D}")), "registry.example/app:1".to_owned()),
            ("registry.example/app:1", None, "registry.example/app:1".to_owned()),
            ("NOT A NAME", Some(id("")), "NOT A NAME".to_owned()),
        ] {
            assert_eq!(running(image, image_id.as_deref()), expected, "{image}");
        }
    }

    #[test]
    fn all_containers_of_a_pod_are_found() {
        let pod = r#"{"kind":"Pod","metadata":{"namespace":"n","name":"p"},"spec":{"containers":[{"name":"a","image":"x"}],
            "initContainers":[{"name":"i","image":"y"}],"ephemeralContainers":[{"name":"e","image":"z"}]},
            "status":{"containerStatuses":[{"name":"a","image":"x","imageID":"x@sha256:1"}]}}"#;
        for text in [pod.to_owned(), format!(r#"{{"kind":"List","items":[{pod},{{"kind":"Node"}}]}}"#)] {
            let dump: Dump = serde_json::from_str(&text).expect("reads");
            let found: Vec<_> = dump.pods().flat_map(Pod::containers).collect();
            assert_eq!(found, [("i", "y", None), ("a", "x", Some("x@sha256:1")), ("e", "z", None)]);
        }
    }
}
