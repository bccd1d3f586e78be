//! The JSON of a report as lines: each member on one, each image on one, and at the end the SHA-256 of each line. So a report
//! of any size is written and read line by line, and of a line that was changed it is known which one it is.
//!
//! Whoever changes a line can change its digest too. That the report is its maker's says its signature; which part of it is
//! not as it was written, its lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek as _, Write};
use std::path::Path;

use bulla_tlog::{Hash, sha256};
use serde_json::{Value, json};

use super::contents::{DIGESTS, IMAGES, IMAGES_END, SEAL};
use super::row::Row;

/// Rows that wait for what is written before them, in a file without a name.
pub(crate) struct Spool {
    out: BufWriter<File>,
    rows: usize,
}

impl Spool {
    /// One beside what is to be written, or where temporary files are.
    pub(crate) fn new(dir: Option<&Path>) -> io::Result<Self> {
        let file = match dir {
            Some(dir) => tempfile::tempfile_in(dir)?,
            None => tempfile::tempfile()?,
        };
        Ok(Self { out: BufWriter::new(file), rows: 0 })
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, row: &Row) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, row)?;
        self.out.write_all(b"\n")?;
        self.rows += 1;
        Ok(())
    }

    /// Gives each line to a function, in order.
    fn lines(&mut self, mut each: impl FnMut(usize, &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.out.flush()?;
        let mut file = self.out.get_ref().try_clone()?;
        file.rewind()?;
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        for at in 0..self.rows {
            line.clear();
            file.read_until(b'\n', &mut line)?;
            line.pop();
            each(at, &line)?;
        }
        Ok(())
    }

    /// Gives each row to a function, in order.
    pub(crate) fn rows(&mut self, mut each: impl FnMut(Row) -> io::Result<()>) -> io::Result<()> {
        self.lines(|_, line| each(serde_json::from_slice(line)?))
    }
}

/// Writes a report.
pub(crate) fn write(out: &mut impl Write, head: &[(&str, Value)], spool: &mut Spool) -> io::Result<()> {
    let mut lines = Lines { out, digests: Vec::new() };
    lines.line("{".as_bytes())?;
    for (name, value) in head {
        lines.line(format!("{}:{value},", json!(name)).as_bytes())?;
    }
    lines.line(IMAGES.as_bytes())?;
    let last = spool.rows.saturating_sub(1);
    spool.lines(|at, line| {
        let comma: &[u8] = if at < last { b"," } else { b"" };
        lines.line(&[line, comma].concat())
    })?;
    lines.line(IMAGES_END.as_bytes())?;
    let digests: Vec<_> = lines.digests.iter().map(Hash::to_string).collect();
    let digests = format!("{DIGESTS}{},", json!(digests));
    lines.line(digests.as_bytes())?;
    lines.line(format!("{SEAL}\"{}\"", sha256(digests.as_bytes())).as_bytes())?;
    lines.line(b"}")
}

struct Lines<'a, W> {
    out: &'a mut W,
    digests: Vec<Hash>,
}

impl<W: Write> Lines<'_, W> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.digests.push(sha256(line));
        self.out.write_all(line)?;
        self.out.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use proptest::prelude::*;

    use super::super::contents::{Broken, Contents, HEAD, MOST_FINDINGS};
    use super::*;

    fn written(names: &[String]) -> Vec<u8> {
        let mut spool = Spool::new(None).expect("a file");
        for name in names {
            spool.add(&Row::unknown(name.clone(), "why".to_owned(), "then")).expect("is written");
        }
        let mut out = Vec::new();
        write(&mut out, &HEAD.map(|name| (name, json!({ "of": name }))), &mut spool).expect("is written");
        out
    }

    fn opened(bytes: &[u8]) -> Result<(Contents, tempfile::NamedTempFile), Vec<Broken>> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("is written");
        Contents::open(file.path()).expect("is read").map(|contents| (contents, file))
    }

    #[test]
    fn what_is_written_is_read_line_by_line() {
        for count in [0, 1, 3] {
            let names: Vec<_> = (0..count).map(|n| format!("image\n{n}")).collect();
            let bytes = written(&names);
            let document: Value = serde_json::from_slice(&bytes).expect("any program reads it");
            assert_eq!(document["images"].as_array().map(Vec::len), Some(count));
            let (contents, _file) = opened(&bytes).expect("is whole");
            assert_eq!(contents.images, count);
            let head = contents.head().expect("is read").expect("is there");
            assert_eq!(head.len(), HEAD.len());
            let mut read = Vec::new();
            contents
                .rows(|_, _, row| {
                    read.push(row.expect("is one").image_ref);
                    ControlFlow::Continue(())
                })
                .expect("is read");
            assert_eq!(read, names);
        }
    }

    #[test]
    fn of_many_lies_so_many_are_told_and_each_by_its_name() {
        let names: Vec<_> = (0..2000).map(|n| format!("image-{n}")).collect();
        let text = String::from_utf8(written(&names)).expect("is text");
        let broken = opened(text.replace("\"why\"", "\"because\"").as_bytes()).expect_err("is noticed");
        assert_eq!(broken.len(), MOST_FINDINGS);
        assert_eq!(broken[7].member, "images[7] (image-7)");
        assert_eq!(broken[999].member, "images[999] (image-999)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_single_change_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut bytes = written(&["a".to_owned(), "b".to_owned()]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let broken = opened(&bytes).expect_err("is noticed");
            prop_assert!(!broken.is_empty() && broken.iter().all(|broken| !broken.member.is_empty()));
        }

        #[test]
        fn any_lines_are_read_or_refused(lines in prop::collection::vec("\\PC{0,40}", 0..30), sealed in any::<bool>()) {
            let mut text = lines.join("\n");
            if sealed {
                let digests: Vec<_> = lines.iter().map(|line| sha256(line.as_bytes()).to_string()).collect();
                let digests = format!("{DIGESTS}{},", json!(digests));
                text = format!("{text}\n{digests}\n{SEAL}\"{}\"\n}}\n", sha256(digests.as_bytes()));
            }
            if let Ok((contents, _file)) = opened(text.as_bytes()) {
                let _read = contents.head().expect("is read");
                contents.rows(|_, _, _| ControlFlow::Continue(())).expect("is read");
            }
        }
    }
}
