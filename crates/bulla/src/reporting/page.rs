//! A report as one page of HTML that needs nothing else: to be printed, mailed and kept. Everything in it that strangers wrote is
//! escaped by the library that makes it.

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::asked::Revoked;
use super::controls::{ABOUT, Pointer};
use super::file::Spool;
use super::row::{Row, Status, Validity};
use super::stock::Summary;
use super::{chart, human};
use crate::text::printable;

/// What stands on the page beside the rows.
pub(crate) struct Page<'a> {
    pub(crate) generated_at: &'a str,
    pub(crate) sources: &'a [String],
    /// On which terms it was judged, a line each.
    pub(crate) terms: &'a [String],
    pub(crate) summary: &'a Summary,
    pub(crate) revocations: &'a [Revoked],
    pub(crate) controls: &'a [Pointer],
    /// Name and SHA-256 of the JSON report that the page was made with, which has the evidence.
    pub(crate) evidence: Option<(String, String)>,
}

/// Writes the page, row by row.
pub(crate) fn page(out: &mut impl Write, page: &Page<'_>, spool: &mut Spool) -> io::Result<()> {
    // Escaping is the library's; characters that HTML does not have at all are not its business.
    let mut write = |markup: Markup| out.write_all(printable(&markup.into_string()).as_bytes());
    write(
        html! { (DOCTYPE) (PreEscaped("<html lang=\"en\">")) (head()) (PreEscaped("<body><main>")) (top(page)) },
    )?;
    write(PreEscaped(
        "<section><h2>Images</h2><table class=\"images\"><thead><tr><th>Image</th><th>Verdict</th><th>Has</th><th>Signed by</th></tr></thead><tbody>"
            .to_owned(),
    ))?;
    spool.rows(|row| write(image(&row, false)))?;
    write(
        html! { (PreEscaped("</tbody></table></section>")) (bottom(page)) (PreEscaped("</main></body></html>")) },
    )
}

fn head() -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            // What a browser must never do with this page, whatever is in it.
            meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
            title { "Provenance of images" }
            style { (PreEscaped(STYLE)) }
        }
    }
}

fn top(page: &Page<'_>) -> Markup {
    let totals = &page.summary.totals;
    let tiles = [
        (Status::Verified, totals.verified),
        (Status::NotVerified, totals.not_verified),
        (Status::Unsigned, totals.unsigned),
        (Status::Undetermined, totals.undetermined),
    ];
    html! {
        header {
            h1 { "Provenance of " (totals.images) " images" }
            p class="about" { (page.generated_at) ". " (ABOUT) }
        }
        section {
            div class="tiles" {
                @for (status, count) in tiles {
                    div class={ "tile " (status.name()) } { strong { (count) } " " (status.name()) }
                }
            }
            p {
                (totals.total_entries) " signatures and statements were judged: " (totals.valid_entries) " hold, "
                (totals.invalid_entries) " do not."
            }
        }
        section { h2 { "Coverage" } (chart::coverage(&totals.coverage))
            p class="key" {
                span class="yes" {} " verified " span class="no" {} " missing, or it does not hold "
                span class="unknown" {} " undetermined"
            }
            @if totals.members.images > 0 {
                p { small {
                    "An image for several platforms counts by what is about its index. Its members are shown beneath it for information: "
                    (totals.members.images) " of them, " (totals.members.verified) " verified by themselves."
                } }
            }
        }
        section { h2 { "Signers over time" } (chart::signers(&page.summary.signers)) }
        section { h2 { "Asked for" }
            p { "Accepted was what these signed:" }
            ul { @for line in page.terms { li { (line) } } }
            p { "Of these images:" }
            ul { @for line in page.sources { li { (line) } } }
        }
    }
}

/// An image, and its members beneath it.
fn image(row: &Row, is_member: bool) -> Markup {
    let mut signers: Vec<_> = row
        .entries
        .iter()
        .filter(|entry| entry.status == Validity::Valid)
        .filter_map(|entry| entry.signer.as_ref())
        .map(|signer| {
            signer
                .subject
                .clone()
                .unwrap_or_else(|| format!("key {}", &signer.key_sha256.get(..16).unwrap_or_default()))
        })
        .collect();
    signers.sort_unstable();
    signers.dedup();
    html! {
        tr class=[is_member.then_some("member")] {
            td {
                @if let (true, Some(platform)) = (is_member, &row.platform) { strong { (platform) } " " }
                (row.image_ref)
                @if let Some(digest) = &row.digest { br; code { (digest) } }
                @if row.uses > 0 {
                    br; small { "runs in " (human::count(row.uses, "container")) ": " (row.used_by.join(", ")) }
                }
            }
            td class=(row.status.name()) {
                (row.status.name())
                @if let Some(reason) = &row.reason { br; small { (reason) } }
            }
            td {
                @for (name, has) in row.coverage.each() {
                    @match has {
                        Some(true) => { span class="has" { (name) } " " }
                        Some(false) => {}
                        None => { span class="maybe" { (name) "?" } " " }
                    }
                }
            }
            td { @for signer in signers { div { (signer) } } }
        }
        @for member in &row.members { (image(member, true)) }
        @if row.members_left_out > 0 {
            tr class="member" { td colspan="4" { "and " (human::count(row.members_left_out as u64, "member")) " that were not looked at" } }
        }
    }
}

