//! Which hosts are this machine.

use std::net::IpAddr;

/// Whether a host, as URLs spell it, is this machine whatever the name server says.
pub fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_loopback() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.example", "10.0.0.1", "[::]", "0.0.0.0", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
