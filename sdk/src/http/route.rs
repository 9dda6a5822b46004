//! Finds the route of an HTTP request by its method, path and headers.

use std::borrow::Cow;

use openagents_blossom::BlobRoute;
use openagents_host::http::{Method, Parts, header, header_text, is_websocket_upgrade};
use openagents_relay::information::asks_for_document;
use openagents_relay::management::CONTENT_TYPE as MANAGEMENT;

use super::page::{PageFile, asks_for_page};
use super::records::AgentRecord;
use crate::declaration::RouteDeclaration;

/// The route of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// A WebSocket connection to the relay.
    Relay,
    /// The relay's information document (NIP-11).
    RelayInformation,
    /// A call of the relay management API (NIP-86).
    RelayManagement,
    /// A CORS preflight request.
    Preflight,
    /// A request to the gateway, whatever its body is.
    Gateway,
    /// An endpoint of the blob server (Blossom), with any method.
    Blob(BlobRoute),
    /// A file of the page for browsers.
    PageFile(PageFile),
    /// Job requests over HTTP.
    Jobs(JobRoute<'a>),
    /// A route of the agent.
    Agent(AgentRoute<'a>),
    /// The path is unknown.
    NotFound,
    /// The path is known, but not with this method; these are allowed.
    MethodNotAllowed { allowed: Cow<'static, str> },
}

/// A route of jobs over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobRoute<'a> {
    /// A job request.
    Submit,
    /// The answers to a job request, whose id is as in the URL.
    Job { id: &'a str },
}

/// A route of the agent. `agent` is as in the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentRoute<'a> {
    /// A page for browsers.
    Page,
    /// A text about the agent.
    Index,
    /// Whether the agent's database responds.
    Health,
    /// Metrics for Prometheus.
    Metrics,
    /// The public key for the agent's name (NIP-05).
    Nip05,
    /// The signed manifest.
    Manifest { agent: &'a str },
    /// The metrics as JSON.
    AgentMetrics { agent: &'a str },
    /// Records, for the agent's operators only.
    Record { agent: &'a str, record: AgentRecord<'a> },
    /// The keys of the gateway's audit records, or one record: the name after `/audit/`. For operators only.
    Audit(Option<&'a str>),
    /// Runs a schedule now, for the agent's operators only.
    RunSchedule { agent: &'a str, name: &'a str },
    /// Changes the stored state, for the agent's operators only: one field, or all of them.
    ChangeState { agent: &'a str, field: Option<&'a str> },
    /// The route with this index among those that the agent declares with `#[route]`; without an agent at the root.
    Declared { agent: Option<&'a str>, index: usize },
}

#[cfg(target_arch = "wasm32")]
impl AgentRoute<'_> {
    /// Whether this shows or changes the stored state, which is possible while the agent cannot read it.
    pub(crate) fn is_of_state(&self) -> bool {
        matches!(self, Self::ChangeState { .. } | Self::Record { record: AgentRecord::State, .. })
    }
}

/// Finds the route. `declared` are those of the agent.
///
/// NIP-01: "Relays MUST only accept connections to a single endpoint when additional path segments do not influence its
/// behavior." That endpoint is `/`.
pub(crate) fn route<'a>(parts: &'a Parts, declared: &[RouteDeclaration]) -> Route<'a> {
    let path = parts.uri.path();
    if is_websocket_upgrade(&parts.headers) {
        return if path == "/" && parts.method == Method::GET { Route::Relay } else { Route::NotFound };
    }
    if parts.method == Method::OPTIONS {
        return Route::Preflight;
    }
    if let Some(route) = BlobRoute::of(path) {
        return Route::Blob(route);
    }
    let is_management = || is_management(header_text(&parts.headers, &header::CONTENT_TYPE));
    let route = match path {
        "/" if parts.method == Method::POST && is_management() => return Route::RelayManagement,
        "/" if parts.method == Method::POST => return Route::Gateway,
        "/" if asks_for_document(header_text(&parts.headers, &header::ACCEPT)) => Route::RelayInformation,
        "/" if asks_for_page(header_text(&parts.headers, &header::ACCEPT)) => Route::Agent(AgentRoute::Page),
        "/jobs" => Route::Jobs(JobRoute::Submit),
        path if path.starts_with("/jobs/") => {
            Route::Jobs(JobRoute::Job { id: path.strip_prefix("/jobs/").unwrap_or_default() })
        }
        path => match (PageFile::at(path), agent_route(path, &parts.method)) {
            (Some(file), _) => Route::PageFile(file),
            (None, Some(route)) => Route::Agent(route),
            (None, None) => return declared_route(path, parts.method.as_str(), declared),
        },
    };
    let (is_allowed, allowed) = match route {
        Route::NotFound => return Route::NotFound,
        Route::Agent(
            AgentRoute::ChangeState { field: None, .. }
            | AgentRoute::Record { record: AgentRecord::State, .. },
        ) => {
            let is_allowed = matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE);
            (is_allowed, "GET, HEAD, DELETE, OPTIONS")
        }
        Route::Agent(AgentRoute::ChangeState { .. }) => {
            (matches!(parts.method, Method::PUT | Method::DELETE), "PUT, DELETE, OPTIONS")
        }
        Route::Jobs(JobRoute::Submit) => (parts.method == Method::POST, "POST, OPTIONS"),
        Route::Agent(AgentRoute::RunSchedule { .. }) => (parts.method == Method::POST, "POST, OPTIONS"),
        _ if path == "/" => (matches!(parts.method, Method::GET | Method::HEAD), "GET, HEAD, POST, OPTIONS"),
        _ => (matches!(parts.method, Method::GET | Method::HEAD), "GET, HEAD, OPTIONS"),
    };
    if is_allowed { route } else { Route::MethodNotAllowed { allowed: allowed.into() } }
}

/// Finds a route that the agent declares: below `/agent/{agent}`, or at the root.
fn declared_route<'a>(path: &'a str, method: &str, declared: &[RouteDeclaration]) -> Route<'a> {
    let (agent, path) = match path.strip_prefix("/agent/") {
        Some(rest) => {
            let (agent, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(agent), path)
        }
        None => (None, path),
    };
    let at_path = || declared.iter().enumerate().filter(|(_, declared)| declared.path == path);
    if let Some((index, _)) = at_path().find(|(_, declared)| declared.method.takes(method)) {
        return Route::Agent(AgentRoute::Declared { agent, index });
    }
    let mut allowed: Vec<&str> = at_path().map(|(_, declared)| declared.method.as_str()).collect();
    if allowed.is_empty() {
        return Route::NotFound;
    }
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    allowed.push("OPTIONS");
    Route::MethodNotAllowed { allowed: allowed.join(", ").into() }
}