fn bottom(page: &Page<'_>) -> Markup {
    let time = |time: &Option<jiff::Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    html! {
        section { h2 { "Signers" }
            table {
                thead { tr { th { "Who" } th { "Vouched for by" } th { "First seen" } th { "Last seen" } th { "Entries" } th { "Images" } } }
                tbody {
                    @for signer in &page.summary.signers {
                        tr {
                            td { @match (&signer.subject, &signer.key_sha256) {
                                (Some(subject), _) => (subject),
                                (None, key) => { "key " code { (key.as_deref().unwrap_or_default()) } }
                            } }
                            td { (signer.issuer.as_deref().unwrap_or("nobody: it is a key")) }
                            td { (time(&signer.first_seen)) } td { (time(&signer.last_seen)) }
                            td { (signer.valid_entries) } td { (signer.images) }
                        }
                    }
                }
            }
        }
        section { h2 { "Revocations" }
            @if page.revocations.is_empty() { p { "None were named." } }
            ul { @for revoked in page.revocations {
                li { (revoked.what) ", since " (revoked.from) ", by " (revoked.by) ": " (revoked.reason) }
            } }
        }
        section { h2 { "Logs" }
            ul { @for log in &page.summary.logs { li { (human::health(log)) } } }
            @if page.summary.logs.is_empty() { p { "No entry of a log was met." } }
            p { small { "Witnessed is what was cosigned under the keys that were named for this report. Other names on checkpoints are not checked, and count as nobody's." } }
        }
        section { h2 { "Where this may serve as evidence" }
            p { "Pointers, and no claim: whether a control is met is for an auditor to say." }
            table {
                thead { tr { th { "Catalogue" } th { "Control" } th { "About" } th { "This report shows" } } }
                tbody {
                    @for pointer in page.controls {
                        tr { td { (pointer.catalogue) } td { (pointer.control) } td { (pointer.about) } td { (pointer.evidence) } }
                    }
                }
            }
        }
        footer {
            @match &page.evidence {
                Some((name, hash)) => p {
                    "The signatures themselves are in " code { (name) } " (SHA-256 " code { (hash) } "); "
                    code { "bulla report verify" } " judges them again without a network."
                }
                None => p { "This page is a rendering, and no evidence: that is the JSON report, which carries the signatures along." }
            }
        }
    }
}

const STYLE: &str = ":root{--ink:#1d2430;--paper:#fff;--line:#c9d1dc;--soft:#f3f5f8;--yes:#1a7f4b;--no:#b3261e;--unknown:#8a6d00;--bar:#d9a19d}\
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ee;--paper:#14181f;--line:#3a4350;--soft:#1e242d;--yes:#5ccb93;--no:#ff8a80;--unknown:#e6c34d;--bar:#7c3a36}}\
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif}\
main{max-width:60rem;margin:0 auto;padding:1.5rem}h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .6rem}\
table{border-collapse:collapse;width:100%;font-size:.86rem}th,td{border-bottom:1px solid var(--line);padding:.35rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
th{background:var(--soft);overflow-wrap:normal}code{font:.85em ui-monospace,monospace}small{opacity:.8}.about{max-width:46rem}\
.tiles{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1rem}.tile{border:1px solid var(--line);border-radius:.4rem;padding:.6rem 1rem;background:var(--soft)}\
.member td{background:var(--soft)}.member td:first-child{padding-left:1.8rem}.tile strong{display:block;font-size:1.5rem}.verified{color:var(--yes)}.not-verified,.unsigned{color:var(--no)}.undetermined{color:var(--unknown)}\
.has{color:var(--yes);white-space:nowrap}.maybe{color:var(--unknown);white-space:nowrap}\
svg{width:100%;height:auto;font-size:13px}svg text{fill:var(--ink)}rect.yes,circle.signer{fill:var(--yes)}rect.no{fill:var(--bar)}rect.unknown{fill:var(--unknown)}\
line.axis{stroke:var(--line)}line.signer{stroke:var(--yes);stroke-width:3}\
.key span{display:inline-block;width:.8em;height:.8em;margin-left:.8em}.key .yes{background:var(--yes)}.key .no{background:var(--bar)}.key .unknown{background:var(--unknown)}\
@media print{:root{--ink:#000;--paper:#fff;--line:#999;--soft:#fff;--yes:#060;--no:#900;--unknown:#640;--bar:#c99}main{max-width:none;padding:0}h2{break-after:avoid}tr,svg{break-inside:avoid}thead{display:table-header-group}a{color:inherit}*{print-color-adjust:exact}}";
