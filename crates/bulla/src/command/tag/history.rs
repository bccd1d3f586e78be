//! `bulla tag history`: everything that was recorded and approved of a tag. It fails if that is not one history.

use std::process::ExitCode;

use super::{Failure, Read, Reading, named};
use crate::command::{Output, say};
use crate::tags::View;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tag, such as alpine:3.20
    #[arg(value_name = "NAME:TAG")]
    tag: String,
    #[command(flatten)]
    reading: Reading,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let (tag, _) = named(&args.tag)?;
    let Read { history, moving, walked } = args.reading.read(&tag).await?;
    let view = View { tag: &tag, history: &history, moving: &moving, walked };
    say(&match args.output {
        Output::Human => view.human(),
        Output::Json => format!("{}\n", view.machine()),
    });
    if history.is_sound(&moving) {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::check(format!("the history of {tag} is not one in which the tag moved by approval")))
}
