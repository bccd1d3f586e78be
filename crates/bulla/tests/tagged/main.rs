//! Tags that cannot move unseen, as clients of the proxy meet them: a log and proxies as they are started, before registries
//! that a test scripts. Each test names the sentence that it shows; real registries and clients are in `tests/registry`.

mod abuse;
mod beside;
mod between;
#[path = "../common/mod.rs"]
mod common;
mod errors;
mod failure;
#[allow(dead_code, reason = "the tests of the registry client use the rest")]
#[path = "../registry/fake.rs"]
mod fake;
mod forks;
mod held;
mod hostile;
mod images;
mod logging;
mod offline;
mod policy;
mod protocol;
#[path = "../sign/registry.rs"]
mod pushable;
mod races;
#[allow(dead_code, unused_imports, reason = "the program's own; what is used here is a part")]
#[path = "../../src/registry/mod.rs"]
mod registry;
mod signed;
mod stand;
mod story;
mod tokens;
