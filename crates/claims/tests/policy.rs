//! Policies over statements: what allows, what denies, and what cannot be answered, in both languages; and that nothing in a
//! statement makes the answer take long.

use std::time::{Duration, Instant};

use bulla_claims::attestation::{PAYLOAD_TYPE, Statement};
use bulla_claims::policy::{MAX_CEL, MOST_MADE, PredicatePolicy, Ruling};
use serde_json::{Value, json};

const NOW: u64 = 1_795_229_400;

fn statement(predicate_type: &str, predicate: &Value) -> Statement {
    let text = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate_type, "predicate": predicate,
        "subject": [{ "name": "app", "digest": { "sha256": "ab".repeat(32) } }],
    });
    Statement::parse(PAYLOAD_TYPE, text.to_string().as_bytes()).expect("is one")
}

fn scan() -> Statement {
    let found = json!([{ "id": "CVE-1", "severity": "low" }, { "id": "CVE-2", "severity": "high" }]);
    let predicate =
        json!({ "scanner": "trivy", "count": 2, "score": 7.5, "found": found, "at": "2026-11-20T00:00:00Z" });
    statement("https://example.org/scan", &predicate)
}

fn rego(text: &str) -> PredicatePolicy {
    PredicatePolicy::rego("p.rego", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn cel(text: &str) -> PredicatePolicy {
    PredicatePolicy::cel("p.cel", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn denied(reasons: &[&str]) -> Ruling {
    Ruling::Denied(reasons.iter().map(|reason| (*reason).to_owned()).collect())
}

#[track_caller]
fn fails(policy: &PredicatePolicy, statement: &Statement, problem: &str) {
    match policy.rule(statement, NOW) {
        Ruling::Failed(found) => assert!(found.contains(problem), "{found}"),
        other => panic!("{other:?}, {problem:?} was expected"),
    }
}

#[test]
fn rego_as_cosign_reads_it() {
    for (body, expected) in [
        ("default allow = false\nallow { input.predicate.scanner == \"trivy\" }", Ruling::Allowed),
        (
            "default allow = false\nallow { input.predicate.scanner == \"grype\" }",
            denied(&["allow is false, true was expected"]),
        ),
        ("allow { input.predicate.nothing }", denied(&["allow is undefined, true was expected"])),
        ("allow = 1 { true }", denied(&["allow is 1, true was expected"])),
        (
            "allow { input.predicateType == \"https://example.org/scan\"; input.subject[_].digest.sha256 == \"abababababababababababababababababababababababababababababababab\" }",
            Ruling::Allowed,
        ),
        // The others' form: whatever denies.
        (
            "deny[msg] { f := input.predicate.found[_]; f.severity == \"high\"; msg := sprintf(\"%s is high\", [f.id]) }",
            denied(&["CVE-2 is high"]),
        ),
        (
            "deny[msg] { input.predicate.found[_].severity == \"critical\"; msg := \"critical\" }",
            Ruling::Allowed,
        ),
        ("allow { true }\ndeny[msg] { msg := \"no\" }", denied(&["no"])),
        (
            "allow { false }\ndeny[msg] { false; msg := \"no\" }",
            denied(&["allow is undefined, true was expected"]),
        ),
        ("deny { input.predicate.count > 1 }", denied(&["deny is true"])),
        // The new dialect, with and without its import.
        ("import rego.v1\ndefault allow := false\nallow if input.predicate.count == 2", Ruling::Allowed),
        (
            "deny contains msg if {\n  some f in input.predicate.found\n  f.severity == \"high\"\n  msg := f.id\n}",
            denied(&["CVE-2"]),
        ),
        ("import future.keywords.in\nallow { \"trivy\" in {\"trivy\", \"grype\"} }", Ruling::Allowed),
        // The time is the one that was asked with.
        ("allow { time.now_ns() == 1795229400000000000 }", Ruling::Allowed),
        (
            "allow { time.now_ns() - time.parse_rfc3339_ns(input.predicate.at) < ((7 * 24) * 3600) * 1000000000 }",
            Ruling::Allowed,
        ),
        (
            "allow { regex.match(\"^tri\", input.predicate.scanner); glob.match(\"t*y\", [], input.predicate.scanner) }",
            Ruling::Allowed,
        ),
        (
            "allow { base64.decode(\"YQ==\") == \"a\"; semver.compare(\"1.2.0\", \"1.10.0\") == -1 }",
            Ruling::Allowed,
        ),
        // What is counted answers as it does elsewhere.
        (
            "allow { concat(\"-\", [\"a\", \"b\"]) == \"a-b\"; concat(\"-\", {\"a\", \"b\"}) == \"a-b\"; concat(\"-\", []) == \"\" }",
            Ruling::Allowed,
        ),
        (
            "allow { replace(\"aba\", \"a\", \"cc\") == \"ccbcc\"; strings.replace_n({\"<\": \"&lt;\", \">\": \"&gt;\"}, \"<a>\") == \"&lt;a&gt;\" }",
            Ruling::Allowed,
        ),
        (
            "allow { numbers.range(3, 1) == [3, 2, 1]; numbers.range(-1, 1) == [-1, 0, 1]; numbers.range_step(0, 10, 4) == [0, 4, 8] }",
            Ruling::Allowed,
        ),
        ("allow { bits.lsh(1, 70) == 1180591620717411303424 }", Ruling::Allowed),
    ] {
        let policy = rego(&format!("package signature\n{body}\n"));
        assert_eq!(policy.rule(&scan(), NOW), expected, "{body}");
    }
}

#[test]
fn cel_over_the_statement() {
    for (text, expected) in [
        ("predicate.scanner == 'trivy'", Ruling::Allowed),
        ("predicate.scanner == 'grype'", denied(&["the expression is false, true was expected"])),
        (
            "// what it is\npredicateType == 'https://example.org/scan' &&\n  subject[0].name == 'app'",
            Ruling::Allowed,
        ),
        ("statement.subject.exists(s, s.digest.sha256.startsWith('abab'))", Ruling::Allowed),
        (
            "predicate.found.all(f, f.severity in ['low', 'medium'])",
            denied(&["the expression is false, true was expected"]),
        ),
        ("predicate.found.filter(f, f.severity == 'high').map(f, f.id) == ['CVE-2']", Ruling::Allowed),
        (
            "predicate.found.exists_one(f, f.severity == 'high') && size(predicate.found) == 2",
            Ruling::Allowed,
        ),
        ("predicate.found.map(f, f.severity == 'high', f.id + '!') == ['CVE-2!']", Ruling::Allowed),
        (
            "predicate.count + 1 == 3 && predicate.score > 7.0 && predicate.score + 0.5 == 8.0",
            Ruling::Allowed,
        ),
        ("has(predicate.count) && !has(predicate.other)", Ruling::Allowed),
        ("predicate.scanner.matches('^tri.y$')", Ruling::Allowed),
        (
            "now - timestamp(predicate.at) < duration('48h') && now > timestamp('2026-01-01T00:00:00Z')",
            Ruling::Allowed,
        ),
        ("timestamp(predicate.at) + duration('1h') == timestamp('2026-11-20T01:00:00Z')", Ruling::Allowed),
        ("[1] + [2] == [1, 2] && b'a' + b'b' == b'ab' && {'a': 1}.a == 1", Ruling::Allowed),
        ("predicate.other == 1 || true", Ruling::Allowed),
    ] {
        assert_eq!(cel(text).rule(&scan(), NOW), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_no_consent() {
    fails(&cel("predicate.other == 1"), &scan(), "No such key: other");
    fails(&cel("predicate.scanner"), &scan(), "the expression is of type string, true was expected");
    fails(&cel("1 / (predicate.count - 2) == 1"), &scan(), "Division by zero");
    fails(&cel("nobody"), &scan(), "Undeclared reference to 'nobody'");
    fails(
        &rego("package signature\nallow { not to_number(input.predicate.scanner) }"),
        &scan(),
        "could not parse string as number",
    );
    fails(
        &rego("package signature\nallow { time.parse_rfc3339_ns(\"soon\") }"),
        &scan(),
        "is no time as in RFC 3339",
    );
}

#[test]
fn what_is_no_policy_is_refused() {
    let deep = format!("{}1{}", "(".repeat(150), ")".repeat(150));
    let long = format!("1{} > 0", " + 1".repeat(1000));
    for (text, expected) in [
        ("predicate.", "policy p.cel: line 1 column"),
        ("", "policy p.cel: line 1 column"),
        (deep.as_str(), "policy p.cel: line"),
        (long.as_str(), "policy p.cel: is nested deeper than 200 levels"),
    ] {
        let error = PredicatePolicy::cel("p.cel", text).err().expect(text).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    // The longest and the deepest that are read at all: each is an answer, and none the end of the process.
    for (begin, again, end) in [
        ("1", "+1", ""),
        ("a", ".a", ""),
        ("", "!", "true"),
        ("", "-", "1"),
        ("", "[", ""),
        ("true", "?1:true", ""),
        ("a", "[0]", ""),
        ("f", "()", ""),
        ("", "(", ")"),
    ] {
        let text = format!("{begin}{}{end}", again.repeat((MAX_CEL - 8) / again.len()));
        match PredicatePolicy::cel("p.cel", &text) {
            Err(error) => assert!(!error.problem.is_empty(), "{again}"),
            Ok(policy) => assert_ne!(policy.rule(&scan(), NOW), Ruling::Denied(Vec::new()), "{again}"),
        }
    }
    let deep = format!("package signature\nallow {{ {}1{} }}", "[".repeat(5000), "]".repeat(5000));
    for (text, expected) in [
        ("package other\nallow { true }", "policy p.rego: package is \"other\", signature was expected"),
        (
            "package signature\nfine { true }",
            "policy p.rego: has neither a rule allow nor a rule deny, one was expected",
        ),
        ("package signature\nallow { http.send({}) }", "policy p.rego: "),
        ("package signature\nallow { ", "policy p.rego: "),
        ("", "policy p.rego: "),
        ("package signature\nallow { allow }", "policy p.rego: "),
        (deep.as_str(), "policy p.rego: has brackets 5001 deep, at most 10 were expected"),
    ] {
        match PredicatePolicy::rego("p.rego", text) {
            Err(error) => assert!(error.to_string().starts_with(expected), "{error}"),
            // What is found out only when it is asked is found out then.
            Ok(policy) => assert!(matches!(policy.rule(&scan(), NOW), Ruling::Failed(_)), "{text}"),
        }
    }
    for (name, text, expected) in [
        ("p.cue", "a: 1", "policy p.cue: is in CUE, which is not read here: write it in CEL or Rego"),
        ("p.txt", "true", "policy p.txt: a name that ends with .cel or .rego was expected"),
        ("p.cel", "\u{0}", "policy p.cel: line 1"),
    ] {
        let error = PredicatePolicy::from_file(name, text.as_bytes()).err().expect(name).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = PredicatePolicy::from_file("p.cel", b"a\xff").err().expect("is refused").to_string();
    assert_eq!(error, "policy p.cel: is no text: byte 1 is not UTF-8");
    // One line each, however many a parser says.
    for (name, text) in [
        ("p.cel", "predicate.\n\n(("),
        ("p.cel", "'a\nb'"),
        ("p.rego", "package signature\nallow if {\n  x y\n}"),
    ] {
        let error = PredicatePolicy::from_file(name, text.as_bytes()).err().expect(text).to_string();
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    let error = PredicatePolicy::cel("p.cel", &"a".repeat(9000)).err().expect("is refused").to_string();
    assert_eq!(error, "policy p.cel: is 9000 bytes, at most 8192 were expected");
}

/// Nobody waits longer, on however slow a machine.
#[track_caller]
fn ends(policy: &PredicatePolicy, statement: &Statement, problem: &str) {
    let began = Instant::now();
    fails(policy, statement, problem);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn endless_policies_end() {
    let list: Vec<u32> = (0..2000).collect();
    let many = statement(
        "https://example.org/many",
        &json!({ "list": list, "text": "a".repeat(1 << 20), "huge": 9_000_000_000_000_000_u64 }),
    );
    let time = "it takes longer than 1 s";
    let all = "predicate.list.all(a, predicate.list.all(b, predicate.list.all(c, a + b + c >= 0)))";
    ends(&cel(all), &many, time);
    // What absorbs an error does not absorb that one.
    ends(&cel(&format!("{all} || true")), &many, time);
    ends(
        &cel("predicate.list.map(a, predicate.list.map(b, predicate.list.filter(c, c == a))).size() == 1"),
        &many,
        time,
    );
    ends(
        &rego(
            "package signature\nallow { l := input.predicate.list; count([1 | a := l[_]; b := l[_]; c := l[_]; ((a + b) + c) < 0]) == 0 }",
        ),
        &many,
        time,
    );
    let memory = format!("it makes more than {} MiB", MOST_MADE >> 20);
    let doubled =
        (0..40).fold("predicate.text".to_owned(), |inner, n| format!("[{inner}].map(x{n}, x{n} + x{n})[0]"));
    for text in [
        &doubled,
        "predicate.list.map(a, predicate.text + 'b').size() == 1",
        "predicate.list.map(a, {'a': [predicate.text]}).size() == 1",
    ] {
        match PredicatePolicy::cel("p.cel", text) {
            Ok(policy) => ends(&policy, &many, &memory),
            Err(error) => assert!(
                error.to_string().contains("eep") || error.to_string().contains("ecursion"),
                "{error}"
            ),
        }
    }
    for body in [
        "count([x | a := input.predicate.list[_]; x := concat(\"\", [input.predicate.text, \"b\"])]) == 1",
        "count(replace(input.predicate.text, \"a\", input.predicate.text)) == 1",
        "count(strings.replace_n({\"a\": input.predicate.text}, input.predicate.text)) == 1",
        "count(numbers.range(0, input.predicate.huge)) == 1",
        "count([x | a := input.predicate.list[_]; x := sprintf(\"%s\", [input.predicate.text])]) == 1",
        "count([x | a := input.predicate.list[_]; x := sprintf(\"%v %d\", [[input.predicate.text], a])]) == 1",
        "count(numbers.range_step(-9000000000000000000, 9000000000000000000, 1)) == 1",
    ] {
        ends(&rego(&format!("package signature\nallow {{ {body} }}")), &many, &memory);
    }
    ends(
        &rego("package signature\nallow { bits.lsh(1, input.predicate.huge) }"),
        &many,
        "argument 2 is not a number of bits, at most 4096",
    );
    for (format, problem) in [
        ("%2000000000d", "sprintf: a width or precision is \"2000000000\", at most 4096 was expected"),
        ("%.2000000000f", "\"2000000000\""),
        ("%% %s%04097d", "\"04097\""),
        ("%99999999999999999999d", "\"99999999999999999999\""),
        ("%1\u{663}d", "\"1\u{663}\""),
    ] {
        ends(&rego(&format!("package signature\nallow {{ sprintf(\"{format}\", [1]) }}")), &many, problem);
    }
}

#[test]
fn sprintf_is_that_of_the_engine() {
    for (call, expected) in [
        ("sprintf(\"%5d|%05d|%%5d %s\", [1, 2, \"a\"])", "    1|00002|%5d a"),
        ("count(sprintf(\"%4096d\", [1]))", "4096"),
    ] {
        let policy = rego(&format!("package signature\ndeny[msg] {{ msg := {call} }}"));
        assert_eq!(policy.rule(&scan(), NOW), denied(&[expected]), "{call}");
    }
    fails(
        &rego("package signature\nallow { sprintf(\"%d\", []) }"),
        &scan(),
        "sprintf: no argument specified for format verb 0",
    );
}

/// The engine evaluates what is recursive by calling itself, and its stack ends before the time does.
#[test]
fn what_is_recursive_is_refused() {
    for (body, expected) in [
        ("allow { allow }", "allow is recursive: allow needs allow"),
        ("allow { f(1) }\nf(x) { f(x) }", "f is recursive: f needs f"),
        // As deep as the statement says.
        ("allow { f(input.predicate) }\nf(x) { x.end }\nf(x) { f(x.next) }", "f is recursive: f needs f"),
        (
            "allow { f(1) }\nf(x) = y { y := g(x) }\ng(x) = y { y := f(x) }",
            "f is recursive: f needs g needs f",
        ),
        ("allow { f(1) }\nf(x) { count([1 | data.signature.f(x)]) == 1 }", "f is recursive: f needs f"),
        ("import data.signature.f as g\nallow { f(1) }\nf(x) { g(x) }", "f is recursive: f needs f"),
        ("allow { f(1) }\nf(x) { f := 1; f(x) }", "f is recursive: f needs f"),
        ("allow { f([1]) with count as f }\nf(x) { count(x) == 1 }", "f is recursive: f needs count needs f"),
        ("allow { data.signature[\"allow\"] }", "allow is recursive: allow needs allow"),
        (
            "allow { data.signature[_] }",
            "data.signature is recursive: data.signature needs allow needs data.signature",
        ),
        ("deny[msg] { count(deny) == 0; msg := \"no\" }", "deny is recursive: deny needs deny"),
        ("import rego.v1\nallow if f(1)\nf(x) if { every y in [1] { f(y) } }", "f is recursive: f needs f"),
    ] {
        let text = format!("package signature\n{body}\n");
        let error = PredicatePolicy::rego("p.rego", &text).err().expect(body).to_string();
        assert_eq!(error, format!("policy p.rego: {expected}"), "{body}");
    }
    let chain = |len: usize| {
        let links: Vec<_> = (1..len).map(|n| format!("f{n}(x) {{ f{}(x) }}\n", n + 1)).collect();
        format!("package signature\nallow {{ f1(1) }}\n{}f{len}(x) {{ x == 1 }}\n", links.concat())
    };
    assert_eq!(rego(&chain(63)).rule(&scan(), NOW), Ruling::Allowed);
    for len in [64, 8000] {
        let error = PredicatePolicy::rego("p.rego", &chain(len)).err().expect("is refused").to_string();
        assert!(error.ends_with("needs rules that need rules, more than 64 in a row"), "{error}");
    }
    // The same name for something else is no recursion.
    for body in [
        "allow { severity(input.predicate.found[0]) == \"low\" }\nseverity(f) = severity { severity := f.severity }",
        "allow { f(1) }\nf(f) { f == 1 }",
        "allow { some low; low = 1; input.predicate.found[low] }\nlow { allow }",
        "allow { checks.all }\nchecks.all { checks.one }\nchecks.one { true }",
        "allow { input.allow == 1 }\nallow { input.predicate.scanner == \"trivy\" }",
    ] {
        assert_eq!(
            rego(&format!("package signature\n{body}\n")).rule(&scan(), NOW),
            Ruling::Allowed,
            "{body}"
        );
    }
}

#[test]
fn a_custom_predicate_is_what_its_text_says() {
    let custom = |data: &str| {
        statement("https://cosign.sigstore.dev/attestation/v1", &json!({ "Data": data, "Timestamp": "" }))
    };
    assert_eq!(cel("predicate.Data.a == 1").rule(&custom(r#"{"a":1}"#), NOW), Ruling::Allowed);
    assert_eq!(cel("predicate.Data == 'text'").rule(&custom("text"), NOW), Ruling::Allowed);
}

#[test]
fn what_is_said_is_bounded() {
    let policy = rego(
        "package signature\ndeny[msg] { input.predicate.list[_] = n; msg := sprintf(\"%d %s\", [n, input.predicate.text]) }",
    );
    let list: Vec<u32> = (0..100).collect();
    let many = statement("https://example.org/many", &json!({ "list": list, "text": "\u{e9}".repeat(5000) }));
    let Ruling::Denied(reasons) = policy.rule(&many, NOW) else { panic!("is allowed") };
    assert_eq!(reasons.len(), 16);
    assert!(reasons.iter().all(|reason| reason.chars().count() == 1025), "{:?}", reasons[0].chars().count());
}

#[test]
fn one_policy_serves_many_threads() {
    let (rego, cel) = (rego("package signature\nallow { input.predicate.n < 4 }"), cel("predicate.n < 4"));
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (rego, cel) = (&rego, &cel);
            scope.spawn(move || {
                let statement = statement("https://example.org/n", &json!({ "n": n }));
                for policy in [rego, cel] {
                    assert_eq!(policy.rule(&statement, NOW) == Ruling::Allowed, n < 4, "{n}");
                }
            });
        }
    });
}
