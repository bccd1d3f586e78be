//! Verification as a command does it: what was asked, where signatures are found, and what is said of them. The judgement
//! itself is `bulla_claims::judge`, which asks nobody.

mod asked;
mod findings;
mod form;
mod found;
mod junit;
mod report;

pub(crate) use asked::{Args, Asked};
pub(crate) use form::Form;
pub(crate) use found::{Candidate, Found};
pub(crate) use report::Report;
