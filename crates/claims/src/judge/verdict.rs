//! What all signatures of an artifact come to. Not to know is not the same as to know that there is none: a registry that is
//! busy must not look like one without signatures.

use super::Judged;
use crate::identity::{Requires, Signer};

/// What it comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Enough of those who must have signed did.
    Verified,
    /// Everything was read, and it is not enough.
    NotVerified,
    /// What was read is not enough, and not everything could be read.
    Undetermined,
}

/// Weighs what was judged. `unread` is how many signatures, or lists of them, could not be read.
pub fn verdict<'j>(
    requires: &Requires,
    judged: impl IntoIterator<Item = &'j Judged>,
    unread: usize,
) -> Verdict {
    let verified = judged.into_iter().filter(|judged| judged.verified());
    let signers: Vec<Signer<'_>> =
        verified.filter_map(|judged| judged.signed.as_ref().map(super::Signed::signer)).collect();
    match (requires.met_by(&signers), unread) {
        (true, _) => Verdict::Verified,
        (false, 0) => Verdict::NotVerified,
        (false, _) => Verdict::Undetermined,
    }
}

#[cfg(test)]
mod tests {
    use bulla_tlog::sha256;

    use super::super::check::Checks;
    use super::super::{Check, Signed};
    use super::*;
    use crate::identity::Who;

    fn judged(key: &[u8], came: Result<(), &str>) -> Judged {
        let mut checks = Checks::default();
        for name in Check::NAMES {
            checks.note(name, came.map(|()| Vec::new()).map_err(str::to_owned));
        }
        checks.finish(
            Some(Signed { spki: key.to_vec(), identity: None, entry: None, more_entries: Vec::new() }),
            None,
        )
    }

    #[test]
    fn enough_suffices_whatever_else_there_is_and_what_was_not_read_is_never_nothing() {
        let of = |need| {
            Requires::new(need, [b"a", b"b"].map(|key| Who::Key(sha256(key))).to_vec()).expect("is one")
        };
        let (a, b) = (judged(b"a", Ok(())), judged(b"b", Ok(())));
        let (bad, stranger) = (judged(b"b", Err("no")), judged(b"c", Ok(())));
        assert_eq!(verdict(&of(1), [&a, &bad], 5), Verdict::Verified);
        assert_eq!(verdict(&of(2), [&a, &b], 0), Verdict::Verified);
        assert_eq!(verdict(&of(2), [&a, &a], 0), Verdict::NotVerified);
        assert_eq!(verdict(&of(2), [&a, &bad, &stranger], 0), Verdict::NotVerified);
        assert_eq!(verdict(&of(2), [&a, &bad], 1), Verdict::Undetermined);
        assert_eq!(verdict(&of(1), [&stranger], 0), Verdict::NotVerified);
        assert_eq!(verdict(&of(1), [], 0), Verdict::NotVerified);
        assert_eq!(verdict(&of(1), [], 1), Verdict::Undetermined);
    }

    #[test]
    fn what_nobody_checked_is_not_verified() {
        assert!(!Checks::default().finish(None, None).verified());
    }
}
