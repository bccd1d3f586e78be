//! Functions of Rego that are ours: those that could make a lot of a little count what they make, and the time is the one that
//! the question was asked with. What they answer is what Open Policy Agent answers.

use jiff::Timestamp;
use regorus::unstable::{BUILTINS, Expr, NodeRef, Source, Span};
use regorus::{Engine, Value};

use super::meter;

/// A list of numbers has an entry of this size for each.
const ENTRY: usize = size_of::<Value>();
/// The most that a number is shifted by, in bits.
const MOST_BITS: u64 = 4096;
/// The most that something is padded to, and the most digits behind its point.
const WIDEST: usize = 4096;
/// A number that is not large is not longer than this, however it is written.
const LONGEST_NUMBER: usize = 400;

/// Something that a function cannot do.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    TooMuch(#[from] meter::TooMuch),
    #[error("{function}: {problem}")]
    Argument { function: &'static str, problem: String },
}

fn wrong(function: &'static str, problem: impl Into<String>) -> Wrong {
    Wrong::Argument { function, problem: problem.into() }
}

/// A function, by the name and the number of arguments that policies call it with.
type Function = (&'static str, u8, fn(&[Value]) -> Result<Value, Wrong>);

const FUNCTIONS: [Function; 9] = [
    ("concat", 2, concat),
    ("sprintf", 2, sprintf),
    ("replace", 3, replace),
    ("strings.replace_n", 2, replace_n),
    ("numbers.range", 2, range),
    ("numbers.range_step", 3, range_step),
    ("bits.lsh", 2, shift),
    ("time.now_ns", 0, now),
    ("time.parse_rfc3339_ns", 1, parse_time),
];

/// Gives them to an engine, in which they come before its own.
pub(super) fn add_functions(engine: &mut Engine) -> Result<(), impl std::fmt::Display + use<>> {
    FUNCTIONS.into_iter().try_for_each(|(name, arguments, function)| {
        let called = move |given: Vec<Value>| Ok(function(&given)?);
        engine.add_extension(name.to_owned(), arguments, Box::new(called))
    })
}

fn text<'v>(function: &'static str, given: &'v [Value], at: usize) -> Result<&'v str, Wrong> {
    match given.get(at) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(wrong(function, format!("argument {} is no text", at + 1))),
    }
}

fn integer(function: &'static str, given: &[Value], at: usize) -> Result<i64, Wrong> {
    let number = given.get(at).and_then(|value| value.as_i64().ok());
    number.ok_or_else(|| wrong(function, format!("argument {} is no integer of 64 bits", at + 1)))
}

fn concat(given: &[Value]) -> Result<Value, Wrong> {
    let delimiter = text("concat", given, 0)?;
    let parts: Vec<&Value> = match given.get(1) {
        Some(Value::Array(parts)) => parts.iter().collect(),
        Some(Value::Set(parts)) => parts.iter().collect(),
        _ => return Err(wrong("concat", "argument 2 is neither a list nor a set")),
    };
    let parts = parts.into_iter().map(|part| match part {
        Value::String(part) => Ok(&**part),
        _ => Err(wrong("concat", "argument 2 has something that is no text")),
    });
    let parts: Vec<&str> = parts.collect::<Result<_, _>>()?;
    let len = parts.iter().fold(0_usize, |len, part| len.saturating_add(part.len() + delimiter.len()));
    meter::make(len)?;
    Ok(Value::from(parts.join(delimiter)))
}

fn replace(given: &[Value]) -> Result<Value, Wrong> {
    let replaced =
        replaced(text("replace", given, 0)?, text("replace", given, 1)?, text("replace", given, 2)?)?;
    Ok(Value::from(replaced))
}

