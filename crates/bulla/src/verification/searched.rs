//! What a log says of revocations when it is searched by keys, identities and entries. It is a hint: what is found is judged
//! as if it had come in a file, what strangers wrote there under the same digest is passed over, and to find nothing says no
//! more than that this log names none.

use std::collections::{BTreeMap, BTreeSet};

use bulla_claims::attestation::REVOCATION;
use bulla_claims::describe;
use bulla_claims::judge::{Policy, Revocations as Known, Signed, SignedRevocation, TrustedRoot};
use bulla_rekor::client::v1::{Entry, EntryId, RekorV1, Retrieve, Search};
use bulla_tlog::{Hash, sha256};
use futures_util::stream::{StreamExt as _, iter};
use serde_json::json;
use sigstore_types::KindVersion;

use super::found::Found;
use super::revocations::Revocations;
use crate::home::unix_now;
use crate::signing::of_entry;

/// What was found.
#[derive(Default)]
pub(super) struct Searched {
    /// Revocations that hold.
    pub(super) signed: Vec<SignedRevocation>,
    /// What was not answered, by the digest that was asked for.
    unanswered: BTreeMap<Hash, String>,
    /// Entries that may be revocations and could not be judged: by whom, and why not.
    unread: Vec<(Hash, Signed, String)>,
}

/// An entry that the index names.
enum Lead {
    Revocation(SignedRevocation),
    /// By somebody who may revoke nothing here, or no revocation at all.
    Nothing,
    Unread(Signed, String),
}

/// All that a revocation of a signature can be found by.
fn digests(signed: &Signed) -> impl Iterator<Item = Hash> {
    let entries = signed.entry.iter().chain(&signed.more_entries).map(|entry| entry.leaf_hash);
    let identity = signed.identity.as_ref().map(bulla_claims::identity::Identity::digest);
    entries.chain(identity).chain([sha256(&signed.spki)])
}

impl Searched {
    /// Searches for whatever could revoke one of these signatures.
    pub(super) async fn new(
        log: &RekorV1,
        url: &str,
        signers: &[Signed],
        asked: &Revocations,
        root: &TrustedRoot,
    ) -> Self {
        let mut found = Self::default();
        let all: BTreeSet<Hash> = signers.iter().flat_map(digests).collect();
        let mut first: Vec<Hash> = all.into_iter().collect();
        let rest = first.split_off(first.len().min(MOST_DIGESTS));
        let too_many =
            |digest| (digest, format!("{url}: more than {MOST_DIGESTS} digests were to be asked for"));
        found.unanswered.extend(rest.into_iter().map(too_many));
        let ask = |digest| async move { (digest, entries(log, digest).await) };
        let mut answers = iter(first.into_iter().map(ask)).buffer_unordered(AT_ONCE);
        while let Some((digest, answer)) = answers.next().await {
            match answer {
                Err(problem) => drop(found.unanswered.insert(digest, problem)),
                Ok(entries) => {
                    for entry in &entries {
                        match lead(entry, digest, url, signers, asked, root) {
                            Lead::Revocation(signed) => found.signed.push(signed),
                            Lead::Unread(by, problem) => found.unread.push((digest, by, problem)),
                            Lead::Nothing => {}
                        }
                    }
                }
            }
        }
        found
    }

    /// Why it is not known whether a signature is revoked, if it is not.
    pub(super) fn problem(&self, signed: &Signed, known: &Known<'_>) -> Option<&str> {
        digests(signed).find_map(|digest| {
            let unread = || {
                let mine = |(of, by, _): &&(Hash, Signed, String)| *of == digest && known.may(by, signed);
                self.unread.iter().find(mine).map(|(_, _, problem)| problem)
            };
            self.unanswered.get(&digest).or_else(unread).map(String::as_str)
        })
    }
}

/// What the log has about an image or file by who may sign and the registry does not show. To hide a signature only denies it;
/// to hide a statement against an image would make it look better than it is.
pub(super) async fn unseen(
    log: &RekorV1,
    url: &str,
    about: Hash,
    found: &Found,
    policy: &Policy,
) -> Option<String> {
    let entries = match entries(log, about).await {
        Ok(entries) => entries,
        Err(problem) => return Some(format!("what the log has about it is not known: {problem}")),
    };
    let judged = found.candidates.iter().filter_map(|candidate| candidate.judged.signed.as_ref());
    let seen: BTreeSet<Hash> = judged
        .flat_map(|signed| signed.entry.iter().chain(&signed.more_entries).map(|entry| entry.leaf_hash))
        .collect();
    let may_sign = |entry: &&Entry| {
        let Ok(facts) = describe(&entry.body) else { return false };
        let is_statement = ["dsse", "intoto"].contains(&facts.kind.as_str());
        let claimed = facts.signatures.iter().filter_map(|signature| Signed::claimed(&signature.material));
        is_statement
            && claimed.into_iter().any(|by| {
                let is_named = by.identity.as_ref().is_some_and(|identity| {
                    policy.identities.iter().any(|pattern| pattern.matches(identity))
                });
                is_named || policy.keys.contains(&by.spki)
            })
    };
    let unseen: Vec<_> =
        entries.iter().filter(|entry| !seen.contains(&entry.id.uuid)).filter(may_sign).collect();
    let first = unseen.first()?;
    Some(format!(
        "{url} has {} statements about it, by who may sign as they say, that are not shown here, such as entry {}",
        unseen.len(),
        first.id
    ))
}

