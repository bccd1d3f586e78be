//! Where the value of an option comes from: the command line, else the environment (`BULLA_…`), else one TOML file
//! (`--config`), else the default. The same names everywhere, and no name that means nothing.
//!
//! The environment of Rekor's own server is understood too, where it has something to say about a log of ours.
//!
//! The file's values become defaults of the options that the command line knows, so that each is read and refused by
//! the same code whichever way it came. Tools that ask about other people's logs take flags only: what is set for a
//! service must not change what they check.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use crate::command::Failure;
use crate::rekor_environment::{self, Setting};
use crate::text;

/// They work on the log of `serve` and may be given its file.
const SHARING: [&str; 4] = ["trust", "freeze", "shard", "reindex"];
const OWNER: &str = "serve";
/// The variables of Rekor's server speak to whoever works on that log.
const REKOR: [&str; 6] = ["up", "serve", "trust", "freeze", "shard", "reindex"];
/// What the file of options cannot itself say.
const OUTSIDE: [&str; 4] = ["config", "print-config", "help", "version"];
const LARGEST_FILE: u64 = 1 << 20;

/// What a command line asks for.
pub(crate) enum Parsed<C> {
    /// To run this, having said in the log which variables of Rekor's were honoured.
    Run(C, Vec<String>),
    /// To print this.
    Show(String),
}

/// Why the options cannot be followed.
pub(crate) enum Refused {
    /// The command line, or a request for help, in clap's words.
    CommandLine(Box<clap::Error>, Option<String>),
    /// The file, or a variable of Rekor's.
    Given(Failure),
}

impl Refused {
    /// Says it, unless the caller is to.
    pub(crate) fn into_exit(self) -> Result<ExitCode, Failure> {
        match self {
            Self::CommandLine(error, from) => {
                // Nobody to tell if the terminal is gone.
                let _gone = error.print();
                if let Some(from) = from {
                    eprintln!("The value comes from {from}.");
                }
                Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)))
            }
            Self::Given(failure) => Err(failure),
        }
    }
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(Box::new(error), None)
    }
}

/// Reads the command line of what takes flags only.
pub(crate) fn flags<C: CommandFactory + FromArgMatches>(args: &[OsString]) -> Result<C, Refused> {
    let command = C::command().mut_args(with_variable);
    Ok(C::from_arg_matches(&command.try_get_matches_from(args)?)?)
}

/// Reads the command line, with the environment and the file behind it for those commands that are configured.
pub(crate) fn parse<C: CommandFactory + FromArgMatches>(
    args: &[OsString],
    is_configured: fn(&str) -> bool,
) -> Result<Parsed<C>, Refused> {
    let mut command = with_environment(C::command(), is_configured);
    let found = command.clone().ignore_errors(true).try_get_matches_from(args)?;
    let (names, leaf) = innermost(&found);
    let file = match path_of_file(leaf) {
        Some(path) => Some(File::read(&path, &known(&command, &names)).map_err(Refused::Given)?),
        None => None,
    };
    let first = names.first().map(String::as_str).unwrap_or_default();
    let rekor = if REKOR.contains(&first) {
        let read = rekor_environment::read(std::env::vars_os(), Path::is_file);
        read.map_err(|problem| Refused::Given(Failure::usage(problem)))?
    } else {
        Vec::new()
    };
    let given = given(file.as_ref(), &rekor);
    command = with_given(command, &names, &given);
    let matches = match command.clone().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let from = origin_of_wrong_value(&error, &given);
            return Err(Refused::CommandLine(Box::new(error), from));
        }
    };
    let (names, leaf) = innermost(&matches);
    if is_set(leaf, "print-config") {
        return Ok(Parsed::Show(in_force(&command, &names, leaf, &given)));
    }
    let honoured = if matches!(first, OWNER | "up") { honoured(leaf, &given, &rekor) } else { Vec::new() };
    Ok(Parsed::Run(C::from_arg_matches(&matches)?, honoured))
}

/// Gives every option of a configured command its variable, and the two options that are about options.
fn with_environment(command: Command, is_configured: fn(&str) -> bool) -> Command {
    command
        .mut_args(with_variable)
        .mut_subcommands(|sub| if is_configured(sub.get_name()) { configured(sub) } else { sub })
}

fn configured(command: Command) -> Command {
    let command = command.mut_args(with_variable);
    if command.has_subcommands() {
        return command.mut_subcommands(configured);
    }
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("TOML file with options, by their long names")
        .help_heading("Configuration");
    let print = Arg::new("print-config")
        .long("print-config")
        .action(ArgAction::SetTrue)
        .help("Print every option's value in force and where it comes from, and do nothing")
        .help_heading("Configuration");
    command
        .arg(with_variable(config))
        .arg(print)
        .after_help("Every option can also be given as BULLA_<OPTION> in the environment (BULLA_DATA, BULLA_LOG_LEVEL), or in the file.")
}

