//! Verification as a command does it: what was asked, where signatures are found, and what is said of them. The judgement
//! itself is `bulla_claims::judge`, which asks nobody.

mod answer;
mod asked;
mod continuity;
mod cosign;
mod explain;
mod findings;
mod found;
mod heads;
mod junit;
mod policies;
mod proofs;
mod report;
mod revocations;
mod searched;

pub(crate) use answer::Answer;
pub(crate) use asked::{Args, Asked, Terms};
pub(crate) use continuity::{proof, tree_number};
pub(crate) use cosign::{NO_IMAGE, OTHER};
pub(crate) use findings::{NOT_VERIFIED, SIGNATURE_NOT_ACCEPTED, UNDETERMINED};
pub(crate) use found::{Candidate, Form, Found, Unread};
pub(crate) use heads::Heads;
pub(crate) use policies::Policies;
pub(crate) use proofs::Logs;
pub(crate) use report::Report;
pub(crate) use revocations::{Revocations, Revokers};
