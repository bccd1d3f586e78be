//! What an operator may choose about the proxy.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::tags::RoleArgs;
use crate::text;

// Options of the proxy, by itself or beside a log.
#[derive(Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "The proxy")]
pub(crate) struct Args {
    /// The one registry that is served, or a part of it such as ghcr.io/org [default: the one that the path or ?ns= names]
    #[arg(long, value_name = "REGISTRY[/PATH]")]
    pub(crate) upstream: Option<String>,
    /// Registry that may be asked although it is not on the internet, such as localhost:5000; repeat for more
    #[arg(long, value_name = "REGISTRY", value_delimiter = ',')]
    pub(crate) registry: Vec<String>,
    /// Serve no other registries than those named with --registry and --upstream
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pub(crate) only_named: bool,
    /// As whom registries are asked
    #[arg(long, value_enum, value_name = "WHO", default_value_t = As::Anonymous)]
    pub(crate) upstream_as: As,
    /// How long a registry may take to answer, and be silent in an answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = text::duration)]
    pub(crate) upstream_timeout: Duration,
    /// Rules for tags: TOML, see docs/guide-proxy.md [default: every tag is enforced, but for those that move by design]
    #[arg(long, value_name = "FILE")]
    pub(crate) tag_policy: Option<PathBuf>,
    /// By whom images must be signed to be served: TOML, see docs/guide-proxy.md
    #[arg(long, value_name = "FILE")]
    pub(crate) verify_policy: Option<PathBuf>,
    /// What happens to a tag that is not known while the log cannot be asked
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Unknown::Refuse)]
    pub(crate) unknown: Unknown,
    /// Memory for manifests, which are served while their registry cannot be reached; 0 keeps none
    #[arg(long, value_name = "BYTES", default_value = "32MiB", value_parser = text::bytes)]
    pub(crate) manifest_cache: u64,
    /// Records that one address may cause in a minute, of tags that were never seen and of moves that nobody has to approve; 0 sets
    /// no limit
    #[arg(long, value_name = "N", default_value = "60")]
    pub(crate) new_tags_per_address: u32,
    /// How long a known tag is served before the log is asked whether it moved elsewhere
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = text::duration)]
    pub(crate) recheck: Duration,
    #[command(flatten)]
    pub(crate) roles: RoleArgs,
}

/// As whom registries are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum As {
    /// nobody in particular
    Anonymous,
    /// whom the files of Docker and Podman name: everybody who reaches the proxy sees what they may
    Ourselves,
    /// whom the client says that it is
    Client,
}

/// What happens to an unknown tag without the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Unknown {
    /// 503
    Refuse,
    /// it is served with a warning
    Warn,
}

impl Args {
    /// The limit of new tags, if there is one.
    pub(crate) fn new_tags(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.new_tags_per_address)
    }
}
