//! The TLS presentation language (RFC 5246 §4) as far as certificate transparency uses it: exact, so that what was read is
//! written again the same.

/// Bytes that are not the structure they should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct WireError {
    /// Which field is wrong, and what was expected.
    pub problem: String,
}

impl WireError {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }
}

/// What is left to be read.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many bytes of the named field.
    pub(super) fn take(&mut self, len: usize, field: &str) -> Result<&'a [u8], WireError> {
        let Some((taken, rest)) = self.0.split_at_checked(len) else {
            let left = self.0.len();
            return Err(WireError::new(format!("{field} needs {len} bytes, {left} are left")));
        };
        self.0 = rest;
        Ok(taken)
    }

    /// A number of `bytes` bytes, at most eight.
    pub(super) fn number(&mut self, bytes: usize, field: &str) -> Result<u64, WireError> {
        Ok(self.take(bytes, field)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A vector whose length stands before it in `prefix` bytes, at most three.
    pub(super) fn vector(&mut self, prefix: usize, field: &str) -> Result<&'a [u8], WireError> {
        let len = self.number(prefix, field)?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX), field)
    }

    /// Refuses what is left over.
    pub(super) fn end(&self, what: &str) -> Result<(), WireError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(WireError::new(format!("{what} has {left} bytes after its end"))),
        }
    }
}

/// Appends a vector with its length before it in `prefix` bytes, at most three.
pub(super) fn push_vector(
    out: &mut Vec<u8>,
    prefix: usize,
    bytes: &[u8],
    field: &str,
) -> Result<(), WireError> {
    let most = (1 << (8 * prefix)) - 1;
    if bytes.len() > most {
        let len = bytes.len();
        return Err(WireError::new(format!("{field} is {len} bytes, at most {most} are possible")));
    }
    out.extend_from_slice(&bytes.len().to_be_bytes()[size_of::<usize>() - prefix..]);
    out.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_their_bounds() {
        let mut out = Vec::new();
        push_vector(&mut out, 2, &[7; 258], "x").expect("fits");
        assert_eq!(out[..3], [1, 2, 7]);
        push_vector(&mut out, 3, b"ab", "x").expect("fits");
        let mut input = Input::new(&out);
        assert_eq!(input.vector(2, "x").expect("reads"), [7; 258]);
        assert_eq!(input.vector(3, "x").expect("reads"), b"ab");
        assert!(input.is_empty());
        let refused = push_vector(&mut out, 2, &vec![7; 65_536], "chain").expect_err("too long").to_string();
        assert_eq!(refused, "chain is 65536 bytes, at most 65535 are possible");
        let refused = Input::new(&[0, 3, 1]).vector(2, "chain").expect_err("cut").to_string();
        assert_eq!(refused, "chain needs 3 bytes, 1 are left");
        let refused = Input::new(&[0]).end("entry").expect_err("more").to_string();
        assert_eq!(refused, "entry has 1 bytes after its end");
    }
}
