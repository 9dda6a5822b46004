//! Authenticates the agent's operators by a signed event (NIP-98).

use std::collections::BTreeSet;

use openagents_host::http::response::{self, private, with_header};
use openagents_host::http::{HeaderValue, Parts, Response, StatusCode, header, header_text, request_url};
use openagents_host::nostr::http_auth::{HttpAuthError, authorize_any, authorize_body};
use openagents_host::nostr::keys::npub;
use openagents_host::{PublicKey, Timestamp};
use openagents_relay::management::Token;
use url::{Position, Url};

use super::authority::{Authority, path_prefix};
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
    /// The path of the public URL.
    prefix: String,
    /// The authorities that a signed URL may name. If empty, that of the request.
    own: BTreeSet<Authority>,
}

impl RecordAccess {
    /// Clients sign the URL that they know: that of `relay_url`, whatever `Host` header a proxy sends, or one with
    /// another of the authorities `own`; if there are none, with that of the `Host` header. The header is not proof
    /// enough otherwise: whoever forwards a request can choose it.
    pub(crate) fn new(
        agent: PublicKey,
        operators: Operators,
        relay_url: Option<&str>,
        own: BTreeSet<Authority>,
    ) -> Self {
        let public_url = relay_url.and_then(|url| Url::parse(url).ok());
        Self { agent, operators, public_url, prefix: path_prefix(relay_url), own }
    }

    /// The operator who sent a request; for anyone else, the error response.
    pub(super) fn operator(&self, parts: &Parts, now: Timestamp) -> Result<Operator, Response> {
        let request = SignedRequest::of(parts);
        let is_url = |url: &str| self.is_url_of(url, parts);
        let who = authorize_any(request.authorization, "", &is_url, request.method, now)
            .map_err(|error| unauthorized(&request, &self.expected_url(parts), &error))?;
        self.admit(who)
    }

    /// The operator who sent a request that changes something, and the token that authorizes this change alone: an event
    /// with the hash of the body.
    pub(super) fn operator_with_token(
        &self,
        parts: &Parts,
        now: Timestamp,
        body: &[u8],
    ) -> Result<(Operator, Token), Response> {
        let request = SignedRequest::of(parts);
        let is_url = |url: &str| self.is_url_of(url, parts);
        let event = authorize_body(request.authorization, "", &is_url, request.method, now, body)
            .map_err(|error| unauthorized(&request, &self.expected_url(parts), &error))?;
        Ok((self.admit(event.pubkey)?, Token::of(&event)))
    }

    /// The agent's key.
    pub(crate) const fn agent(&self) -> PublicKey {
        self.agent
    }

    /// The signer of a request; `None` if it has no `Authorization` header. Otherwise, what is wrong with that.
    pub(super) fn signer(&self, parts: &Parts, now: Timestamp) -> Result<Option<PublicKey>, String> {
        let request = SignedRequest::of(parts);
        if request.authorization.is_empty() {
            return Ok(None);
        }
        let is_url = |url: &str| self.is_url_of(url, parts);
        authorize_any(request.authorization, "", &is_url, request.method, now).map(Some).map_err(|error| {
            format!("{error}; NIP-98 wants an event of kind 27235 for {}", self.expected_url(parts))
        })
    }

    fn admit(&self, who: PublicKey) -> Result<Operator, Response> {
        if who == self.agent || self.operators.contains(&who) {
            return Ok(Operator(who));
        }
        let reason = format!(
            "{} may not do this: only the agent's own key and those in the variable ADMIN_PUBKEYS may.",
            npub(&who)
        );
        Err(private(response::error(StatusCode::FORBIDDEN, &reason)))
    }

    /// Whether the sender of a request may have signed this URL for it, with any scheme, since a proxy may terminate TLS,
    /// and with or without the path of the public URL, which a proxy may remove.
    fn is_url_of(&self, signed: &str, parts: &Parts) -> bool {
        let Some(authority) = Authority::of(signed) else { return false };
        let public = || self.public_url.as_ref().and_then(|url| Authority::of(url.as_str()));
        let named_by_host = || request_url(parts).and_then(|url| Authority::of(&url));
        let is_own = self.own.contains(&authority)
            || public().as_ref() == Some(&authority)
            || (self.own.is_empty() && named_by_host().as_ref() == Some(&authority));
        // Normalized as browsers and `fetch` do.
        let Ok(path) = Url::parse(&format!("http://own{}", path(parts))) else { return false };
        let Ok(signed) = Url::parse(signed) else { return false };
        let (path, signed) = (below_host(&path), below_host(&signed));
        is_own && (signed == path || signed.strip_prefix(self.prefix.as_str()) == Some(path))
    }

