//! The host in the URI of a key, as the base of a URL.

use bulla_web::is_loopback;
use reqwest::Url;

/// `https://HOST[:PORT]`, or `http` on this machine; `None` if the text is no host.
pub(super) fn base(host: &str) -> Option<Url> {
    let url = Url::parse(&format!("https://{host}")).ok()?;
    let name = url.host_str()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    // No path, query or credentials, and nothing that means another host than it says.
    if host.to_ascii_lowercase() != format!("{name}{port}") {
        return None;
    }
    if is_loopback(name) { Url::parse(&format!("http://{host}")).ok() } else { Some(url) }
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn a_host_is_a_host_and_nothing_else() {
        let shown = |host: &str| base(host).map(|url| url.to_string());
        assert_eq!(shown("team.vault.azure.net").as_deref(), Some("https://team.vault.azure.net/"));
        assert_eq!(shown("kms.example.org:8443").as_deref(), Some("https://kms.example.org:8443/"));
        for (host, url) in [("localhost:4566", "http://localhost:4566/"), ("[::1]:1", "http://[::1]:1/")] {
            assert_eq!(shown(host).as_deref(), Some(url));
        }
        for host in ["", "a b", "user@host", "host?x", "host#x", "host:99999", "a.net\\@b.net", "127.1"] {
            assert_eq!(shown(host), None, "{host}");
        }
    }
}
