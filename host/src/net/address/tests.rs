//! Tests of the SSRF protection: which URLs and addresses are accepted.

use proptest::prelude::*;

use super::*;

const WEB: [&str; 2] = ["https", "http"];

fn public(url: &str) -> Result<Url, AddressError> {
    public_url(url, &WEB, Reach::Public)
}

#[test]
fn accepts_public_hosts() {
    for url in [
        "https://example.com",
        "https://example.com./path?query#fragment",
        "https://EXAMPLE.com:443/",
        "https://example.com:80/",
        "https://example.com:1024/",
        "https://example.com:65535/",
        "https://xn--bcher-kva.example.org/",
        "https://bücher.example.org/",
        "https://localhost.example.com/",
        "https://mylocal.org/",
        "https://notinternal.net/",
        "https://8.8.8.8/",
        "https://1.1.1.1:8443/",
        "https://100.63.255.255/",
        "https://100.128.0.1/",
        "https://172.15.0.1/",
        "https://172.32.0.1/",
        "https://192.0.1.1/",
        "https://198.20.0.1/",
        "https://223.255.255.255/",
        "https://[2606:4700:4700::1111]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[64:ff9b::8.8.8.8]/",
        "https://[2002:808:808::1]/",
    ] {
        assert!(public(url).is_ok(), "{url}: {:?}", public(url));
    }
}

#[test]
fn refuses_names_of_the_own_network() {
    for host in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "localhost.localdomain",
        "printer.local",
        "printer.local.",
        "metadata.google.internal",
        "wiki.intranet",
        "db.corp",
        "router.home",
        "router.lan",
        "nas.home.arpa",
        "a.test",
        "a.invalid",
        "facebookcorewwwi.onion",
        "database",
        "database.",
        "a..example.com",
        "%6cocalhost",
        "ｌｏｃａｌｈｏｓｔ",
        "printer。local",
    ] {
        assert!(
            matches!(public(&format!("https://{host}/")), Err(AddressError::Host { .. })),
            "{host}: {:?}",
            public(&format!("https://{host}/"))
        );
    }
}

#[test]
fn refuses_ipv4_addresses_that_are_not_public() {
    for host in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "127.0.0.1.",
    ] {
        assert!(matches!(public(&format!("https://{host}/")), Err(AddressError::Host { .. })), "{host}");
    }
}

