//! What the machine can do at best, and what a process used: the denominators of the figures.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};

use crate::command::Failure;

/// The limits of this machine now.
#[derive(Clone, Copy, serde::Serialize)]
pub(super) struct Limits {
    /// CPU time of one P-256 verification by aws-lc-rs, in microseconds.
    pub(super) verify_cpu_us: f64,
    /// P-256 verifications a second on all cores together.
    pub(super) verify_per_second: f64,
    /// One `fdatasync` after 4 KiB overwritten in place: median and 99th percentile, in microseconds.
    pub(super) fdatasync_p50_us: Option<f64>,
    pub(super) fdatasync_p99_us: Option<f64>,
}

impl Limits {
    /// The mean of two measurements, before and after a run.
    pub(super) fn with(self, other: Limits) -> Limits {
        let mean = |a: f64, b: f64| f64::midpoint(a, b);
        let both = |a: Option<f64>, b: Option<f64>| Some(mean(a?, b?));
        Limits {
            verify_cpu_us: mean(self.verify_cpu_us, other.verify_cpu_us),
            verify_per_second: mean(self.verify_per_second, other.verify_per_second),
            fdatasync_p50_us: both(self.fdatasync_p50_us, other.fdatasync_p50_us),
            fdatasync_p99_us: both(self.fdatasync_p99_us, other.fdatasync_p99_us),
        }
    }
}

/// Measures for about three seconds.
pub(super) fn limits(disk: Option<&Path>) -> Result<Limits, Failure> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(Failure::unavailable)?;
    let message = b"one entry";
    let signature = pair.sign(&SystemRandom::new(), message).map_err(Failure::unavailable)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref());
    let verify = Speed::of(|| {
        std::hint::black_box(key.verify(message, signature.as_ref()).is_ok());
    });
    let flush = disk.map(fdatasync).transpose()?;
    Ok(Limits {
        verify_cpu_us: verify.cpu_us,
        verify_per_second: verify.per_second,
        fdatasync_p50_us: flush.map(|(p50, _)| p50),
        fdatasync_p99_us: flush.map(|(_, p99)| p99),
    })
}

/// How fast this machine does one thing.
#[derive(Clone, Copy, serde::Serialize)]
pub(super) struct Speed {
    /// CPU time of it, in microseconds.
    pub(super) cpu_us: f64,
    /// How often all cores together do it in a second.
    pub(super) per_second: f64,
}

impl Speed {
    /// Measures for two seconds.
    pub(super) fn of(act: impl Fn() + Sync) -> Self {
        let repeat = |during: Duration| {
            let (start, cpu) = (Instant::now(), thread_cpu());
            let mut count = 0_u32;
            while start.elapsed() < during {
                for _ in 0..50 {
                    act();
                }
                count += 50;
            }
            (f64::from(count), thread_cpu().saturating_sub(cpu).as_secs_f64())
        };
        let during = Duration::from_secs(1);
        let (count, cpu) = repeat(during);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let on_all: f64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(|| repeat(during).0)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
        });
        Self { cpu_us: cpu * 1e6 / count, per_second: on_all / during.as_secs_f64() }
    }

    /// The mean of two measurements, before and after a run.
    pub(super) fn with(self, other: Self) -> Self {
        let mean = |a: f64, b: f64| f64::midpoint(a, b);
        Self { cpu_us: mean(self.cpu_us, other.cpu_us), per_second: mean(self.per_second, other.per_second) }
    }
}

fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn fdatasync(dir: &Path) -> Result<(f64, f64), Failure> {
    let path = dir.join(".bulla-bench");
    let measured = (|| {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
        file.write_all(&vec![0; 4 << 20])?;
        file.sync_all()?;
        let mut micros = Vec::new();
        for round in 0..500_u64 {
            let start = Instant::now();
            file.write_all_at(&[round as u8; 4096], round * 4096)?;
            file.sync_data()?;
            micros.push(start.elapsed().as_secs_f64() * 1e6);
        }
        micros.sort_by(f64::total_cmp);
        Ok((micros[250], micros[495]))
    })();
    // Left behind it would only be in the way.
    let _already_gone = std::fs::remove_file(&path);
    measured.map_err(|error: std::io::Error| Failure::unavailable(format!("{}: {error}", path.display())))
}

/// What a process has used so far.
#[derive(Clone, Copy, Default, serde::Serialize)]
pub(super) struct Usage {
    /// User and system time, in seconds.
    pub(super) cpu_seconds: f64,
    /// Bytes it made the disk write.
    pub(super) written_bytes: u64,
    /// Resident memory, in bytes.
    pub(super) resident_bytes: u64,
}

impl Usage {
    pub(super) fn of(pid: Option<u32>) -> Result<Option<Usage>, Failure> {
        let Some(pid) = pid else { return Ok(None) };
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}"))
                .map_err(|error| Failure::usage(format!("--pid {pid}: {error}")))
        };
        let stat = read("stat")?;
        // The fields after the command's closing bracket: state is the first, utime the 12th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
        let written = read("io")?;
        let written = written.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
        let resident = read("statm")?.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Ok(Some(Usage {
            cpu_seconds: (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64,
            written_bytes: written.unwrap_or(0),
            resident_bytes: resident.unwrap_or(0) * rustix::param::page_size() as u64,
        }))
    }

    /// What was used between two looks; memory is that of the second.
    pub(super) fn since(self, before: Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            written_bytes: self.written_bytes - before.written_bytes,
            resident_bytes: self.resident_bytes,
        }
    }
}

/// What the figures were measured on.
#[derive(serde::Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
}

impl Machine {
    pub(super) fn here() -> Machine {
        let line = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.lines()
                .find_map(|line| {
                    line.strip_prefix(key).map(|rest| rest.trim_start_matches(['\t', ' ', ':']).to_owned())
                })
                .unwrap_or_default()
        };
        Machine {
            cpu: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: line("/proc/sys/kernel/osrelease", ""),
        }
    }
}
