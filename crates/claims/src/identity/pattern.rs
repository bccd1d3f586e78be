//! Patterns of issuers and subjects. A pattern is about the whole value: a regular expression that could match a part of it is
//! refused, since `https://github.com/org/` is a part of `https://evil.example/https://github.com/org/` too.

use std::fmt;

use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Look;

use super::{Identity, MAX_NAME};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;
/// What a compiled pattern may take of memory, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// How deep groups may be nested.
const MAX_NESTING: u32 = 32;

/// A pattern of one value. Letters are compared as they are, capital and small ones differ.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    form: Form,
}

#[derive(Clone)]
enum Form {
    Exact,
    Glob(Regex),
    Expression(Regex),
}

impl Pattern {
    /// One value.
    pub fn exact(text: &str) -> Result<Self, PatternError> {
        bounded(text, MAX_NAME)?;
        Ok(Self { text: text.to_owned(), form: Form::Exact })
    }

    /// A pattern in which `*` is any text without a slash, `**` any text at all and `?` one character that is no slash.
    pub fn glob(text: &str) -> Result<Self, PatternError> {
        bounded(text, MAX_PATTERN)?;
        let mut expression = String::from(r"\A(?s:");
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '*' if rest.next_if_eq(&'*').is_some() => expression.push_str(".*"),
                '*' => expression.push_str("[^/]*"),
                '?' => expression.push_str("[^/]"),
                c => expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
        }
        expression.push_str(r")\z");
        let compiled = compiled(&expression).map_err(|problem| error(text, problem))?;
        Ok(Self { text: text.to_owned(), form: Form::Glob(compiled) })
    }

    /// A regular expression of Rust's crate `regex`, which is that of RE2 but for details, and takes time in proportion to what
    /// it is matched with. It must be anchored at both ends, `^…$`, in each of its alternatives.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        bounded(text, MAX_PATTERN)?;
        let compiled = compiled(text).map_err(|problem| error(text, problem))?;
        if is_anchored(text) {
            return Ok(Self { text: text.to_owned(), form: Form::Expression(compiled) });
        }
        let fixed = [format!("{text}$"), format!("^{text}"), format!("^{text}$"), format!("^(?:{text})$")];
        let fixed = fixed.iter().find(|fixed| is_anchored(fixed)).map_or("^…$", String::as_str);
        let problem = format!("matches parts of a value, the whole is meant: write {fixed}");
        Err(error(text, problem))
    }

    /// How it is read: `exact`, `glob` or `regex`.
    pub fn form(&self) -> &'static str {
        match self.form {
            Form::Exact => "exact",
            Form::Glob(_) => "glob",
            Form::Expression(_) => "regex",
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the whole value is what it says.
    pub fn matches(&self, value: &str) -> bool {
        value.len() <= MAX_NAME
            && match &self.form {
                Form::Exact => self.text == value,
                Form::Glob(regex) | Form::Expression(regex) => regex.is_match(value),
            }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match &self.form {
            Form::Exact => "",
            Form::Glob(_) => "glob ",
            Form::Expression(_) => "regex ",
        };
        write!(f, "{form}{:?}", self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({self})")
    }
}

/// A pattern of identities: both of its parts must match.
#[derive(Clone, Debug)]
pub struct IdentityPattern {
    /// Who vouches.
    pub issuer: Pattern,
    /// For whom.
    pub subject: Pattern,
}

impl IdentityPattern {
    /// Whether the identity is one of those.
    pub fn matches(&self, identity: &Identity) -> bool {
        self.issuer.matches(&identity.issuer) && self.subject.matches(&identity.subject)
    }
}

/// A text that is no pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("pattern {pattern:?} {problem}")]
pub struct PatternError {
    /// The text, cut to a line.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

fn error(text: &str, problem: String) -> PatternError {
    PatternError { pattern: text.chars().take(100).collect(), problem }
}

fn bounded(text: &str, most: usize) -> Result<(), PatternError> {
    match text.len() {
        0 => Err(error(text, "is empty, it would match nothing".to_owned())),
        len if len > most => Err(error(text, format!("is {len} bytes, at most {most} were expected"))),
        _ => Ok(()),
    }
}

fn compiled(text: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(text)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .nest_limit(MAX_NESTING)
        .build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("is more than {} KiB when compiled", MAX_COMPILED >> 10),
        // The library draws the place below the pattern; the last line says what is wrong.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("is no regular expression: {last}")
        }
    })
}

