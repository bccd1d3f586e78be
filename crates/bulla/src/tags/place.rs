//! Which log the history of tags is in, and whom to believe about it.

use std::path::PathBuf;

use bulla_claims::judge::{MAX_TRUSTED_ROOT, TrustedRoot};
use jiff::Timestamp;

use crate::command::Failure;
use crate::materials::read;
use crate::target::read_small;
use crate::trust::{self, Network, Purpose, Whom};

// Options of who reads the history of tags.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Place {
    /// Address of the log's v1 API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub(crate) rekor_url: String,
    /// Whom to believe: `trusted_root.json` [default: what a trust repository says, or else the log itself when it is asked]
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// Trust repository that says so, one that was added with `bulla trust add`
    #[arg(long, value_name = "URL", conflicts_with = "trusted_root")]
    instance: Option<String>,
}

impl Place {
    /// Whom to believe; without a file or a repository the log says it itself, which is said on standard error.
    pub(crate) async fn root(&self, offline: bool) -> Result<TrustedRoot, Failure> {
        let whom = trust::whom(Purpose::Verify, self.trusted_root.as_deref(), self.instance.as_deref())?;
        let (place, bytes) = match whom {
            Some(Whom::File(path)) => {
                (path.display().to_string(), read_small(&path, MAX_TRUSTED_ROOT as u64)?)
            }
            Some(Whom::Repository(pinned)) => {
                let network = if offline { Network::Never } else { Network::IfNeeded };
                let found = pinned.target(trust::TRUSTED_ROOT, network, Timestamp::now()).await?;
                (pinned.url.to_string(), found.bytes)
            }
            None if offline => {
                return Err(Failure::usage("--trusted-root is missing: nothing is believed without it"));
            }
            None => {
                let url = format!("{}/{}", self.rekor_url.trim_end_matches('/'), trust::TRUSTED_ROOT);
                let bytes = read(&url, MAX_TRUSTED_ROOT as u64).await?;
                eprintln!(
                    "The log itself says whom to believe ({url}); --trusted-root FILE does not ask it."
                );
                (url, bytes)
            }
        };
        TrustedRoot::parse(&bytes).map_err(|error| Failure::usage(format!("{place}: {error}")))
    }
}
