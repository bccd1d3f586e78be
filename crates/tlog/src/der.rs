//! The little DER (X.690 §10) that finding a key in its envelope takes: exact, so that a key has one spelling.

/// Content of the element of that tag that fills `input` exactly, with its length in the one shortest form; at most
/// 65,535 bytes.
pub fn content(tag: u8, input: &[u8]) -> Option<&[u8]> {
    let (len, content) = match input.strip_prefix(&[tag])? {
        [len @ 0..=0x7f, content @ ..] | [0x81, len @ 0x80..=0xff, content @ ..] => {
            (usize::from(*len), content)
        }
        [0x82, high @ 1..=0xff, low, content @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), content)
        }
        _ => return None,
    };
    (content.len() == len).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::content;

    #[test]
    fn a_length_has_one_spelling() {
        // In the long form where the short one fits, and indefinite.
        assert_eq!(content(0x30, &[0x30, 0x81, 1, 7]), None);
        assert_eq!(content(0x30, &[0x30, 0x82, 0, 1, 7]), None);
        assert_eq!(content(0x30, &[0x30, 0x80, 7, 0, 0]), None);
        assert_eq!(content(0x30, &[0x30, 1, 7]), Some(&[7][..]));
        assert_eq!(content(0x31, &[0x30, 1, 7]), None);
    }
}