fn replaced(text: &str, old: &str, new: &str) -> Result<String, Wrong> {
    let times = text.matches(old).count();
    meter::make(text.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(text.replace(old, new))
}

/// The engine's own, once it is known that it makes not too much.
fn sprintf(given: &[Value]) -> Result<Value, Wrong> {
    let name = "sprintf";
    let format = text(name, given, 0)?;
    let wide = widths(format)?;
    let shown = given.get(1).map_or(0, written);
    meter::make(format.len().saturating_add(wide).saturating_add(shown))?;
    let (made, _) = BUILTINS.get(name).ok_or_else(|| wrong(name, "is not there"))?;
    let source = Source::from_contents(name.to_owned(), String::new());
    let source = source.map_err(|error| wrong(name, error.to_string()))?;
    let span = Span { source, line: 1, col: 1, start: 0, end: 0 };
    // It looks at the arguments as they were written for its messages alone.
    let argument = || NodeRef::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
    made(&span, &[argument(), argument()], given, true).map_err(|error| {
        let said = error.to_string();
        // Before that it says where, which the engine says too.
        wrong(name, said.rsplit("error: ").next().unwrap_or(&said).trim())
    })
}

/// All widths and precisions in a format, added up.
fn widths(format: &str) -> Result<usize, Wrong> {
    let mut sum = 0_usize;
    let mut rest = format;
    while let Some((_, after)) = rest.split_once('%') {
        let dotted = after.strip_prefix('.').unwrap_or(after);
        let end = dotted.find(|one: char| !one.is_numeric()).unwrap_or(dotted.len());
        let digits = &dotted[..end];
        let width =
            if digits.is_empty() { Some(0) } else { digits.parse().ok().filter(|width| *width <= WIDEST) };
        sum += width.ok_or_else(|| {
            wrong("sprintf", format!("a width or precision is {digits:?}, at most {WIDEST} was expected"))
        })?;
        rest = if digits.is_empty() {
            // What follows is the verb, which may be a percent sign too.
            after.get(after.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default()
        } else {
            &dotted[end..]
        };
    }
    Ok(sum)
}

/// The most bytes that a value takes when it is written, quoted or not.
fn written(value: &Value) -> usize {
    let comma = |len: usize| len.saturating_add(2);
    match value {
        // A control character is six when it is quoted.
        Value::String(said) => said.len().saturating_mul(6),
        Value::Number(number) if number.as_i64().is_some() || number.as_big().is_none() => LONGEST_NUMBER,
        // In binary it is four times as long.
        Value::Number(number) => number.format_decimal().len().saturating_mul(4),
        Value::Array(all) => all.iter().map(|one| comma(written(one))).sum::<usize>() + 2,
        Value::Set(all) => all.iter().map(|one| comma(written(one))).sum::<usize>() + 2,
        Value::Object(all) => {
            let members = all.iter_sorted().map(|(key, value)| comma(written(key)) + comma(written(value)));
            members.sum::<usize>() + 2
        }
        Value::Null | Value::Bool(_) | Value::Undefined => 16,
    }
}

/// Open Policy Agent looks for all patterns at once and takes the one that comes first in the order of their names.
fn replace_n(given: &[Value]) -> Result<Value, Wrong> {
    let name = "strings.replace_n";
    let Some(Value::Object(patterns)) = given.first() else {
        return Err(wrong(name, "argument 1 is no object"));
    };
    let mut rest = text(name, given, 1)?;
    let pairs = patterns.iter_sorted().map(|(old, new)| match (old, new) {
        (Value::String(old), Value::String(new)) => Ok((&**old, &**new)),
        _ => Err(wrong(name, "argument 1 has something that is no text")),
    });
    let pairs: Vec<(&str, &str)> = pairs.collect::<Result<_, _>>()?;
    if pairs.iter().any(|(old, _)| old.is_empty()) {
        return Err(wrong(name, "argument 1 has an empty pattern"));
    }
    let mut made = String::new();
    while let Some(first) = rest.chars().next() {
        meter::step()?;
        let found = pairs.iter().find(|(old, _)| rest.starts_with(old));
        let (taken, put) = found
            .map_or_else(|| (first.len_utf8(), &rest[..first.len_utf8()]), |(old, new)| (old.len(), *new));
        meter::make(put.len())?;
        made.push_str(put);
        rest = &rest[taken..];
    }
    Ok(Value::from(made))
}

fn range(given: &[Value]) -> Result<Value, Wrong> {
    numbers("numbers.range", given, 1)
}

fn range_step(given: &[Value]) -> Result<Value, Wrong> {
    let name = "numbers.range_step";
    match integer(name, given, 2)? {
        step @ 1.. => numbers(name, given, step.unsigned_abs()),
        _ => Err(wrong(name, "argument 3 is not a positive integer")),
    }
}

/// The numbers from one to another, whichever is larger.
fn numbers(name: &'static str, given: &[Value], step: u64) -> Result<Value, Wrong> {
    let (from, to) = (integer(name, given, 0)?, integer(name, given, 1)?);
    let count = from.abs_diff(to) / step;
    let bytes = usize::try_from(count).unwrap_or(usize::MAX).saturating_add(1).saturating_mul(ENTRY);
    meter::make(bytes)?;
    let at = |n: u64| {
        let (from, far) = (i128::from(from), i128::from(n) * i128::from(step));
        // Between two integers of 64 bits.
        i64::try_from(if given_up(given) { from + far } else { from - far }).unwrap_or_default()
    };
    Ok(Value::from((0..=count).map(|n| Value::from(at(n))).collect::<Vec<_>>()))
}

/// Whether the second number is not below the first.
fn given_up(given: &[Value]) -> bool {
    let at = |at: usize| given.get(at).and_then(|value| value.as_i64().ok());
    at(0) <= at(1)
}

fn shift(given: &[Value]) -> Result<Value, Wrong> {
    let name = "bits.lsh";
    let (Some(Value::Number(number)), Some(Value::Number(bits))) = (given.first(), given.get(1)) else {
        return Err(wrong(name, "both arguments must be integers"));
    };
    if bits.as_u64().is_none_or(|bits| bits > MOST_BITS) {
        return Err(wrong(name, format!("argument 2 is not a number of bits, at most {MOST_BITS}")));
    }
    number.lsh(bits).map(Value::from).ok_or_else(|| wrong(name, "argument 1 is no integer"))
}

fn now(_: &[Value]) -> Result<Value, Wrong> {
    let nanoseconds = i64::try_from(meter::now()).ok().and_then(|now| now.checked_mul(1_000_000_000));
    nanoseconds.map(Value::from).ok_or_else(|| wrong("time.now_ns", "the time is later than can be said"))
}

fn parse_time(given: &[Value]) -> Result<Value, Wrong> {
    let name = "time.parse_rfc3339_ns";
    let text = text(name, given, 0)?;
    let time: Timestamp =
        text.parse().map_err(|_| wrong(name, format!("{text:?} is no time as in RFC 3339")))?;
    let nanoseconds = i64::try_from(time.as_nanosecond());
    nanoseconds.map(Value::from).map_err(|_| wrong(name, format!("{text:?} is too far away")))
}
