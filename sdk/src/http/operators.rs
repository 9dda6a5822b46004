//! Authorization of operators (NIP-98) to read the agent's records.

use std::collections::BTreeSet;

use openagents_host::http_auth::{HttpAuthError, authorize};
use openagents_host::keys::npub;
use openagents_host::{PublicKey, Timestamp};
use openagents_relay::admission::access::host_of;
use url::Url;

use super::request::HttpRequest;
use super::response::HttpResponse;

/// The keys that may read everything, and under which hosts.
#[derive(Clone, Debug)]
pub(super) struct Operators {
    keys: Vec<PublicKey>,
    /// Without any, that of the request.
    hosts: BTreeSet<String>,
}

impl Operators {
    /// The agent itself, and the keys that its deployment names. What they sign has to name one of these hosts, if there
    /// are any: the `Host` header of a request says what whoever passed it on wanted it to say.
    pub(super) fn new(agent: PublicKey, named: &[PublicKey], hosts: BTreeSet<String>) -> Self {
        Self { keys: [&[agent], named].concat(), hosts }
    }

    /// Lets an operator in; anybody else gets the page that says why not.
    pub(super) fn admit(&self, request: &HttpRequest, now: Timestamp) -> Result<(), HttpResponse> {
        if !request.authorization.is_empty() && !self.is_own(&request.url) {
            return Err(elsewhere(request));
        }
        let who = identify(request, now).map_err(|error| unauthorized(request, &error))?;
        if self.keys.contains(&who) {
            return Ok(());
        }
        let reason = format!(
            "{} may not read this: only the agent's own key and those in the variable ADMIN_PUBKEYS may.",
            npub(&who)
        );
        Err(HttpResponse::failure(403, &reason).private())
    }

    fn is_own(&self, url: &str) -> bool {
        self.hosts.is_empty() || host_of(url).is_some_and(|host| self.hosts.contains(&host))
    }
}

/// Who signed for this request.
///
/// NIP-98 wants `u` to be exactly the URL of the request. Where a proxy ends TLS, the one before it was `https` and the one
/// behind it is `http`, so either is taken for the same host, path and query; the proxy has to leave `Host` as it was.
fn identify(request: &HttpRequest, now: Timestamp) -> Result<PublicKey, HttpAuthError> {
    let authorized = |url: &str| authorize(&request.authorization, url, &request.method, now, None);
    let mut refused = None;
    for url in urls(&request.url) {
        match authorized(&url) {
            Err(error @ HttpAuthError::Url { .. }) => refused = Some(refused.unwrap_or(error)),
            other => return other,
        }
    }
    Err(refused.unwrap_or_else(|| HttpAuthError::Url { expected: request.url.clone() }))
}

/// The URL with either scheme, each in the form in which browsers and `fetch` write it.
fn urls(url: &str) -> impl Iterator<Item = String> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    ["https", "http"]
        .into_iter()
        .filter_map(move |scheme| Url::parse(&format!("{scheme}://{rest}")).map(String::from).ok())
}

fn elsewhere(request: &HttpRequest) -> HttpResponse {
    let host = host_of(&request.url).unwrap_or_default();
    let reason = format!(
        "This agent does not take `{host}` for itself: ask under the host of RELAY_URL, or under the address it listens on.\n\
         A proxy before it has to leave the `Host` header as it is."
    );
    HttpResponse::failure(401, &reason).with("www-authenticate", "Nostr").private()
}

