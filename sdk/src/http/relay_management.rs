//! The relay management API (NIP-86), authorized by NIP-98.

use std::collections::BTreeSet;

use openagents_host::http_auth::{HttpAuthError, authorize_body};
use openagents_host::keys::npub;
use openagents_host::{PublicKey, Timestamp};
use openagents_relay::Access;
use openagents_relay::management::{self, Call, ManagementReply, SignedCall, Token, UsedToken};
use url::Url;

use super::request::HttpRequest;
use super::response::HttpResponse;

/// The relay's operators, and under which addresses they manage it.
#[derive(Clone, Debug)]
pub(crate) struct RelayOperators {
    keys: BTreeSet<PublicKey>,
    access: Access,
}

impl RelayOperators {
    /// Those with these keys. What they sign has to name the relay by one of its own hosts: the `Host` header of a request
    /// says what whoever passed it on wanted it to say.
    pub(crate) fn new(keys: BTreeSet<PublicKey>, access: Access) -> Self {
        Self { keys, access }
    }

    /// What can be said before the body is read: nobody is given the reading of one without an authorization.
    pub(crate) fn may_be_read(request: &HttpRequest, length: Option<&str>) -> Result<(), HttpResponse> {
        if request.authorization.is_empty() {
            return Err(unauthorized(request, &HttpAuthError::Scheme));
        }
        let limit = u64::try_from(management::MAX_REQUEST_BYTES).unwrap_or(u64::MAX);
        match length.and_then(|length| length.trim().parse::<u64>().ok()) {
            Some(length) if length > limit => Err(too_long()),
            _ => Ok(()),
        }
    }

    /// Reads what an operator wants; anybody else gets the page that says why not. The relay knows which tokens were used.
    pub(crate) fn admit(
        &self,
        request: &HttpRequest,
        body: &[u8],
        now: Timestamp,
    ) -> Result<SignedCall, HttpResponse> {
        if body.len() > management::MAX_REQUEST_BYTES {
            return Err(too_long());
        }
        let authorized = authorize_body(
            &request.authorization,
            &request.url,
            |url| self.is_own(url),
            &request.method,
            now,
            body,
        );
        let event = authorized.map_err(|error| unauthorized(request, &error))?;
        if !self.keys.contains(&event.pubkey) {
            let who = npub(&event.pubkey);
            let reason = format!("{who} may not manage this relay: ADMIN_PUBKEYS does not name it");
            return Err(page(403, &Err(reason)));
        }
        let body = String::from_utf8_lossy(body);
        let call = Call::parse(&body).map_err(|error| page(200, &Err(error.to_string())))?;
        Ok(SignedCall { token: Token::of(&event), call })
    }

    /// Clients sign the relay's address with any of its schemes, with or without the slash at its end.
    fn is_own(&self, url: &str) -> bool {
        let is_root = Url::parse(url).is_ok_and(|url| url.path() == "/" && url.query().is_none());
        is_root && self.access.is_own_address(None, url)
    }
}

/// The page for what became of a call.
pub(crate) fn answered(answer: Result<ManagementReply, UsedToken>) -> HttpResponse {
    answer.map_or_else(|used| refused(&used.to_string()), |answer| page(200, &answer))
}

/// The page for an answer of the relay's.
pub(crate) fn page(status: u16, answer: &ManagementReply) -> HttpResponse {
    let page = HttpResponse::json(management::reply_json(answer)).of_type(management::CONTENT_TYPE).private();
    HttpResponse { status, ..page }
}

/// The page for a request that is longer than any call.
pub(crate) fn too_long() -> HttpResponse {
    page(413, &Err("the request is too long".to_owned()))
}

fn unauthorized(request: &HttpRequest, error: &HttpAuthError) -> HttpResponse {
    let reason = match error {
        _ if request.authorization.is_empty() => "this is for the relay's operators".to_owned(),
        HttpAuthError::Url { .. } => {
            "the `u` tag must be this relay's own address; if it is, RELAY_URL has to say so".to_owned()
        }
        error => error.to_string(),
    };
    refused(&reason)
}

fn refused(reason: &str) -> HttpResponse {
    let how = "send `Authorization: Nostr <base64>`, an event of kind 27235 (NIP-98) with the tags u, method and payload";
    page(401, &Err(format!("{reason}; {how}"))).with("www-authenticate", "Nostr")
}

