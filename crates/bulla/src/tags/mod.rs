//! Tags that cannot move unseen, as commands and the proxy see them in a log. What is said of a tag, and what all of it comes to,
//! is `bulla_claims::tag`; who may say it, and how it is logged and found, is here.
//!
//! | file | what it knows |
//! |---|---|
//! | `roles` | who may record, and who may approve |
//! | `evidence` | whether one entry of a log is somebody's word about a tag |
//! | `log` | a log of v1 that is searched for a tag, and takes a record if nothing came between |
//! | `walk` | every leaf of a log, for whoever does not believe its search |
//! | `headers` | the record and its proof in headers, for who has no connection |
//! | `place` | which log, and whom to believe about it |
//! | `view` | a history for people and for programs |

mod evidence;
mod headers;
mod log;
mod place;
mod roles;
mod view;
mod walk;

pub(crate) use headers::{FIRST_SEEN, PROMISED, headers, read_headers};
pub(crate) use log::{Added, Look, Propose, TagLog, TagLogError};
pub(crate) use place::Place;
pub(crate) use roles::Args as RoleArgs;
pub(crate) use view::View;
pub(crate) use walk::walk;

use bulla_claims::tag::TagName;

use crate::registry::{Repository, Tag};

/// The canonical name of a tag.
pub(crate) fn name_of(repository: &Repository, tag: &Tag) -> Result<TagName, String> {
    TagName::parse(&format!("{repository}:{tag}"))
}