fn unauthorized(request: &HttpRequest, error: &HttpAuthError) -> HttpResponse {
    let url = request.url.split_once("://").map_or("", |(_, rest)| rest);
    let reason = match error {
        _ if request.authorization.is_empty() => "This is for the agent's operators.".to_owned(),
        // Which of both schemes is meant does not matter.
        HttpAuthError::Url { .. } => "The event is for another URL.".to_owned(),
        error => format!("Not authorized: {error}."),
    };
    let page = HttpResponse::failure(
        401,
        &format!(
            "{reason}\n\
             Send `Authorization: Nostr <base64>` (NIP-98): a signed event of kind 27235, not older than 60 seconds, with the\n\
             tags [\"u\", \"https://{url}\"] and [\"method\", \"{}\"]. The command `inspect` of a deployment does that.",
            request.method
        ),
    );
    page.with("www-authenticate", "Nostr").private()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openagents_host::http_auth::authorization;
    use openagents_host::{Keys, Timestamp};

    use super::{HttpRequest, Operators};

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const URL: &str = "http://agent.example:8787/agent/npub1/memory/a%20b?x=%C3%A9&y";

    fn keys(number: u8) -> Keys {
        Keys::from_secret(&[number; 32]).unwrap()
    }

    fn request(url: &str, authorization: String) -> HttpRequest {
        HttpRequest { method: "GET".to_owned(), url: url.to_owned(), authorization }
    }

    fn status(request: &HttpRequest) -> u16 {
        let operators = Operators::new(keys(1).public_key(), &[keys(2).public_key()], BTreeSet::new());
        operators.admit(request, NOW).map_or_else(|page| page.status, |()| 200)
    }

    #[test]
    fn admits_the_agent_and_the_keys_that_are_named_and_nobody_else() {
        for (number, expected) in [(1, 200), (2, 200), (3, 403)] {
            assert_eq!(
                status(&request(URL, authorization(&keys(number), URL, "GET", NOW))),
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
            assert_eq!(status(&request(URL, authorization(&keys(1), &url, "GET", NOW))), expected, "{url}");
        }
    }

    #[test]
    fn knows_the_url_in_the_form_that_clients_write_it() {
        for (scheme, port) in [("http", 80), ("https", 443)] {
            let asked = format!("http://AGENT.example:{port}/agent/npub1/history");
            let signed = format!("{scheme}://agent.example/agent/npub1/history");
            assert_eq!(status(&request(&asked, authorization(&keys(1), &signed, "GET", NOW))), 200);
        }
        assert_eq!(status(&request("no url", authorization(&keys(1), "no url", "GET", NOW))), 401);
    }

    #[test]
    fn refuses_what_was_signed_too_early_or_for_another_method() {
        let early = Timestamp::from_seconds(NOW.as_seconds() - 61);
        assert_eq!(status(&request(URL, authorization(&keys(1), URL, "GET", early))), 401);
        assert_eq!(status(&request(URL, authorization(&keys(1), URL, "HEAD", NOW))), 401);
    }

    #[test]
    fn what_is_signed_for_another_host_is_not_believed_where_the_own_one_is_known() {
        let hosts = ["agent.example", "127.0.0.1", "::1"].map(str::to_owned);
        let operators = Operators::new(keys(1).public_key(), &[], hosts.into());
        for (url, expected) in [
            (URL.to_owned(), 200),
            (URL.replace(":8787", ""), 200),
            (URL.replace("agent.example", "127.0.0.1"), 200),
            (URL.replace("agent.example", "[::1]"), 200),
            (URL.replace("agent.example", "evil.example"), 401),
            (URL.replace("agent.example", "agent.example.evil.example"), 401),
            (URL.replace("agent.example:8787", ""), 401),
        ] {
            // Somebody else's token, and the `Host` header to go with it.
            let request = request(&url, authorization(&keys(1), &url, "GET", NOW));
            let status = operators.admit(&request, NOW).map_or_else(|page| page.status, |()| 200);
            assert_eq!(status, expected, "{url}");
        }
    }

    #[test]
    fn says_how_to_be_let_in() {
        let operators = Operators::new(keys(1).public_key(), &[], BTreeSet::new());
        for header in ["", "Bearer abc", "Nostr abc"] {
            let page = operators.admit(&request(URL, header.to_owned()), NOW).unwrap_err();
            assert_eq!(page.status, 401);
            assert!(page.headers.contains(&("www-authenticate", "Nostr")));
            assert!(page.body.contains("kind 27235") && page.body.contains("agent.example:8787/agent/npub1"));
        }
    }
}
