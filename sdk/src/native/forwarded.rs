//! The client's address behind proxies (`X-Forwarded-For`).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use hyper::HeaderMap;

/// The header in which each proxy appends the address it received the request from.
const HEADER: &str = "x-forwarded-for";

/// Headers that proxies add; without such a proxy, clients on this machine do not send them.
const PROXY_HEADERS: [&str; 4] = [HEADER, "forwarded", "x-real-ip", "cf-connecting-ip"];

/// The address for clients whose address is unknown. No client has it, and limits treat these clients as one.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The client's address: that of the connection or, if a trusted proxy made it, the last address in the header; if
/// that is a trusted proxy too, the address before it, and so on. Earlier entries could be forged. If a proxy's entry
/// is missing or unreadable, the client is [`UNKNOWN`]: it must not count as the proxy, which may be exempt from
/// limits.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &BTreeSet<IpAddr>) -> IpAddr {
    let mut address = peer.to_canonical();
    let values = headers.get_all(HEADER).iter().collect::<Vec<_>>();
    // Split as bytes: whatever a client sent in the header, even if it is not text, must not hide the proxy's entry.
    let hops = values.iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        if !trusted.contains(&address) {
            break;
        }
        let Some(hop) = std::str::from_utf8(hop).ok().and_then(read) else { return UNKNOWN };
        address = hop;
    }
    address
}

/// Whether this request probably comes from a proxy on this machine that is not trusted, so that all clients behind it
/// count as clients on this machine.
pub(super) fn is_untrusted_local_proxy(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &BTreeSet<IpAddr>,
) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback()
        && !trusted.contains(&peer)
        && PROXY_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// Parses an address with or without a port.
fn read(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<std::net::SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;
    use openagents_relay::admission::RateLimits;

    use super::{client_address, is_untrusted_local_proxy};

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(value.as_bytes()).unwrap());
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
    }

    #[test]
    fn what_a_client_wrote_itself_stands_before_what_proxies_saw() {
        assert_eq!(client("127.0.0.1", &["10.9.9.9, 198.51.100.7"], &["127.0.0.1"]), "198.51.100.7");
        assert_eq!(client("127.0.0.1", &["10.9.9.9", "198.51.100.7"], &["127.0.0.1"]), "198.51.100.7");
        let chain = ["10.9.9.9, 198.51.100.7, 192.0.2.5"];
        assert_eq!(client("127.0.0.1", &chain, &["127.0.0.1", "192.0.2.5"]), "198.51.100.7");
    }

    #[test]
    fn suspects_a_proxy_on_this_machine_that_is_not_trusted() {
        let suspects = |peer: &str, header: Option<&'static str>, trusted: &[&str]| {
            let headers =
                header.map(|name| (name.parse().unwrap(), HeaderValue::from_static("198.51.100.7")));
            let headers: HeaderMap = headers.into_iter().collect();
            let trusted = trusted.iter().map(|address| address.parse().unwrap()).collect();
            is_untrusted_local_proxy(peer.parse().unwrap(), &headers, &trusted)
        };
        for header in ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"] {
            assert!(suspects("127.0.0.1", Some(header), &[]));
            assert!(suspects("::ffff:127.0.0.1", Some(header), &["192.0.2.1"]));
            assert!(!suspects("127.0.0.1", Some(header), &["127.0.0.1"]));
            assert!(!suspects("192.0.2.1", Some(header), &[]));
        }
        assert!(!suspects("127.0.0.1", None, &[]) && !suspects("127.0.0.1", Some("host"), &[]));
    }

    #[test]
    fn a_client_cannot_hide_behind_bytes_that_are_no_address() {
        for hidden in [&["\u{e9}, 198.51.100.7"][..], &["\u{e9}", "198.51.100.7"]] {
            assert_eq!(client("127.0.0.1", hidden, &["127.0.0.1"]), "198.51.100.7");
        }
        for unreadable in ["unknown", "\u{e9}", "", "198.51.100.7,"] {
            let address = client("127.0.0.1", &[unreadable], &["127.0.0.1"]);
            assert_eq!(address, "0.0.0.0", "{unreadable:?}");
            assert!(!RateLimits::default().exempt(address.parse().ok()));
        }
        assert_eq!(client("127.0.0.1", &["\u{e9}, 192.0.2.5"], &["127.0.0.1", "192.0.2.5"]), "0.0.0.0");
    }
}
