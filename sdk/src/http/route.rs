//! Which route an HTTP request takes, by its method, path and headers.

use openagents_relay::information::asks_for_document;
use openagents_relay::management::CONTENT_TYPE as MANAGEMENT;

use super::records::Record;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// A WebSocket to the relay.
    Relay,
    /// The relay's information document (NIP-11).
    RelayInformation,
    /// What an operator wants of the relay (NIP-86).
    Management,
    /// What a browser asks before it sends a request of its own (CORS).
    Preflight,
    /// Something that the agent answers.
    Agent(AgentRoute<'a>),
    /// There is nothing here.
    NotFound,
    /// There is something here, but not for this method.
    MethodNotAllowed,
}

/// What is asked of the agent. An `agent` is as the client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentRoute<'a> {
    /// A page for people who open the URL.
    Index,
    /// Whether all is well.
    Health,
    /// What Prometheus collects.
    Metrics,
    /// The way from names to keys (NIP-05).
    Nip05,
    /// What the agent is and can do.
    Manifest { agent: &'a str },
    /// What came of its jobs, as JSON.
    AgentMetrics { agent: &'a str },
    /// What is on record, for its operators only.
    Record { agent: &'a str, record: Record<'a> },
}

/// Finds the route. `accept` and `content_type` are the request's headers.
///
/// NIP-01: "Relays MUST only accept connections to a single endpoint when additional path segments do not influence its
/// behavior." That endpoint is `/`.
pub(crate) fn route<'a>(
    method: &str,
    path: &'a str,
    accept: &str,
    content_type: &str,
    is_upgrade: bool,
) -> Route<'a> {
    let read = matches!(method, "GET" | "HEAD");
    if is_upgrade {
        return if path == "/" && method == "GET" { Route::Relay } else { Route::NotFound };
    }
    if method == "OPTIONS" {
        return Route::Preflight;
    }
    let route = match path {
        "/" if method == "POST" && is_management(content_type) => return Route::Management,
        "/" if asks_for_document(accept) => Route::RelayInformation,
        path => agent_route(path).map_or(Route::NotFound, Route::Agent),
    };
    if read || route == Route::NotFound { route } else { Route::MethodNotAllowed }
}

fn is_management(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(MANAGEMENT))
}

fn agent_route(path: &str) -> Option<AgentRoute<'_>> {
    Some(match path {
        "/" => AgentRoute::Index,
        "/health" => AgentRoute::Health,
        "/metrics" => AgentRoute::Metrics,
        "/.well-known/nostr.json" => AgentRoute::Nip05,
        path => {
            let (agent, rest) = path.strip_prefix("/agent/")?.split_once('/')?;
            match rest {
                _ if agent.is_empty() => return None,
                "manifest.json" => AgentRoute::Manifest { agent },
                "metrics.json" => AgentRoute::AgentMetrics { agent },
                rest => AgentRoute::Record { agent, record: Record::at(rest)? },
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{AgentRoute, Record, Route, route};

    fn get(path: &str) -> Route<'_> {
        route("GET", path, "", "", false)
    }

    #[test]
    fn opens_the_relay_at_one_path_only() {
        assert_eq!(route("GET", "/", "", "", true), Route::Relay);
        for path in ["/elsewhere", "/health", "/metrics", "/agent/npub1abc/history"] {
            assert_eq!(route("GET", path, "", "", true), Route::NotFound, "{path}");
        }
    }

    #[test]
    fn negotiates_what_is_at_the_root() {
        for accept in ["application/nostr+json", "text/html, Application/Nostr+JSON;q=0.9"] {
            assert_eq!(route("GET", "/", accept, "", false), Route::RelayInformation);
        }
        assert_eq!(route("GET", "/", "text/html,*/*", "", false), Route::Agent(AgentRoute::Index));
        assert_eq!(route("OPTIONS", "/", "", "", false), Route::Preflight);
    }

    #[test]
    fn the_relay_is_managed_where_it_is_reached() {
        let post = |path, content_type| route("POST", path, "", content_type, false);
        for content_type in ["application/nostr+json+rpc", "Application/Nostr+JSON+RPC; charset=utf-8"] {
            assert_eq!(post("/", content_type), Route::Management);
        }
        assert_eq!(post("/", "application/json"), Route::MethodNotAllowed);
        assert_eq!(post("/health", "application/nostr+json+rpc"), Route::MethodNotAllowed);
        assert_eq!(
            route("GET", "/", "", "application/nostr+json+rpc", false),
            Route::Agent(AgentRoute::Index)
        );
    }

    #[test]
    fn finds_what_is_of_one_agent() {
        let agent = "npub1abc";
        assert_eq!(get("/agent/npub1abc/manifest.json"), Route::Agent(AgentRoute::Manifest { agent }));
        assert_eq!(get("/agent/npub1abc/metrics.json"), Route::Agent(AgentRoute::AgentMetrics { agent }));
        let record = Record::Conversation { customer: "npub1xyz" };
        assert_eq!(
            get("/agent/npub1abc/sessions/npub1xyz.json"),
            Route::Agent(AgentRoute::Record { agent, record })
        );
        for path in [
            "/agent//manifest.json",
            "/agent/manifest.json",
            "/agent/a/b/manifest.json",
            "/agent/../x",
            "/agent/",
        ] {
            assert_eq!(get(path), Route::NotFound, "{path}");
        }
    }

    #[test]
    fn tells_a_wrong_method_from_a_wrong_path() {
        assert_eq!(route("POST", "/health", "", "", false), Route::MethodNotAllowed);
        assert_eq!(route("DELETE", "/agent/npub1abc/memory/key", "", "", false), Route::MethodNotAllowed);
        assert_eq!(route("POST", "/nowhere", "", "", false), Route::NotFound);
        assert_eq!(route("HEAD", "/metrics", "", "", false), Route::Agent(AgentRoute::Metrics));
    }
}
