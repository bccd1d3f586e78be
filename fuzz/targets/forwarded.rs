//! Whose request it is: whatever a client writes into the headers of proxies, it is told apart by what a proxy saw.
#![no_main]

use std::net::IpAddr;

use bulla_rekor::guard::client_address;
use http::{HeaderMap, HeaderValue};

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    let proxies = ["10.0.0.0/8".parse().expect("a network")];
    let of = |peer: IpAddr, name: &'static str, line: &[u8]| {
        let value = HeaderValue::from_bytes(line).ok()?;
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), value)]);
        Some(client_address(peer, &headers, &proxies))
    };
    let [stranger, proxy, client] =
        ["192.0.2.1", "10.0.0.1", "198.51.100.7"].map(|at| at.parse().expect("an address"));
    for name in ["x-forwarded-for", "forwarded"] {
        let Some(alone) = of(stranger, name, line) else { return };
        assert_eq!(alone, stranger, "a stranger is believed");
        let _anybody = of(proxy, name, line);
    }
    // A proxy appends what it saw. In the simple list that is final; in the standard one a line that was broken before
    // says nothing.
    let behind = |seen: &str| [line, seen.as_bytes()].concat();
    let text =
        std::str::from_utf8(line).is_ok_and(|text| text.bytes().all(|byte| (b' '..127).contains(&byte)));
    let listed = of(proxy, "x-forwarded-for", &behind(", 198.51.100.7"));
    assert!(listed.is_none_or(|found| found == client || (!text && found == proxy)), "{listed:?}");
    for seen in
        [", for=198.51.100.7", ", for=\"198.51.100.7:80\"", ", proto=https;for=198.51.100.7;host=\"h\""]
    {
        let standard = of(proxy, "forwarded", &behind(seen));
        assert!(standard.is_none_or(|found| found == client || found == proxy), "{seen}: {standard:?}");
    }
});