fn with_variable(arg: Arg) -> Arg {
    let Some(long) = arg.get_long().filter(|long| !matches!(*long, "help" | "version")) else { return arg };
    let variable = variable(long);
    arg.env(variable).hide_env(true)
}

fn variable(long: &str) -> String {
    format!("BULLA_{}", long.to_ascii_uppercase().replace('-', "_"))
}

fn innermost(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut names, mut leaf) = (Vec::new(), matches);
    while let Some((name, sub)) = leaf.subcommand() {
        names.push(name.to_owned());
        leaf = sub;
    }
    (names, leaf)
}

fn path_of_file(leaf: &ArgMatches) -> Option<PathBuf> {
    leaf.try_get_one::<PathBuf>("config").ok().flatten().cloned()
}

fn is_set(leaf: &ArgMatches, flag: &str) -> bool {
    leaf.try_get_one::<bool>(flag).ok().flatten().copied().unwrap_or(false)
}

fn descend<'a>(command: &'a Command, names: &[String]) -> Vec<&'a Command> {
    let mut path = vec![command];
    for name in names {
        path.extend(path.last().and_then(|command| command.find_subcommand(name)));
    }
    path
}

/// The options along the way to a command, outermost last.
fn options<'a>(command: &'a Command, names: &[String]) -> Vec<&'a Arg> {
    let path = descend(command, names);
    path.into_iter().rev().flat_map(Command::get_arguments).filter(|arg| arg.get_long().is_some()).collect()
}

/// The keys that a file for this command may have.
fn known(command: &Command, names: &[String]) -> Vec<String> {
    let mut known = options(command, names);
    if names.first().is_some_and(|name| SHARING.contains(&name.as_str())) {
        known.extend(options(command, &[OWNER.to_owned()]));
    }
    let mut known: Vec<String> = known
        .into_iter()
        .filter_map(Arg::get_long)
        .filter(|long| !OUTSIDE.contains(long))
        .map(Into::into)
        .collect();
    known.sort();
    known.dedup();
    known
}

/// Values that were neither typed nor set as `BULLA_…`, by the long names of options.
type Given = BTreeMap<String, (Vec<String>, Source)>;

/// Who gave a value.
#[derive(Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    /// A variable of Rekor's.
    Variable(&'static str),
}

/// What the file and the variables of Rekor's say; of two, what is later here.
fn given(file: Option<&File>, rekor: &[Setting]) -> Given {
    let of_rekor = |over_file: bool| {
        rekor.iter().filter(move |setting| setting.over_file == over_file).flat_map(|setting| {
            let source = Source::Variable(setting.variable);
            let option = move |(long, value): &(&str, String)| {
                ((*long).to_owned(), (vec![value.clone()], source.clone()))
            };
            setting.options.iter().map(option)
        })
    };
    let of_file = file.into_iter().flat_map(|file| {
        let source = Source::File(file.path.clone());
        file.values.iter().map(move |(long, values)| (long.clone(), (values.clone(), source.clone())))
    });
    of_rekor(false).chain(of_file).chain(of_rekor(true)).collect()
}

fn with_given(command: Command, names: &[String], given: &Given) -> Command {
    let command = command.mut_args(|arg| with_value(arg, given));
    match names {
        [] => command,
        [name, rest @ ..] => command.mut_subcommand(name, |sub| with_given(sub, rest, given)),
    }
}

fn with_value(arg: Arg, given: &Given) -> Arg {
    let values = arg.get_long().and_then(|long| given.get(long)).cloned();
    match values {
        Some((values, _)) => arg.required(false).default_values(values),
        None => arg,
    }
}

/// Whether the value in force is that of the file or of a variable of Rekor's.
fn is_given(leaf: &ArgMatches, id: &str) -> bool {
    leaf.try_contains_id(id).is_ok() && leaf.value_source(id) == Some(ValueSource::DefaultValue)
}

/// What is to be said about each variable of Rekor's.
fn honoured(leaf: &ArgMatches, given: &Given, rekor: &[Setting]) -> Vec<String> {
    let line = |setting: &Setting| {
        let overruled: Vec<_> = setting
            .options
            .iter()
            .filter(|(long, _)| {
                let is_its_own =
                    given.get(*long).is_some_and(|(_, from)| *from == Source::Variable(setting.variable));
                !is_its_own || !is_given(leaf, &long.replace('-', "_"))
            })
            .map(|(long, _)| format!("--{long}"))
            .collect();
        let but = if overruled.is_empty() {
            String::new()
        } else {
            format!("; {} is set otherwise, which counts", overruled.join(", "))
        };
        format!("{} is honoured: {}{but}", setting.variable, setting.meaning)
    };
    rekor.iter().map(line).collect()
}

