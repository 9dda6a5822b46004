//! Which door an HTTP request goes through, and what is behind those of the agent: decided once, for both hosts.

mod agent_doors;
pub(crate) mod management;
mod metrics;
mod names;
mod operators;
mod page;
mod records;

use openagents_relay::information::asks_for_document;
use openagents_relay::management::CONTENT_TYPE as MANAGEMENT;

pub(crate) use agent_doors::{AgentDoors, Answer, Visit};
pub(crate) use page::Page;
use records::Record;

/// What every answer carries: any page may read it (NIP-11, NIP-05), and no browser takes it for something to run.
///
/// `authorization` has to be named: CORS does not count it among `*`.
pub(crate) const HEADERS: [(&str, &str); 5] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-headers", "*, authorization"),
    ("access-control-allow-methods", "GET, HEAD, POST, OPTIONS"),
    ("vary", "accept"),
    ("x-content-type-options", "nosniff"),
];

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door<'a> {
    /// A WebSocket to the relay.
    Relay,
    /// The relay's information document (NIP-11).
    RelayInformation,
    /// What an operator wants of the relay (NIP-86).
    Management,
    /// What a browser asks before it sends a request of its own (CORS).
    Preflight,
    /// Something that the agent answers.
    Agent(AgentDoor<'a>),
    /// There is nothing here.
    Nowhere,
    /// There is something here, but not for this method.
    WrongMethod,
}

/// What is asked of the agent. An `agent` is as the client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentDoor<'a> {
    /// A page for people who open the URL.
    Welcome,
    /// Whether all is well.
    Health,
    /// What Prometheus collects.
    Metrics,
    /// The way from names to keys (NIP-05).
    Names,
    /// What the agent is and can do.
    Manifest { agent: &'a str },
    /// What came of its jobs, as JSON.
    AgentMetrics { agent: &'a str },
    /// What is on record, for its operators only.
    Record { agent: &'a str, record: Record<'a> },
}

/// Finds the door. `accept` and `content_type` are the request's headers.
///
/// NIP-01: "Relays MUST only accept connections to a single endpoint when additional path segments do not influence its
/// behavior." That endpoint is `/`.
pub(crate) fn door<'a>(
    method: &str,
    path: &'a str,
    accept: &str,
    content_type: &str,
    is_upgrade: bool,
) -> Door<'a> {
    let read = matches!(method, "GET" | "HEAD");
    if is_upgrade {
        return if path == "/" && method == "GET" { Door::Relay } else { Door::Nowhere };
    }
    if method == "OPTIONS" {
        return Door::Preflight;
    }
    let door = match path {
        "/" if method == "POST" && is_management(content_type) => return Door::Management,
        "/" if asks_for_document(accept) => Door::RelayInformation,
        path => agent_door(path).map_or(Door::Nowhere, Door::Agent),
    };
    if read || door == Door::Nowhere { door } else { Door::WrongMethod }
}

fn is_management(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(MANAGEMENT))
}

fn agent_door(path: &str) -> Option<AgentDoor<'_>> {
    Some(match path {
        "/" => AgentDoor::Welcome,
        "/health" => AgentDoor::Health,
        "/metrics" => AgentDoor::Metrics,
        "/.well-known/nostr.json" => AgentDoor::Names,
        path => {
            let (agent, rest) = path.strip_prefix("/agent/")?.split_once('/')?;
            match rest {
                _ if agent.is_empty() => return None,
                "manifest.json" => AgentDoor::Manifest { agent },
                "metrics.json" => AgentDoor::AgentMetrics { agent },
                rest => AgentDoor::Record { agent, record: Record::at(rest)? },
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{AgentDoor, Door, Record, door};

    fn get(path: &str) -> Door<'_> {
        door("GET", path, "", "", false)
    }

    #[test]
    fn opens_the_relay_at_one_path_only() {
        assert_eq!(door("GET", "/", "", "", true), Door::Relay);
        for path in ["/elsewhere", "/health", "/metrics", "/agent/npub1abc/history"] {
            assert_eq!(door("GET", path, "", "", true), Door::Nowhere, "{path}");
        }
    }

    #[test]
    fn negotiates_what_is_at_the_root() {
        for accept in ["application/nostr+json", "text/html, Application/Nostr+JSON;q=0.9"] {
            assert_eq!(door("GET", "/", accept, "", false), Door::RelayInformation);
        }
        assert_eq!(door("GET", "/", "text/html,*/*", "", false), Door::Agent(AgentDoor::Welcome));
        assert_eq!(door("OPTIONS", "/", "", "", false), Door::Preflight);
    }

    #[test]
    fn the_relay_is_managed_where_it_is_reached() {
        let post = |path, content_type| door("POST", path, "", content_type, false);
        for content_type in ["application/nostr+json+rpc", "Application/Nostr+JSON+RPC; charset=utf-8"] {
            assert_eq!(post("/", content_type), Door::Management);
        }
        assert_eq!(post("/", "application/json"), Door::WrongMethod);
        assert_eq!(post("/health", "application/nostr+json+rpc"), Door::WrongMethod);
        assert_eq!(
            door("GET", "/", "", "application/nostr+json+rpc", false),
            Door::Agent(AgentDoor::Welcome)
        );
    }

    #[test]
    fn finds_what_is_of_one_agent() {
        let agent = "npub1abc";
        assert_eq!(get("/agent/npub1abc/manifest.json"), Door::Agent(AgentDoor::Manifest { agent }));
        assert_eq!(get("/agent/npub1abc/metrics.json"), Door::Agent(AgentDoor::AgentMetrics { agent }));
        let record = Record::Conversation { customer: "npub1xyz" };
        assert_eq!(
            get("/agent/npub1abc/sessions/npub1xyz.json"),
            Door::Agent(AgentDoor::Record { agent, record })
        );
        for path in [
            "/agent//manifest.json",
            "/agent/manifest.json",
            "/agent/a/b/manifest.json",
            "/agent/../x",
            "/agent/",
        ] {
            assert_eq!(get(path), Door::Nowhere, "{path}");
        }
    }

    #[test]
    fn tells_a_wrong_method_from_a_wrong_path() {
        assert_eq!(door("POST", "/health", "", "", false), Door::WrongMethod);
        assert_eq!(door("DELETE", "/agent/npub1abc/memory/key", "", "", false), Door::WrongMethod);
        assert_eq!(door("POST", "/nowhere", "", "", false), Door::Nowhere);
        assert_eq!(door("HEAD", "/metrics", "", "", false), Door::Agent(AgentDoor::Metrics));
    }
}
