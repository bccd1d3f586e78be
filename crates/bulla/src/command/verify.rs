//! `bulla verify` and `bulla verify-attestation`: who signed a file or an image, by every signature that it has.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use aws_lc_rs::digest::{Context, SHA256};
use bulla_claims::attestation::WantedType;
use bulla_claims::judge::{Artifact, Content, MAX_BUNDLE, Verdict, verdict};
use bulla_claims::policy::PredicatePolicy;
use bulla_tlog::{Hash, sha256};

use super::image::{failure, open_failure};
use super::sign::beside;
use super::{Failure, say};
use crate::home::unix_now;
use crate::named;
use crate::registry::{Client, Image, Name, Reference, Source, present};
use crate::target::read_small;
use crate::verification::{Answer, Args as Verification, Asked, Found, NO_IMAGE, OTHER, Policies, Report};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    verification: Verification,
}

#[derive(clap::Args)]
pub(crate) struct AttestationArgs {
    /// What must be stated: slsaprovenance, slsaprovenance1, spdx, cyclonedx, vuln, openvex, link, custom, or the URI of a type
    #[arg(long = "type", value_name = "TYPE")]
    predicate_type: String,
    #[command(flatten)]
    policies: Policies,
    #[command(flatten)]
    verification: Verification,
}

pub(crate) async fn signature(args: Args) -> Result<ExitCode, Failure> {
    run(args.verification, Content::Signature, Vec::new()).await
}

pub(crate) async fn attestation(args: AttestationArgs) -> Result<ExitCode, Failure> {
    let wanted = WantedType::parse(&args.predicate_type)
        .map_err(|error| Failure::usage(format!("--type: {error}")))?;
    let policies = args.policies.read()?;
    run(args.verification, Content::Attestation(wanted), policies).await
}

async fn run(
    args: Verification,
    content: Content,
    policies: Vec<PredicatePolicy>,
) -> Result<ExitCode, Failure> {
    if args.output != Answer::Cosign {
        return answered(&args, content, policies).await;
    }
    answered(&args, content, policies).await.map_err(|failure| {
        let code = if failure.code() > 3 { failure.code() } else { OTHER };
        Failure::with_code(code, failure.to_string())
    })
}

async fn answered(
    args: &Verification,
    content: Content,
    policies: Vec<PredicatePolicy>,
) -> Result<ExitCode, Failure> {
    let asked = Asked { policies, ..args.read(content).await? };
    let file = Path::new(&args.subject);
    let is_file = named::is_file(&args.subject)?;
    let (mut found, digest, moved) = if is_file || args.bundle.is_some() {
        if args.output == Answer::Cosign {
            return Err(Failure::usage("--output cosign is for images: of files cosign prints nothing"));
        }
        let (found, hash) = of_file(args.bundle.as_deref(), file, &asked)?;
        (found, Some(format!("sha256:{hash}")), Vec::new())
    } else {
        let client = if args.offline { None } else { Some(args.registry.client().map_err(Failure::usage)?) };
        let image = open(&args.subject, client.as_ref())?;
        match image.manifest().await.map_err(failure) {
            Ok(manifest) => {
                let moved = moved(&args.subject, &image, client.as_ref()).await;
                let found = Found::of_image(&image, &manifest, &asked, unix_now()).await;
                (found, Some(manifest.digest.to_string()), moved)
            }
            // Whoever reads an answer shall find one.
            Err(busy) if busy.is_unavailable() && args.output != Answer::Human => {
                (Found::nothing(args.subject.clone(), busy.to_string()), None, Vec::new())
            }
            Err(missing) if missing.is_check() && asked.policy.content == Content::Signature => {
                let code = if args.output == Answer::Cosign { NO_IMAGE } else { missing.code() };
                return Err(Failure::with_code(code, missing.to_string()));
            }
            Err(failure) => return Err(failure),
        }
    };
    let unproved = asked.heads.weigh(&mut found, &asked.root, &asked.logs).await?;
    let about = digest.as_deref().and_then(|digest| Hash::from_hex(digest.strip_prefix("sha256:")?));
    let unseen = asked.revocations.weigh(&mut found, about, &asked.policy, &asked.root).await;
    let judged = found.candidates.iter().map(|candidate| &candidate.judged);
    let verdict = verdict(&asked.requires, judged, found.unread.len());
    let report = Report {
        subject: &args.subject,
        digest,
        content: &asked.policy.content,
        need: asked.need,
        verdict,
        found: &found,
        notes: asked.notes.iter().cloned().chain(moved).chain(unproved).chain(unseen).collect(),
        explain: args.explain.then(|| args.explained(&asked.policy.keys)),
    };
    say(&match args.output {
        Answer::Human => report.human(),
        Answer::Json => report.machine(),
        Answer::Sarif => report.sarif(),
        Answer::Junit => report.junit(),
        Answer::Cosign => report.cosign(),
    });
    if args.output == Answer::Cosign && verdict != Verdict::Verified {
        let code = report.cosign_code(!asked.policy.keys.is_empty());
        return Err(Failure::with_code(code, report.problem()));
    }
    match verdict {
        Verdict::Verified => Ok(ExitCode::SUCCESS),
        Verdict::NotVerified => Err(Failure::check(report.problem())),
        Verdict::Undetermined => Err(Failure::unavailable(report.problem())),
    }
}