/// Whether every match begins where the value begins and ends where it ends.
fn is_anchored(text: &str) -> bool {
    let Ok(parsed) = ParserBuilder::new().nest_limit(MAX_NESTING).build().parse(text) else { return false };
    let properties = parsed.properties();
    properties.look_set_prefix().contains(Look::Start) && properties.look_set_suffix().contains(Look::End)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Pattern::regex(text).expect_err(text).to_string()
    }

    #[test]
    fn an_expression_that_matches_a_part_is_refused_with_the_one_that_does_not() {
        for (text, fixed) in [
            ("https://github.com/org/", "^https://github.com/org/$"),
            ("^https://github.com/org/.*", "^https://github.com/org/.*$"),
            (".*@example.org$", "^.*@example.org$"),
            ("^a$|b", "^(?:^a$|b)$"),
            ("^a|b$", "^(?:^a|b$)$"),
            (r"a\$", r"^a\$$"),
            ("(?m)^a$", "^(?:(?m)^a$)$"),
            ("", "^$"),
        ] {
            if text.is_empty() {
                assert_eq!(refused(text), "pattern \"\" is empty, it would match nothing");
                continue;
            }
            let expected =
                format!("pattern {text:?} matches parts of a value, the whole is meant: write {fixed}");
            assert_eq!(refused(text), expected);
            let fixed = Pattern::regex(fixed).expect("is whole");
            assert!(!fixed.matches("https://evil.example/https://github.com/org/"));
        }
        // Whatever is appended is a comment.
        assert_eq!(
            refused("(?x)a # b"),
            "pattern \"(?x)a # b\" matches parts of a value, the whole is meant: write ^…$"
        );
    }

    #[test]
    fn an_expression_is_about_the_whole_value() {
        let org = Pattern::regex(
            "^https://github\\.com/org/[a-z]+/\\.github/workflows/release\\.ya?ml@refs/heads/main$",
        );
        let org = org.expect("is whole");
        let workflow = "https://github.com/org/app/.github/workflows/release.yml@refs/heads/main";
        assert!(org.matches(workflow));
        for other in [
            format!("https://evil.example/{workflow}"),
            format!("{workflow}/evil"),
            format!("{workflow}\n"),
            format!("x\n{workflow}"),
            workflow.to_uppercase(),
        ] {
            assert!(!org.matches(&other), "{other}");
        }
        for text in ["^(?:a|b)$", "^a$|^b$", r"\Aa\z", "(?:^a)(?:b$)", "^(?i)a$"] {
            assert!(Pattern::regex(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_glob_stops_at_slashes_unless_told_otherwise() {
        let matches = |glob: &str, value: &str| Pattern::glob(glob).expect("is one").matches(value);
        assert!(matches("*@example.org", "alice@example.org"));
        assert!(!matches("*@example.org", "alice@example.org.evil"));
        assert!(!matches("*@example.org", "alice@example-org"));
        assert!(matches("https://github.com/org/*/x", "https://github.com/org/app/x"));
        assert!(!matches("https://github.com/org/*/x", "https://github.com/org/app/b/x"));
        assert!(!matches("https://github.com/org/*", "https://evil.example/https://github.com/org/app"));
        assert!(matches("https://github.com/org/**", "https://github.com/org/app/b/x"));
        assert!(matches("a?c", "a\u{e9}c") && !matches("a?c", "a/c") && !matches("a?c", "ac"));
        assert!(matches("(a|b)[c]^$.+\\", "(a|b)[c]^$.+\\") && !matches("(a|b)", "a"));
        assert!(Pattern::exact("a*").expect("is one").matches("a*"));
        assert!(!Pattern::exact("a*").expect("is one").matches("ab"));
    }

    #[test]
    fn what_is_too_much_or_no_expression_is_refused() {
        assert_eq!(refused("^(a$"), "pattern \"^(a$\" is no regular expression: unclosed group");
        assert_eq!(
            refused(r"^(a)\1$"),
            "pattern \"^(a)\\\\1$\" is no regular expression: backreferences are not supported"
        );
        assert_eq!(
            refused(r"^(?:\w{1000}){1000}$"),
            "pattern \"^(?:\\\\w{1000}){1000}$\" is more than 1024 KiB when compiled"
        );
        assert!(refused(&"(".repeat(1000)).contains("is no regular expression"));
        let long = "a".repeat(1025);
        assert!(refused(&long).ends_with(" is 1025 bytes, at most 1024 were expected"));
        assert!(Pattern::glob(&long).is_err() && Pattern::exact("").is_err());
        // What would take a backtracking engine the age of the universe.
        let slow = Pattern::regex("^(?:a+)+$").expect("is one");
        assert!(!slow.matches(&format!("{}b", "a".repeat(4000))));
        assert!(!Pattern::glob("**").expect("is one").matches(&"a".repeat(MAX_NAME + 1)));
    }
}
