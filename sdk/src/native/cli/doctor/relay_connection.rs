//! Whether clients can connect to the relay with a WebSocket, and read from it (NIP-01).

use openagents_host::Keys;
use openagents_host::net::{Reach, RelayClient, RelayError, SocketError};
use openagents_host::nostr::Filter;
use url::Url;

use super::finding::Finding;

/// The relay's URL.
pub(super) fn relay_url(base: &Url) -> String {
    let rest = base.as_str().strip_prefix("http").unwrap_or(base.as_str());
    format!("ws{}", rest.trim_end_matches('/'))
}

/// Connects to the relay.
pub(super) async fn connect(base: &Url, keys: &Keys) -> (Vec<Finding>, Option<RelayClient>) {
    let url = relay_url(base);
    match RelayClient::connect(&url, Reach::Anywhere, keys).await {
        Ok(relay) => (vec![Finding::ok("websocket", format!("{url} accepts connections"))], Some(relay)),
        Err(error) => {
            let advice = match &error {
                RelayError::Socket(SocketError::Refused { status: 426 | 400 | 404 | 200 }) => {
                    "a proxy in front must pass WebSocket upgrades on (the headers Upgrade and Connection)"
                }
                RelayError::Socket(SocketError::Refused { status: 403 | 429 | 503 }) => {
                    "the relay refuses this address, or has no room: see RELAY_BLOCKED_ADDRESSES and RELAY_MAX_CONNECTIONS"
                }
                _ => "look into the deployment's log",
            };
            (vec![Finding::fail("websocket", format!("{url}: {error}"), advice)], None)
        }
    }
}

/// Reads one event, or finds that there is none: either way the relay has looked into its database.
pub(super) async fn subscribe(relay: &mut RelayClient) -> Finding {
    match relay.query(&[Filter::new().limit(1)]).await {
        Ok(events) => {
            let found = if events.is_empty() { "there are no events yet" } else { "events are served" };
            Finding::ok("subscription", format!("a REQ is answered; {found}"))
        }
        Err(error @ RelayError::Closed { .. }) => Finding::warn(
            "subscription",
            error.to_string(),
            "this is as configured if RELAY_AUTH restricts who may read; strangers cannot read answers then",
        ),
        Err(error) => Finding::fail("subscription", error.to_string(), "look into the deployment's log"),
    }
}

#[cfg(test)]
mod tests {
    use super::relay_url;

    #[test]
    fn the_relay_is_at_the_root() {
        for (base, expected) in
            [("http://127.0.0.1:8787/", "ws://127.0.0.1:8787"), ("https://a.example/", "wss://a.example")]
        {
            assert_eq!(relay_url(&base.parse().unwrap()), expected);
        }
    }
}
