//! Charts as SVG that stands in the page: no script draws them, and they are printed as they are seen. Each has its numbers in
//! words too, for who does not see them.

use jiff::Timestamp;
use maud::{Markup, html};

use super::row::Coverage;
use super::stock::{Having, SignerSeen};

/// How many images have each thing: a bar each, of those that have it, have it not, and of which nobody knows.
pub(super) fn coverage(coverage: &Coverage<Having>) -> Markup {
    let (row, top) = (28_u64, 6_u64);
    let height = top + row * coverage.each().len() as u64;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label="Coverage of images" {
            @for (n, (name, having)) in coverage.each().into_iter().enumerate() {
                @let y = top + row * n as u64;
                @let all = (having.yes + having.no + having.undetermined).max(1);
                @let parts = [("yes", having.yes), ("no", having.no), ("unknown", having.undetermined)];
                text x="0" y=(y + 14) { (name) }
                @for (at, (class, count)) in parts.iter().enumerate() {
                    @let before: u64 = parts[..at].iter().map(|(_, count)| count).sum();
                    @if *count > 0 {
                        rect class=(class) x=(LABEL + BAR * before / all) y=(y) width=((BAR * count / all).max(1)) height="18" {
                            title { (name) ": " (class) " " (count) " of " (all) }
                        }
                    }
                }
                text class="number" x=(WIDTH) y=(y + 14) text-anchor="end" {
                    (having.yes * 100 / all) "%"
                }
            }
        }
    }
}

/// When each signer signed: a line from the first signature to the last.
pub(super) fn signers(signers: &[SignerSeen]) -> Markup {
    let mut shown: Vec<(&SignerSeen, Timestamp, Timestamp)> =
        signers.iter().filter_map(|signer| Some((signer, signer.first_seen?, signer.last_seen?))).collect();
    shown.sort_by_key(|(signer, ..)| std::cmp::Reverse(signer.valid_entries));
    let hidden = shown.len().saturating_sub(MOST_SIGNERS);
    shown.truncate(MOST_SIGNERS);
    let first = shown.iter().map(|(_, first, _)| first.as_second()).min().unwrap_or_default();
    let last = shown.iter().map(|(.., last)| last.as_second()).max().unwrap_or_default();
    let span = u64::try_from(last - first).unwrap_or_default().max(1);
    let x = |time: &Timestamp| {
        let since = u64::try_from(time.as_second() - first).unwrap_or_default();
        // Wide enough for any time in seconds.
        LABEL + 6 + (u128::from(BAR - 12) * u128::from(since) / u128::from(span)) as u64
    };
    let (row, top) = (24_u64, 24_u64);
    let height = top + row * shown.len() as u64 + 4;
    let day = |seconds: i64| {
        Timestamp::from_second(seconds).map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
    };
    html! {
        @if shown.is_empty() {
            p { "No signature has a time that somebody vouches for." }
        } @else {
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label="Signers over time" {
                text x=(LABEL) y="12" { (day(first)) }
                @if day(last) != day(first) { text x=(WIDTH) y="12" text-anchor="end" { (day(last)) } }
                line class="axis" x1=(LABEL) y1="18" x2=(WIDTH) y2="18" {}
                @for (n, (signer, begin, end)) in shown.iter().enumerate() {
                    @let y = top + row * n as u64 + 8;
                    text x="0" y=(y + 4) { (shortened(&signer.name())) title { (signer.name()) } }
                    line class="signer" x1=(x(begin)) y1=(y) x2=(x(end)) y2=(y) {}
                    circle class="signer" cx=(x(begin)) cy=(y) r="5" { title { (begin) } }
                    circle class="signer" cx=(x(end)) cy=(y) r="5" { title { (end) ": " (signer.valid_entries) " signatures and statements" } }
                }
            }
            @if hidden > 0 { p { (hidden) " signers more are in the table below." } }
        }
    }
}

fn shortened(name: &str) -> String {
    let most = 30;
    if name.chars().count() <= most {
        name.to_owned()
    } else {
        format!("{}…", name.chars().take(most - 1).collect::<String>())
    }
}

const WIDTH: u64 = 900;
const LABEL: u64 = 230;
/// What is left for bars, with room for a number behind them.
const BAR: u64 = 610;
const MOST_SIGNERS: usize = 20;
