//! How many timestamps a second all cores make, against how many bare signatures of the same key in the same run.
//!
//!     cargo run --release -p bulla-authority --example timestamp_bench [SECONDS]

#[path = "../tests/chain/mod.rs"]
mod chain;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bulla_authority::tsa::{Clock, Request, Settings, TimestampAuthority};
use rcgen::PKCS_ECDSA_P256_SHA256;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2);
    let (chain, key) = chain::chain(&PKCS_ECDSA_P256_SHA256);
    let clock = Arc::new(Clock::local(Duration::from_secs(5)));
    let authority =
        TimestampAuthority::new(&chain, key.clone(), Settings::default(), clock).expect("an authority");
    let query = Request::sha256(&[7; 32], None, true).and_then(|request| {
        request.to_der().map_err(|error| bulla_authority::tsa::RequestError::Der(error.to_string()))
    });
    let query = query.expect("a request");
    let stamp = async || {
        let request = Request::from_der(&query).expect("a request");
        authority.respond(&request).await.expect("a timestamp").len()
    };
    let sign = async || key.sign(&[7; 200]).await.expect("a signature").len();
    // Turn by turn, so that a machine that changes its pace changes it for both.
    let (mut stamps, mut signatures) = (0.0, 0.0);
    for _ in 0..5 {
        signatures += rate(Duration::from_secs_f64(f64::from(seconds) / 5.0), &sign);
        stamps += rate(Duration::from_secs_f64(f64::from(seconds) / 5.0), &stamp);
    }
    let (stamps, signatures) = (stamps / 5.0, signatures / 5.0);
    println!("{stamps:.0} timestamps/s, {signatures:.0} signatures/s, ratio {:.2}", stamps / signatures);
}

fn rate(time: Duration, once: &(impl AsyncFn() -> usize + Sync)) -> f64 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let on_one = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (start, mut count) = (Instant::now(), 0_u32);
            while start.elapsed() < time {
                std::hint::black_box(once().await);
                count += 1;
            }
            f64::from(count) / start.elapsed().as_secs_f64()
        })
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..cores).map(|_| scope.spawn(on_one)).collect();
        running.into_iter().map(|core| core.join().expect("runs")).sum()
    })
}
