//! Witness policies: which witnesses there are, and how many must have cosigned (C2SP tlog-policy).

use std::collections::HashMap;

use crate::checkpoint::Checkpoint;
use crate::cosignature::CosignatureVerifier;
use crate::note::{Signature, Verifier, VkeyError};

/// A policy file, read.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The logs it names.
    pub logs: Vec<PolicyLog>,
    /// The witnesses, in the order of the file.
    pub witnesses: Vec<Witness>,
    /// The groups, each after its members.
    pub groups: Vec<Group>,
    /// What must have cosigned; `None` when nothing must.
    pub quorum: Option<Member>,
}

/// A `log` line.
#[derive(Clone, Debug)]
pub struct PolicyLog {
    /// The log's key.
    pub verifier: Verifier,
    /// Where it is.
    pub url: Option<String>,
}

/// A `witness` line.
#[derive(Clone, Debug)]
pub struct Witness {
    /// What the policy calls it; its key has a name of its own.
    pub name: String,
    /// Its key.
    pub verifier: CosignatureVerifier,
    /// Where it takes checkpoints; who only verifies needs none.
    pub url: Option<String>,
}

/// A `group` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// What the policy calls it.
    pub name: String,
    /// How many members must be satisfied.
    pub threshold: u8,
    /// Its members, all of them from earlier lines.
    pub members: Vec<Member>,
}

/// What a name stands for: its number among the policy's witnesses or groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Member {
    /// A witness, satisfied when it cosigned.
    Witness(usize),
    /// A group, satisfied when enough of its members are.
    Group(usize),
}

/// A line of a policy file that cannot be followed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("policy line {line}: {problem}")]
pub struct PolicyError {
    /// The line's number from 1; the last one when something is missing.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl Policy {
    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY {
            let problem = format!("file is {} bytes, at most {MAX_POLICY} are read", text.len());
            return Err(PolicyError { line: 1, problem });
        }
        let mut file = File {
            policy: Self { logs: Vec::new(), witnesses: Vec::new(), groups: Vec::new(), quorum: None },
            names: HashMap::new(),
            quorum_seen: false,
        };
        let mut last = 1;
        for (number, line) in (1..).zip(text.lines()) {
            // A comment begins at a token, so that a URL keeps its fragment.
            let tokens: Vec<_> =
                line.split_whitespace().take_while(|token| !token.starts_with('#')).collect();
            file.line(&tokens).map_err(|problem| PolicyError { line: number, problem })?;
            last = number;
        }
        if !file.quorum_seen {
            let problem = "no quorum line, \"quorum <name>\" or \"quorum none\" was expected".to_owned();
            return Err(PolicyError { line: last, problem });
        }
        Ok(file.policy)
    }

    /// Whether the quorum is reached when the witnesses of those names (the policy's, not their keys') have cosigned.
    pub fn satisfied<S: AsRef<str>>(&self, cosigned: &[S]) -> bool {
        let witness = |index: usize| {
            let name = self.witnesses.get(index).map(|witness| witness.name.as_str());
            cosigned.iter().any(|cosigned| Some(cosigned.as_ref()) == name)
        };
        // Members come before their group: one pass in order decides each group once, however they share members.
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let holds = |groups: &[bool], member: &Member| match *member {
            Member::Witness(index) => witness(index),
            Member::Group(index) => groups.get(index).copied().unwrap_or(false),
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| holds(&groups, member)).count();
            groups.push(count >= usize::from(group.threshold));
        }
        self.quorum.as_ref().is_none_or(|quorum| holds(&groups, quorum))
    }

    /// Names of the witnesses whose good cosignature of the checkpoint is among the lines.
    pub fn cosigned(&self, checkpoint: &Checkpoint, lines: &[Signature]) -> Vec<&str> {
        let cosigned = |witness: &&Witness| witness.verifier.cosigned(checkpoint, lines).is_some();
        self.witnesses.iter().filter(cosigned).map(|witness| witness.name.as_str()).collect()
    }
}

