//! Which hosts may be spoken with. Whoever lets strangers name registries must not be led by them into the network that it
//! stands in: by an address, by a name that means one, or by a redirect.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, Url};

use super::reference::Host;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) enum Reach {
    /// All of them.
    #[default]
    Anywhere,
    /// Those with an address on the internet; and, of these registries, whatever address they have.
    Public(Arc<Named>),
}

/// Registries that somebody named.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// With their ports.
    registries: BTreeSet<String>,
    /// Without.
    hosts: BTreeSet<String>,
}

impl Reach {
    /// The internet, and these registries.
    pub(crate) fn public_and<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Self {
        let mut named = Named::default();
        for host in hosts {
            named.registries.insert(host.api().to_owned());
            named.hosts.insert(without_port(host.api()).to_owned());
        }
        Self::Public(Arc::new(named))
    }

    /// Lets a client see no other addresses.
    pub(super) fn limit(&self, client: ClientBuilder) -> ClientBuilder {
        match self {
            Self::Anywhere => client,
            // A proxy in the environment would look names up by itself.
            Self::Public(named) => client.no_proxy().dns_resolver(Arc::new(Public(Arc::clone(named)))),
        }
    }

    /// Refuses a URL that may not be asked on behalf of a registry. One that was named may lead to the hosts that were; one that
    /// was not may lead to none of them, nor to another port of theirs. Names are judged again when they are looked up.
    pub(super) fn check(&self, url: &Url, registry: &Host) -> Result<(), String> {
        let Self::Public(named) = self else { return Ok(()) };
        let host = url.host_str().unwrap_or_default();
        let is_named = named.hosts.contains(host);
        let refused = || Err(format!("it leads to {host}, which is no address of the internet: {ALLOW}"));
        if is_named && named.registries.contains(registry.api()) {
            return Ok(());
        }
        match url.host() {
            Some(url::Host::Ipv4(address)) if is_public(IpAddr::V4(address)) => Ok(()),
            Some(url::Host::Ipv6(address)) if is_public(IpAddr::V6(address)) => Ok(()),
            Some(url::Host::Domain(_)) if !is_named => Ok(()),
            Some(_) => refused(),
            None => Err("it leads to no host".to_owned()),
        }
    }
}

/// Looks names up, and forgets addresses that are not of the internet.
struct Public(Arc<Named>);

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let named = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let any = !found.is_empty();
            let found: Vec<_> = found
                .into_iter()
                .filter(|address| is_public(address.ip()) || named.hosts.contains(&name))
                .collect();
            if any && found.is_empty() {
                let problem = format!("{name} has no address of the internet: {ALLOW}");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => &host[..end + 2],
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether an address is one of the internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            let special = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
                || address.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b));
            !special
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            // Of those that lead to none only 2000::/3 is given out, and 2001:db8::/32 is for books.
            let is_given_out = (first & 0xe000) == 0x2000 && (first, second) != (0x2001, 0x0db8);
            embedded(address).map_or(is_given_out, is_public)
        }
    }
}

/// The address of version 4 that one of version 6 leads to: mapped, translated (RFC 6052), 6to4.
fn embedded(address: Ipv6Addr) -> Option<IpAddr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::from([a, b, c, d])
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

const ALLOW: &str = "--registry names those that may be asked all the same";

#[cfg(test)]
mod tests {
    use super::super::reference::Repository;
    use super::*;

    fn reach(registries: &[&str]) -> Reach {
        let hosts: Vec<_> = registries
            .iter()
            .map(|registry| Repository::parse(&format!("{registry}/a")).expect("a name").host().clone())
            .collect();
        Reach::public_and(&hosts)
    }

    #[test]
    fn only_the_internet_and_what_is_named_is_reached() {
        let host = |text: &str| Repository::parse(&format!("{text}/a")).expect("a name").host().clone();
        let check = |reach: &Reach, url: &str, registry: &str| {
            reach.check(&Url::parse(url).expect("a URL"), &host(registry))
        };
        let none = reach(&[]);
        for url in ["https://8.8.8.8/", "https://[2606:4700::1111]/", "https://r.example/"] {
            assert_eq!(check(&none, url, "r.example"), Ok(()), "{url}");
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.1",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[ff02::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a00:1]",
            "[2002:a00:1::]",
            "[2001:db8::1]",
        ] {
            let problem =
                check(&none, &format!("https://{address}:5000/v2/"), "r.example").expect_err(address);
            assert!(problem.contains("no address of the internet: --registry names"), "{problem}");
        }
        let named = reach(&["10.1.2.3:5000", "[fc00::1]:5000", "inside.example:5000"]);
        assert_eq!(check(&named, "http://10.1.2.3:5000/", "10.1.2.3:5000"), Ok(()));
        assert_eq!(check(&named, "http://[fc00::1]:5000/", "[fc00::1]:5000"), Ok(()));
        assert_eq!(check(&named, "http://10.1.2.3:6000/token", "10.1.2.3:5000"), Ok(()), "its token server");
        assert!(check(&named, "http://10.1.2.4:5000/", "10.1.2.3:5000").is_err());
        // Another port of a host that was named, and who was not named and leads there.
        for (url, registry) in [
            ("http://10.1.2.3:5001/", "10.1.2.3:5001"),
            ("http://10.1.2.3:5000/", "r.example"),
            ("https://inside.example:5000/", "r.example"),
            ("https://inside.example:6000/", "inside.example:6000"),
        ] {
            assert!(check(&named, url, registry).is_err(), "{url} {registry}");
        }
        assert_eq!(check(&Reach::Anywhere, "http://127.0.0.1/", "r.example"), Ok(()));
    }

    #[tokio::test]
    async fn a_name_that_means_this_machine_is_not_looked_up_for_strangers() {
        let resolve = async |reach: &Reach| {
            let Reach::Public(named) = reach else { panic!("it is limited") };
            let name = "localhost".parse().expect("a name");
            Public(Arc::clone(named))
                .resolve(name)
                .await
                .map(Iterator::count)
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            resolve(&reach(&[])).await,
            Err("localhost has no address of the internet: --registry names those that may be asked all the same".to_owned())
        );
        assert!(resolve(&reach(&["localhost:5000"])).await.is_ok_and(|found| found > 0));
    }
}
