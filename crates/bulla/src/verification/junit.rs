//! What verification says as JUnit XML, which pages of pipelines read as tests: a suite for what was verified, a test for the
//! verdict, for each check of each signature, and for what could not be read. What is wrong is a failure; what is not known is
//! an error.

use std::fmt::Write as _;

use bulla_claims::judge::{Check, Outcome, Verdict};

use super::Report;

/// One test, and what came of it.
struct Case {
    class: String,
    name: String,
    came: Came,
}

enum Came {
    Passed,
    Skipped(String),
    Failure(String),
    Error(String),
}

impl Report<'_> {
    /// For a page that shows tests.
    pub(crate) fn junit(&self) -> String {
        let cases = self.cases();
        let count = |is: fn(&Came) -> bool| cases.iter().filter(|case| is(&case.came)).count();
        let counts = format!(
            r#"tests="{}" failures="{}" errors="{}" skipped="{}""#,
            cases.len(),
            count(|came| matches!(came, Came::Failure(_))),
            count(|came| matches!(came, Came::Error(_))),
            count(|came| matches!(came, Came::Skipped(_))),
        );
        let (subject, digest) =
            (escaped(self.subject), escaped(self.digest.as_deref().unwrap_or("not known")));
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"bulla\" {counts}>\n  <testsuite name=\"{subject}\" {counts}>\n    \
             <properties>\n      <property name=\"digest\" value=\"{digest}\"/>\n    </properties>\n"
        );
        for case in &cases {
            case.write(&mut text);
        }
        text.push_str("  </testsuite>\n</testsuites>\n");
        text
    }

    fn cases(&self) -> Vec<Case> {
        let came = match self.verdict {
            Verdict::Verified => Came::Passed,
            Verdict::NotVerified => Came::Failure(self.problem()),
            Verdict::Undetermined => Came::Error(self.problem()),
        };
        let mut cases = vec![Case { class: self.subject.to_owned(), name: "verdict".to_owned(), came }];
        for candidate in &self.found.candidates {
            cases.extend(candidate.judged.checks.iter().map(|check| Case {
                class: candidate.place.clone(),
                name: check.name.to_owned(),
                came: self.came(check),
            }));
        }
        cases.extend(self.found.unread.iter().map(|unread| Case {
            class: unread.place.clone(),
            name: "read".to_owned(),
            came: match self.verdict {
                Verdict::Verified => Came::Skipped(format!("not read, and not needed: {}", unread.problem)),
                _ => Came::Error(unread.problem.clone()),
            },
        }));
        cases
    }

    /// A signature that is not needed may be anybody's, and must not turn what is verified red.
    fn came(&self, check: &Check) -> Came {
        match &check.outcome {
            Outcome::Passed => Came::Passed,
            Outcome::Skipped(why) => Came::Skipped(why.clone()),
            Outcome::Failed(problem) if self.verdict == Verdict::Verified => {
                Came::Skipped(format!("does not hold, and is not needed: {problem}"))
            }
            Outcome::Failed(problem) => Came::Failure(problem.clone()),
        }
    }
}

impl Case {
    fn write(&self, text: &mut String) {
        let (class, name) = (escaped(&self.class), escaped(&self.name));
        let said = match &self.came {
            Came::Passed => None,
            Came::Skipped(said) => Some(("skipped", said)),
            Came::Failure(said) => Some(("failure", said)),
            Came::Error(said) => Some(("error", said)),
        };
        let inside = said.map_or_else(
            || "/>".to_owned(),
            |(element, said)| format!("><{element} message=\"{}\"/></testcase>", escaped(said)),
        );
        // Writing to a string cannot fail.
        writeln!(text, "    <testcase classname=\"{class}\" name=\"{name}\"{inside}").unwrap_or_default();
    }
}

/// The value of an attribute. What XML has no place for, control characters above all, is replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_an_attribute() {
        assert_eq!(
            escaped("a\"><b>&\n\u{0}\u{1b}\u{ffff}\u{e9}"),
            "a&quot;&gt;&lt;b&gt;&amp;&#10;\u{fffd}\u{fffd}\u{fffd}\u{e9}"
        );
    }
}
