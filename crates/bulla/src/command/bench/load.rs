//! The load: connections that send prepared requests and read the answers with as little work as
//! possible, since on one machine what the generator uses is taken from the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::prepare::Requests;
use crate::command::Failure;

/// Where to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) host: String,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Target, Failure> {
        let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        match host.filter(|host| host.contains(':') && !host.contains('/')) {
            Some(host) => Ok(Target { host: host.to_owned() }),
            None => Err(Failure::usage(format!("\"{url}\" is not of the form http://HOST:PORT"))),
        }
    }
}

/// How fast and how long.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) rate: Option<f64>,
    pub(super) during: Duration,
    pub(super) connections: usize,
}

/// What came of it.
pub(super) struct Load {
    /// Of each answered request, in microseconds. On a schedule it counts from when the request was
    /// due, so that a stall is seen by every request it delayed.
    pub(super) latencies: Vec<u32>,
    /// Answers that were not 200 or 201, by status.
    pub(super) refused: std::collections::BTreeMap<u16, usize>,
    pub(super) elapsed: Duration,
}

/// Sends requests from number `first` on, each once, or the only one for ever.
pub(super) async fn run(
    target: &Target,
    requests: &Requests,
    first: usize,
    once_each: bool,
    pace: Pace,
) -> Result<Load, Failure> {
    let wire = Arc::new(requests.wire.clone());
    let next = Arc::new(AtomicUsize::new(first));
    let mut streams = Vec::with_capacity(pace.connections);
    for _ in 0..pace.connections {
        let stream = TcpStream::connect(&target.host)
            .await
            .map_err(|error| Failure::unavailable(format!("{}: {error}", target.host)))?;
        stream.set_nodelay(true).map_err(Failure::unavailable)?;
        streams.push(stream);
    }
    let start = Instant::now();
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            let (wire, next) = (wire.clone(), next.clone());
            tokio::spawn(connection(stream, wire, next, first, once_each, pace, start))
        })
        .collect();
    let mut load =
        Load { latencies: Vec::new(), refused: std::collections::BTreeMap::new(), elapsed: Duration::ZERO };
    for task in tasks {
        let answers = task.await.map_err(Failure::unavailable)?.map_err(|error| {
            Failure::unavailable(format!("{}: connection lost under load: {error}", target.host))
        })?;
        for (micros, status) in answers {
            load.latencies.push(micros);
            if status != 200 && status != 201 {
                *load.refused.entry(status).or_default() += 1;
            }
        }
    }
    load.elapsed = start.elapsed();
    load.latencies.sort_unstable();
    Ok(load)
}

async fn connection(
    mut stream: TcpStream,
    wire: Arc<Vec<bytes::Bytes>>,
    next: Arc<AtomicUsize>,
    first: usize,
    once_each: bool,
    pace: Pace,
    start: Instant,
) -> std::io::Result<Vec<(u32, u16)>> {
    let mut answers = Vec::new();
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let request = if once_each { wire.get(number) } else { wire.first() };
        let Some(request) = request else { break };
        let mut due = match pace.rate {
            Some(rate) => start + Duration::from_secs_f64((number - first) as f64 / rate),
            None => Instant::now(),
        };
        if due.duration_since(start) >= pace.during {
            break;
        }
        // A timer that is due already still waits for the next tick of a millisecond; and what it is late by is ours, not
        // the log's. A request that had to wait for the one before it counts from when it was due.
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
            due = Instant::now();
        }
        stream.write_all(request).await?;
        let status = answer(&mut stream, &mut buffer).await?;
        answers.push((u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX), status));
    }
    Ok(answers)
}

/// Reads one answer whole and returns its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<u16> {
    buffer.clear();
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not an HTTP answer with a length");
    let head_len = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = std::str::from_utf8(&buffer[..head_len]).map_err(|_| broken())?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let len: usize = head
        .lines()
        .find_map(|line| {
            line.strip_prefix("content-length: ").or_else(|| line.strip_prefix("Content-Length: "))
        })
        .and_then(|len| len.trim().parse().ok())
        .ok_or_else(broken)?;
    while buffer.len() < head_len + len {
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(status)
}
