//! `bulla bench fill`: makes a large log without checking a signature, to measure what size alone costs.
//! The entries look like real ones and are not; so only a directory that this command began is filled.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use indicatif::ProgressBar;

use super::prepare::{self, Api};
use crate::command::Failure;
use crate::home::{self, Absent, Home};
use crate::service::running::{How, Running};

/// The file that says that a log is made up.
const MARK: &str = "synthetic";
/// Entries under way at a time.
const AT_ONCE: usize = 2_000;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: home::Args,
    /// Entries the log has in the end
    #[arg(long)]
    entries: u64,
    /// Of which door the entries are
    #[arg(long, value_enum, default_value_t = Api::V2)]
    api: Api,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::find(&args.home, Absent::Create)?;
    let mark = home.dir().join(MARK);
    let data = home.dir().to_owned();
    if home.is_new() {
        std::fs::write(&mark, "made by bulla bench fill: nothing in this log was ever signed\n")
            .map_err(Failure::unavailable)?;
    } else if !mark.exists() {
        return Err(Failure::usage(format!("{} is a real log, it is not filled", data.display())));
    }
    let running = Running::start(home, "stop that one first", How::default()).await?;
    let log = running.active();
    let first = log.reader().published().size;
    let progress = ProgressBar::new(args.entries).with_position(first).with_message("filling");
    let keys: Vec<String> = (0..16_u64).map(|key| self::key(args.api, key)).collect();
    let adds = (first..args.entries).map(|number| {
        let (log, entry) = (log.clone(), entry(args.api, number, &keys[(number % 16) as usize]));
        async move { log.add(entry).await }
    });
    let mut adds = futures_util::stream::iter(adds).buffer_unordered(AT_ONCE);
    while let Some(added) = adds.next().await {
        added.map_err(Failure::unavailable)?;
        progress.inc(1);
    }
    drop(adds);
    running.stop().await.map_err(Failure::unavailable)?;
    progress.finish();
    Ok(())
}

/// A key as entries have it; the point on the curve is noise.
fn key(api: Api, number: u64) -> String {
    let raw = noise(u64::MAX - number, 91);
    match api {
        Api::V2 => STANDARD.encode(raw),
        Api::V1 => STANDARD.encode(bulla_claims::keys::pem("PUBLIC KEY", &raw)),
    }
}

/// An entry of about 490 or 560 bytes whose digest and signature are noise.
fn entry(api: Api, number: u64, key: &str) -> Bytes {
    let signature = STANDARD.encode(noise(!number, 71));
    if api == Api::V1 {
        return Bytes::from(prepare::v1_entry(&noise(number, 32), &signature, key));
    }
    let digest = STANDARD.encode(noise(number, 32));
    Bytes::from(format!(
        "{{\"apiVersion\":\"0.0.2\",\"kind\":\"hashedrekord\",\"spec\":{{\"hashedRekordV002\":{{\"data\":{{\
         \"algorithm\":\"SHA2_256\",\"digest\":\"{digest}\"}},\"signature\":{{\"content\":\"{signature}\",\
         \"verifier\":{{\"keyDetails\":\"PKIX_ECDSA_P256_SHA_256\",\"publicKey\":{{\"rawBytes\":\"{key}\"}}}}}}}}}}}}"
    ))
}

/// `len` bytes that nothing compresses, the same for the same number.
pub(super) fn noise(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 32);
    for part in 0_u8.. {
        if bytes.len() >= len {
            break;
        }
        bytes.extend_from_slice(digest(&SHA256, &[&number.to_be_bytes()[..], &[part]].concat()).as_ref());
    }
    bytes.truncate(len);
    bytes
}
