//! Authenticates the agent's operators by a signed event (NIP-98).

use std::collections::BTreeSet;

use openagents_host::http::response::{self, private, with_header};
use openagents_host::http::{HeaderValue, Parts, Response, StatusCode, header, header_text, request_url};
use openagents_host::nostr::http_auth::{HttpAuthError, authorize};
use openagents_host::nostr::keys::npub;
use openagents_host::{PublicKey, Timestamp};
use openagents_relay::admission::access::host_of;
use url::Url;

use crate::settings::Operators;

/// Proof that a request comes from an operator; only this module can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator(PublicKey);

/// Who may read the agent's records: the agent itself and its operators.
#[derive(Clone, Debug)]
pub(crate) struct RecordAccess {
    agent: PublicKey,
    operators: Operators,
    /// The public URL of the deployment (`RELAY_URL`).
    public_url: Option<Url>,
    /// The hosts that a `Host` header may name. If empty, any.
    hosts: BTreeSet<String>,
}

impl RecordAccess {
    /// Clients sign the URL that they know: that of `relay_url`, whatever `Host` header a proxy sends; or the one that
    /// the `Host` header names, if it is one of `hosts` or there are none. The header is not proof enough otherwise:
    /// whoever forwards a request can choose it.
    pub(crate) fn new(
        agent: PublicKey,
        operators: Operators,
        relay_url: Option<&str>,
        hosts: BTreeSet<String>,
    ) -> Self {
        let public_url = relay_url.and_then(|url| Url::parse(url).ok());
        Self { agent, operators, public_url, hosts }
    }

    /// The operator who sent a request; for anyone else, the error response.
    pub(super) fn operator(&self, parts: &Parts, now: Timestamp) -> Result<Operator, Response> {
        let request = SignedRequest::of(parts);
        let who = identify(&request, &self.urls(parts), now)
            .map_err(|error| unauthorized(&request, &self.expected_url(parts), &error))?;
        if who == self.agent || self.operators.contains(&who) {
            return Ok(Operator(who));
        }
        let reason = format!(
            "{} may not read this: only the agent's own key and those in the variable ADMIN_PUBKEYS may.",
            npub(&who)
        );
        Err(private(response::error(StatusCode::FORBIDDEN, &reason)))
    }

    /// The URLs of a request that its sender may have signed.
    fn urls(&self, parts: &Parts) -> Vec<String> {
        let is_own = |url: &String| {
            self.hosts.is_empty() || host_of(url).is_some_and(|host| self.hosts.contains(&host))
        };
        let named_by_host = request_url(parts).filter(is_own);
        self.public_url(parts)
            .into_iter()
            .chain(named_by_host)
            .flat_map(|url| with_either_scheme(&url))
            .collect()
    }

    /// The URL of a request below the public URL.
    fn public_url(&self, parts: &Parts) -> Option<String> {
        let url = self.public_url.as_ref()?;
        let scheme = if url.scheme() == "ws" { "http" } else { "https" };
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Some(format!("{scheme}://{}{path}", url.authority()))
    }

    /// The URL that the sender of a request should sign.
    fn expected_url(&self, parts: &Parts) -> String {
        self.public_url(parts).unwrap_or_else(|| {
            let url = request_url(parts).unwrap_or_default();
            format!("https://{}", url.split_once("://").map_or("", |(_, rest)| rest))
        })
    }
}

/// The signed parts of a request.
struct SignedRequest<'a> {
    method: &'a str,
    authorization: &'a str,
}

impl<'a> SignedRequest<'a> {
    fn of(parts: &'a Parts) -> Self {
        Self {
            method: parts.method.as_str(),
            authorization: header_text(&parts.headers, &header::AUTHORIZATION),
        }
    }
}

/// The key that signed this request. NIP-98 requires `u` to be exactly its URL, which is one of these.
fn identify(
    request: &SignedRequest<'_>,
    urls: &[String],
    now: Timestamp,
) -> Result<PublicKey, HttpAuthError> {
    let authorized = |url: &str| authorize(request.authorization, url, request.method, now, None);
    for url in urls {
        match authorized(url) {
            Err(HttpAuthError::Url { .. }) => {}
            other => return other,
        }
    }
    Err(HttpAuthError::Url { expected: String::new() })
}

/// The URL with either scheme, normalized as browsers and `fetch` do. If a proxy terminates TLS, the client's URL
/// begins with `https` and the agent's with `http`.
fn with_either_scheme(url: &str) -> impl Iterator<Item = String> + use<> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest).to_owned();
    ["https", "http"]
        .into_iter()
        .filter_map(move |scheme| Url::parse(&format!("{scheme}://{rest}")).map(String::from).ok())
}

fn unauthorized(request: &SignedRequest<'_>, expected_url: &str, error: &HttpAuthError) -> Response {
    let reason = match error {
        _ if request.authorization.is_empty() => "This page is only for the agent's operators.".to_owned(),
        HttpAuthError::Url { .. } => "The event was signed for another URL.".to_owned(),
        error => format!("Not authorized: {error}."),
    };
    challenge(&format!(
        "{reason}\n\
         Send `Authorization: Nostr <base64>` (NIP-98): a signed event of kind 27235, at most 60 seconds old, with the\n\
         tags [\"u\", \"{expected_url}\"] and [\"method\", \"{}\"]. The command `inspect` does this for you.",
        request.method
    ))
}

