//! Verification as a command does it: what was asked, where signatures are found, and what is said of them. The judgement
//! itself is `bulla_claims::judge`, which asks nobody.

mod asked;
mod found;
mod report;

pub(crate) use asked::{Args, Asked, Terms};
pub(crate) use found::{Candidate, Form, Found, Unread};
pub(crate) use report::Report;
