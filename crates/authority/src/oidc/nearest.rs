//! Which name a mistyped one was meant to be.

/// The candidate that is near enough to have been meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let near = candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 4).max(2));
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Bytes to insert, remove or replace (Levenshtein); `-` and `_` are the same.
fn distance(from: &str, to: &str) -> usize {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, left) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, right) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(plain(left) != plain(right));
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// Longer words are no typing mistakes.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["audience", "subject-domain", "url"];
        assert_eq!(nearest("audence", names.into_iter()), Some("audience"));
        assert_eq!(nearest("Subject_Domain", names.into_iter()), Some("subject-domain"));
        assert_eq!(nearest("colour-of-things", names.into_iter()), None);
        assert_eq!(nearest(&"a".repeat(1000), names.into_iter()), None);
    }
}
