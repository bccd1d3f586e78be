//! `bulla bench tags`: gives what a tag proxy knows as many tags as are asked for, to measure what their number costs. Each has
//! the record of a tag that is there, under a name that no registry can have (RFC 6761, "invalid").

use std::path::PathBuf;

use indicatif::ProgressBar;

use crate::command::Failure;
use crate::proxy::{RECORDS, Store};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Directory of a proxy that is stopped and knows a tag
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Tags it knows in the end
    #[arg(long)]
    tags: u64,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let file = args.data.join(RECORDS);
    if !file.is_file() {
        return Err(Failure::usage(format!(
            "{} is not there: pull a tag through the proxy first",
            file.display()
        )));
    }
    let store = Store::open(&file).map_err(Failure::unavailable)?;
    let real = store.names(String::new(), 1).await.map_err(Failure::unavailable)?.pop();
    let real = real.ok_or_else(|| Failure::usage(format!("{} knows no tag", file.display())))?;
    let mut known = store.count().await.map_err(Failure::unavailable)?;
    let progress = ProgressBar::new(args.tags).with_position(known).with_message("filling");
    while known < args.tags {
        let end = args.tags.min(known + A_COMMIT);
        let names = (known..end).map(|number| format!("filled.invalid/org/app:{number:010}")).collect();
        store.copy(real.clone(), names).await.map_err(Failure::unavailable)?;
        known = end;
        progress.set_position(known);
    }
    progress.finish();
    Ok(())
}

/// Tags written at once.
const A_COMMIT: u64 = 20_000;
