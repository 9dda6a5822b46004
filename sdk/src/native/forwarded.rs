//! Where a client is, behind proxies.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hyper::HeaderMap;

/// The header in which proxies say where a request comes from: each adds what it sees at the end.
const HEADER: &str = "x-forwarded-for";

/// The client's address: that of the connection, or if that is a trusted proxy, what it says; and if it says another such
/// proxy, what that one says. What stands before that anybody can have written.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &BTreeSet<IpAddr>) -> IpAddr {
    let mut address = peer.to_canonical();
    let values = headers.get_all(HEADER).iter().collect::<Vec<_>>();
    let hops =
        values.iter().rev().filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
    for hop in hops {
        if !trusted.contains(&address) {
            break;
        }
        let Some(hop) = read(hop) else { break };
        address = hop;
    }
    address
}

/// An address, with or without a port.
fn read(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<std::net::SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::client_address;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = trusted.iter().map(|address| address.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn believes_only_proxies_that_are_trusted() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"], &[]), "192.0.2.1");
        assert_eq!(client("127.0.0.1", &["198.51.100.7"], &["127.0.0.1"]), "198.51.100.7");
        assert_eq!(client("::ffff:127.0.0.1", &["198.51.100.7:99"], &["127.0.0.1"]), "198.51.100.7");
        assert_eq!(client("127.0.0.1", &["[2001:db8::1]:99"], &["127.0.0.1"]), "2001:db8::1");
        assert_eq!(client("127.0.0.1", &[], &["127.0.0.1"]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &["unknown"], &["127.0.0.1"]), "127.0.0.1");
    }

    #[test]
    fn what_a_client_wrote_itself_stands_before_what_proxies_saw() {
        assert_eq!(client("127.0.0.1", &["10.9.9.9, 198.51.100.7"], &["127.0.0.1"]), "198.51.100.7");
        assert_eq!(client("127.0.0.1", &["10.9.9.9", "198.51.100.7"], &["127.0.0.1"]), "198.51.100.7");
        let chain = ["10.9.9.9, 198.51.100.7, 192.0.2.5"];
        assert_eq!(client("127.0.0.1", &chain, &["127.0.0.1", "192.0.2.5"]), "198.51.100.7");
    }
}