/// A TOML file of options, flattened: `witness.policy` is `witness-policy`.
struct File {
    path: PathBuf,
    values: BTreeMap<String, Vec<String>>,
}

impl File {
    fn read(path: &Path, known: &[String]) -> Result<Self, Failure> {
        let failed = |problem: &dyn fmt::Display| Failure::usage(format!("{}: {problem}", path.display()));
        let length = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
        if length > LARGEST_FILE {
            return Err(failed(&format!("is {length} bytes, a file of options has at most {LARGEST_FILE}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        let table: toml::Table = text.parse().map_err(|error| failed(&error))?;
        let mut values = BTreeMap::new();
        flatten("", &table, &mut values).map_err(|problem| failed(&problem))?;
        if let Some(key) = values.keys().find(|key| !known.contains(key)) {
            let nearest = text::nearest(key, known.iter().map(String::as_str));
            let meant = nearest.map_or(String::new(), |name| format!(", did you mean \"{name}\"?"));
            return Err(failed(&format!("unknown option \"{key}\"{meant}")));
        }
        Ok(Self { path: path.to_owned(), values })
    }
}

fn flatten(prefix: &str, table: &toml::Table, out: &mut BTreeMap<String, Vec<String>>) -> Result<(), String> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}-{key}") };
        if let toml::Value::Table(inner) = value {
            flatten(&name, inner, out)?;
            continue;
        }
        let values = match value {
            toml::Value::Array(values) => {
                values.iter().map(|value| scalar(&name, value)).collect::<Result<_, _>>()?
            }
            single => vec![scalar(&name, single)?],
        };
        if out.insert(name.clone(), values).is_some() {
            return Err(format!("option \"{name}\" is given twice"));
        }
    }
    Ok(())
}

fn scalar(name: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(is) => Ok(is.to_string()),
        other => Err(format!(
            "option \"{name}\" is a {}, a string, an integer or a boolean was expected",
            other.type_str()
        )),
    }
}

/// Says where a value that the command refused was set, when it was not typed.
fn origin_of_wrong_value(error: &clap::Error, given: &Given) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return None };
    let long = shown.strip_prefix("--")?.split([' ', '=', '[']).next()?;
    let variable = variable(long);
    if std::env::var(&variable).is_ok_and(|set| set == *value) {
        return Some(format!("the environment variable {variable}"));
    }
    let (_, source) = given.get(long).filter(|(values, _)| values.contains(value))?;
    Some(match source {
        Source::File(path) => format!("{}, option \"{long}\"", path.display()),
        Source::Variable(name) => format!("the environment variable {name}"),
    })
}

/// One line for each option: a line of a TOML file, and where the value came from.
fn in_force(command: &Command, names: &[String], leaf: &ArgMatches, given: &Given) -> String {
    let mut lines = String::new();
    for arg in options(command, names) {
        let Some(long) = arg.get_long().filter(|long| !OUTSIDE.contains(long)) else { continue };
        let from = match leaf.value_source(arg.get_id().as_str()) {
            Some(ValueSource::CommandLine) => "command line".to_owned(),
            Some(ValueSource::EnvVariable) => format!("environment {}", variable(long)),
            Some(_) => match given.get(long) {
                Some((_, Source::File(path))) => path.display().to_string(),
                Some((_, Source::Variable(name))) => format!("environment {name}"),
                None => "default".to_owned(),
            },
            None => "not set".to_owned(),
        };
        let mut values: Vec<String> = leaf
            .get_raw(arg.get_id().as_str())
            .into_iter()
            .flatten()
            .map(|raw| raw.to_string_lossy().into())
            .collect();
        if is_secret(long) || values.iter().any(|value| value.contains("pin-value=")) {
            values.fill("(hidden)".to_owned());
        }
        let line = match (values.as_slice(), arg.get_action()) {
            ([], _) => format!("# {long} ="),
            ([one], ArgAction::Append) => format!("{long} = [{one:?}]"),
            ([one], _) if one.parse::<i64>().is_ok() || one.parse::<bool>().is_ok() => {
                format!("{long} = {one}")
            }
            ([one], _) => format!("{long} = {one:?}"),
            (many, _) => format!("{long} = {many:?}"),
        };
        // Writing to a string cannot fail.
        let _infallible = writeln!(lines, "{line:<56} # {from}");
    }
    lines
}

/// Whether nobody should read the value over a shoulder; the name of a file that holds it is no secret.
fn is_secret(long: &str) -> bool {
    !long.ends_with("-file") && ["password", "secret", "token"].iter().any(|word| long.contains(word))
}
