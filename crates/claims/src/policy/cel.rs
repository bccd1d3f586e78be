//! Policies in CEL, the Common Expression Language (<https://github.com/google/cel-spec>): one expression that must be true.
//!
//! The language has no loops but those over lists that are there, nested as deep as the text is long: enough for more steps
//! than anybody can wait for. So every turn of a loop, and everything that is joined, is counted: the expression is rewritten
//! to say so once it is read.

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, ListExpr, operators};
use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, ResolveResult, Value};
use jiff::Timestamp;
use serde_json::Value as Json;

use super::{Ruling, meter};

/// What counts a turn. No author can call it: it is no name in the language.
const STEP: &str = "@step";
/// What takes a value into a list. The engine copies it, all of it.
const KEEP: &str = "@keep";
/// What joins.
const JOIN: &str = "@join";
/// What the time is made with, when it is text.
const TIMESTAMP: &str = "timestamp(now)";
/// How deep an expression may be.
const DEEPEST: usize = 200;

/// A compiled expression.
pub(super) struct Expression {
    /// What is evaluated.
    root: IdedExpr,
    /// What makes a timestamp of a text, which the engine's types do not.
    timestamp: IdedExpr,
    env: Arc<Env>,
}

impl Expression {
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let env = Env::stdlib();
        let mut expression = env.parser().parse(text).map_err(|errors| {
            let lines = errors
                .errors
                .iter()
                .map(|error| format!("line {} column {}: {}", error.pos.0, error.pos.1, error.msg));
            lines.collect::<Vec<_>>().join("; ")
        })?;
        counted(&mut expression, 0)?;
        let timestamp = env.parser().parse(TIMESTAMP).map_err(|error| error.to_string())?;
        Ok(Self { root: expression, timestamp, env: Arc::new(env) })
    }

    pub(super) fn rule(&self, input: &Json, now: u64) -> Ruling {
        match self.value(input, now) {
            Ok(Value::Bool(true)) => Ruling::Allowed,
            Ok(Value::Bool(false)) => {
                Ruling::Denied(vec!["the expression is false, true was expected".to_owned()])
            }
            Ok(other) => {
                Ruling::Failed(format!("the expression is of type {}, true was expected", other.type_of()))
            }
            Err(problem) => Ruling::Failed(problem),
        }
    }

    fn value(&self, input: &Json, now: u64) -> Result<Value, String> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.add_function(STEP, step).map_err(|error| error.to_string())?;
        context.add_function(KEEP, keep).map_err(|error| error.to_string())?;
        context.add_function(JOIN, join).map_err(|error| error.to_string())?;
        for name in ["predicate", "predicateType", "subject"] {
            context.add_variable_from_value(name, value_of(&input[name]));
        }
        context.add_variable_from_value("statement", value_of(input));
        let at = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok());
        let at = at.ok_or("the time is later than can be said")?;
        context.add_variable_from_value("now", at.to_string());
        let at = context.resolve(&self.timestamp).map_err(|error| error.to_string())?;
        context.add_variable_from_value("now", at);
        let came = context.resolve(&self.root);
        // An error in one half of an `or` is none if the other half is true. This one is.
        meter::passed().map_err(|error| error.to_string())?;
        came.map_err(|error| problem(&error))
    }
}

fn step() -> Result<i64, ExecutionError> {
    meter::step().map(|()| 0).map_err(|error| ExecutionError::function_error("step", error))
}

/// How much memory a value takes, roughly.
fn size(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.iter().map(size).sum(),
        Value::Map(map) => map.map.values().map(|value| size(value).saturating_add(size_of::<Key>())).sum(),
        _ => 0,
    };
    inside.saturating_add(size_of::<Value>())
}

fn keep(value: Value) -> ResolveResult {
    meter::make(size(&value)).map_err(|error| ExecutionError::function_error("map", error))?;
    Ok(value)
}

fn join(left: Value, right: Value) -> ResolveResult {
    meter::make(size(&left).saturating_add(size(&right)))
        .map_err(|error| ExecutionError::function_error("+", error))?;
    match (left, right) {
        (Value::Bytes(left), Value::Bytes(right)) => {
            Ok(Value::Bytes(Arc::new([&left[..], &right[..]].concat())))
        }
        (left, right) => left + right,
    }
}

/// The errors of the engine show whole values, which are the statement's.
fn problem(error: &ExecutionError) -> String {
    match error {
        ExecutionError::UnsupportedTargetType { .. } | ExecutionError::NotSupportedAsMethod { .. } => {
            "a function was called on a value that it is not for".to_owned()
        }
        error => error.to_string(),
    }
}

