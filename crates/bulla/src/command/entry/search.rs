//! `bulla entry search`: the names of entries, as the log's index has them. An index proves nothing; `bulla entry verify`
//! checks what it names.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::HashAlgorithm;
use bulla_rekor::client::v1::{Search, SearchKey};
use serde_json::json;

use super::super::Output;
use super::super::{Failure, say};
use crate::materials::{LARGEST_KEY, digest_of, named_digest, read};
use crate::server::{self, failure};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: server::Args,
    /// What was signed, by its SHA-256
    #[arg(long, value_name = "FILE|URL", conflicts_with = "digest")]
    artifact: Option<String>,
    /// A digest: sha1, sha256, sha384 or sha512 in hex, with or without its name and a colon before it
    #[arg(long, value_name = "DIGEST", value_parser = named_digest)]
    digest: Option<String>,
    /// A public key or certificate
    #[arg(long, value_name = "FILE|URL")]
    public_key: Option<String>,
    /// Its form
    #[arg(long, value_name = "FORMAT", default_value = "x509", value_parser = ["x509", "pgp", "minisign", "ssh", "tuf"])]
    pki_format: String,
    /// An e-mail address in a certificate or key
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Any other subject of a certificate, such as the address of a workflow
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Whether all that is given must be found in an entry, or any of it
    #[arg(long, value_name = "HOW", default_value = "or", value_parser = ["and", "or"])]
    operator: String,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut query = Search { hash: args.digest.clone(), ..Search::default() };
    if let Some(artifact) = &args.artifact {
        query.hash = Some(format!("sha256:{}", digest_of(artifact, HashAlgorithm::Sha256).await?));
    }
    if let Some(key) = &args.public_key {
        let content = STANDARD.encode(read(key, LARGEST_KEY).await?);
        query.public_key = Some(SearchKey { format: args.pki_format.clone(), content });
    }
    (query.email, query.subject) = (args.email.clone(), args.subject.clone());
    if query.hash.is_none() && query.public_key.is_none() && query.email.is_none() && query.subject.is_none()
    {
        return Err(Failure::usage(
            "nothing to look for: pass --artifact, --digest, --public-key, --email or --subject",
        ));
    }
    query.operator = Some(args.operator.clone());
    let server = args.server.open()?;
    let found = server.client.search(&query).await.map_err(failure)?;
    match args.output {
        Output::Human => found.iter().for_each(|id| say(&format!("{id}\n"))),
        Output::Json => {
            let ids: Vec<_> = found.iter().map(ToString::to_string).collect();
            say(&format!("{:#}\n", json!({ "entries": ids })));
        }
    }
    if found.is_empty() { Err(Failure::check("no entry was found")) } else { Ok(ExitCode::SUCCESS) }
}
