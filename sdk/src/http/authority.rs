//! Signed URLs (NIP-98): they must name one of the deployment's own authorities, and may have the path of `RELAY_URL`.

use openagents_relay::admission::access::host_of;
use url::Url;

/// The host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Authority {
    host: String,
    /// `None` for 80 and 443, which are not told apart: a proxy may be reached at one of them and forward to the other.
    port: Option<u16>,
}

impl Authority {
    pub(crate) fn new(host: impl Into<String>, port: Option<u16>) -> Self {
        Self { host: host.into(), port: port.filter(|port| !matches!(port, 80 | 443)) }
    }

    /// The authority of an absolute URL with one of the schemes `ws`, `wss`, `http` and `https`.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let host = host_of(url)?;
        let port = Url::parse(url.trim()).ok()?.port();
        Some(Self::new(host, port))
    }
}

/// The path of the public URL, without a slash at its end: a proxy may remove it from requests.
pub(crate) fn path_prefix(public_url: Option<&str>) -> String {
    let url = public_url.and_then(|url| Url::parse(url.trim()).ok());
    url.map_or_else(String::new, |url| url.path().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Authority, path_prefix};

    #[test]
    fn the_prefix_is_the_path_of_the_public_url() {
        for (url, expected) in [
            (None, ""),
            (Some("wss://relay.example"), ""),
            (Some("wss://relay.example/"), ""),
            (Some("wss://relay.example/a/b/?c"), "/a/b"),
        ] {
            assert_eq!(path_prefix(url), expected, "{url:?}");
        }
    }

    #[test]
    fn is_the_host_and_the_port() {
        let authority = |host: &str, port| Some(Authority::new(host, port));
        for (url, expected) in [
            ("wss://Relay.example/", authority("relay.example", None)),
            ("ws://relay.example:443/x", authority("relay.example", None)),
            ("https://relay.example.:8443", authority("relay.example", Some(8_443))),
            ("http://[::1]:8787/", authority("::1", Some(8_787))),
            ("wss://user@relay.example/", None),
            ("wss://relay.example:port/", None),
            ("relay.example:8443", None),
        ] {
            assert_eq!(Authority::of(url), expected, "{url}");
        }
    }
}
