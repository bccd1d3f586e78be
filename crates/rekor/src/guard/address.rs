//! Whose request it is: the address at the other end of the connection, unless a trusted proxy is there and says for whom
//! it speaks (`X-Forwarded-For`, `Forwarded` of RFC 7239).
//!
//! Each proxy adds what it sees at the right end, and everything left of what trusted proxies added may be a lie. So the
//! list is walked from the right as long as the hops are trusted; the first that is not is the client. Where the list cannot
//! be read, the last trusted hop counts. A proxy that writes one of the headers passes on whatever the client sent in the
//! other, so if they name different clients neither is believed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// The other end of a connection, put into the extensions of each of its requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub IpAddr);

/// Addresses with a common prefix, such as `10.0.0.0/8`, or a single one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network(IpNet);

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an address or a network was expected, such as 10.0.0.0/8 or 2001:db8::/32".to_owned();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let network: IpNet = text.parse().map_err(|_| wrong())?;
        if network.trunc() != network {
            return Err(format!("has bits set behind its prefix, {} was expected", network.trunc()));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The client of a request that came from `peer`.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let listed = named(peer, headers, &X_FORWARDED_FOR, listed, trusted);
    let forwarded = named(peer, headers, &FORWARDED, forwarded, trusted);
    match (listed, forwarded) {
        (Some(a), Some(b)) if a != b => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// No honest chain of proxies is as long.
const MAX_HOPS: usize = 64;

fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// An address in the list, unless it cannot be read.
type Hop = Option<IpAddr>;

/// Whom a header names; `None` if it is not there.
fn named(
    peer: IpAddr,
    headers: &HeaderMap,
    name: &HeaderName,
    hops: fn(&str) -> Vec<Hop>,
    trusted: &[Network],
) -> Option<IpAddr> {
    let lines = headers.get_all(name);
    lines.iter().next()?;
    let mut last = peer;
    let read = |line: &HeaderValue| line.to_str().map_or_else(|_| vec![None], hops);
    for hop in lines.iter().rev().flat_map(|line| read(line).into_iter().rev()).take(MAX_HOPS) {
        let Some(address) = hop else { return Some(last) };
        if !is_trusted(address, trusted) {
            return Some(address);
        }
        last = address;
    }
    Some(last)
}

/// The hops of a line of `X-Forwarded-For`.
fn listed(line: &str) -> Vec<Hop> {
    line.split(',').map(|hop| address(hop.trim())).collect()
}

/// The hops of a line of `Forwarded`. A line that breaks the rules anywhere says nothing: a quote that a client left open
/// must not swallow what a proxy wrote behind it.
fn forwarded(line: &str) -> Vec<Hop> {
    elements(line).unwrap_or_else(|| vec![None])
}

fn elements(line: &str) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    let mut rest = line;
    loop {
        let mut node = None;
        loop {
            let (name, after) = rest.split_once('=')?;
            let name = name.trim_start();
            let is_token = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
            let (value, after) = value(after)?;
            if !is_token {
                return None;
            }
            if name.eq_ignore_ascii_case("for") && node.replace(address(&value)).is_some() {
                return None;
            }
            rest = after.trim_start();
            match rest.strip_prefix(';') {
                Some(more) => rest = more,
                None => break,
            }
        }
        hops.push(node.flatten());
        if rest.is_empty() {
            return Some(hops);
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// A value, in quotes or bare, and what is behind it. Bare addresses with a port are taken too, as some proxies write them.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t', '"']).unwrap_or(text.len());
        let (bare, rest) = text.split_at(end);
        return (!bare.is_empty()).then(|| (bare.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, &quoted[at + 1..])),
            (_, '\\') => value.push(characters.next()?.1),
            (_, other) => value.push(other),
        }
    }
}

/// An address, with or without a port. Names that hide one (`unknown`, `_proxy`) are none.
fn address(text: &str) -> Hop {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => text.parse().or_else(|_| text.parse::<SocketAddr>().map(|at| at.ip())).ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEER: &str = "10.0.0.1";

    /// The client of a request through 10.0.0.1 with these header lines, where `10.0.0.0/8` and `fd00::/8` are
    /// trusted.
    fn client(lines: &[(&str, &str)]) -> String {
        client_of(PEER, lines)
    }

    fn client_of(peer: &str, lines: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        client_address(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn whoever_is_not_trusted_is_not_believed() {
        for header in ["x-forwarded-for", "forwarded"] {
            for value in ["198.51.100.7", "for=198.51.100.7", "10.0.0.9"] {
                assert_eq!(client_of("192.0.2.1", &[(header, value)]), "192.0.2.1", "{header}: {value}");
            }
        }
        assert_eq!(client_of("::ffff:192.0.2.1", &[("x-forwarded-for", "198.51.100.7")]), "192.0.2.1");
        assert_eq!(client_of("::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.7")]), "198.51.100.7");
    }

    #[test]
    fn the_list_is_walked_from_the_right_over_trusted_hops() {
        for (list, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("203.0.113.99, 198.51.100.7", "198.51.100.7"),
            ("203.0.113.99, 198.51.100.7, 10.0.0.2,fd00::5", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // What cannot be read: the last trusted hop.
            ("", PEER),
            ("198.51.100.7, ", PEER),
            ("198.51.100.7, unknown", PEER),
            ("198.51.100.7, 10.0.0.2, 1.2.3", "10.0.0.1"),
            ("198.51.100.7, 999.1.1.1, 10.0.0.2", "10.0.0.2"),
            ("fe80::1%eth0", PEER),
        ] {
            assert_eq!(client(&[("x-forwarded-for", list)]), expected, "{list:?}");
        }
        assert_eq!(client(&[]), PEER);
        let lines = [("x-forwarded-for", "203.0.113.99"), ("x-forwarded-for", "198.51.100.7, 10.0.0.2")];
        assert_eq!(client(&lines), "198.51.100.7", "several lines are one list");
        let endless = vec!["10.0.0.2"; 1_000].join(",");
        assert_eq!(client(&[("x-forwarded-for", &format!("198.51.100.7,{endless}"))]), "10.0.0.2");
        assert_eq!(client(&[("x-forwarded-for", "198.51.100.7, \u{e9}")]), PEER);
    }

    #[test]
    fn the_standard_header_is_read_as_its_grammar_says() {
        for (line, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=198.51.100.7;proto=https;by=203.0.113.43", "198.51.100.7"),
            ("proto=\"a,b;for=1.1.1.1\";for=198.51.100.7", "198.51.100.7"),
            ("for=203.0.113.99, for=198.51.100.7, for=10.0.0.2;by=_hidden", "198.51.100.7"),
            ("for=\"198.51.\\100.7:80\"", "198.51.100.7"),
            ("for=198.51.100.7:80", "198.51.100.7"),
            ("for=unknown", PEER),
            ("for=198.51.100.7, for=_mystery, for=10.0.0.2", "10.0.0.2"),
            ("for=198.51.100.7, proto=https", PEER),
            ("for=198.51.100.7;for=203.0.113.99", PEER),
            ("for=198.51.100.7;", PEER),
            ("for", PEER),
            ("", PEER),
            ("=1.1.1.1", PEER),
            ("for=", PEER),
            ("for=\"198.51.100.7", PEER),
            ("for=\"198.51.100.7\\", PEER),
            // A client that leaves a quote open swallows nothing that the proxy writes behind it.
            ("for=203.0.113.99;x=\", for=198.51.100.7", PEER),
            ("for=203.0.113.99;x=\", for=\"[2001:db8::7]:4711\"", PEER),
            ("for=203.0.113.99;x=\"\\, for=\"198.51.100.7\"", PEER),
        ] {
            assert_eq!(client(&[("forwarded", line)]), expected, "{line:?}");
        }
    }

    #[test]
    fn headers_that_contradict_each_other_are_not_believed() {
        let both = |listed, forwarded| client(&[("x-forwarded-for", listed), ("forwarded", forwarded)]);
        assert_eq!(both("198.51.100.7", "for=198.51.100.7"), "198.51.100.7");
        assert_eq!(both("198.51.100.7", "for=203.0.113.99"), PEER);
        assert_eq!(both("203.0.113.99", "for=198.51.100.7"), PEER);
    }

    #[test]
    fn networks_are_written_with_their_prefix() {
        for good in ["10.0.0.0/8", "192.0.2.1", "::1", "2001:db8::/32", "0.0.0.0/0"] {
            assert!(good.parse::<Network>().is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("10.0.0.1/8", "has bits set behind its prefix, 10.0.0.0/8 was expected"),
            ("10.0.0.0/33", "an address or a network was expected, such as 10.0.0.0/8 or 2001:db8::/32"),
            ("proxy", "an address or a network was expected, such as 10.0.0.0/8 or 2001:db8::/32"),
        ] {
            assert_eq!(bad.parse::<Network>(), Err(problem.to_owned()), "{bad}");
        }
    }

    proptest! {
        /// Whatever a client writes before, what the proxy saw counts, or else the proxy itself.
        #[test]
        fn a_client_invents_nothing(before in r#"(for|by|=|;|,|"|\\| |10\.0\.0\.2|203\.0\.113\.99|x){0,12}"#) {
            prop_assert_eq!(client(&[("x-forwarded-for", &format!("{before}, 198.51.100.7"))]), "198.51.100.7");
            for seen in ["for=198.51.100.7", "for=\"198.51.100.7:80\"", "by=\"_x\";for=198.51.100.7;host=\"h\""] {
                let found = client(&[("forwarded", &format!("{before}, {seen}"))]);
                prop_assert!(found == "198.51.100.7" || found == PEER, "{} as {}", found, seen);
                prop_assert_eq!(client_of("192.0.2.1", &[("forwarded", &before)]), "192.0.2.1");
            }
        }
    }
}
