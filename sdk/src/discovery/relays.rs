//! Which relay URLs are announced, and when two are equal.

/// Whether this is a public relay URL with TLS.
pub(super) fn is_public(url: &str) -> bool {
    has_scheme(url, "wss://")
}

/// Whether this is a public relay URL without TLS.
pub(super) fn is_insecure(url: &str) -> bool {
    has_scheme(url, "ws://")
}

/// Whether two URLs are equal, apart from the case of scheme and host and a trailing slash.
pub(super) fn same_relay(one: &str, other: &str) -> bool {
    parts(one) == parts(other)
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    match url.split_at_checked(scheme.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(scheme)
                && !rest.trim_matches('/').is_empty()
                // User names, passwords and access tokens.
                && !rest.contains(['@', '?', '#', ' '])
        }
        None => false,
    }
}

/// Scheme and host in lower case, and the path.
fn parts(url: &str) -> (String, &str) {
    let url = url.trim_end_matches('/');
    let host = url.find("://").map_or(0, |colon| colon.saturating_add(3));
    let path = url.get(host..).and_then(|rest| rest.find('/')).map(|slash| host.saturating_add(slash));
    let (origin, path) = url.split_at_checked(path.unwrap_or(url.len())).unwrap_or((url, ""));
    (origin.to_ascii_lowercase(), path)
}

#[cfg(test)]
mod tests {
    use super::{is_insecure, is_public, same_relay};

    #[test]
    fn knows_which_urls_lead_to_a_relay() {
        assert!(is_public("wss://relay.example.com") && is_public("WSS://relay.example.com/inbox"));
        assert!(is_insecure("ws://127.0.0.1:7777") && !is_public("ws://127.0.0.1:7777"));
        for url in [
            "",
            "wss://",
            "wss:///",
            "https://relay.example.com",
            "relay.example.com",
            "wss:/é",
            "wss://ada:secret@relay.example.com",
            "wss://relay.example.com?token=secret",
        ] {
            assert!(!is_public(url) && !is_insecure(url), "{url}");
        }
    }

    #[test]
    fn knows_a_relay_by_another_spelling() {
        assert!(same_relay("wss://Relay.example.com/", "WSS://relay.example.com"));
        assert!(same_relay("wss://relay.example.com/Inbox/", "wss://RELAY.example.com/Inbox"));
        assert!(!same_relay("wss://relay.example.com/inbox", "wss://relay.example.com/Inbox"));
        assert!(!same_relay("wss://relay.example.com", "ws://relay.example.com"));
    }
}
