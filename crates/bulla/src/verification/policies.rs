//! Which policies attestations must satisfy, as a command line says it.

use std::path::PathBuf;

use bulla_claims::policy::{MAX_REGO, PredicatePolicy};

use crate::command::Failure;
use crate::target::read_small;

// Options of commands that judge attestations.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Policies {
    /// Policy that must allow the statement, in CEL (.cel) or in Rego as cosign reads it (.rego); repeat for more
    #[arg(long, value_name = "FILE", help_heading = "What must be stated")]
    policy: Vec<PathBuf>,
    /// Expression in CEL that must be true of the statement, such as 'predicate.scanner.result == "clean"'; repeat for more
    #[arg(long, value_name = "EXPRESSION", help_heading = "What must be stated")]
    cel: Vec<String>,
}

impl Policies {
    /// Reads and compiles them.
    pub(crate) fn read(&self) -> Result<Vec<PredicatePolicy>, Failure> {
        let files = self.policy.iter().map(|path| {
            let text = read_small(path, MAX_REGO as u64)?;
            PredicatePolicy::from_file(&path.display().to_string(), &text).map_err(Failure::usage)
        });
        let expressions =
            self.cel.iter().map(|text| PredicatePolicy::cel("--cel", text).map_err(Failure::usage));
        files.chain(expressions).collect()
    }
}