fn challenge(reason: &str) -> Response {
    let response = response::error(StatusCode::UNAUTHORIZED, reason);
    private(with_header(response, header::WWW_AUTHENTICATE, HeaderValue::from_static("Nostr")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openagents_host::http::Parts;
    use openagents_host::nostr::http_auth::authorization;
    use openagents_host::{Keys, Timestamp};

    use super::RecordAccess;
    use crate::http::fixtures::{header, parts, text};
    use crate::settings::Operators;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const URL: &str = "http://agent.example:8787/agent/npub1/memory/a%20b?x=%C3%A9&y";

    fn keys(number: u8) -> Keys {
        Keys::from_secret(&[number; 32]).unwrap()
    }

    fn request(url: &str, authorization: &str) -> Parts {
        let headers = [("authorization", authorization)];
        parts("GET", url, if authorization.is_empty() { &[] } else { &headers })
    }

    /// Access to the records of the agent with key 1 and the operator with key 2.
    fn access(relay_url: Option<&str>, hosts: &[&str]) -> RecordAccess {
        let operators = Operators::from_iter([keys(2).public_key()]);
        let hosts: BTreeSet<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        RecordAccess::new(keys(1).public_key(), operators, relay_url, hosts)
    }

    fn status_of(access: &RecordAccess, request: &Parts) -> u16 {
        access.operator(request, NOW).map_or_else(|response| response.status().as_u16(), |_| 200)
    }

    fn status(request: &Parts) -> u16 {
        status_of(&access(None, &[]), request)
    }

    #[test]
    fn admits_the_agent_and_the_keys_that_are_named_and_nobody_else() {
        for (number, expected) in [(1, 200), (2, 200), (3, 403)] {
            assert_eq!(
                status(&request(URL, &authorization(&keys(number), URL, "GET", NOW))),
                expected,
                "{number}"
            );
        }
    }

    #[test]
    fn takes_either_scheme_and_nothing_else_for_another() {
        for (url, expected) in [
            (URL.to_owned(), 200),
            (URL.replace("http:", "https:"), 200),
            (URL.replace("http:", "ws:"), 401),
            (URL.replace("&y", ""), 401),
            (URL.replace("8787", "8788"), 401),
            (URL.replace("npub1", "npub2"), 401),
            (URL.replace("%20", "+"), 401),
        ] {
            assert_eq!(status(&request(URL, &authorization(&keys(1), &url, "GET", NOW))), expected, "{url}");
        }
    }

    #[test]
    fn knows_the_url_in_the_form_that_clients_write_it() {
        for (scheme, port) in [("http", 80), ("https", 443)] {
            let asked = format!("http://AGENT.example:{port}/agent/npub1/history");
            let signed = format!("{scheme}://agent.example/agent/npub1/history");
            assert_eq!(status(&request(&asked, &authorization(&keys(1), &signed, "GET", NOW))), 200);
        }
        let nowhere = "https://agent.example?/agent/npub1/history";
        assert_eq!(status(&request(nowhere, &authorization(&keys(1), nowhere, "GET", NOW))), 401);
    }

    #[test]
    fn refuses_what_was_signed_too_early_or_for_another_method() {
        let early = Timestamp::from_seconds(NOW.as_seconds() - 61);
        assert_eq!(status(&request(URL, &authorization(&keys(1), URL, "GET", early))), 401);
        assert_eq!(status(&request(URL, &authorization(&keys(1), URL, "HEAD", NOW))), 401);
    }

    #[test]
    fn what_is_signed_for_another_host_is_not_believed_where_the_own_one_is_known() {
        let access = access(Some("wss://agent.example"), &["agent.example", "127.0.0.1", "::1"]);
        for (url, expected) in [
            (URL.to_owned(), 200),
            (URL.replace(":8787", ""), 200),
            (URL.replace("agent.example", "127.0.0.1"), 200),
            (URL.replace("agent.example", "[::1]"), 200),
            (URL.replace("agent.example", "evil.example"), 401),
            (URL.replace("agent.example", "agent.example.evil.example"), 401),
            (URL.replace("agent.example:8787", ""), 401),
        ] {
            // A token signed for another host, sent with a matching `Host` header.
            let request = request(&url, &authorization(&keys(1), &url, "GET", NOW));
            assert_eq!(status_of(&access, &request), expected, "{url}");
        }
    }

    #[test]
    fn the_public_url_is_what_clients_sign_whatever_host_a_proxy_names() {
        let path = "/agent/npub1/history?limit=1";
        for (relay_url, public) in [
            ("wss://agent.example", "https://agent.example"),
            ("wss://agent.example:8443/", "https://agent.example:8443"),
            ("ws://agent.example:80/relay", "http://agent.example"),
        ] {
            // Natively the own hosts are known; on Cloudflare the `Host` header is trusted.
            for hosts in [&["agent.example", "127.0.0.1"][..], &[]] {
                let access = access(Some(relay_url), hosts);
                let signed = authorization(&keys(1), &format!("{public}{path}"), "GET", NOW);
                let forwarded =
                    |signed: &str| request(&format!("http://backend.internal:8787{path}"), signed);
                assert_eq!(status_of(&access, &forwarded(&signed)), 200, "{relay_url}");
                let other = authorization(&keys(1), &format!("https://evil.example{path}"), "GET", NOW);
                let refused = access.operator(&forwarded(&other), NOW).unwrap_err();
                assert_eq!(refused.status().as_u16(), 401);
                let text = text(refused);
                assert!(text.contains(&format!("[\"u\", \"{public}{path}\"]")), "{text}");
            }
        }
    }

    #[test]
    fn says_how_to_be_let_in() {
        for authorization in ["", "Bearer abc", "Nostr abc"] {
            let response = access(None, &[]).operator(&request(URL, authorization), NOW).unwrap_err();
            assert_eq!((response.status().as_u16(), header(&response, "www-authenticate")), (401, "Nostr"));
            assert_eq!(header(&response, "cache-control"), "no-store");
            let text = text(response);
            assert!(text.contains("kind 27235") && text.contains("agent.example:8787/agent/npub1"));
        }
    }
}
