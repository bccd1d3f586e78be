//! Verification as a command does it: what was asked, where signatures are found, and what is said of them. The judgement
//! itself is `bulla_claims::judge`, which asks nobody.

mod answer;
mod asked;
mod cosign;
mod findings;
mod found;
mod junit;
mod policies;
mod report;

pub(crate) use answer::Answer;
pub(crate) use asked::{Args, Asked};
pub(crate) use cosign::{NO_IMAGE, OTHER};
pub(crate) use found::{Candidate, Form, Found};
pub(crate) use policies::Policies;
pub(crate) use report::Report;
