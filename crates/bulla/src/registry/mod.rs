//! Images where they lie: registries and directories, read and written. What is read is judged by nobody here; that it is
//! what was asked for, and that a registry without an answer is not taken for one without signatures, is what this room
//! answers for. docs/design/registry.md says why it is our own.

mod answer;
mod args;
mod challenge;
mod client;
mod credentials;
mod digest;
mod error;
mod forward;
mod layout;
mod link;
mod manifest;
mod push;
mod reach;
mod reference;
mod referrers;
mod source;
mod survey;
mod tokens;
mod transport;

pub(crate) use args::Args;
pub(crate) use client::{Claimed, Client, MOST_TAGS};
pub(crate) use credentials::{CredentialError, Credentials};
pub(crate) use digest::{Digest, DigestError};
pub(crate) use error::{Error, Problem, Verdict, present};
pub(crate) use forward::{Forward, Passed};
pub(crate) use layout::Layout;
pub(crate) use manifest::{
    Content, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, EMPTY, LARGEST_MANIFEST, MOST_ENTRIES, Manifest,
    OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Platform,
};
pub(crate) use push::Pushed;
pub(crate) use reach::Reach;
pub(crate) use reference::{Host, Name, Reference, ReferenceError, Repository, Tag};
pub(crate) use referrers::{Listed, Referrers};
pub(crate) use source::{Image, OpenError, Source};
pub(crate) use survey::is_made_of_digest;
pub(crate) use transport::{Manner, Options, Redirects, Whose};
