//! Fuzzes URLs that strangers name: whatever is accepted as public has encryption, no password, and a host that is
//! public by other rules than those under test.

#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use openagents_host::net::{Reach, Url, public_url};

const SCHEMES: [&str; 4] = ["https", "wss", "http", "ws"];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_shared = matches!(address.octets(), [100, 64..=127, ..]);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || is_shared)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let embedded = match parts {
        // Mapped, translated (NAT64) and 6to4.
        [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    };
    let is_unique_local = parts[0] & 0xFE00 == 0xFC00;
    let is_link_local = parts[0] & 0xFFC0 == 0xFE80;
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || is_unique_local
        || is_link_local)
        && embedded.is_none_or(is_public_v4)
}

fn is_public_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse().is_ok_and(is_public_v6);
    }
    match host.parse() {
        Ok(address) => is_public_v4(address),
        // No resolver takes a name for an address whose last part is not a number.
        Err(_) => {
            let last = host.trim_end_matches('.').rsplit_once('.').map(|(_, last)| last);
            last.is_some_and(|last| {
                last != "localhost"
                    && last != "local"
                    && last != "internal"
                    && !last.bytes().all(|byte| byte.is_ascii_digit())
            })
        }
    }
}

fuzz_target!(|text: &str| {
    let public = public_url(text, &SCHEMES, Reach::Public);
    let anywhere = public_url(text, &SCHEMES, Reach::Anywhere);
    for url in public.iter().chain(&anywhere) {
        assert!(SCHEMES.contains(&url.scheme()), "{url}");
        assert!(url.username().is_empty() && url.password().is_none(), "{url}");
        // What was checked is what is connected to.
        let again = Url::parse(url.as_str());
        assert_eq!(again.as_ref(), Ok(url));
    }
    let Ok(url) = public else { return };
    assert!(anywhere.is_ok(), "{url} is public, and yet may not be reached");
    assert!(matches!(url.scheme(), "https" | "wss"), "{url}");
    assert!(url.host_str().is_some_and(is_public_host), "{url} is not public");
    assert!(matches!(url.port(), None | Some(80 | 443 | 1024..)), "{url}");
    assert_eq!(public_url(url.as_str(), &SCHEMES, Reach::Public).as_ref(), Ok(&url));
});
