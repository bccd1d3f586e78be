//! Which rules and functions of a policy in Rego need which. One that needs itself is refused, as Open Policy Agent refuses it,
//! and so is a chain that is longer than the stack is deep: the engine evaluates both by calling itself.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{AssignOp, Expr, Literal, Module, Query, Rule, RuleHead};

/// The most rules and functions that need each other in a row.
const LONGEST_CHAIN: usize = 64;

/// A name below the package, in parts: `a.b` is a and b. The package itself has none.
type Name = Vec<String>;

/// Refuses a policy with a rule or a function that needs itself.
pub(super) fn check(module: &Module) -> Result<(), String> {
    let mut needs = Needs::default();
    for import in &module.imports {
        let Some(target) = name(&import.refr, false) else { continue };
        let alias = import.r#as.as_ref().map(|alias| alias.text().to_owned());
        if let Some(alias) = alias.or_else(|| target.last().cloned()) {
            needs.imports.insert(alias, target);
        }
    }
    needs.heads = module.policy.iter().filter_map(|rule| name(head(rule), false)).collect();
    for rule in &module.policy {
        needs.add(rule);
    }
    let mut known = BTreeMap::new();
    needs.of.keys().try_for_each(|one| needs.chain(one, &mut Vec::new(), &mut known).map(drop))
}

#[derive(Default)]
struct Needs {
    /// What imports call by another name.
    imports: BTreeMap<String, Name>,
    /// What is defined.
    heads: BTreeSet<Name>,
    of: BTreeMap<Name, BTreeSet<Name>>,
}

/// A part of a rule.
#[derive(Clone, Copy)]
enum Part<'m> {
    Expr(&'m Expr),
    Query(&'m Query),
}

impl Needs {
    fn add(&mut self, rule: &Rule) {
        let Some(own) = name(head(rule), false) else { return };
        let parts = parts(rule);
        let locals = locals(rule, &parts);
        let mut needed = BTreeSet::new();
        for part in parts {
            match part {
                // A variable is no function, whatever it is called.
                Part::Expr(Expr::Call { fcn, .. }) => {
                    needed.extend(name(fcn, true).into_iter().flat_map(|name| self.meant(name)));
                }
                Part::Expr(expr @ (Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. })) => {
                    let found = name(expr, false).filter(|name| !locals.contains(&name[0]));
                    needed.extend(found.into_iter().flat_map(|name| self.meant(name)));
                }
                Part::Expr(_) => {}
                // What takes the place of another is called by those who call that one.
                Part::Query(query) => {
                    for with in query.stmts.iter().flat_map(|statement| &statement.with_mods) {
                        let (Some(old), Some(new)) = (name(&with.refr, false), name(&with.r#as, false))
                        else {
                            continue;
                        };
                        let new = self.meant(new);
                        for old in self.meant(old) {
                            self.of.entry(old).or_default().extend(new.iter().cloned());
                        }
                    }
                }
            }
        }
        self.of.entry(own).or_default().extend(needed);
    }

    /// What a name may mean: what is defined under it, under its beginning, and, if it is the beginning of others, those.
    fn meant(&mut self, mut name: Name) -> Vec<Name> {
        if let Some(target) = self.imports.get(&name[0]) {
            name = target.iter().cloned().chain(name.drain(1..)).collect();
        }
        match name[0].as_str() {
            "input" => return Vec::new(),
            "data" if name.get(1).is_some_and(|package| package != "signature") => return Vec::new(),
            "data" => drop(name.drain(..name.len().min(2))),
            _ => {}
        }
        let beginnings = (1..name.len()).map(|len| name[..len].to_vec());
        let mut meant: Vec<_> = beginnings.filter(|beginning| self.heads.contains(beginning)).collect();
        if !self.of.contains_key(&name) {
            let below = self.heads.range(name.clone()..).take_while(|head| head.starts_with(&name));
            let below = below.filter(|head| **head != name).cloned().collect();
            self.of.insert(name.clone(), below);
        }
        meant.push(name);
        meant
    }

    /// The length of the longest chain that begins with a name.
    fn chain<'n>(
        &'n self,
        one: &'n Name,
        before: &mut Vec<&'n Name>,
        known: &mut BTreeMap<&'n Name, usize>,
    ) -> Result<usize, String> {
        if let Some(len) = known.get(one) {
            return Ok(*len);
        }
        if let Some(at) = before.iter().position(|other| *other == one) {
            let circle: Vec<_> = before[at..].iter().copied().chain([one]).map(shown).collect();
            return Err(format!("{} is recursive: {}", circle[0], circle.join(" needs ")));
        }
        let too_long =
            || format!("{} needs rules that need rules, more than {LONGEST_CHAIN} in a row", shown(one));
        if before.len() > LONGEST_CHAIN {
            return Err(too_long());
        }
        before.push(one);
        let mut len = 0;
        for next in self.of.get(one).into_iter().flatten() {
            len = len.max(self.chain(next, before, known)?);
        }
        before.pop();
        if len >= LONGEST_CHAIN {
            return Err(too_long());
        }
        known.insert(one, len + 1);
        Ok(len + 1)
    }
}

fn shown(name: &Name) -> String {
    if name.is_empty() { "data.signature".to_owned() } else { name.join(".") }
}

/// What a rule defines, with its place in it.
fn head(rule: &Rule) -> &Expr {
    match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => refr,
        },
    }
}