/// The entries that the index has for a digest. Each must be there: an index that names what the log has not is no answer.
async fn entries(log: &RekorV1, digest: Hash) -> Result<Vec<Entry>, String> {
    let query = Search { hash: Some(format!("sha256:{digest}")), ..Search::default() };
    let ids = log.search(&query).await.map_err(|error| error.to_string())?;
    if ids.len() > MOST_ENTRIES {
        let len = ids.len();
        return Err(format!("the log has {len} entries about {digest}, at most {MOST_ENTRIES} are read"));
    }
    let mut entries = Vec::new();
    for some in ids.chunks(AT_A_TIME) {
        let query = Retrieve { ids: some.iter().map(EntryId::to_string).collect(), ..Retrieve::default() };
        let came = log.retrieve(&query).await.map_err(|error| error.to_string())?;
        for id in some {
            let entry = came.iter().find(|entry| entry.check_id(Some(id)).is_ok());
            entries.push(
                entry.ok_or_else(|| format!("the log says that it has entry {id}, and has it not"))?.clone(),
            );
        }
    }
    Ok(entries)
}

/// Judges one entry. Only what could matter is judged: anybody can log anything about anything.
fn lead(
    entry: &Entry,
    digest: Hash,
    url: &str,
    signers: &[Signed],
    asked: &Revocations,
    root: &TrustedRoot,
) -> Lead {
    let Ok(facts) = describe(&entry.body) else { return Lead::Nothing };
    let kind = match (facts.kind.as_str(), facts.version.as_str()) {
        ("intoto", "0.0.2") => KindVersion::IntotoV002,
        ("dsse", "0.0.1") => KindVersion::DsseV001,
        _ => return Lead::Nothing,
    };
    let [signature] = facts.signatures.as_slice() else { return Lead::Nothing };
    let Some(by) = Signed::claimed(&signature.material) else { return Lead::Nothing };
    let known = asked.known();
    if !signers.iter().any(|signed| known.may(&by, signed)) {
        return Lead::Nothing;
    }
    // Logs find an entry by its own hash and by its own key too. A revocation is never logged without its text (`dsse`).
    let is_itself = entry.id.uuid == digest;
    let is_by_that_key = sha256(&by.spki) == digest && kind == KindVersion::DsseV001;
    if is_itself || is_by_that_key {
        return Lead::Nothing;
    }
    let place = format!("entry {} of {url}", entry.id);
    let Some(payload) = &entry.attestation else {
        let textless = of_entry(entry, kind, &signature.material, &signature.bytes, &in_its_place(digest));
        let is_by_nobody =
            |text: &String| SignedRevocation::is_by_nobody(text.as_bytes(), root, asked.sct, unix_now());
        if by.identity.is_some() && textless.as_ref().is_ok_and(is_by_nobody) {
            return Lead::Nothing;
        }
        let problem =
            format!("{place} is a statement by {by} that the log does not hand out: name its bundle");
        return Lead::Unread(by, format!("{problem} with --revocations"));
    };
    let bundle = match of_entry(entry, kind, &signature.material, &signature.bytes, payload) {
        Ok(bundle) => bundle,
        Err(problem) => return Lead::Unread(by, format!("{place}: {problem}")),
    };
    match SignedRevocation::judge(bundle.as_bytes(), &place, &asked.keys, root, asked.sct, unix_now()) {
        Ok(signed) => Lead::Revocation(signed),
        // Whoever made such a certificate, or said something else, is not who may revoke.
        Err(error) if WHO_AND_WHAT.contains(&error.check) => Lead::Nothing,
        Err(error) => Lead::Unread(by, format!("{place}: {error}")),
    }
}

/// A statement of the form that a revocation found by that digest has. Nobody signed it; it is for what is judged of a bundle
/// before its text is.
fn in_its_place(digest: Hash) -> Vec<u8> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": [{ "digest": { "sha256": digest.to_string() } }],
        "predicateType": REVOCATION, "predicate": {},
    });
    statement.to_string().into_bytes()
}

/// Checks that fail for what strangers log: with a certificate of their own, or about something else.
const WHO_AND_WHAT: [&str; 6] = ["key", "content", "identity", "profile", "certificate", "sct"];
const MOST_DIGESTS: usize = 3_000;
const AT_ONCE: usize = 8;
/// Of one digest.
const MOST_ENTRIES: usize = 1_000;
/// What v1 logs hand out at once.
const AT_A_TIME: usize = 10;
