//! A report as it is read, line by line, whoever wrote it: that each line has its digest, and that each says one thing only, whoever
//! reads it. What the lines claim is judged elsewhere.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bulla_tlog::{Hash, sha256};
use serde_json::{Value, json};

use super::SCHEMA;
use super::row::Row;

/// The members before the images, in their order.
pub(crate) const HEAD: [&str; 12] = [
    "schema",
    "generated_at",
    "generator",
    "about",
    "sources",
    "asked",
    "trusted_root",
    "totals",
    "signers",
    "logs",
    "revocations",
    "controls",
];

/// A report whose lines are all as they were written.
#[derive(Debug)]
pub(crate) struct Contents {
    path: PathBuf,
    /// How many images it is about.
    pub(crate) images: usize,
}

/// A part of a report that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    /// Which.
    pub(crate) member: String,
    /// What is wrong with it.
    pub(crate) problem: String,
}

impl Contents {
    /// Reads all lines, and compares each with its digest.
    pub(crate) fn open(path: &Path) -> io::Result<Result<Self, Vec<Broken>>> {
        let mut digests: Vec<Hash> = Vec::new();
        // The last three lines, which say what the others must be.
        let mut last: Vec<Vec<u8>> = Vec::new();
        let mut file = BufReader::new(File::open(path)?);
        let (mut ended, mut begins) = (true, true);
        loop {
            let mut line = Vec::new();
            (&mut file).take(LONGEST_LINE + 1).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            if line.len() as u64 > LONGEST_LINE || digests.len() > MOST_LINES {
                let problem =
                    format!("a line has more than {LONGEST_LINE} bytes, or there are more than {MOST_LINES}");
                return Ok(Err(vec![Broken { member: name_of(digests.len(), usize::MAX, ""), problem }]));
            }
            ended = line.pop_if(|byte| *byte == b'\n').is_some();
            begins &= match digests.len() {
                0 => line == b"{",
                1 => line.starts_with(b"\"schema\":\"bulla.report/"),
                _ => true,
            };
            digests.push(sha256(&line));
            last.push(line);
            if last.len() > 3 {
                last.remove(0);
            }
        }
        let no_report = || vec![Broken { member: "the file".to_owned(), problem: format!("is no {SCHEMA}") }];
        let short = || {
            if !begins {
                return no_report();
            }
            vec![Broken {
                member: "the end".to_owned(),
                problem: "is missing: the report is cut short".to_owned(),
            }]
        };
        let [written, seal, end] = last.as_slice() else { return Ok(Err(short())) };
        let mut broken = Vec::new();
        let mut wrong =
            |member: &str, problem: String| broken.push(Broken { member: member.to_owned(), problem });
        let lines = digests.len() - 3;
        if !ended || end != b"}" {
            wrong(
                "the end",
                "is not the line that ends a report: it was changed, or the report is cut short".to_owned(),
            );
        }
        let text = |line: &Vec<u8>| String::from_utf8_lossy(line).into_owned();
        let sealed = text(seal);
        let sealed = sealed
            .strip_prefix(SEAL)
            .and_then(|rest| Hash::from_hex(rest.strip_prefix('"')?.strip_suffix('"')?));
        let is = sha256(written);
        match sealed {
            None => wrong("seal", "is not a SHA-256 in hexadecimal, as it was written".to_owned()),
            Some(sealed) if sealed != is => {
                wrong(
                    "digests",
                    format!("have the SHA-256 {is}, the seal says {sealed}: one of both was changed"),
                );
            }
            Some(_) => {}
        }
        let written_text = text(written);
        let said = written_text.strip_prefix(DIGESTS).and_then(|rest| rest.strip_suffix(','));
        let said = said.filter(|said| said.len() <= LONGEST_DIGEST * (MOST_LINES + 1));
        let said: Option<Vec<String>> = said.and_then(|said| serde_json::from_str(said).ok());
        let Some(said) = said else {
            if !begins {
                return Ok(Err(no_report()));
            }
            wrong("digests", "is not a list of SHA-256 of the lines, as it was written".to_owned());
            return Ok(Err(broken));
        };
        let differs = digests[..lines].iter().enumerate().filter_map(|(at, is)| {
            let digest = said.get(at).map_or("nothing", String::as_str);
            (digest != is.to_string())
                .then(|| (at, format!("has the SHA-256 {is}, {digest} was written down for it")))
        });
        // What follows is out of step if a line was added or lost.
        let most = if said.len() == lines { MOST_FINDINGS } else { 1 };
        let differs: Vec<_> = differs.take(most).collect();
        let images = images_at(path, &differs)?;
        for ((at, problem), image) in differs.into_iter().zip(images) {
            wrong(&name_of(at, said.len(), &image), problem);
        }
        if said.len() > lines {
            wrong("images", format!("there are {lines} lines, {} were written", said.len()));
        }
        // Any program that reads JSON must find these images and no others.
        for (at, expected) in [(HEAD.len() + 1, IMAGES), (lines.saturating_sub(1), IMAGES_END)] {
            if broken.is_empty() && (at >= lines || digests[at] != sha256(expected.as_bytes())) {
                let problem = format!("line {} is not {expected}, as it was written", at + 1);
                broken.push(Broken { member: "images".to_owned(), problem });
            }
        }
        if !broken.is_empty() {
            return Ok(Err(broken));
        }
        Ok(Ok(Self { path: path.to_owned(), images: lines.saturating_sub(HEAD.len() + 3) }))
    }

