//! Signing configurations: any bytes are read or refused, and only services that are listed and valid are asked.
#![no_main]

use jiff::Timestamp;

#[path = "../../crates/bulla/src/signing/signing_config.rs"]
mod signing_config;

use signing_config::{Config, newest};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice::<Config>(bytes) else { return };
    let now = Timestamp::from_second(1_795_000_000).expect("a time");
    if config.check().is_err() {
        return;
    }
    for list in [&config.ca_urls, &config.oidc_urls] {
        if let Some(service) = newest(list, now, |version| version == 1) {
            assert!(
                service.major_api_version == 1
                    && service.valid_for.holds(now)
                    && list.iter().any(|one| one.url == service.url)
            );
        }
    }
    if let Ok(tsas) = config.tsas(now) {
        assert!(tsas.len() <= 16);
    }
    for most in 1..=2 {
        let list = &config.rekor_tlog_urls;
        let Ok(services) = config.of_logs.select("rekorTlogConfig", list, now, |version| version <= most)
        else {
            continue;
        };
        assert!(services.len() <= 16);
        for service in &services {
            assert!(service.valid_for.holds(now) && service.major_api_version <= most);
            assert_eq!(services.iter().filter(|other| other.operator == service.operator).count(), 1);
        }
    }
});
