//! Reads a static CT log with what two other teams made for that: `static_ct_api` takes the data tiles apart and builds the tree,
//! `luct` fetches, judges the promises (SCT) in certificates, and proves from tiles that they were kept.
//!
//! ```text
//! static-ct-reader URL KEY CHAINS [NAME]
//! ```
//!
//! URL is where the log is read, KEY its public key (PEM), CHAINS a folder of certificates with their issuers (PEM, `*.pem`). NAME
//! is the URL that the log calls itself by, if that has no port: luct's own fetching knows no names with ports.

use std::error::Error;
use std::path::Path;
use std::process::exit;
use std::{env, fs};

use luct_client::reqwest::ReqwestClient;
use luct_core::CertificateChain;
use reqwest::{Client, Url};

mod promises;
mod tree;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The log as it is addressed.
struct Log {
    /// Ends with a slash.
    url: Url,
    key: String,
    http: Client,
}

impl Log {
    async fn fetch(&self, path: &str) -> Outcome<(String, Vec<u8>)> {
        let answer = self.http.get(self.url.join(path)?).send().await?.error_for_status()?;
        let kind = answer.headers().get("content-type").ok_or("no media type")?.to_str()?.to_owned();
        Ok((kind, answer.bytes().await?.to_vec()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (Some([url, key, chains]), name) = (arguments.first_chunk(), arguments.get(3)) else {
        eprintln!("usage: static-ct-reader URL KEY CHAINS [NAME]");
        exit(2);
    };
    if let Err(error) = run(url, key, chains, name.map(String::as_str)).await {
        println!("not ok - the log is read to its end: {}", error.to_string().replace('\n', " "));
        exit(1);
    }
}

async fn run(url: &str, key: &str, chains: &str, name: Option<&str>) -> Outcome {
    // Why a tile was not fetched luct says here alone.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    // The first of luct's clients installs the crypto that others then find.
    let _luct = ReqwestClient::new("luct");
    let log = Log {
        url: Url::parse(&format!("{}/", url.trim_end_matches('/')))?,
        key: fs::read_to_string(key)?,
        http: Client::new(),
    };
    let chains = read_chains(Path::new(chains))?;
    let named = name.map_or_else(|| Ok(log.url.clone()), |name| Url::parse(&format!("{name}/")))?;
    let tree = tree::read(&log, &named).await?;
    promises::judged(&log, &named, &chains, &tree)?;
    if name.is_some() {
        promises::proved(&log, &named, &chains).await?;
    }
    Ok(())
}

fn read_chains(folder: &Path) -> Outcome<Vec<(String, CertificateChain)>> {
    let mut chains = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let chain = CertificateChain::from_pem_chain(&fs::read_to_string(&path)?)?;
            chains.push((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), chain));
        }
    }
    chains.sort_by(|(one, _), (other, _)| one.cmp(other));
    if chains.is_empty() { Err("no certificates to look for".into()) } else { Ok(chains) }
}
