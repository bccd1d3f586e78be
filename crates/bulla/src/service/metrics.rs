//! Prometheus metrics: what the rooms below count, the log's own figures, and the process's, rendered when asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::health::Health;
use crate::command::Failure;

/// Starts counting. Must come before anything that counts, which keeps its handles.
pub(crate) fn start() -> Result<PrometheusHandle, Failure> {
    let install = || -> Result<PrometheusHandle, BuildError> {
        PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_entries".to_owned()), &ENTRIES)?
            .install_recorder()
    };
    let handle = install().map_err(|error| Failure::unavailable(format!("cannot count metrics: {error}")))?;
    describe();
    let version = env!("CARGO_PKG_VERSION");
    gauge!("bulla_build_info", "version" => version, "arch" => std::env::consts::ARCH).set(1.0);
    Ok(handle)
}

/// Serves the metrics, at the usual path and at the root.
pub(crate) fn routes(handle: PrometheusHandle, health: Arc<Health>) -> Router {
    let render = move || {
        let (handle, health) = (handle.clone(), health.clone());
        async move {
            sample_log(&health);
            sample_process();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
        }
    };
    Router::new().route("/metrics", get(render.clone())).route("/", get(render))
}

/// Serves the metrics of a service that has no log of its own.
pub(crate) fn alone(handle: PrometheusHandle) -> Router {
    let render = move || {
        let handle = handle.clone();
        async move {
            sample_process();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
        }
    };
    Router::new().route("/metrics", get(render))
}

/// Folds what was counted, every so often.
pub(crate) async fn fold(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}

/// Looks at the log and folds what was counted, every so often: memory must not depend on somebody scraping, nor health
/// on somebody asking.
pub(crate) async fn keep(handle: PrometheusHandle, health: Arc<Health>) {
    let mut last = Vec::new();
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
        let (_, problems) = health.look();
        if problems != last {
            match problems.as_slice() {
                [] => tracing::info!("ready again"),
                problems => tracing::warn!(?problems, "not ready"),
            }
            last = problems;
        }
    }
}

fn sample_log(health: &Health) {
    let (status, problems) = health.look();
    gauge!("bulla_ready").set(if problems.is_empty() { 1.0 } else { 0.0 });
    gauge!("bulla_frozen").set(if status.frozen { 1.0 } else { 0.0 });
    gauge!("bulla_queue_entries").set(status.queued as f64);
    gauge!("bulla_committed_size").set(status.committed as f64);
    gauge!("bulla_unsettled_bytes").set(status.unsettled_bytes as f64);
    gauge!("bulla_checkpoint_age_seconds")
        .set(status.checkpoint_at.elapsed().unwrap_or_default().as_secs_f64());
    if let Some(free) = status.free_bytes {
        gauge!("bulla_disk_free_bytes").set(free as f64);
    }
}

/// Figures under the names that every Prometheus client uses. What the system does not tell is left out.
fn sample_process() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    if let Some(kibibytes) = field("VmRSS:") {
        gauge!("process_resident_memory_bytes").set((kibibytes * 1024) as f64);
    }
    if let Some(threads) = field("Threads:") {
        gauge!("process_threads").set(threads as f64);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    gauge!("process_cpu_seconds_total").set(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9);
}

fn describe() {
    describe_counter!("bulla_http_requests_total", "HTTP requests answered, by door, route and status");
    describe_histogram!(
        "bulla_http_request_seconds",
        Unit::Seconds,
        "Time from request to answer, by door and route"
    );
    describe_counter!("bulla_grpc_requests_total", "gRPC calls answered, by method and code");
    describe_histogram!("bulla_grpc_request_seconds", Unit::Seconds, "Time from call to answer, by method");
    describe_counter!("bulla_refused_total", "Requests refused, by door and reason");
    describe_histogram!("bulla_batch_entries", "Entries in a committed batch");
    describe_histogram!("bulla_commit_seconds", Unit::Seconds, "Time to make a batch durable");
    describe_histogram!(
        "bulla_publish_lag_seconds",
        Unit::Seconds,
        "Time from commit to published checkpoint"
    );
    describe_histogram!("bulla_settle_seconds", Unit::Seconds, "Time to settle committed batches");
    describe_counter!("bulla_ca_requests_total", "Requests for certificates, by door and outcome");
    describe_histogram!(
        "bulla_ca_request_seconds",
        Unit::Seconds,
        "Time from request to certificate, by door"
    );
    describe_counter!("bulla_ca_tokens_total", "Identity tokens judged, by result");
    describe_counter!("bulla_ca_issuer_keys_total", "Keys of issuers asked for, by result");
    describe_counter!("bulla_ct_entries_total", "Certificates logged");
    describe_counter!("bulla_ct_refused_total", "Submissions of certificates refused");
    describe_counter!("bulla_tsa_timestamps_total", "Timestamps made");
    describe_counter!("bulla_tsa_refusals_total", "Requests for timestamps refused, by class");
    describe_gauge!("bulla_tsa_clock_offset_seconds", Unit::Seconds, "How far the clock is from its sources");
    describe_gauge!("bulla_tuf_expires_seconds", Unit::Seconds, "Time until the trust repository expires");
    describe_gauge!(
        "bulla_authority_expires_seconds",
        Unit::Seconds,
        "Time until the first certificate of an authority ends, by authority"
    );
    describe_counter!(
        "bulla_proxy_requests_total",
        "Requests to the tag proxy, by what was asked for and status"
    );
    describe_histogram!(
        "bulla_proxy_request_seconds",
        Unit::Seconds,
        "Time from request to the head of the answer, by what was asked for"
    );
    describe_counter!("bulla_proxy_refused_total", "Requests that the tag proxy refused, by reason");
    describe_counter!(
        "bulla_proxy_events_total",
        "What happened to tags: first seen, approved, moved, refused, alarm"
    );
    describe_counter!("bulla_proxy_alarms_total", "Records or contents that are not believed, by which");
    describe_counter!("bulla_proxy_stale_total", "Known tags served while their registry gave no answer");
    describe_counter!("bulla_proxy_log_unreached_total", "Pulls for which the log could not be asked");
    describe_counter!(
        "bulla_proxy_unkept_total",
        "Records that are in the log and could not be kept on the disk"
    );
    describe_counter!("bulla_commit_failures_total", "Batches that could not be made durable");
    describe_gauge!("bulla_tree_size", "Entries under the published checkpoint");
    describe_gauge!("bulla_committed_size", "Entries made durable");
    describe_gauge!("bulla_index_size", "Entries in the deduplication index");
    describe_gauge!("bulla_queue_entries", "Entries waiting for the writer");
    describe_gauge!("bulla_unsettled_bytes", Unit::Bytes, "Committed batches not yet settled");
    describe_gauge!("bulla_checkpoint_age_seconds", Unit::Seconds, "Age of the published checkpoint");
    describe_gauge!("bulla_disk_free_bytes", Unit::Bytes, "Free where the log lives");
    describe_gauge!("bulla_ready", "1 if an entry sent now would be logged");
    describe_gauge!("bulla_frozen", "1 if the log has ended");
    describe_gauge!("bulla_build_info", "The program that runs");
    // What alerts look at must be there before it happens.
    counter!("bulla_commit_failures_total").absolute(0);
}

/// From a cached read to a stalled disk.
const SECONDS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 10.0,
];
const ENTRIES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
const UPKEEP: Duration = Duration::from_secs(1);
