//! Why an exchange with a server failed: the last cause of an error, such as that the connection was refused or that nobody
//! has the name. What libraries say before it names the URL again and layers of theirs.

use std::error::Error;

/// The cause that has none itself.
pub(crate) fn innermost(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}
