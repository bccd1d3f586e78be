//! The figures of a run, for people or for programs.

use serde::Serialize;

use super::load::Load;
use super::machine::{Limits, Machine, Speed, Usage};
use super::prepare::Requests;
use crate::command::Output;

/// One run at one rate.
pub(super) struct Run {
    pub(super) rate: Option<f64>,
    pub(super) load: Load,
    pub(super) used: Option<Usage>,
}

/// What the figures are ratios of.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum Limit<'a> {
    /// Nothing.
    None,
    /// Signature checks and disk flushes.
    Entries(&'a Limits),
    /// The signatures that an answer takes at least.
    Signatures(&'a Speed),
}

#[derive(Serialize)]
struct Figures {
    asked_per_second: Option<f64>,
    answered: usize,
    refused: std::collections::BTreeMap<u16, usize>,
    seconds: f64,
    per_second: f64,
    p50_us: u32,
    p90_us: u32,
    p99_us: u32,
    p999_us: u32,
    max_us: u32,
    server: Option<Usage>,
    server_cpu_us_per_request: Option<f64>,
    requests_per_server_cpu_second: Option<f64>,
    /// Server CPU of one entry over the CPU of one raw signature check.
    cpu_over_verify: Option<f64>,
    /// Entries a second over raw signature checks a second on all cores.
    rate_over_verify: Option<f64>,
    /// Server CPU of one answer over the CPU of the signatures that it takes at least.
    cpu_over_signatures: Option<f64>,
    /// Answers a second over how often all cores make those signatures in a second.
    rate_over_signatures: Option<f64>,
    /// Bytes written to the disk for each byte of entry.
    written_over_entry: Option<f64>,
}

#[derive(Serialize)]
struct Report<'a> {
    machine: Machine,
    limits: Limit<'a>,
    entry_bytes: usize,
    entries_a_request: usize,
    runs: Vec<Figures>,
}

/// Prints the runs.
pub(super) fn print(output: Output, runs: &[Run], limits: Limit<'_>, requests: &Requests) {
    let runs = runs.iter().map(|run| figures(run, limits, requests)).collect();
    let (entry_bytes, entries_a_request) = (requests.body_len, requests.batch);
    let report = Report { machine: Machine::here(), limits, entry_bytes, entries_a_request, runs };
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default()),
        Output::Human => human(&report),
    }
}

/// Prints what the machine can do at best.
pub(super) fn print_limits(output: Output, limits: &Limits) {
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(limits).unwrap_or_default()),
        Output::Human => human_limits(limits),
    }
}

fn human_limits(limits: &Limits) {
    println!(
        "limits      one P-256 check {:.1} us of CPU; {:.0} checks/s on all cores",
        limits.verify_cpu_us, limits.verify_per_second
    );
    if let Some((p50, p99)) = limits.fdatasync_p50_us.zip(limits.fdatasync_p99_us) {
        println!("            one fdatasync p50 {p50:.0} us, p99 {p99:.0} us");
    }
}

fn figures(run: &Run, limit: Limit<'_>, requests: &Requests) -> Figures {
    let (limits, signatures) = match limit {
        Limit::None => (None, None),
        Limit::Entries(limits) => (Some(limits), None),
        Limit::Signatures(speed) => (None, Some(speed)),
    };
    let (entry_bytes, batch) = (requests.body_len, requests.batch as f64);
    let load = &run.load;
    let answered = load.latencies.len();
    let good = answered - load.refused.values().sum::<usize>();
    let seconds = load.elapsed.as_secs_f64();
    let at = |share: f64| {
        let last = answered.saturating_sub(1);
        #[expect(clippy::cast_sign_loss, reason = "a count times a share of it")]
        let index = (answered as f64 * share) as usize;
        load.latencies.get(index.min(last)).copied().unwrap_or(0)
    };
    let cpu = run.used.map(|used| used.cpu_seconds);
    let per_request = cpu.map(|cpu| cpu * 1e6 / (good.max(1) as f64));
    let per_second = good as f64 / seconds;
    let written = run.used.map(|used| used.written_bytes as f64).filter(|_| entry_bytes > 0);
    Figures {
        asked_per_second: run.rate,
        answered,
        refused: load.refused.clone(),
        seconds,
        per_second,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: at(1.0),
        server: run.used,
        server_cpu_us_per_request: per_request,
        requests_per_server_cpu_second: cpu.map(|cpu| good as f64 / cpu),
        cpu_over_verify: per_request.zip(limits).map(|(cpu, limits)| cpu / batch / limits.verify_cpu_us),
        rate_over_verify: limits.map(|limits| per_second * batch / limits.verify_per_second),
        cpu_over_signatures: per_request.zip(signatures).map(|(cpu, speed)| cpu / speed.cpu_us),
        rate_over_signatures: signatures.map(|speed| per_second / speed.per_second),
        written_over_entry: written.map(|written| written / batch / (good.max(1) * entry_bytes) as f64),
    }
}

fn human(report: &Report<'_>) {
    let Machine { cpu, cores, kernel } = &report.machine;
    println!("machine     {cores} x {cpu}, Linux {kernel}");
    if let Limit::Signatures(Speed { cpu_us, per_second }) = report.limits {
        println!("limit       the signatures of one {cpu_us:.1} us of CPU; {per_second:.0}/s on all cores");
    }
    if let Limit::Entries(limits) = report.limits {
        human_limits(limits);
        println!("entries     {} bytes each, {} a request", report.entry_bytes, report.entries_a_request);
    }
    for run in &report.runs {
        println!();
        if let Some(asked) = run.asked_per_second {
            println!("asked       {asked:.0}/s");
        }
        println!("answered    {} in {:.1} s: {:.0}/s", run.answered, run.seconds, run.per_second);
        for (status, count) in &run.refused {
            println!("refused     {count} with status {status}");
        }
        println!(
            "latency     p50 {} us, p90 {} us, p99 {} us, p99.9 {} us, max {} us",
            run.p50_us, run.p90_us, run.p99_us, run.p999_us, run.max_us
        );
        if let Some((each, a_second)) = run.server_cpu_us_per_request.zip(run.requests_per_server_cpu_second)
        {
            println!("server CPU  {each:.1} us a request, {a_second:.0} requests a CPU second");
        }
        let ratios = [
            ("CPU of an entry over one raw check", run.cpu_over_verify),
            ("entries/s over raw checks/s", run.rate_over_verify),
            ("CPU of an answer over that of its signatures", run.cpu_over_signatures),
            ("answers/s over their signatures/s", run.rate_over_signatures),
            ("bytes written over bytes of entry", run.written_over_entry),
        ];
        for (name, ratio) in ratios {
            if let Some(ratio) = ratio {
                println!("ratio       {ratio:.2}  {name}");
            }
        }
    }
}