/// A policy while its file is read.
struct File {
    policy: Policy,
    names: HashMap<String, Member>,
    quorum_seen: bool,
}

impl File {
    fn line(&mut self, tokens: &[&str]) -> Result<(), String> {
        let vkey = |error: VkeyError| error.to_string();
        match *tokens {
            [] => {}
            ["log", key, ref url @ ..] if url.len() <= 1 => {
                let url = url.first().map(|url| web(url)).transpose()?;
                self.policy.logs.push(PolicyLog { verifier: Verifier::from_vkey(key).map_err(vkey)?, url });
            }
            ["witness", name, key, ref url @ ..] if url.len() <= 1 => {
                let url = url.first().map(|url| web(url)).transpose()?;
                let verifier = CosignatureVerifier::from_vkey(key).map_err(vkey)?;
                self.witness(Witness { name: name.to_owned(), verifier, url })?;
            }
            ["group", name, threshold, ref members @ ..] if !members.is_empty() => {
                self.group(name, threshold, members)?;
            }
            ["quorum", name] => {
                self.policy.quorum = if name == "none" { None } else { Some(self.named(name)?) };
                self.quorum_seen = true;
            }
            ["log", ..] => return Err("\"log <vkey> [<url>]\" was expected".to_owned()),
            ["witness", ..] => return Err("\"witness <name> <vkey> [<url>]\" was expected".to_owned()),
            ["group", ..] => {
                return Err("\"group <name> <number|any|all> <member>…\" was expected".to_owned());
            }
            ["quorum", ..] => return Err("\"quorum <name|none>\" was expected".to_owned()),
            [word, ..] => return Err(format!("{word:?}, but log, witness, group or quorum was expected")),
        }
        Ok(())
    }

    fn witness(&mut self, witness: Witness) -> Result<(), String> {
        for other in &self.policy.witnesses {
            let key = other.verifier.name();
            // One answer of a URL is taken for one witness's: two keys there must at least be the same party's.
            if other.url.is_some() && other.url == witness.url && key != witness.verifier.name() {
                let url = witness.url.as_deref().unwrap_or_default();
                return Err(format!("{url:?} already is the URL of the witness with key name {key:?}"));
            }
            // Otherwise one key could count twice towards a quorum.
            if key == witness.verifier.name() && other.verifier.key_id() == witness.verifier.key_id() {
                return Err(format!("witness {:?} already has this key", other.name));
            }
        }
        self.define(&witness.name, Member::Witness(self.policy.witnesses.len()))?;
        self.policy.witnesses.push(witness);
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), String> {
        let mut known = Vec::with_capacity(members.len());
        for member in members {
            let named = self.named(member)?;
            if known.contains(&named) {
                return Err(format!("group {name:?} has member {member:?} twice"));
            }
            known.push(named);
        }
        let count = u8::try_from(known.len()).map_err(|_| format!("group {name:?} has over 255 members"))?;
        let threshold = match threshold {
            "any" => 1,
            "all" => count,
            number => crate::checkpoint::decimal(number)
                .and_then(|number| u8::try_from(number).ok())
                .filter(|&number| number <= count)
                .ok_or_else(|| format!("threshold {number:?}, but any, all or 0 to {count} was expected"))?,
        };
        self.define(name, Member::Group(self.policy.groups.len()))?;
        self.policy.groups.push(Group { name: name.to_owned(), threshold, members: known });
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if KEYWORDS.contains(&name) {
            return Err(format!("{name:?} is a keyword, it cannot be a name"));
        }
        if self.names.len() == MAX_NAMES {
            return Err(format!("over {MAX_NAMES} witnesses and groups"));
        }
        match self.names.insert(name.to_owned(), member) {
            None => Ok(()),
            Some(_) => Err(format!("name {name:?} is defined twice")),
        }
    }

    fn named(&self, name: &str) -> Result<Member, String> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| format!("{name:?} is not a witness or group defined before"))
    }
}

