//! The audit report: what many images have of signatures and statements, judged, with everything that it takes to judge it
//! again. docs/design/report.md says why it is made so, docs/reference-report.md what is in it.
//!
//! | file | what it knows |
//! |---|---|
//! | `named` | which images are meant: words, lists, registries, clusters |
//! | `survey` | how all of them are judged, so many at a time |
//! | `row` | what is said of one image |
//! | `weighed` | how that follows from the judgement of its signatures |
//! | `members` | what an image consists of that is an index |
//! | `witnesses` | who cosigned the checkpoints of the logs |
//! | `evidence` | a signature as it is carried along |
//! | `stock` | what all rows come to: coverage, signers, logs |
//! | `consistency` | whether the checkpoints of a log that were met are of one history |
//! | `asked` | on which terms it was judged, written down |
//! | `controls` | what it is evidence for |
//! | `file` | the lines of the JSON, and the digest of each |
//! | `contents` | the same, read |
//! | `recheck` | the judgement of a report |
//! | `lookup` | whether a log has the entries that a report lists |
//! | `human`, `table`, `page`, `chart`, `findings` | the same for people, spreadsheets, printers and pages of findings |
//! | `out` | files that appear whole |

mod asked;
mod chart;
mod consistency;
mod contents;
mod controls;
mod evidence;
mod file;
mod findings;
mod human;
mod lookup;
mod members;
mod named;
mod out;
mod page;
mod recheck;
mod row;
mod stock;
mod survey;
mod table;
mod weighed;
mod witnesses;

pub(crate) use asked::{AskedFor, revocations};
pub(crate) use consistency::prove;
pub(crate) use contents::{Contents, HEAD};
pub(crate) use controls::{ABOUT, pointers};
pub(crate) use file::{Spool, write as write_json};
pub(crate) use findings::findings;
pub(crate) use human::human;
pub(crate) use lookup::{LookedUp, look_up};
pub(crate) use named::{NamedArgs, named};
pub(crate) use out::{atomically, sha256_file};
pub(crate) use page::{Page, page};
pub(crate) use recheck::{Finding, Reader, Recheck, Witnessed, recheck};
pub(crate) use row::{Row, Status};
pub(crate) use stock::{Having, Stock, Summary};
pub(crate) use survey::{Grounds, Keep, survey};
pub(crate) use table::table;
pub(crate) use witnesses::WitnessArgs;

/// The name of the form of the JSON. It changes if a member changes its meaning; members may be added.
pub(crate) const SCHEMA: &str = "bulla.report/v1";
