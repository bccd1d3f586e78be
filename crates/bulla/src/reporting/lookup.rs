//! Whether a log has the entries that a report lists. Each of them is proved in the report under a head that the log signed once;
//! a log that was set back since, or that showed that head to nobody else, does not have them any more.

use std::collections::{HashMap, HashSet};

use bulla_rekor::client::v1::{EntryId, Options, RekorV1, Retrieve};
use bulla_tlog::Hash;
use futures_util::stream::{StreamExt as _, iter};

use super::contents::MOST_FINDINGS;
use super::recheck::Finding;

/// An entry that a report lists.
pub(crate) struct ListedEntry {
    /// The hash of its leaf.
    pub(super) uuid: Hash,
    /// Which part of the report lists it.
    pub(super) member: String,
    /// The IDs of the logs that prove to have it, base64.
    pub(super) log_ids: Vec<String>,
}

/// What a log said.
#[derive(Default)]
pub(crate) struct LookedUp {
    /// Different entries that it was asked for.
    pub(crate) asked: usize,
    /// Those that it has.
    pub(crate) found: usize,
    /// Those that it has not and must have; at most a thousand.
    pub(crate) absent: Vec<Finding>,
    /// Those that it has not, and that only other logs prove to have.
    pub(crate) elsewhere: usize,
    /// Why it is not known of all of them, if it is not.
    pub(crate) unanswered: Option<String>,
}

/// Asks the log at an address for all of them, some at a time, until it does not answer.
pub(crate) async fn look_up(url: &str, listed: &[ListedEntry]) -> LookedUp {
    let mut came = LookedUp::default();
    let options = Options { timeout: PATIENCE, retries: 1, ..Options::default() };
    let opened = async {
        let log = RekorV1::new(url, &options)?;
        let key = log.public_key(None).await?;
        Ok::<_, bulla_rekor::client::v1::ClientError>((log, key))
    };
    let (log, key) = match opened.await {
        Ok(opened) => opened,
        Err(error) => {
            came.unanswered = Some(error.to_string());
            return came;
        }
    };
    let own = key.log_id().to_base64();
    let mut by_uuid: HashMap<Hash, Vec<&ListedEntry>> = HashMap::new();
    let mut order = Vec::new();
    for entry in listed {
        let same = by_uuid.entry(entry.uuid).or_default();
        if same.is_empty() {
            order.push(entry.uuid);
        }
        same.push(entry);
    }
    if order.len() > MOST {
        came.unanswered =
            Some(format!("{} entries are listed, the first {MOST} were looked up", order.len()));
        order.truncate(MOST);
    }
    let ask = |some: Vec<Hash>| {
        let log = &log;
        async move {
            let ids = some.iter().map(ToString::to_string).collect();
            let query = Retrieve { ids, ..Retrieve::default() };
            let answer = log.retrieve(&query).await.map_err(|error| error.to_string());
            (some, answer)
        }
    };
    let some: Vec<Vec<Hash>> = order.chunks(AT_A_TIME).map(<[Hash]>::to_vec).collect();
    let mut answers = iter(some.into_iter().map(ask)).buffered(AT_ONCE);
    while let Some((some, answer)) = answers.next().await {
        let entries = match answer {
            Ok(entries) => entries,
            Err(problem) => {
                came.unanswered = Some(problem);
                break;
            }
        };
        // What is answered is the entry if its bytes hash to the name.
        let there: HashSet<Hash> =
            entries.iter().filter(|entry| entry.check_id(None).is_ok()).map(|entry| entry.id.uuid).collect();
        for uuid in some {
            came.asked += 1;
            if there.contains(&uuid) {
                came.found += 1;
                continue;
            }
            let listed = by_uuid.remove(&uuid).unwrap_or_default();
            if !listed.iter().any(|entry| entry.log_ids.contains(&own)) {
                came.elsewhere += 1;
                continue;
            }
            let absent = listed.into_iter().map(|entry| Finding {
                member: entry.member.clone(),
                problem: format!("entry {uuid} is not in the log {url}, which signed that it is"),
            });
            came.absent.extend(absent.take(MOST_FINDINGS.saturating_sub(came.absent.len())));
        }
    }
    came
}

/// Reads the name of an entry as reports have it.
pub(super) fn uuid(text: &str) -> Option<Hash> {
    EntryId::parse(text).ok().map(|id| id.uuid)
}

/// For one request, of at most two, before a log counts as one that does not answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// What v1 logs hand out at once.
const AT_A_TIME: usize = 10;
const AT_ONCE: usize = 8;
/// Of one report.
const MOST: usize = 500_000;