/// Rewrites an expression that was read, so that it is counted, and refuses one that is too deep.
fn counted(expression: &mut IdedExpr, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("is nested deeper than {DEEPEST} levels"));
    }
    let mut below = |expression: &mut IdedExpr| counted(expression, depth + 1);
    match &mut expression.expr {
        Expr::Call(call) => {
            call.target.as_deref_mut().map_or(Ok(()), &mut below)?;
            call.args.iter_mut().try_for_each(below)?;
            if call.func_name == operators::ADD {
                JOIN.clone_into(&mut call.func_name);
            }
        }
        Expr::Comprehension(comprehension) => {
            below(&mut comprehension.iter_range)?;
            below(&mut comprehension.accu_init)?;
            below(&mut comprehension.result)?;
            if matches!(comprehension.loop_cond.expr, Expr::Literal(_)) {
                return turn(&mut comprehension.loop_step, depth + 1);
            }
            // A turn that fails does not end these loops, for a later one may make up for it. A condition that fails does.
            below(&mut comprehension.loop_cond)?;
            below(&mut comprehension.loop_step)?;
            counting(&mut comprehension.loop_cond);
        }
        Expr::List(list) => list.elements.iter_mut().try_for_each(below)?,
        Expr::Map(map) => {
            map.entries.iter_mut().try_for_each(|entry| entries(&mut entry.expr, &mut below))?;
        }
        Expr::Struct(made) => {
            made.entries.iter_mut().try_for_each(|entry| entries(&mut entry.expr, &mut below))?;
        }
        Expr::Select(select) => below(&mut select.operand)?,
        Expr::Unspecified => return Err("has a part that says nothing".to_owned()),
        Expr::Ident(_) | Expr::Literal(_) => {}
    }
    Ok(())
}

fn entries(
    entry: &mut EntryExpr,
    below: &mut impl FnMut(&mut IdedExpr) -> Result<(), String>,
) -> Result<(), String> {
    match entry {
        EntryExpr::StructField(field) => below(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            below(&mut entry.key)?;
            below(&mut entry.value)
        }
    }
}

/// What a turn of a loop evaluates is counted, and the form around it is left as the macro made it: the engine knows those
/// forms, and needs far more time for others.
fn turn(step: &mut IdedExpr, depth: usize) -> Result<(), String> {
    let unknown = || Err("has a loop of a form that is not known".to_owned());
    let Expr::Call(CallExpr { func_name, args, target: None }) = &mut step.expr else { return unknown() };
    match (func_name.as_str(), args.as_mut_slice()) {
        (operators::CONDITIONAL, [condition, taken, _]) => {
            counted(condition, depth + 1)?;
            counting(condition);
            turn(taken, depth + 1)
        }
        (operators::ADD, [_, IdedExpr { expr: Expr::List(list), .. }]) => {
            list.elements.iter_mut().try_for_each(|element| {
                counted(element, depth + 1)?;
                calling(KEEP, element);
                Ok(())
            })
        }
        (operators::ADD, [_, IdedExpr { expr: Expr::Literal(_), .. }]) => Ok(()),
        _ => unknown(),
    }
}

/// The same value, given to a function that gives it back.
fn calling(function: &str, expression: &mut IdedExpr) {
    let id = expression.id;
    let args = vec![std::mem::take(expression)];
    *expression =
        IdedExpr { id, expr: Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }) };
}

/// The same value, after a step: the first entry of a list of it alone, and the step is what says which entry.
fn counting(expression: &mut IdedExpr) {
    let id = expression.id;
    let value = std::mem::take(expression);
    let step = CallExpr { func_name: STEP.to_owned(), target: None, args: Vec::new() };
    let with_id = |expr| IdedExpr { id, expr };
    let args = vec![with_id(Expr::List(ListExpr::new(vec![value]))), with_id(Expr::Call(step))];
    *expression =
        with_id(Expr::Call(CallExpr { func_name: operators::INDEX.to_owned(), target: None, args }));
}

/// JSON as CEL has it. Integers are integers: that they have no sign is no property of them.
fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Bool(*is),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(list) => Value::List(Arc::new(list.iter().map(value_of).collect())),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| (Key::from(name.as_str()), value_of(value)));
            Value::Map(Map { map: Arc::new(members.collect::<HashMap<_, _>>()) })
        }
    }
}
