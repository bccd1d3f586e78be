//! `bulla trust rotate`: replaces the key of an authority without anybody having to stop. The new key is made here, by whoever
//! holds the key of the root; the server tells clients of it, and puts it in force when they had time to learn of it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{Failure, Output, say};
use crate::home::password_in;
use crate::service::authorities::report::{self, Signing};
use crate::service::authorities::rotation::Taken;
use crate::service::authorities::staging::{self, Means, Rotated};
use crate::service::control::{self, Order};
use crate::text;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Whose key to replace
    #[arg(value_enum, value_name = "WHOSE", required_unless_present = "list")]
    whose: Option<Rotated>,
    /// Show what each authority signs with, since when and until when, and what is staged
    #[arg(long, conflicts_with = "whose")]
    list: bool,
    /// Directory that holds the log and its authorities; they may be running
    #[arg(long, value_name = "DIR", default_value = "bulla-data")]
    data: PathBuf,
    /// Private key of the root, when it was taken away from DIR/offline; for tuf that of the repository's root, again for each
    #[arg(long, value_name = "FILE")]
    root_key: Vec<PathBuf>,
    /// File with its password
    #[arg(long, value_name = "FILE")]
    root_key_password_file: Option<PathBuf>,
    /// How long clients know the new key before it signs, counted from when they are told; 0s at once [default: 3d]
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    overlap: Option<Duration>,
    /// For whom to write
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let Some(whose) = args.whose else {
        let signing = report::read(&args.data)?;
        if signing.is_empty() {
            let problem = "holds no authorities: start some with `bulla up`, or pass --data DIR";
            return Err(Failure::usage(format!("{} {problem}", args.data.display())));
        }
        say(&listed(&signing, args.output));
        return Ok(());
    };
    let _alone = staging::alone(&args.data)?;
    let password = args.root_key_password_file.as_deref().map(password_in).transpose()?;
    let means = Means {
        data: &args.data,
        root_keys: &args.root_key,
        password: password.as_deref(),
        overlap: args.overlap,
    };
    staging::stage(whose, &means, Timestamp::now()).await?;
    let told = control::tell(&args.data, &Order::TakeUp).await.map_err(|failure| {
        Failure::with_code(
            failure.code(),
            format!("the new key is staged, but the server does not take it up: {failure}"),
        )
    })?;
    let taken: Option<Vec<Taken>> = told
        .map(|told| serde_json::from_str(&told))
        .transpose()
        .map_err(|error| Failure::unavailable(format!("the server is of another version: {error}")))?;
    let mut signing = report::read(&args.data)?;
    signing.retain(|one| whose.authorities().contains(&one.authority));
    say(&match args.output {
        Output::Json => format!("{}\n", json!({ "running": taken.is_some(), "authorities": signing })),
        Output::Human => {
            format!("{}\n{}\n", listed(&signing, Output::Human), next_step(whose, taken.as_deref()))
        }
    });
    Ok(())
}

/// What happens now, and what is left to do.
fn next_step(whose: Rotated, taken: Option<&[Taken]>) -> String {
    let when = match taken {
        None => "The server does not run: the next start tells clients of the new key, and the overlap begins then.".to_owned(),
        Some(taken) => {
            let from = taken.iter().map(|taken| taken.from).max().filter(|from| *from > Timestamp::now());
            match from {
                Some(from) => format!("Clients are told of the new key. It signs from {from} on."),
                None => "Clients are told of the new key, and it signs.".to_owned(),
            }
        }
    };
    let key = match whose {
        Rotated::Root => " The new root's key lies in offline/root.key: take it away.",
        Rotated::Ct => " The old log ends then, and is served for ever.",
        _ => " The old key is deleted then: it never signs again.",
    };
    let unknown = taken.unwrap_or_default().iter().filter_map(|taken| taken.unknown_seconds).max();
    let unknown = unknown.map_or(String::new(), |seconds| {
        format!("\nSome clients may keep the trusted root that they have for {seconds} s more, and refuse what the new key signs.")
    });
    format!("{when}{key}{unknown}")
}

fn listed(signing: &[Signing], output: Output) -> String {
    if output == Output::Json {
        return format!("{}\n", json!({ "authorities": signing }));
    }
    let mut lines = String::new();
    for Signing { authority, key_id, since, until, staged } in signing {
        let mut said = key_id.clone();
        for (word, time) in [("since", since), ("until", until)] {
            if let Some(time) = time {
                // Writing to a string cannot fail.
                let _infallible =
                    write!(said, "  {word} {}", time.round(jiff::Unit::Second).unwrap_or(*time));
            }
        }
        text::line(&mut lines, authority, said);
        if let Some(staged) = staged {
            let from = match staged.from {
                Some(from) => format!("signs from {}", from.round(jiff::Unit::Second).unwrap_or(from)),
                None => "clients are not told yet".to_owned(),
            };
            text::line(&mut lines, "  next", format_args!("{}  {from}", staged.key_id));
        }
    }
    lines
}