fn web(url: &str) -> Result<String, String> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(url.to_owned()),
        _ => Err(format!("{url:?} is not a URL, http:// or https:// was expected")),
    }
}

const KEYWORDS: [&str; 7] = ["log", "witness", "group", "quorum", "any", "all", "none"];
/// Room for a few hundred ML-DSA-44 keys.
const MAX_POLICY: usize = 1024 * 1024;
const MAX_NAMES: usize = 1024;

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::Ed25519KeyPair;
    use proptest::prelude::*;

    use super::*;
    use crate::cosignature::CosignatureSigner;
    use crate::hash::empty_root;

    fn signer(name: &str, seed: u8) -> CosignatureSigner {
        CosignatureSigner::new(name, Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()).unwrap()
    }

    fn vkey(seed: u8) -> String {
        signer(&format!("w{seed}.example.org"), seed).vkey()
    }

    /// Witnesses w1 to w5, then the lines.
    fn policy(lines: &str) -> Result<Policy, PolicyError> {
        let witness = |n| format!("witness w{n} {} https://w{n}.example.org/\n", vkey(n));
        Policy::parse(&format!("{}{lines}", [1, 2, 3, 4, 5].map(witness).concat()))
    }

    #[test]
    fn the_example_of_the_reference() {
        let policy = Policy::parse(
            "# who watches\n\n\
             log log.example.org+b1db5813+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4\n\
             witness w1 witness.example.org+0ea12664+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X https://witness.example.org/ # by hand\n\
             \tgroup  g1 any w1\r\n\
             quorum g1",
        )
        .unwrap();
        assert_eq!(policy.logs[0].verifier.name(), "log.example.org");
        assert_eq!(policy.witnesses[0].name, "w1");
        assert_eq!(policy.witnesses[0].url.as_deref(), Some("https://witness.example.org/"));
        let group = Group { name: "g1".to_owned(), threshold: 1, members: vec![Member::Witness(0)] };
        assert_eq!((policy.groups.as_slice(), policy.quorum), (&[group][..], Some(Member::Group(0))));
        assert!(policy.satisfied(&["w1"]));
        assert!(!policy.satisfied(&["witness.example.org"]));
        assert!(!policy.satisfied::<&str>(&[]));
    }

    #[test]
    fn quorums() {
        let holds = |lines: &str, cosigned: &[&str]| policy(lines).unwrap().satisfied(cosigned);
        assert!(holds("quorum none", &[]));
        assert!(holds("quorum w2", &["w2"]));
        assert!(!holds("quorum w2", &["w1"]));
        assert!(holds("group g 0 w1\nquorum g", &[]));
        assert!(holds("group g 2 w1 w2 w3\nquorum g", &["w3", "w1"]));
        assert!(!holds("group g 2 w1 w2 w3\nquorum g", &["w3", "w3", "w4", "nobody"]));
        assert!(!holds("group g all w1 w2\nquorum g", &["w1"]));
        let nested = "group a any w1 w2\ngroup b all w3 w4\ngroup c 2 a b w5\nquorum c";
        assert!(holds(nested, &["w2", "w5"]));
        assert!(!holds(nested, &["w2", "w3"]));
        assert!(holds("quorum w1\nquorum w2", &["w2"]), "the last quorum line counts");
    }

    #[test]
    fn many_groups_that_share_members_are_decided_quickly() {
        let mut lines = vec!["group g0 all w1 w2\ngroup h0 all w1 w2\n".to_owned()];
        for n in 1..500 {
            let m = n - 1;
            lines.push(format!("group g{n} all g{m} h{m}\ngroup h{n} all h{m} g{m}\n"));
        }
        let policy = policy(&format!("{}quorum g499", lines.concat())).unwrap();
        assert!(policy.satisfied(&["w1", "w2"]));
        assert!(!policy.satisfied(&["w1"]));
    }

    #[test]
    fn cosignatures_under_a_checkpoint() {
        let checkpoint =
            Checkpoint { origin: "log".to_owned(), size: 0, root: empty_root(), extensions: vec![] };
        let other = Checkpoint { size: 1, ..checkpoint.clone() };
        let cosign =
            |n: u8, checkpoint| signer(&format!("w{n}.example.org"), n).cosign(checkpoint, 9).unwrap();
        let lines =
            [cosign(4, &checkpoint), cosign(2, &checkpoint), cosign(3, &other), cosign(9, &checkpoint)];
        let policy = policy("group g 2 w2 w3 w4\nquorum g").unwrap();
        assert_eq!(policy.cosigned(&checkpoint, &lines), ["w2", "w4"]);
        assert!(policy.satisfied(&policy.cosigned(&checkpoint, &lines)));
    }

    #[test]
    fn lines_that_are_refused() {
        let ninth = vkey(9);
        let first_name = signer("w1.example.org", 9).vkey();
        for (line, problem) in [
            ("quorum", "\"quorum <name|none>\" was expected"),
            ("quorum w9", "\"w9\" is not a witness or group defined before"),
            ("quorum w1 w2", "\"quorum <name|none>\" was expected"),
            ("quarum w1", "\"quarum\", but log, witness, group or quorum was expected"),
            ("log", "\"log <vkey> [<url>]\" was expected"),
            ("log x", "not a vkey, <name>+<8 hex digits>+<base64> was expected"),
            ("witness w6", "\"witness <name> <vkey> [<url>]\" was expected"),
            ("witness w6 x", "not a vkey, <name>+<8 hex digits>+<base64> was expected"),
            (&format!("witness w1 {ninth}"), "name \"w1\" is defined twice"),
            (&format!("witness all {ninth}"), "\"all\" is a keyword, it cannot be a name"),
            (
                &format!("witness w6 {ninth} ftp://x"),
                "\"ftp://x\" is not a URL, http:// or https:// was expected",
            ),
            (
                &format!("witness w6 {ninth} https://"),
                "\"https://\" is not a URL, http:// or https:// was expected",
            ),
            (
                &format!("witness w6 {ninth} https://w1.example.org/"),
                "\"https://w1.example.org/\" already is the URL of the witness with key name \"w1.example.org\"",
            ),
            (&format!("witness w6 {}", vkey(1)), "witness \"w1\" already has this key"),
            ("group g any", "\"group <name> <number|any|all> <member>…\" was expected"),
            ("group g 2 w1", "threshold \"2\", but any, all or 0 to 1 was expected"),
            ("group g 01 w1", "threshold \"01\", but any, all or 0 to 1 was expected"),
            ("group g some w1", "threshold \"some\", but any, all or 0 to 1 was expected"),
            ("group g any g", "\"g\" is not a witness or group defined before"),
            ("group g any w1 w1", "group \"g\" has member \"w1\" twice"),
            ("group w1 any w2", "name \"w1\" is defined twice"),
            ("group quorum any w2", "\"quorum\" is a keyword, it cannot be a name"),
        ] {
            let error = policy(line).unwrap_err();
            assert_eq!((error.line, error.problem.as_str()), (6, problem), "{line}");
        }
        // Two keys of one witness may share its URL.
        assert!(policy(&format!("witness w6 {first_name} https://w1.example.org/\nquorum w6")).is_ok());
        assert_eq!(
            policy("# nothing").unwrap_err().to_string(),
            "policy line 6: no quorum line, \"quorum <name>\" or \"quorum none\" was expected"
        );
        assert_eq!(
            Policy::parse(&" ".repeat(MAX_POLICY + 1)).unwrap_err().problem,
            "file is 1048577 bytes, at most 1048576 are read"
        );
        let groups: Vec<_> = (0..=MAX_NAMES).map(|n| format!("group g{n} 0 w1\n")).collect();
        assert_eq!(policy(&groups.concat()).unwrap_err().problem, "over 1024 witnesses and groups");
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(lines in "((witness|group|quorum|log|#)?[ a-c0-9#+]{0,12}\n){0,6}") {
            let _ = policy(&lines);
        }
    }
}