#[cfg(test)]
mod tests {
    use openagents_host::http_auth::{authorization, authorization_of_body};
    use openagents_host::{Keys, Timestamp};
    use openagents_relay::Access;
    use openagents_relay::management::{Call, MAX_REQUEST_BYTES};

    use super::RelayOperators;
    use crate::http::request::HttpRequest;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const BODY: &str = r#"{"method":"supportedmethods","params":[]}"#;

    fn keys(number: u8) -> Keys {
        Keys::from_secret(&[number; 32]).unwrap()
    }

    fn operators() -> RelayOperators {
        let access = Access { hosts: ["relay.example".to_owned()].into(), ..Access::default() };
        RelayOperators::new([keys(1).public_key()].into(), access)
    }

    fn request(key: u8, url: &str, body: &str) -> HttpRequest {
        let authorization = if body.is_empty() {
            authorization(&keys(key), url, "POST", NOW)
        } else {
            authorization_of_body(&keys(key), url, "POST", NOW, body.as_bytes())
        };
        HttpRequest { method: "POST".to_owned(), url: "http://whatever.example/".to_owned(), authorization }
    }

    fn status(request: &HttpRequest) -> u16 {
        operators().admit(request, BODY.as_bytes(), NOW).map_or_else(|page| page.status, |_| 200)
    }

    #[test]
    fn admits_who_is_named_and_nobody_else() {
        assert_eq!(
            operators().admit(&request(1, "wss://relay.example", BODY), BODY.as_bytes(), NOW).unwrap().call,
            Call::SupportedMethods
        );
        assert_eq!(status(&request(2, "wss://relay.example", BODY)), 403);
        let nobody = HttpRequest { authorization: String::new(), ..request(1, "wss://relay.example", BODY) };
        let page = operators().admit(&nobody, BODY.as_bytes(), NOW).unwrap_err();
        assert_eq!(page.status, 401);
        assert!(page.headers.contains(&("www-authenticate", "Nostr")) && page.body.contains("payload"));
    }

    #[test]
    fn what_is_signed_is_for_this_relay_and_this_body() {
        for (url, expected) in [
            ("wss://relay.example/", 200),
            ("https://relay.example", 200),
            ("http://RELAY.example:8787/", 200),
            ("https://other.example/", 401),
            ("https://whatever.example/", 401),
            ("https://relay.example/other", 401),
            ("https://relay.example/?x", 401),
        ] {
            assert_eq!(status(&request(1, url, BODY)), expected, "{url}");
        }
        assert_eq!(status(&request(1, "wss://relay.example", "another body")), 401);
        assert_eq!(status(&request(1, "wss://relay.example", "")), 401, "no payload tag");
        let get = HttpRequest { method: "GET".to_owned(), ..request(1, "wss://relay.example", BODY) };
        assert_eq!(status(&get), 401);
    }

    #[test]
    fn says_what_is_wrong_with_a_call_as_json() {
        let body = r#"{"method":"frobnicate"}"#;
        let page =
            operators().admit(&request(1, "wss://relay.example", body), body.as_bytes(), NOW).unwrap_err();
        assert_eq!(page.status, 200);
        assert!(page.body.starts_with(r#"{"error":"there is no method `frobnicate`"#), "{}", page.body);
        let long = "x".repeat(MAX_REQUEST_BYTES + 1);
        let request = request(1, "wss://relay.example", &long);
        assert_eq!(operators().admit(&request, long.as_bytes(), NOW).unwrap_err().status, 413);
    }

    #[test]
    fn refuses_what_it_can_before_the_body_is_read() {
        fn before(request: &HttpRequest, length: Option<&str>) -> Result<(), u16> {
            RelayOperators::may_be_read(request, length).map_err(|page| page.status)
        }
        let somebody = request(2, "wss://relay.example", BODY);
        assert_eq!(before(&somebody, None), Ok(()), "a chunked body has no length");
        assert_eq!(before(&somebody, Some(&MAX_REQUEST_BYTES.to_string())), Ok(()));
        assert_eq!(before(&somebody, Some(&(MAX_REQUEST_BYTES + 1).to_string())), Err(413));
        let nobody = HttpRequest { authorization: String::new(), ..somebody };
        assert_eq!(before(&nobody, Some("1")), Err(401));
    }
}