fn is_management(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(MANAGEMENT))
}

fn agent_route<'a>(path: &'a str, method: &Method) -> Option<AgentRoute<'a>> {
    Some(match path {
        "/" => AgentRoute::Index,
        "/health" => AgentRoute::Health,
        "/metrics" => AgentRoute::Metrics,
        "/.well-known/nostr.json" => AgentRoute::Nip05,
        "/audit" => AgentRoute::Audit(None),
        path if path.starts_with("/audit/") => AgentRoute::Audit(path.strip_prefix("/audit/")),
        path => {
            let (agent, rest) = path.strip_prefix("/agent/")?.split_once('/')?;
            match rest {
                _ if agent.is_empty() => return None,
                "manifest.json" => AgentRoute::Manifest { agent },
                "metrics.json" => AgentRoute::AgentMetrics { agent },
                "state.json" if method == Method::DELETE => AgentRoute::ChangeState { agent, field: None },
                rest if rest.starts_with("state/") => {
                    let field = rest
                        .strip_prefix("state/")
                        .filter(|field| !field.is_empty() && !field.contains('/'))?;
                    AgentRoute::ChangeState { agent, field: Some(field) }
                }
                rest => match rest.strip_prefix("schedules/") {
                    Some(name) if !name.is_empty() && !name.contains('/') => {
                        AgentRoute::RunSchedule { agent, name }
                    }
                    Some(_) => return None,
                    None => AgentRoute::Record { agent, record: AgentRecord::at(rest)? },
                },
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{AgentRecord, AgentRoute, Route};
    use crate::declaration::{RouteDeclaration, RouteMethod};
    use crate::http::fixtures::parts;

    /// The route of a request, as text: it borrows from the request.
    fn route(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        format!("{:?}", super::route(&parts(method, &format!("http://agent.example{path}"), headers), &[]))
    }

    fn text(route: &Route<'_>) -> String {
        format!("{route:?}")
    }

    const READ: &str = r#"MethodNotAllowed { allowed: "GET, HEAD, OPTIONS" }"#;

    const UPGRADE: (&str, &str) = ("upgrade", "websocket");

    #[test]
    fn opens_the_relay_at_one_path_only() {
        assert_eq!(route("GET", "/", &[UPGRADE]), "Relay");
        for path in ["/elsewhere", "/health", "/metrics", "/agent/npub1abc/history"] {
            assert_eq!(route("GET", path, &[UPGRADE]), "NotFound", "{path}");
        }
        assert_eq!(route("POST", "/", &[UPGRADE]), "NotFound");
    }

    #[test]
    fn negotiates_what_is_at_the_root() {
        for accept in ["application/nostr+json", "text/html, Application/Nostr+JSON;q=0.9"] {
            assert_eq!(route("GET", "/", &[("accept", accept)]), "RelayInformation");
        }
        assert_eq!(route("GET", "/", &[("accept", "text/html,*/*")]), "Agent(Page)");
        for accept in [&[][..], &[("accept", "*/*")], &[("accept", "application/json")]] {
            assert_eq!(route("GET", "/", accept), "Agent(Index)");
        }
        assert_eq!(route("OPTIONS", "/", &[]), "Preflight");
    }

    #[test]
    fn the_relay_is_managed_where_it_is_reached() {
        let post = |path, content_type| route("POST", path, &[("content-type", content_type)]);
        for content_type in ["application/nostr+json+rpc", "Application/Nostr+JSON+RPC; charset=utf-8"] {
            assert_eq!(post("/", content_type), "RelayManagement");
        }
        assert_eq!(post("/", "application/json"), "Gateway");
        assert_eq!(post("/health", "application/nostr+json+rpc"), READ);
        assert_eq!(route("GET", "/", &[("content-type", "application/nostr+json+rpc")]), "Agent(Index)");
    }

    #[test]
    fn whatever_else_is_posted_to_the_root_is_for_the_gateway() {
        for content_type in ["application/json; charset=utf-8", "text/plain", ""] {
            assert_eq!(route("POST", "/", &[("content-type", content_type)]), "Gateway", "{content_type}");
        }
        assert_eq!(route("POST", "/", &[("accept", "application/nostr+json")]), "Gateway");
        let refused = r#"MethodNotAllowed { allowed: "GET, HEAD, POST, OPTIONS" }"#;
        for method in ["PUT", "DELETE", "PATCH"] {
            assert_eq!(route(method, "/", &[("content-type", "application/json")]), refused, "{method}");
        }
    }

    #[test]
    fn the_blob_server_is_at_the_root_with_every_method() {
        let blob = format!("/{}.png", "ab".repeat(32));
        for method in ["GET", "HEAD", "PUT", "DELETE", "POST"] {
            for path in ["/upload", "/mirror", "/report", "/list/npub1abc", &blob] {
                assert!(route(method, path, &[]).starts_with("Blob("), "{method} {path}");
            }
        }
        assert_eq!(route("OPTIONS", "/upload", &[]), "Preflight");
        assert_eq!(route("GET", "/upload", &[UPGRADE]), "NotFound");
    }

    #[test]
    fn finds_what_is_of_one_agent() {
        let agent = "npub1abc";
        assert_eq!(
            route("GET", "/agent/npub1abc/manifest.json", &[]),
            text(&Route::Agent(AgentRoute::Manifest { agent }))
        );
        assert_eq!(
            route("GET", "/agent/npub1abc/metrics.json", &[]),
            text(&Route::Agent(AgentRoute::AgentMetrics { agent }))
        );
        let record = AgentRecord::Conversation { customer: "npub1xyz" };
        assert_eq!(
            route("GET", "/agent/npub1abc/sessions/npub1xyz.json?limit=1", &[]),
            text(&Route::Agent(AgentRoute::Record { agent, record }))
        );
        assert_eq!(
            route("PUT", "/agent/npub1abc/state/count", &[]),
            text(&Route::Agent(AgentRoute::ChangeState { agent, field: Some("count") }))
        );
        assert_eq!(
            route("DELETE", "/agent/npub1abc/state.json", &[]),
            text(&Route::Agent(AgentRoute::ChangeState { agent, field: None }))
        );
        for path in [
            "/agent//manifest.json",
            "/agent/npub1abc/state/",
            "/agent/npub1abc/state/a/b",
            "/agent/manifest.json",
            "/agent/a/b/manifest.json",
            "/agent/../x",
            "/agent/",
        ] {
            assert_eq!(route("GET", path, &[]), "NotFound", "{path}");
        }
    }

    #[test]
    fn finds_what_an_agent_declares_at_the_root_and_below_its_name() {
        let route = |method, path| RouteDeclaration {
            method,
            path,
            about: "",
            timeout: std::time::Duration::from_secs(1),
            max_bytes: 0,
        };
        let declared = [
            route(RouteMethod::Post, "/hook"),
            route(RouteMethod::Get, "/hook"),
            route(RouteMethod::Put, "/a/b"),
        ];
        let found = |method, path: &str| {
            let parts = parts(method, &format!("http://agent.example{path}"), &[]);
            match super::route(&parts, &declared) {
                Route::Agent(AgentRoute::Declared { agent, index }) => {
                    format!("{index} {}", agent.unwrap_or("/"))
                }
                Route::MethodNotAllowed { allowed } => allowed.into_owned(),
                other => format!("{other:?}"),
            }
        };
        for (method, path, expected) in [
            ("POST", "/hook?x=/y", "0 /"),
            ("GET", "/hook", "1 /"),
            ("HEAD", "/agent/npub1abc/hook", "1 npub1abc"),
            ("PUT", "/agent/mine/a/b", "2 mine"),
            ("PUT", "/hook", "POST, GET, HEAD, OPTIONS"),
            ("GET", "/a/b", "PUT, OPTIONS"),
            ("GET", "/agent//hook", "1 "),
            ("GET", "/agent/hook", "NotFound"),
            ("GET", "/hook/", "NotFound"),
            ("GET", "/hook/a", "NotFound"),
            ("GET", "/a", "NotFound"),
            ("OPTIONS", "/hook", "Preflight"),
            ("GET", "/health", "Agent(Health)"),
        ] {
            assert_eq!(found(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn tells_a_wrong_method_from_a_wrong_path() {
        assert_eq!(route("POST", "/health", &[]), READ);
        assert_eq!(route("DELETE", "/agent/npub1abc/memory/key", &[]), READ);
        let (agent, name) = ("npub1abc", "refresh");
        let run = text(&Route::Agent(AgentRoute::RunSchedule { agent, name }));
        assert_eq!(route("POST", "/agent/npub1abc/schedules/refresh?key=a", &[]), run);
        for method in ["GET", "PUT"] {
            let refused = text(&Route::MethodNotAllowed { allowed: "POST, OPTIONS".into() });
            assert_eq!(route(method, "/agent/npub1abc/schedules/refresh", &[]), refused);
        }
        assert_eq!(route("POST", "/agent/npub1abc/schedules/a/b", &[]), "NotFound");
        assert_eq!(route("POST", "/agent/npub1abc/schedules", &[]), READ);
        assert_eq!(route("POST", "/nowhere", &[]), "NotFound");
        assert_eq!(route("HEAD", "/metrics", &[]), "Agent(Metrics)");
    }

    /// The Worker forwards a request with a route to an object. No such request may look like a call between objects.
    #[test]
    fn no_request_from_outside_reaches_what_objects_tell_each_other() {
        let management = ("content-type", "application/nostr+json+rpc");
        let document = ("accept", "application/nostr+json");
        for path in [
            "/requests",
            "/visits",
            "/internal/call",
            "/internal/publish",
            "/internal/query",
            "/internal/manage",
            "/internal/billed-rows",
        ] {
            for method in ["GET", "HEAD", "POST", "PUT"] {
                for headers in [&[][..], &[UPGRADE], &[management], &[document]] {
                    assert_eq!(route(method, path, headers), "NotFound", "{method} {path} {headers:?}");
                }
            }
        }
    }
}
