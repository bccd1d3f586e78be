//! helm 0.0.1: the provenance file of a Helm chart, which says its hash and is signed in the clear by PGP
//! (<https://helm.sh/docs/topics/provenance/>).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{self, Hash};
use super::content::{self, Stored, VERSION, refuse};
use super::{Admitted, Fault, Kind, Refusal, Rules, member};
use crate::entry::DescribeError;
use crate::pki::{Format, pgp};
use crate::traces::{Door, KeyCache, Traces, unhex};

pub(super) const KIND: Kind = Kind { name: "helm", version: VERSION, admit, template, traces };

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proposed {
    chart: Option<ProposedChart>,
    public_key: Option<content::Proposed>,
}

#[derive(Deserialize)]
struct ProposedChart {
    provenance: Option<content::Proposed>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    chart: Chart,
    public_key: Stored,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chart {
    #[serde(deserialize_with = "content::hash")]
    hash: Hash<'static>,
    provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provenance {
    signature: Stored,
}

fn admit(spec: &RawValue, _: &Rules) -> Result<Admitted, Refusal> {
    let Proposed { chart, public_key } = member::spec(spec)?;
    let key = content::bytes(public_key, "spec.publicKey")?;
    let chart = member::required(chart, "spec.chart")?;
    let provenance = content::bytes(chart.provenance, "spec.chart.provenance")?;

    let key = pgp::PublicKey::parse(&key).map_err(|error| refuse("spec.publicKey.content", error.problem))?;
    let message = pgp::Cleartext::parse(&provenance).map_err(|error| refuse(PROVENANCE, error.problem))?;
    let hash = chart_hash(&message.text)?;
    key.verify(message.signed(), &message.signature).map_err(|error| refuse(PROVENANCE, error.problem))?;
    let spec = Spec {
        chart: Chart {
            hash,
            provenance: Provenance { signature: Stored::new(&message.signature.canonical()) },
        },
        public_key: Stored::new(key.canonical()),
    };
    let body = body::write(KIND.name, VERSION, &spec);
    Ok(Admitted { body, named: Vec::new(), attestation: None })
}

/// The hash of the one file that the second of the YAML documents in the message names.
fn chart_hash(message: &str) -> Result<Hash<'static>, Fault> {
    let wrong = |problem: &str| refuse(PROVENANCE, format!("provenance {problem}"));
    let sums = message.split("\n...\n").nth(1);
    let sums = sums.ok_or_else(|| wrong("has one part, Chart.yaml, a line of ... and sums were expected"))?;
    let mut lines = sums.lines().map(str::trim_end).skip_while(|line| *line != "files:").skip(1);
    // Names are indented below their list, which ends where something else begins. This is all of YAML that is in use
    // there; in other words the same would mean nothing to a verifier either.
    let files: Vec<_> = lines
        .by_ref()
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.rsplit_once(": "))
        .collect();
    let [(_, sum)] = files.as_slice() else {
        return Err(wrong(&format!("has the sums of {} files, that of one chart was expected", files.len())));
    };
    let sum = sum.trim().trim_matches(['"', '\'']);
    let hash = sum.split_once(':').filter(|(algorithm, value)| {
        let digits = match *algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => 0,
        };
        value.len() == digits && unhex(value).is_some()
    });
    let Some((algorithm, value)) = hash else {
        return Err(wrong(&format!(
            "has sum {:?}, sha256:<hex> was expected",
            sum.chars().take(150).collect::<String>()
        )));
    };
    Ok(Hash { algorithm: algorithm.to_owned().into(), value: value.to_owned().into() })
}

fn template(spec: &RawValue, rules: &Rules) -> Result<Vec<u8>, Refusal> {
    content::template::<Spec>(KIND.name, spec, admit(spec, rules))
}

fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    let Spec { chart, public_key } = content::read(body)?;
    let keys = vec![public_key.key(Format::Pgp, KIND.name, keys)?];
    Ok(Traces { door: Door::V1, kind: KIND.name, digests: vec![chart.hash.trace()], keys })
}

const PROVENANCE: &str = "spec.chart.provenance.content";