/// The name in a reference, as far as it is one. The engine takes a function's without what is computed in it.
fn name(mut expr: &Expr, computed_in_it: bool) -> Option<Name> {
    let mut parts = Vec::new();
    loop {
        match expr {
            Expr::Var { span, .. } => {
                parts.push(span.text().to_owned());
                parts.reverse();
                return Some(parts);
            }
            Expr::RefDot { refr, field, .. } => {
                parts.push(field.0.text().to_owned());
                expr = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                match &**index {
                    Expr::String { value, .. } | Expr::RawString { value, .. } => {
                        parts.push(value.as_string().map(ToString::to_string).unwrap_or_default());
                    }
                    _ if computed_in_it => {}
                    _ => parts.clear(),
                }
                expr = refr;
            }
            _ => return None,
        }
    }
}

/// All parts of a rule but the name that it defines. What is deep is walked in a loop: the text decides how deep it is.
fn parts(rule: &Rule) -> Vec<Part<'_>> {
    let mut pending = Vec::new();
    indexes(head(rule), &mut pending);
    match rule {
        Rule::Default { args, value, .. } => {
            pending.extend(args.iter().chain([value]).map(|expr| Part::Expr(expr)));
        }
        Rule::Spec { head, bodies, .. } => {
            let assign = match head {
                RuleHead::Compr { assign, .. } => assign.as_ref(),
                RuleHead::Set { key, .. } => {
                    pending.extend(key.iter().map(|key| Part::Expr(key)));
                    None
                }
                RuleHead::Func { args, assign, .. } => {
                    pending.extend(args.iter().map(|expr| Part::Expr(expr)));
                    assign.as_ref()
                }
            };
            let assigns = assign.into_iter().chain(bodies.iter().filter_map(|body| body.assign.as_ref()));
            pending.extend(assigns.map(|assign| Part::Expr(&assign.value)));
            pending.extend(bodies.iter().map(|body| Part::Query(&body.query)));
        }
    }
    walked(pending)
}

fn walked(mut pending: Vec<Part<'_>>) -> Vec<Part<'_>> {
    let mut all = Vec::new();
    while let Some(part) = pending.pop() {
        all.push(part);
        match part {
            Part::Expr(expr) => below(expr, &mut pending),
            Part::Query(query) => {
                for statement in &query.stmts {
                    pending.extend(statement.with_mods.iter().map(|with| Part::Expr(&with.r#as)));
                    match &statement.literal {
                        Literal::SomeVars { .. } => {}
                        Literal::SomeIn { key, value, collection, .. } => {
                            pending
                                .extend(key.iter().chain([value, collection]).map(|expr| Part::Expr(expr)));
                        }
                        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => {
                            pending.push(Part::Expr(expr));
                        }
                        Literal::Every { domain, query, .. } => {
                            pending.extend([Part::Expr(domain), Part::Query(query)]);
                        }
                    }
                }
            }
        }
    }
    all
}

fn below<'m>(expr: &'m Expr, pending: &mut Vec<Part<'m>>) {
    match expr {
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            pending.extend(items.iter().map(|item| Part::Expr(item)));
        }
        Expr::Object { fields, .. } => {
            pending.extend(fields.iter().flat_map(|(_, key, value)| [Part::Expr(key), Part::Expr(value)]));
        }
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            pending.extend([Part::Expr(term), Part::Query(query)]);
        }
        Expr::ObjectCompr { key, value, query, .. } => {
            pending.extend([Part::Expr(key), Part::Expr(value), Part::Query(query)]);
        }
        Expr::Call { fcn, params, .. } => {
            indexes(fcn, pending);
            pending.extend(params.iter().map(|expr| Part::Expr(expr)));
        }
        Expr::UnaryExpr { expr, .. } => pending.push(Part::Expr(expr)),
        Expr::RefDot { .. } | Expr::RefBrack { .. } => indexes(expr, pending),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => pending.extend([Part::Expr(lhs), Part::Expr(rhs)]),
        Expr::Membership { key, value, collection, .. } => {
            pending.extend(key.iter().chain([value, collection]).map(|expr| Part::Expr(expr)));
        }
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => {}
    }
}

/// What stands in the brackets of a reference, and what it begins with, if that is no name.
fn indexes<'m>(mut expr: &'m Expr, pending: &mut Vec<Part<'m>>) {
    loop {
        match expr {
            Expr::RefDot { refr, .. } => expr = refr,
            Expr::RefBrack { refr, index, .. } => {
                pending.push(Part::Expr(index));
                expr = refr;
            }
            Expr::Var { .. } => return,
            _ => return pending.push(Part::Expr(expr)),
        }
    }
}

/// The variables that a rule declares, which hide what has the same name outside. Where it declares them does not matter: the
/// engine itself finds rules without arguments that need themselves.
fn locals(rule: &Rule, parts: &[Part<'_>]) -> BTreeSet<String> {
    let mut locals = BTreeSet::new();
    let mut declaring = Vec::new();
    if let Rule::Spec { head: RuleHead::Func { args, .. }, .. } | Rule::Default { args, .. } = rule {
        declaring.extend(args.iter().map(|expr| Part::Expr(expr)));
    }
    for part in parts {
        match part {
            Part::Expr(Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. }) => declaring.push(Part::Expr(lhs)),
            Part::Expr(_) => {}
            Part::Query(query) => {
                for statement in &query.stmts {
                    match &statement.literal {
                        Literal::SomeVars { vars, .. } => {
                            locals.extend(vars.iter().map(|var| var.text().to_owned()));
                        }
                        Literal::SomeIn { key, value, .. } => {
                            declaring.extend(key.iter().chain([value]).map(|expr| Part::Expr(expr)));
                        }
                        Literal::Every { key, value, .. } => {
                            locals.extend(key.iter().chain([value]).map(|var| var.text().to_owned()));
                        }
                        Literal::Expr { .. } | Literal::NotExpr { .. } => {}
                    }
                }
            }
        }
    }
    for part in walked(declaring) {
        if let Part::Expr(Expr::Var { span, .. }) = part {
            locals.insert(span.text().to_owned());
        }
    }
    locals
}