    /// The URL that the sender of a request should sign.
    fn expected_url(&self, parts: &Parts) -> String {
        let path = path(parts);
        match &self.public_url {
            Some(url) => {
                let scheme = if url.scheme() == "ws" { "http" } else { "https" };
                let has_prefix =
                    path.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.starts_with('/'));
                let prefix = if has_prefix { "" } else { self.prefix.as_str() };
                format!("{scheme}://{}{prefix}{path}", url.authority())
            }
            None => {
                let url = request_url(parts).unwrap_or_default();
                format!("https://{}", url.split_once("://").map_or("", |(_, rest)| rest))
            }
        }
    }
}

fn path(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |path| path.as_str())
}

/// The path, query and fragment.
fn below_host(url: &Url) -> &str {
    &url[Position::BeforePath..]
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

fn unauthorized(request: &SignedRequest<'_>, expected_url: &str, error: &HttpAuthError) -> Response {
    let reason = match error {
        _ if request.authorization.is_empty() => "This page is only for the agent's operators.".to_owned(),
        HttpAuthError::Url { .. } => "The event was signed for another URL.".to_owned(),
        error => format!("Not authorized: {error}."),
    };
    challenge(&format!(
        "{reason}\n\
         Send `Authorization: Nostr <base64>` (NIP-98): a signed event of kind 27235, at most 60 seconds old, with the\n\
         tags [\"u\", \"{expected_url}\"] and [\"method\", \"{}\"]. The commands `inspect`, `schedules`, `audit` and `state` do this for you.",
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

    use super::{Authority, RecordAccess};
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
    fn access(relay_url: Option<&str>, own: &[&str]) -> RecordAccess {
        let operators = Operators::from_iter([keys(2).public_key()]);
        let own: BTreeSet<Authority> = own.iter().filter_map(|url| Authority::of(url)).collect();
        RecordAccess::new(keys(1).public_key(), operators, relay_url, own)
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
    fn takes_any_scheme_and_nothing_else_for_another() {
        for (url, expected) in [
            (URL.to_owned(), 200),
            (URL.replace("http:", "https:"), 200),
            (URL.replace("http:", "wss:"), 200),
            (URL.replace("http:", "ftp:"), 401),
            (URL.replace("&y", "&y#z"), 401),
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
        let own = ["http://127.0.0.1:8787", "http://[::1]:8787"];
        let access = access(Some("wss://agent.example"), &own);
        for (url, expected) in [
            (URL.replace(":8787", ""), 200),
            (URL.replace(":8787", ":443"), 200),
            (URL.replace("agent.example", "127.0.0.1"), 200),
            (URL.replace("agent.example", "[::1]"), 200),
            // At another port there may be another server, to which its operator sends tokens.
            (URL.to_owned(), 401),
            (URL.replace("agent.example:8787", "127.0.0.1:8788"), 401),
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
            ("ws://agent.example:80/relay", "http://agent.example/relay"),
        ] {
            // Natively the own authorities are known; on Cloudflare the `Host` header is trusted.
            for own in [&[relay_url, "http://127.0.0.1:8787"][..], &[]] {
                let access = access(Some(relay_url), own);
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
    fn a_proxy_may_remove_the_path_of_the_public_url_or_not() {
        let access = access(Some("wss://agent.example/a/"), &["wss://agent.example/a/"]);
        for (received, signed, expected) in [
            ("/agent/npub1/history", "/a/agent/npub1/history", 200),
            ("/a/agent/npub1/history", "/a/agent/npub1/history", 200),
            ("/agent/npub1/history", "/agent/npub1/history", 200),
            ("/agent/npub1/history", "/b/agent/npub1/history", 401),
            ("/agent/npub1/history", "/a/a/agent/npub1/history", 401),
            ("/a/agent/npub1/history", "/agent/npub1/history", 401),
            ("/agent/npub1/history", "/a/agent/npub2/history", 401),
        ] {
            let token = authorization(&keys(1), &format!("https://agent.example{signed}"), "GET", NOW);
            let request = request(&format!("http://127.0.0.1:8787{received}"), &token);
            assert_eq!(status_of(&access, &request), expected, "{signed} for {received}");
        }
        let unsigned = request("http://127.0.0.1:8787/agent/npub1/history", "");
        let text = text(access.operator(&unsigned, NOW).unwrap_err());
        assert!(text.contains("\"https://agent.example/a/agent/npub1/history\""), "{text}");
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
