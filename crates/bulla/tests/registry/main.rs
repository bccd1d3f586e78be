//! Registries as they are: Debian's docker-registry with skopeo as the other client (`./test registry` runs these), and
//! some that nobody should trust.

#[path = "../common/mod.rs"]
mod common;
mod fake;
mod hostile;
#[path = "../../../claims/tests/made/mod.rs"]
mod made;
mod proxy;
mod pushing;
mod real;
#[allow(dead_code, unused_imports, reason = "the program's own; what is tested here is a part")]
#[path = "../../src/registry/mod.rs"]
mod registry;
mod reporting;
#[path = "../stack/mod.rs"]
mod stack;
mod tokens;
mod verifying;
