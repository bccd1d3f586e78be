//! `bulla image`: what lies under the name of an image, in a registry or in a directory.

use std::process::ExitCode;

use serde_json::json;

use super::{Failure, Output, say};
use crate::registry::{
    Args as RegistryArgs, Content, Error, Image, Listed, Manifest, OpenError, Platform, Problem, Referrers,
    Verdict,
};
use crate::text::{line, printable};

/// What can be done.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show what a name stands for: digest, platforms, and what refers to it, such as signatures
    Show(Show),
}

#[derive(clap::Args)]
pub(crate) struct Show {
    /// Name such as ghcr.io/org/app:1.2 or alpine@sha256:…, or oci:DIR or oci:DIR:TAG for an image layout
    image: String,
    #[command(flatten)]
    registry: RegistryArgs,
    /// What it looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    let Command::Show(Show { image, registry, output }) = command;
    let client = registry.client().map_err(Failure::usage)?;
    let image = Image::open(&image, &client).map_err(open_failure)?;
    let manifest = image.manifest().await.map_err(failure)?;
    let platforms = platforms(&image, &manifest).await.map_err(failure)?;
    let referrers = image.source.referrers(&manifest.digest).await.map_err(failure)?;
    let text = match output {
        Output::Human => human(&image, &manifest, &platforms, &referrers),
        Output::Json => machine(&image, &manifest, &platforms, &referrers),
    };
    say(&text);
    Ok(ExitCode::SUCCESS)
}

/// Why a name stands for no image, as the end of a command.
pub(crate) fn open_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Name(problem) => Failure::usage(problem),
        OpenError::Layout(error) => Failure::usage(error),
    }
}

/// What went wrong with an image, as the end of a command.
pub(crate) fn failure(error: Error) -> Failure {
    match (error.verdict(), error.problem()) {
        (Verdict::Undetermined, _) => Failure::unavailable(error),
        (_, Problem::Unauthorized(_) | Problem::Credentials(_)) => Failure::usage(error),
        (Verdict::Missing | Verdict::Refused, _) => Failure::check(error),
    }
}

/// What it runs on: an index says it of its manifests, a manifest's config of itself. With the digest of each.
async fn platforms(image: &Image, manifest: &Manifest) -> Result<Vec<(Platform, String)>, Error> {
    match &manifest.content {
        Content::Index(manifests) => {
            let known = manifests.iter().filter_map(|entry| Some((entry.platform.clone()?, &entry.digest)));
            // Builders list attestations under a platform that is none.
            let real = known.filter(|(platform, _)| platform.os != "unknown");
            Ok(real.map(|(platform, digest)| (platform, digest.to_string())).collect())
        }
        Content::Image { config, .. } if CONFIGS.contains(&config.media_type.as_str()) => {
            let config = image.source.blob(config, LARGEST_CONFIG).await?;
            let platform: Option<Platform> = serde_json::from_slice(&config).ok();
            Ok(platform.into_iter().map(|platform| (platform, manifest.digest.to_string())).collect())
        }
        Content::Image { .. } => Ok(Vec::new()),
    }
}

fn human(
    image: &Image,
    manifest: &Manifest,
    platforms: &[(Platform, String)],
    Referrers { descriptors, listed }: &Referrers,
) -> String {
    let mut text = String::new();
    line(&mut text, "image", &image.text);
    line(&mut text, "digest", &manifest.digest);
    line(&mut text, "media type", &manifest.media_type);
    line(&mut text, "size", format_args!("{} bytes", manifest.bytes.len()));
    if let Some(subject) = &manifest.subject {
        line(&mut text, "refers to", &subject.digest);
    }
    for (platform, digest) in platforms {
        line(&mut text, "platform", format_args!("{}  {digest}", printable(&platform.to_string())));
    }
    for entry in descriptors {
        let artifact_type = entry.artifact_type.as_deref().unwrap_or("of no type");
        line(&mut text, "referrer", format_args!("{}  {}", entry.digest, printable(artifact_type)));
    }
    let by = match listed {
        Listed::Api => "the registry",
        Listed::Tag => "the tag that whoever pushes keeps",
        Listed::Search => "a search of the directory",
    };
    line(&mut text, "referrers", format_args!("{}, not verified, says {by}", descriptors.len()));
    text
}

fn machine(
    image: &Image,
    manifest: &Manifest,
    platforms: &[(Platform, String)],
    Referrers { descriptors, listed }: &Referrers,
) -> String {
    let platform =
        |(platform, digest): &(Platform, String)| json!({ "platform": platform, "digest": digest });
    let document = json!({
        "image": image.text,
        "digest": manifest.digest,
        "mediaType": manifest.media_type,
        "size": manifest.bytes.len(),
        "artifactType": manifest.artifact_type,
        "subject": manifest.subject,
        "platforms": platforms.iter().map(platform).collect::<Vec<_>>(),
        "referrers": descriptors,
        "referrersListedBy": listed.name(),
    });
    format!("{document:#}\n")
}

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const LARGEST_CONFIG: u64 = 4 << 20;