/// The image that is meant. Without a client it is in a directory.
fn open(text: &str, client: Option<&Client>) -> Result<Image, Failure> {
    match client {
        Some(client) => Image::open(text, client).map_err(open_failure),
        None => Image::in_layout(text).map_err(open_failure)?.ok_or_else(|| {
            Failure::usage(format!(
                "{text:?} is neither a file nor oci:DIR, and with --offline no registry is asked"
            ))
        }),
    }
}

/// A name with a tag and a digest means the digest. Whoever wrote both may want to know that they have come apart.
async fn moved(text: &str, image: &Image, client: Option<&Client>) -> Vec<String> {
    let (Source::Registry(_, repository), Some(client)) = (&image.source, client) else { return Vec::new() };
    let Ok(reference) = text.parse::<Reference>() else { return Vec::new() };
    let (Some(tag), Some(digest)) = (reference.tag(), reference.digest()) else { return Vec::new() };
    let tagged = client.manifest(repository, &Name::Tag(tag.clone())).await;
    match present(tagged) {
        Ok(Some(manifest)) if manifest.digest == *digest => Vec::new(),
        Ok(Some(manifest)) => {
            vec![format!("tag {} is another image now, {}: the digest counts", tag.as_str(), manifest.digest)]
        }
        Ok(None) => vec![format!("tag {} is gone: the digest counts", tag.as_str())],
        Err(error) => vec![format!("what tag {} is now is not known: {error}", tag.as_str())],
    }
}

/// Judges the bundle of a file, which lies beside it unless another is named.
pub(super) fn of_file(bundle: Option<&Path>, file: &Path, asked: &Asked) -> Result<(Found, Hash), Failure> {
    let suffix =
        if asked.policy.content == Content::Signature { ".sigstore.json" } else { ".att.sigstore.json" };
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()));
    let mut rest = File::open(file).map_err(failed)?;
    let bundle = beside(file, bundle, suffix);
    let bytes = read_small(&bundle, MAX_BUNDLE as u64)?;
    let mut content = Vec::new();
    (&mut rest).take(IN_MEMORY).read_to_end(&mut content).map_err(failed)?;
    let (artifact, hash);
    if (content.len() as u64) < IN_MEMORY {
        hash = sha256(&content);
        artifact = Artifact::Bytes(&content);
    } else {
        hash = streamed(&content, rest).map_err(failed)?;
        artifact = Artifact::Sha256(hash);
    }
    Ok((Found::of_file(bundle.display().to_string(), &bytes, &artifact, asked, unix_now()), hash))
}

/// The SHA-256 of what was read and what is to come.
fn streamed(begin: &[u8], mut rest: File) -> std::io::Result<Hash> {
    let mut context = Context::new(&SHA256);
    context.update(begin);
    let mut chunk = vec![0; 1 << 16];
    loop {
        match rest.read(&mut chunk)? {
            0 => break,
            read => context.update(&chunk[..read]),
        }
    }
    let mut hash = Hash([0; 32]);
    hash.0.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

/// Files that are larger are hashed as they are read; signatures of plain Ed25519 keys cannot be verified so.
const IN_MEMORY: u64 = 16 << 20;