#[test]
fn sees_through_every_spelling_of_an_ipv4_address() {
    for (spelling, address) in [
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("0x7f.0x0.0x0.0x1", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x0a.1", "10.0.0.1"),
        ("012.1", "10.0.0.1"),
        ("2852039166", "169.254.169.254"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("0251.0376.0251.0376", "169.254.169.254"),
        ("3232235777", "192.168.1.1"),
        ("%31%32%37.0.0.1", "127.0.0.1"),
        ("１２７。０。０。１", "127.0.0.1"),
        ("①②⑦.0.0.1", "127.0.0.1"),
    ] {
        assert_eq!(
            public(&format!("https://{spelling}/")),
            Err(AddressError::Host { host: address.to_owned() }),
            "{spelling}"
        );
    }
    // Something similar to an address but out of range is not a valid host.
    for spelling in ["256.0.0.1", "0x100000000", "1.2.3.4.5", "127.0.0.0x", "example.1"] {
        assert!(public(&format!("https://{spelling}/")).is_err(), "{spelling}");
    }
}

#[test]
fn refuses_ipv6_addresses_that_are_not_public() {
    for host in [
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a00:1::",
        "2002:a9fe:a9fe::1",
        "2002:c0a8:101::",
        "2606:4700:4700::5efe:10.0.0.1",
        "2606:4700:4700:0:200:5efe:127.0.0.1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(matches!(public(&format!("https://[{host}]/")), Err(AddressError::Host { .. })), "{host}");
    }
}

#[test]
fn refuses_ports_of_other_services() {
    for port in [0, 1, 21, 22, 25, 79, 81, 442, 1023] {
        assert_eq!(public(&format!("https://example.com:{port}/")), Err(AddressError::Port { port }));
    }
    assert!(public_url("https://example.com:25/", &WEB, Reach::Anywhere).is_ok());
}

#[test]
fn refuses_schemes_that_are_not_listed_or_not_encrypted() {
    for (url, schemes, expected) in [
        ("http://example.com/", &WEB[..], "`https:`"),
        ("wss://example.com/", &WEB, "`https:`"),
        ("file:///etc/passwd", &WEB, "`https:`"),
        ("data:text/plain,hello", &WEB, "`https:`"),
        ("gopher://example.com/", &WEB, "`https:`"),
        ("javascript:alert(1)", &WEB, "`https:`"),
        ("ws://example.com/", &["wss", "ws"], "`wss:`"),
        ("https://example.com/", &["http"], ""),
    ] {
        let Err(AddressError::Scheme { expected: accepted, .. }) = public_url(url, schemes, Reach::Public)
        else {
            panic!("{url}")
        };
        assert_eq!(accepted, expected, "{url}");
    }
    assert_eq!(
        public_url("ftp://example.com/", &WEB, Reach::Anywhere).unwrap_err().to_string(),
        "expected a URL that begins with `https:` or `http:`, found `ftp:`"
    );
}

#[test]
fn refuses_credentials_and_does_not_repeat_them() {
    for url in
        ["https://user@example.com/", "https://user:secret@example.com/", "https://:secret@example.com/"]
    {
        for reach in [Reach::Public, Reach::Anywhere] {
            let error = public_url(url, &WEB, reach).unwrap_err();
            assert_eq!(error, AddressError::Credentials);
            assert!(!error.to_string().contains("secret"));
        }
    }
    // The host is what follows the at sign, whatever comes before.
    assert!(public("https://example.com@127.0.0.1/").is_err());
    assert!(public(r"https://127.0.0.1\@example.com/").is_err());
}

#[test]
fn refuses_what_is_no_absolute_url() {
    for url in ["", "example.com", "//example.com/", "https://", "https:///", "https://[::1", "https://a b/"]
    {
        assert!(matches!(public(url), Err(AddressError::Form(_) | AddressError::Host { .. })), "{url}");
    }
}

#[test]
fn reaches_anywhere_when_told_so() {
    for url in ["http://localhost:3000/", "http://127.0.0.1/", "https://[::1]:22/", "http://database/"] {
        assert!(public_url(url, &WEB, Reach::Anywhere).is_ok(), "{url}");
    }
    assert!(Reach::Anywhere.allows([127, 0, 0, 1].into()));
    assert!(!Reach::default().allows([127, 0, 0, 1].into()));
}

proptest! {
    /// The standard library knows only some special addresses, but all of those must be refused.
    #[test]
    fn lets_no_ipv4_address_pass_that_the_standard_library_knows(bits: u32) {
        let address = Ipv4Addr::from(bits);
        if address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
            || address.is_broadcast() || address.is_documentation() || address.is_unspecified()
        {
            prop_assert!(!is_public_v4(address));
        }
        // As public when embedded as by itself.
        prop_assert_eq!(is_public_v6(address.to_ipv6_mapped()), is_public_v4(address));
    }

    #[test]
    fn lets_no_ipv6_address_pass_that_the_standard_library_knows(bits: u128) {
        for address in [Ipv6Addr::from(bits), Ipv6Addr::from(bits >> 3), Ipv6Addr::from(bits | 0xfc << 120)] {
            if address.is_unique_local() || address.is_unicast_link_local() || address.is_multicast()
                || address.is_loopback() || address.is_unspecified()
            {
                prop_assert!(!is_public_v6(address));
            }
        }
    }

    #[test]
    fn never_panics(url in r"(https?://)?[\PC]{0,40}") {
        let _ = public(&url);
    }
}
