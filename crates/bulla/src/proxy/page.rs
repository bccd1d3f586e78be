//! What happened lately and which tags are known, for a browser and for programs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use maud::{DOCTYPE, html};
use serde::Deserialize;
use serde_json::json;

use super::front::Front;
use super::known::StoreError;
use super::seen::{Event, What};

/// What can be asked of the list.
#[derive(Default, Deserialize)]
pub(crate) struct Asked {
    /// Where it begins.
    #[serde(default)]
    from: String,
}

/// The page.
pub(crate) async fn page(State(front): State<Arc<Front>>, Query(asked): Query<Asked>) -> Response {
    let store = &front.keeper.store;
    let events = front.keeper.seen.last();
    let (count, names) = (store.count().await, store.names(asked.from.clone(), A_PAGE + 1).await);
    let names = names.unwrap_or_default();
    let next = names.get(A_PAGE);
    let kinds = [
        (What::Alarm, "Alarms"),
        (What::Refused, "Refused: the tag moved"),
        (What::Approved, "Moved, approved"),
        (What::Moved, "Moved, by their rule"),
        (What::FirstSeen, "Seen for the first time"),
    ];
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Bulla: tags" }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { "Tags" }
                p {
                    @match &count {
                        Ok(count) => { (count) " tags are recorded in the log at " code { (front.keeper.log_url) } "." }
                        Err(problem) => { strong { (problem) } }
                    }
                    " What happened is of this process, since it started; the history of a tag is in the log: "
                    code { "bulla tag history NAME:TAG" } "."
                }
                @for (what, title) in kinds {
                    @let of: Vec<&Event> = events.iter().filter(|event| event.what == what).collect();
                    @if !of.is_empty() {
                        h2 { (title) }
                        table {
                            thead { tr { th { "when" } th { "tag" } th { "digest" } th { "" } } }
                            tbody {
                                @for event in of {
                                    tr class=(what.name()) {
                                        td { (event.at) } td { (event.tag) } td { code { (event.digest) } } td { (event.note) }
                                    }
                                }
                            }
                        }
                    }
                }
                h2 { "Recorded" }
                form { label { "from " input name="from" value=(asked.from); } " " button { "show" } }
                ul { @for name in names.iter().take(A_PAGE) { li { (name) } } }
                @if let Some(next) = next {
                    form { input type="hidden" name="from" value=(next); button { "more" } }
                }
            }
        }
    };
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, markup.into_string()).into_response()
}

/// The same for programs.
pub(crate) async fn machine(State(front): State<Arc<Front>>, Query(asked): Query<Asked>) -> Response {
    let store = &front.keeper.store;
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    let listed = async { Ok((store.count().await?, store.names(asked.from, A_PAGE + 1).await?)) };
    let (status, body) = match listed.await {
        Ok((count, mut names)) => {
            let next = if names.len() > A_PAGE { names.pop() } else { None };
            (
                StatusCode::OK,
                json!({ "count": count, "tags": names, "next": next, "events": front.keeper.seen.last() }),
            )
        }
        Err::<_, StoreError>(problem) => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({ "problem": problem.to_string() }))
        }
    };
    (status, headers, format!("{body}\n")).into_response()
}

/// Whether tags can be recorded and known ones told: what is wrong is said, and known tags are served all the same.
pub(crate) async fn ready(State(front): State<Arc<Front>>) -> Response {
    let mut problems = Vec::new();
    if let Err(problem) = front.keeper.store.count().await {
        problems.push(problem.to_string());
    }
    let silent = match tokio::time::timeout(SOON, front.keeper.log.client.info()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("it does not answer within {} ms", SOON.as_millis())),
    };
    if let Some(why) = silent {
        problems.push(format!("the log cannot be asked: tags that are not known are refused: {why}"));
    }
    let body = json!({ "status": "SERVING", "problems": problems });
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], format!("{body}\n")).into_response()
}

/// Whoever asks whether it is well has less patience than whoever pulls.
const SOON: Duration = Duration::from_millis(500);
const A_PAGE: usize = 100;
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fff}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}\
code{font-size:.9em}.refused td,.alarm td{color:#a00000}";
