//! k of n: how many of some keys and identities must have signed.

use std::collections::BTreeMap;

use bulla_tlog::{Hash, sha256};

use super::{Identity, IdentityPattern, Signer};

/// The most that one requirement may name.
const MOST: usize = 64;

/// One of those who may sign.
#[derive(Clone, Debug)]
pub enum Who {
    /// The SHA-256 of a public key, DER `SubjectPublicKeyInfo`.
    Key(Hash),
    /// Whoever a certificate names so.
    Identity(IdentityPattern),
}

impl Who {
    /// Whether the signer is one of those.
    pub fn matches(&self, signer: &Signer<'_>) -> bool {
        match self {
            Self::Key(key) => *key == sha256(signer.spki),
            Self::Identity(pattern) => signer.identity.is_some_and(|identity| pattern.matches(identity)),
        }
    }
}

/// So many of them.
#[derive(Clone, Debug)]
pub struct Requires {
    need: usize,
    of: Vec<Who>,
}

/// A requirement that nobody or everybody would meet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{need} of {of} are required, 1 to {of} of at most {MOST} were expected")]
pub struct RequiresError {
    /// How many must sign.
    pub need: usize,
    /// Of how many.
    pub of: usize,
}

impl Requires {
    /// `need` of those, at least one and at most all.
    pub fn new(need: usize, of: Vec<Who>) -> Result<Self, RequiresError> {
        if need == 0 || need > of.len() || of.len() > MOST {
            return Err(RequiresError { need, of: of.len() });
        }
        Ok(Self { need, of })
    }

    /// Whether enough of them signed. Nobody counts twice: two signatures of one identity, or of one key that no certificate is
    /// about, are one; and who fits two patterns stands for one of them.
    pub fn met_by(&self, signers: &[Signer<'_>]) -> bool {
        let mut people: BTreeMap<Person<'_>, Vec<&Signer<'_>>> = BTreeMap::new();
        for signer in signers {
            let person = signer.identity.map_or_else(|| Person::Key(sha256(signer.spki)), Person::Identity);
            people.entry(person).or_default().push(signer);
        }
        let people: Vec<_> = people.into_values().collect();
        let fits: Vec<Vec<usize>> = self.of.iter().map(|who| fitting(who, &people)).collect();
        let mut stands_for = vec![None; people.len()];
        let met = (0..fits.len())
            .filter(|who| place(*who, &fits, &mut stands_for, &mut vec![false; people.len()]))
            .count();
        met >= self.need
    }
}

/// Who is one and the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Person<'a> {
    Key(Hash),
    Identity(&'a Identity),
}

/// Which of the people are meant by it.
fn fitting(who: &Who, people: &[Vec<&Signer<'_>>]) -> Vec<usize> {
    let is_meant = |signatures: &[&Signer<'_>]| signatures.iter().any(|signer| who.matches(signer));
    people.iter().enumerate().filter(|(_, signatures)| is_meant(signatures)).map(|(at, _)| at).collect()
}

/// Finds somebody for a pattern, if need be by asking another pattern to take somebody else (a maximum matching, path by path).
fn place(who: usize, fits: &[Vec<usize>], stands_for: &mut [Option<usize>], asked: &mut [bool]) -> bool {
    for &person in &fits[who] {
        if std::mem::replace(&mut asked[person], true) {
            continue;
        }
        let is_free = match stands_for[person] {
            None => true,
            Some(other) => place(other, fits, stands_for, asked),
        };
        if is_free {
            stands_for[person] = Some(who);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;
    use super::*;

    fn identity(subject: &str) -> Identity {
        Identity { issuer: "https://issuer.example".to_owned(), subject: subject.to_owned() }
    }

    fn anyone(glob: &str) -> Who {
        let issuer = Pattern::exact("https://issuer.example").expect("is one");
        Who::Identity(IdentityPattern { issuer, subject: Pattern::glob(glob).expect("is one") })
    }

    #[test]
    fn nobody_counts_twice() {
        let (alice, bob) = (identity("alice@example.org"), identity("bob@example.org"));
        let signed = |identity, spki: &'static [u8]| Signer { spki, identity: Some(identity), entry: None };
        let two = Requires::new(2, vec![anyone("*@example.org"), anyone("alice@*")]).expect("is one");
        assert!(!two.met_by(&[]));
        assert!(!two.met_by(&[signed(&alice, b"1")]), "one person for two patterns");
        assert!(!two.met_by(&[signed(&alice, b"1"), signed(&alice, b"2")]), "one person, two certificates");
        assert!(!two.met_by(&[signed(&bob, b"1")]));
        // Whichever comes first, alice makes room for bob.
        assert!(two.met_by(&[signed(&alice, b"1"), signed(&bob, b"2")]));
        assert!(two.met_by(&[signed(&bob, b"2"), signed(&alice, b"1")]));
        let other = Identity { issuer: "https://evil.example".to_owned(), ..bob.clone() };
        assert!(!two.met_by(&[signed(&alice, b"1"), signed(&other, b"2")]));
    }

    #[test]
    fn keys_count_by_themselves() {
        let of = vec![Who::Key(sha256(b"1")), Who::Key(sha256(b"2")), anyone("alice@*")];
        let two = Requires::new(2, of.clone()).expect("is one");
        let key = |spki| Signer { spki, identity: None, entry: None };
        let alice = identity("alice@example.org");
        assert!(!two.met_by(&[key(b"1"), key(b"1"), key(b"3")]));
        assert!(two.met_by(&[key(b"1"), key(b"2")]));
        assert!(two.met_by(&[key(b"1"), Signer { spki: b"9", identity: Some(&alice), entry: None }]));
        assert!(!Requires::new(3, of).expect("is one").met_by(&[key(b"1"), key(b"2")]));
    }

    #[test]
    fn what_nobody_or_everybody_meets_is_refused() {
        for (need, of) in [(0, 1), (2, 1), (1, 0), (0, 0), (1, 65)] {
            let error = Requires::new(need, vec![anyone("*"); of]).expect_err("is none");
            assert_eq!(error, RequiresError { need, of });
        }
        let error = RequiresError { need: 3, of: 2 }.to_string();
        assert_eq!(error, "3 of 2 are required, 1 to 2 of at most 64 were expected");
    }
}
