//! Whether the agent behind a relay offers a job kind, as its `/health` says, before a request is sent in vain.

use std::time::Duration;

use openagents_host::PublicKey;
use openagents_host::net::{HttpLimits, HttpRequest, Reach, send};
use openagents_host::nostr::keys::{npub, parse_public_key};
use serde::Deserialize;
use url::Url;

use super::arguments::Ask;

/// How long the agent may take to answer; a request need not wait longer for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 100_000;

/// The part of `/health` that says what an agent offers.
#[derive(Debug, Deserialize)]
pub(super) struct AgentOffer {
    npub: String,
    job_kinds: Vec<u16>,
    /// The kinds whose jobs take files; unknown of agents of earlier releases.
    file_job_kinds: Option<Vec<u16>>,
}

impl AgentOffer {
    /// What the agent of this relay offers. `None` if it has no agent, or one that does not say.
    pub(super) async fn at(relay: &str) -> Option<Self> {
        let limits =
            HttpLimits { reach: Reach::Anywhere, max_bytes: MAX_BYTES, timeout: TIMEOUT, max_redirects: 0 };
        let request = HttpRequest::get(http_url(relay, "/health")?.as_str()).limits(limits);
        send(request).await.ok()?.json().await.ok()
    }

    /// The agent's public key.
    pub(super) fn agent(&self) -> Option<PublicKey> {
        parse_public_key(&self.npub).ok()
    }

    /// Whether the request can only be meant for it.
    pub(super) fn is_meant(&self, ask: &Ask) -> bool {
        ask.to.as_ref().is_none_or(|provider| npub(provider) == self.npub)
    }

    /// Whether jobs of this kind take files, if the agent says so.
    pub(super) fn takes_files(&self, kind: u16) -> Option<bool> {
        self.file_job_kinds.as_ref().map(|kinds| kinds.contains(&kind))
    }

    /// The kinds that the agent offers, if the request can only be meant for it and its kind is none of them.
    pub(super) fn kinds_without(&self, kind: u16, ask: &Ask) -> Option<String> {
        if !self.is_meant(ask) || self.job_kinds.contains(&kind) {
            return None;
        }
        Some(match self.job_kinds.as_slice() {
            [] => "none at all".to_owned(),
            kinds => kinds.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
        })
    }
}

/// A URL at the host of a relay.
pub(super) fn http_url(relay: &str, path: &str) -> Option<Url> {
    let (scheme, rest) = relay.split_once("://")?;
    let scheme = match scheme {
        "ws" => "http",
        "wss" => "https",
        _ => return None,
    };
    Url::parse(&format!("{scheme}://{rest}")).ok()?.join(path).ok()
}

#[cfg(test)]
mod tests {
    use super::http_url;

    #[test]
    fn asks_the_host_of_the_relay() {
        let url = |relay| http_url(relay, "/health").map(String::from);
        assert_eq!(url("ws://127.0.0.1:8787").as_deref(), Some("http://127.0.0.1:8787/health"));
        assert_eq!(
            url("wss://relay.example.com/path?a=b").as_deref(),
            Some("https://relay.example.com/health")
        );
        assert_eq!(url("relay.example.com"), None);
    }
}
