//! Which door an HTTP request goes through, and what is behind the ones without a relay: decided once, for both hosts.

use openagents_relay::information::asks_for_document;
use serde_json::json;

use crate::manifest::AgentManifest;

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const JSON: &str = "application/json";

/// What every answer carries: any page may read it (NIP-11), and no browser takes it for something to run.
pub(crate) const HEADERS: [(&str, &str); 5] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
    ("vary", "accept"),
    ("x-content-type-options", "nosniff"),
];

pub(crate) const NOWHERE: &str = "There is nothing here. The relay is at / (WebSocket), health at /health.\n";
pub(crate) const NO_SUCH_AGENT: &str = "No such agent lives here; / says which one does.\n";
pub(crate) const WRONG_METHOD: &str = "Only GET, HEAD and OPTIONS are answered here.\n";

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door<'a> {
    /// A WebSocket to the relay.
    Relay,
    /// The relay's information document (NIP-11).
    RelayInformation,
    /// What a browser asks before it sends a request of its own (CORS).
    Preflight,
    /// A page for people who open the URL.
    Welcome,
    /// Whether all is well.
    Health,
    /// An agent's manifest; `npub` is as the client wrote it.
    Manifest { npub: &'a str },
    /// There is nothing here.
    Nowhere,
    /// There is something here, but not for this method.
    WrongMethod,
}

/// Finds the door. `accept` is the request's `Accept` header.
///
/// NIP-01: "Relays MUST only accept connections to a single endpoint when additional path segments do not influence its
/// behavior." That endpoint is `/`.
pub(crate) fn door<'a>(method: &str, path: &'a str, accept: &str, is_upgrade: bool) -> Door<'a> {
    let read = matches!(method, "GET" | "HEAD");
    if is_upgrade {
        return if path == "/" && method == "GET" { Door::Relay } else { Door::Nowhere };
    }
    if method == "OPTIONS" {
        return Door::Preflight;
    }
    let door = match path {
        "/" if asks_for_document(accept) => Door::RelayInformation,
        "/" => Door::Welcome,
        "/health" => Door::Health,
        _ => match path.strip_prefix("/agent/").and_then(|rest| rest.strip_suffix("/manifest.json")) {
            Some(npub) if !npub.is_empty() && !npub.contains('/') => Door::Manifest { npub },
            _ => Door::Nowhere,
        },
    };
    if read || door == Door::Nowhere { door } else { Door::WrongMethod }
}

/// The page for people who open the relay's URL.
pub(crate) fn welcome(manifest: &AgentManifest) -> String {
    let mut page = format!("{} {}\n{}\n\n", manifest.name, manifest.version, manifest.description);
    for tool in &manifest.capabilities.tools {
        let kind = tool.job_kind.unwrap_or_default();
        page.push_str(&format!("kind {kind}  {}: {}\n", tool.name, tool.description));
    }
    page.push_str(&format!(
        "\nagent     {npub}\nmanifest  /agent/{npub}/manifest.json\n\n\
         This is a Nostr relay (NIP-01) with an agent that answers job requests (NIP-90): connect to it with a WebSocket.\n",
        npub = manifest.author.npub,
    ));
    page
}

/// The answer of `/health`.
pub(crate) fn health(manifest: &AgentManifest) -> String {
    json!({
        "status": "ok",
        "name": manifest.name,
        "version": manifest.version,
        "npub": manifest.author.npub,
        "job_kinds": manifest.capabilities.job_kinds,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::{Door, door};

    #[test]
    fn opens_the_relay_at_one_path_only() {
        assert_eq!(door("GET", "/", "", true), Door::Relay);
        assert_eq!(door("GET", "/elsewhere", "", true), Door::Nowhere);
        assert_eq!(door("GET", "/health", "", true), Door::Nowhere);
    }

    #[test]
    fn negotiates_what_is_at_the_root() {
        for accept in ["application/nostr+json", "text/html, Application/Nostr+JSON;q=0.9"] {
            assert_eq!(door("GET", "/", accept, false), Door::RelayInformation);
        }
        assert_eq!(door("GET", "/", "text/html,*/*", false), Door::Welcome);
        assert_eq!(door("OPTIONS", "/", "", false), Door::Preflight);
    }

    #[test]
    fn finds_the_manifest_of_an_agent() {
        assert_eq!(
            door("GET", "/agent/npub1abc/manifest.json", "", false),
            Door::Manifest { npub: "npub1abc" }
        );
        for path in
            ["/agent//manifest.json", "/agent/manifest.json", "/agent/a/b/manifest.json", "/agent/../x"]
        {
            assert_eq!(door("GET", path, "", false), Door::Nowhere, "{path}");
        }
    }

    #[test]
    fn tells_a_wrong_method_from_a_wrong_path() {
        assert_eq!(door("POST", "/health", "", false), Door::WrongMethod);
        assert_eq!(door("POST", "/nowhere", "", false), Door::Nowhere);
    }
}
