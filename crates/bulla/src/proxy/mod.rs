//! The tag proxy: a registry front that records which digest each tag pointed to, and refuses a tag that moved. It stores no
//! content; what it knows of tags is in a log, and its own copy of that is verified before it is used.
//!
//! ```text
//! GET /v2/…  place -> front -> keeper: rule -> known? -> upstream HEAD -> the same? -> manifest
//!                                        |                     | no
//!                                        `-- unknown ----------+-> upstream GET, hash -> log: look, record -> known
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | `args` | what an operator may choose |
//! | `place` | which image of which registry a path names, in each of the forms in which clients name it |
//! | `policy` | the rule for each tag |
//! | `images` | by which policy images must be signed, if they must |
//! | `front` | routes and answers |
//! | `refusal` | everything that is refused, and the one table from a refusal to its status and code |
//! | `upstream` | what is asked of registries, hashed before it is believed, and how long one that is busy is left alone |
//! | `keeper` | what becomes of a pull: known, first seen, moved |
//! | `known` | the records that were verified, in memory and on the disk |
//! | `manifests` | manifests that were served, while there is room |
//! | `flights` | the same question, asked once at a time |
//! | `seen` | what happened lately, for the page and the metrics |
//! | `page` | the same for a browser |
//! | `open` | how all of it is put together, and its own key |

mod args;
mod flights;
mod front;
mod images;
mod keeper;
mod known;
mod manifests;
mod open;
mod page;
mod place;
mod policy;
mod refusal;
mod seen;
mod upstream;

pub(crate) use args::Args;
pub(crate) use front::routes;
pub(crate) use known::Store;
pub(crate) use open::{Opened, RECORDS, open, own_key};