    /// Reads what stands before the images.
    pub(crate) fn head(&self) -> io::Result<Result<Vec<Value>, Broken>> {
        let mut values = Vec::new();
        let mut lines = self.lines()?;
        let wrong = |at: usize, problem: &str| Broken {
            member: name_of(at, usize::MAX, ""),
            problem: problem.to_owned(),
        };
        match lines.next().transpose()? {
            Some((_, line)) if line == b"{" => {}
            _ => return Ok(Err(wrong(0, "is not the line that begins a report"))),
        }
        for (at, name) in HEAD.iter().enumerate() {
            let line = lines.next().transpose()?.map(|(_, line)| line).unwrap_or_default();
            let text = std::str::from_utf8(&line).unwrap_or_default();
            let text =
                text.strip_prefix(&format!("{}:", json!(name))).and_then(|rest| rest.strip_suffix(','));
            match text.and_then(|text| Some((text, serde_json::from_str::<Value>(text).ok()?))) {
                // Of a member that is there twice, other readers take another one.
                Some((text, value)) if serde_json::to_string(&value).ok().as_deref() != Some(text) => {
                    return Ok(Err(wrong(at + 1, NOT_AS_WRITTEN)));
                }
                Some((_, value)) => values.push(value),
                None => {
                    return Ok(Err(wrong(
                        at + 1,
                        "is not where it was expected: a report of another version?",
                    )));
                }
            }
        }
        Ok(Ok(values))
    }

    /// Gives each row to a function, in order, with its number and the length of its line, until that wants no more.
    pub(crate) fn rows(
        &self,
        mut each: impl FnMut(usize, usize, Result<Row, Broken>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let first = HEAD.len() + 2;
        for line in self.lines()?.skip(first).take(self.images) {
            let (at, line) = line?;
            let at = at - first;
            let row = row_of(&line, at + 1 == self.images)
                .map_err(|problem| Broken { member: format!("images[{at}]"), problem });
            if each(at, line.len(), row).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn lines(&self) -> io::Result<impl Iterator<Item = io::Result<(usize, Vec<u8>)>>> {
        let file = BufReader::new(File::open(&self.path)?);
        Ok(file.split(b'\n').enumerate().map(|(at, line)| line.map(|line| (at, line))))
    }
}

/// Reads the line of an image, which is written in one way only: what has more in it, or anything twice, is none.
fn row_of(line: &[u8], is_last: bool) -> Result<Row, String> {
    let row = if is_last { Some(line) } else { line.strip_suffix(b",") };
    let text = row.ok_or("is not the last one, and does not end with a comma")?;
    let row: Row = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let same = serde_json::to_vec(&row).is_ok_and(|again| again == text);
    same.then_some(row).ok_or_else(|| NOT_AS_WRITTEN.to_owned())
}

/// How a line is called, of so many that were written.
fn name_of(at: usize, of: usize, image: &str) -> String {
    match at {
        0 => "the first line".to_owned(),
        at if at <= HEAD.len() => HEAD[at - 1].to_owned(),
        at if at == HEAD.len() + 1 || at + 1 == of => "images".to_owned(),
        at if image.is_empty() => format!("images[{}]", at - HEAD.len() - 2),
        at => format!("images[{}] ({image})", at - HEAD.len() - 2),
    }
}

/// What the images of some lines are called, if the lines still say it. The lines are in order.
fn images_at<T>(path: &Path, lines: &[(usize, T)]) -> io::Result<Vec<String>> {
    let mut names = Vec::with_capacity(lines.len());
    let mut file = BufReader::new(File::open(path)?);
    let (mut next, mut start) = (0, Vec::new());
    for (at, _) in lines {
        while next <= *at {
            start.clear();
            // Of a line no more is kept than what can have the name.
            (&mut file).take(LONGEST_START).read_until(b'\n', &mut start)?;
            if start.last() != Some(&b'\n') {
                file.skip_until(b'\n')?;
            }
            next += 1;
        }
        let text = String::from_utf8_lossy(&start);
        let rest = text.strip_prefix(IMAGE).unwrap_or_default();
        let printable = |c: &char| !c.is_control() && *c != '"';
        names.push(rest.chars().take_while(printable).take(256).collect());
    }
    Ok(names)
}

const IMAGE: &str = "{\"image_ref\":\"";
const LONGEST_START: u64 = 2048;
pub(super) const IMAGES: &str = "\"images\":[";
pub(super) const IMAGES_END: &str = "],";
/// What more there is in a line might be believed by another reader.
const NOT_AS_WRITTEN: &str =
    "is not as it was written: it has something twice, or something that is no part of it";
pub(super) const DIGESTS: &str = "\"digests\":";
pub(super) const SEAL: &str = "\"seal\":";
const LONGEST_LINE: u64 = 256 << 20;
const MOST_LINES: usize = 200_000;
/// A SHA-256 in hexadecimal and quotes, and a comma.
const LONGEST_DIGEST: usize = 67;
/// What does not hold and is told; whoever forges a report may have made any number of it.
pub(super) const MOST_FINDINGS: usize = 1000;
