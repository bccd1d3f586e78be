//! `bulla doctor`: finds what private deployments get wrong, says why it matters, and what mends it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::json;

use super::image::open_failure;
use super::{Failure, Output, say};
use crate::doctor::{Asked, Finding, Seen, Standing, judge, url_of};
use crate::registry::{Args as RegistryArgs, Image};
use crate::text::{self, printable};

#[derive(clap::Args)]
#[command(
    after_help = "Without --url, --trusted-root, --signing-config, --registry and --data it looks at ./bulla-data, if it \
                        is there, and at the server that wrote it; else at http://localhost:3000."
)]
pub(crate) struct Args {
    /// Address of a `bulla up` or `bulla serve`, as its clients name it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Whom clients believe: `trusted_root.json` [default: what the server hands out]
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// Where clients sign: `signing_config.v0.2.json` [default: what the server hands out]
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,
    /// An image in the registry that is to be looked at
    #[arg(long, value_name = "IMAGE")]
    registry: Option<String>,
    /// Directory of the server, on this machine
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How much is to be free on its disk, as the server was told
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = text::bytes)]
    disk_reserve: u64,
    #[command(flatten)]
    client: RegistryArgs,
    /// What the answer looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let output = args.output;
    let seen = Seen::look(args.asked()?, Timestamp::now()).await.map_err(Failure::unavailable)?;
    let findings = judge(&seen);
    say(&match output {
        Output::Human => human(&findings),
        Output::Json => machine(&findings),
    });
    let any = |standing| findings.iter().any(|finding| finding.said.standing == standing);
    Ok(ExitCode::from(match () {
        () if any(Standing::Problem) => 1,
        () if any(Standing::Unknown) => 3,
        () => 0,
    }))
}

impl Args {
    fn asked(self) -> Result<Asked, Failure> {
        for file in [&self.trusted_root, &self.signing_config].into_iter().flatten() {
            if !file.is_file() {
                return Err(Failure::usage(format!("{} is no file", file.display())));
            }
        }
        let image = match self.registry {
            Some(image) => {
                let client = self.client.client().map_err(Failure::usage)?;
                Some(Image::open(&image, &client).map_err(open_failure)?)
            }
            None => None,
        };
        let nothing = self.url.is_none() && self.trusted_root.is_none() && self.signing_config.is_none();
        let nothing = nothing && image.is_none() && self.data.is_none();
        let here = Path::new("bulla-data");
        let data = self.data.or_else(|| (nothing && here.join("format").is_file()).then(|| here.to_owned()));
        let url = self.url.or_else(|| match &data {
            Some(data) => url_of(data),
            None => nothing.then(|| "http://localhost:3000".to_owned()),
        });
        if let Some(url) = &url {
            let is_one = reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !is_one {
                return Err(Failure::usage(format!(
                    "--url is {url:?}, one such as https://log.example.org was expected"
                )));
            }
        }
        Ok(Asked {
            url,
            trusted_root: self.trusted_root,
            signing_config: self.signing_config,
            image,
            data,
            disk_reserve: self.disk_reserve,
        })
    }
}

fn counts(findings: &[Finding]) -> [usize; 3] {
    let count = |standing| findings.iter().filter(|finding| finding.said.standing == standing).count();
    [Standing::Well, Standing::Problem, Standing::Unknown].map(count)
}

fn human(findings: &[Finding]) -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    for Finding { check, said } in findings {
        // Writing to a string cannot fail.
        let _infallible =
            writeln!(text, "{:<8} {:<21} {}", said.standing.name(), check.name, printable(&said.seen));
        if let Some(fix) = &said.fix {
            let _infallible = writeln!(text, "{:>9}{:<21} {}", "", "why", check.why);
            let _infallible = writeln!(text, "{:>9}{:<21} {}", "", "fix", printable(fix));
        }
    }
    let [well, problems, unknown] = counts(findings);
    let _infallible = writeln!(text, "\n{well} ok, {problems} problems, {unknown} unknown");
    text
}

fn machine(findings: &[Finding]) -> String {
    let [well, problems, unknown] = counts(findings);
    let all: Vec<_> = findings
        .iter()
        .map(|Finding { check, said }| {
            json!({
                "check": check.name, "standing": said.standing.name(), "seen": said.seen,
                "why": check.why, "fix": said.fix,
            })
        })
        .collect();
    let document = json!({
        "schema": "bulla.doctor/v1", "ok": well, "problems": problems, "unknown": unknown, "checks": all,
    });
    format!("{document:#}\n")
}
