//! Validates relay URLs, picture URLs, internet identifiers and topics, as far as typing errors are likely.

/// Validates a relay URL.
pub(crate) fn check_relay(text: &str) -> Result<(), String> {
    let rule = "a relay URL must begin with `wss://` or `ws://`, as in \"wss://relay.example.com\"";
    check(text, &["wss://", "ws://"], rule)
}

/// Validates a picture URL.
pub(crate) fn check_picture(text: &str) -> Result<(), String> {
    let rule =
        "a picture URL must begin with `https://` or `http://`, as in \"https://example.com/agent.png\"";
    check(text, &["https://", "http://"], rule)
}

/// Whether two URLs lead to the same relay: scheme and host are case-insensitive, and `/` is the empty path.
pub(crate) fn is_same_relay(one: &str, other: &str) -> bool {
    fn parts(address: &str) -> (String, &str) {
        let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        (format!("{scheme}://{host}").to_lowercase(), path.trim_end_matches('/'))
    }
    parts(one) == parts(other)
}

/// Validates an internet identifier (NIP-05).
pub(crate) fn check_nip05(text: &str) -> Result<(), String> {
    let rule = "`nip05` must be a name and a domain (NIP-05), as in \"agent@example.com\"";
    let Some((name, domain)) = text.split_once('@') else {
        return Err(format!("{rule}; this one has no `@`"));
    };
    let is_of_name = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, '-' | '_' | '.')
    };
    if name.is_empty() || !name.chars().all(is_of_name) {
        return Err(format!("{rule}; the name may only have lowercase letters, digits, `-`, `_` and `.`"));
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
    };
    if !domain.contains('.') || !domain.split('.').all(is_label) {
        return Err(format!("{rule}; `{domain}` is not a domain"));
    }
    Ok(())
}

/// Validates a topic, which becomes a `t` tag.
pub(crate) fn check_topic(text: &str) -> Result<(), String> {
    let rule = "a topic must be a lowercase word (NIP-24)";
    let fits = |character: char| !character.is_whitespace() && character != '#';
    if text.is_empty() {
        Err(format!("{rule}; this one is empty"))
    } else if text.to_lowercase() != text || !text.chars().all(fits) {
        let words = text.to_lowercase().replace('#', " ");
        let suggestion = words.split_whitespace().collect::<Vec<_>>().join("-");
        Err(if suggestion.is_empty() { rule.to_owned() } else { format!("{rule}; write \"{suggestion}\"") })
    } else {
        Ok(())
    }
}

fn check(text: &str, schemes: &[&str], rule: &str) -> Result<(), String> {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).ok_or_else(|| rule.to_owned())?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err(format!("{rule}; this one has no host"));
    }
    if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return Err(format!("{rule}; this one has a space"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_nip05, check_picture, check_relay, check_topic, is_same_relay};

    #[test]
    fn tells_addresses_from_other_text() {
        for text in ["wss://relay.example.com", "ws://localhost:7777/path?x=1", "wss://[::1]:80"] {
            assert_eq!(check_relay(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "relay.example.com",
            "https://relay.example.com",
            "wss://",
            "wss:///x",
            "wss://:80",
            "ws://a b",
        ] {
            assert!(check_relay(text).is_err(), "{text}");
        }
        assert_eq!(check_picture("https://example.com/a.png"), Ok(()));
        assert!(check_picture("a.png").is_err() && check_picture("data:image/png;base64,").is_err());
    }

    #[test]
    fn knows_a_relay_again() {
        assert!(is_same_relay("wss://Relay.example.com/", "WSS://relay.example.com"));
        assert!(!is_same_relay("wss://relay.example.com/a", "wss://relay.example.com/A"));
        assert!(!is_same_relay("wss://relay.example.com", "ws://relay.example.com"));
    }

    #[test]
    fn checks_both_halves_of_an_internet_identifier() {
        for text in ["agent@example.com", "_@example.com", "a.b-c_9@sub.example.co"] {
            assert_eq!(check_nip05(text), Ok(()), "{text}");
        }
        for text in
            ["example.com", "@example.com", "Agent@example.com", "a@b", "a@.com", "a@b@c.d", "a@exa mple.com"]
        {
            assert!(check_nip05(text).is_err(), "{text}");
        }
    }

    #[test]
    fn suggests_the_topic_that_was_meant() {
        assert_eq!(check_topic("text-generation"), Ok(()));
        assert_eq!(check_topic("übersetzung"), Ok(()));
        assert!(check_topic("Text Generation").unwrap_err().ends_with("write \"text-generation\""));
        assert!(check_topic("#nostr").unwrap_err().ends_with("write \"nostr\""));
        assert!(check_topic("").is_err() && check_topic("#").is_err());
    }
}
