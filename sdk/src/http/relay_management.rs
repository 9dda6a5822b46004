//! `POST /` with `application/nostr+json+rpc`: relay management (NIP-86), authenticated by a signed event (NIP-98).

use std::collections::BTreeSet;

use openagents_blossom::{BlobError, OwnerBan};
use openagents_host::Timestamp;
use openagents_host::http::response::with_header;
use openagents_host::http::{
    Body, BodyError, Bytes, HeaderValue, Parts, Response, StatusCode, header, header_text, request_url,
};
use openagents_host::nostr::http_auth::{HttpAuthError, authorize_body};
use openagents_host::nostr::keys::npub;
use openagents_relay::management::{
    Call, MAX_REQUEST_BYTES, ManagementReply, SignedCall, Token, UsedToken, reply_response,
};
use url::Url;

use super::authority::{Authority, path_prefix};
use crate::settings::Operators;

/// The relay's operators, and the URLs that they may sign.
#[derive(Clone, Debug)]
pub(crate) struct RelayManagement {
    operators: Operators,
    own: BTreeSet<Authority>,
    /// The relay's public URL, if it is known.
    url: Option<String>,
    prefix: String,
}

impl RelayManagement {
    /// The signed URL must name one of the relay's own authorities: another port may be another relay, to which its
    /// operator's tokens are sent. The `Host` header is not proof enough: whoever forwards a request can choose it.
    pub(crate) fn new(operators: Operators, own: BTreeSet<Authority>, url: Option<String>) -> Self {
        let prefix = path_prefix(url.as_deref());
        Self { operators, own, url, prefix }
    }

    /// Reads the body of a request, but only if it has an `Authorization` header.
    pub(crate) async fn read_body(parts: &Parts, body: Body) -> Result<Bytes, Response> {
        if authorization(parts).is_empty() {
            return Err(unauthorized(parts, None, &HttpAuthError::Scheme));
        }
        body.read_to_end(MAX_REQUEST_BYTES).await.map_err(|error| match error {
            BodyError::TooLong { .. } => too_long(),
            error => refusal(StatusCode::BAD_REQUEST, format!("the request body cannot be read: {error}")),
        })
    }

    /// Parses an operator's call; for anyone else, returns the error response. The relay checks whether the token was
    /// used before.
    pub(crate) fn signed_call(
        &self,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<SignedCall, Response> {
        let url = request_url(parts).unwrap_or_default();
        let (authorization, method) = (authorization(parts), parts.method.as_str());
        let event = authorize_body(authorization, &url, &|url| self.is_own(url), method, now, body)
            .map_err(|error| unauthorized(parts, self.url.as_deref(), &error))?;
        if !self.operators.contains(&event.pubkey) {
            let who = npub(&event.pubkey);
            let reason = format!("{who} may not manage this relay: it is not in ADMIN_PUBKEYS");
            return Err(refusal(StatusCode::FORBIDDEN, reason));
        }
        let body = String::from_utf8_lossy(body);
        let call = Call::parse(&body).map_err(|error| refusal(StatusCode::OK, error.to_string()))?;
        Ok(SignedCall { token: Token::of(&event), call })
    }

    /// Clients sign the relay's URL with any of its schemes, with or without a trailing slash, and with or without the
    /// path of the public one.
    fn is_own(&self, url: &str) -> bool {
        let is_root = Url::parse(url).is_ok_and(|url| {
            let path = url.path().trim_end_matches('/');
            (path.is_empty() || path == self.prefix) && url.query().is_none()
        });
        is_root && Authority::of(url).is_some_and(|authority| self.own.contains(&authority))
    }
}

/// The response to a call that the relay handled.
pub(crate) fn reply(reply: Result<ManagementReply, UsedToken>) -> Response {
    match reply {
        Ok(reply) => reply_response(StatusCode::OK, &reply),
        Err(used) => challenge(&used.to_string()),
    }
}

/// What a call that the relay has handled means for the blob server: whoever is banned may not upload, and owns nothing.
pub(crate) fn owner_ban(call: &Call) -> Option<OwnerBan> {
    match call {
        Call::BanPubkey(key, _) => Some(OwnerBan::Ban(*key)),
        Call::UnbanPubkey(key) => Some(OwnerBan::Unban(*key)),
        _ => None,
    }
}

/// The response if the relay has carried out a call, and the blob server has not.
pub(crate) fn unapplied(error: &BlobError) -> Response {
    let reason =
        format!("the relay has done this, but the blob server has not ({error}): send the call again");
    refusal(StatusCode::OK, reason)
}

/// The response to a call that could not be carried out.
pub(crate) fn refusal(status: StatusCode, reason: String) -> Response {
    reply_response(status, &Err(reason))
}

fn too_long() -> Response {
    refusal(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long".to_owned())
}

fn authorization(parts: &Parts) -> &str {
    header_text(&parts.headers, &header::AUTHORIZATION)
}

fn unauthorized(parts: &Parts, url: Option<&str>, error: &HttpAuthError) -> Response {
    challenge(&match (error, url) {
        _ if authorization(parts).is_empty() => "this is only for the relay's operators".to_owned(),
        (HttpAuthError::Url { .. }, Some(url)) => {
            format!("the `u` tag must be this relay's URL, {url}, or the same with `https`")
        }
        (HttpAuthError::Url { .. }, None) => {
            "the `u` tag must be this relay's URL; if it is, set RELAY_URL to it".to_owned()
        }
        (error, _) => error.to_string(),
    })
}

fn challenge(reason: &str) -> Response {
    let how = "send `Authorization: Nostr <base64>`, an event of kind 27235 (NIP-98) with the tags u, method and payload";
    let response = refusal(StatusCode::UNAUTHORIZED, format!("{reason}; {how}"));
    with_header(response, header::WWW_AUTHENTICATE, HeaderValue::from_static("Nostr"))
}

#[cfg(test)]
mod tests {
    use openagents_host::http::{Body, Parts, Response};
    use openagents_host::nostr::http_auth::{authorization, authorization_of_body};
    use openagents_host::{Keys, Timestamp};
    use openagents_relay::management::{Call, MAX_REQUEST_BYTES, SignedCall};

    use super::{Authority, RelayManagement};
    use crate::http::fixtures::{header, parts, text};
    use crate::settings::Operators;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const BODY: &str = r#"{"method":"supportedmethods","params":[]}"#;

    fn keys(number: u8) -> Keys {
        Keys::from_secret(&[number; 32]).unwrap()
    }

    fn request_of(method: &str, authorization: Option<&str>) -> Parts {
        let headers = authorization.map(|value| ("authorization", value));
        parts(method, "http://whatever.example/", headers.as_slice())
    }

    fn request(key: u8, url: &str, body: &str) -> Parts {
        let authorization = if body.is_empty() {
            authorization(&keys(key), url, "POST", NOW)
        } else {
            authorization_of_body(&keys(key), url, "POST", NOW, body.as_bytes())
        };
        request_of("POST", Some(&authorization))
    }

    fn read(request: &Parts, body: &str) -> Result<SignedCall, Response> {
        let own = [Authority::new("relay.example", None), Authority::new("127.0.0.1", Some(8_787))].into();
        let url = Some("wss://relay.example".to_owned());
        let management = RelayManagement::new(Operators::from_iter([keys(1).public_key()]), own, url);
        management.signed_call(request, body.as_bytes(), NOW)
    }

    fn status(request: &Parts) -> u16 {
        read(request, BODY).map_or_else(|response| response.status().as_u16(), |_| 200)
    }

    #[test]
    fn admits_who_is_named_and_nobody_else() {
        let call = read(&request(1, "wss://relay.example", BODY), BODY).unwrap().call;
        assert_eq!(call, Call::SupportedMethods);
        assert_eq!(status(&request(2, "wss://relay.example", BODY)), 403);
        let response = read(&request_of("POST", None), BODY).unwrap_err();
        assert_eq!((response.status().as_u16(), header(&response, "www-authenticate")), (401, "Nostr"));
        assert!(text(response).contains("payload"));
    }

    #[test]
    fn what_is_signed_is_for_this_relay_and_this_body() {
        for (url, expected) in [
            ("wss://relay.example/", 200),
            ("https://relay.example", 200),
            ("http://RELAY.example:80/", 200),
            ("ws://127.0.0.1:8787/", 200),
            ("http://RELAY.example:8787/", 401),
            ("ws://127.0.0.1:8788/", 401),
            ("ws://127.0.0.1/", 401),
            ("https://other.example/", 401),
            ("https://whatever.example/", 401),
            ("https://relay.example/other", 401),
            ("https://relay.example/?x", 401),
        ] {
            assert_eq!(status(&request(1, url, BODY)), expected, "{url}");
        }
        let elsewhere = read(&request(1, "https://other.example/", BODY), BODY).unwrap_err();
        assert!(text(elsewhere).contains("this relay's URL, wss://relay.example, or"));
        assert_eq!(status(&request(1, "wss://relay.example", "another body")), 401);
        assert_eq!(status(&request(1, "wss://relay.example", "")), 401, "no payload tag");
        let signed = authorization_of_body(&keys(1), "wss://relay.example", "POST", NOW, BODY.as_bytes());
        assert_eq!(status(&request_of("GET", Some(&signed))), 401);
    }

    #[test]
    fn the_path_of_the_public_url_may_be_signed() {
        let own = [Authority::new("relay.example", None)].into();
        let url = Some("wss://relay.example/nostr/".to_owned());
        let management = RelayManagement::new(Operators::from_iter([keys(1).public_key()]), own, url);
        for (url, expected) in [
            ("wss://relay.example/nostr/", true),
            ("https://relay.example/nostr", true),
            ("https://relay.example/", true),
            ("https://relay.example/nostr/x", false),
            ("https://relay.example/other", false),
            ("https://other.example/nostr", false),
        ] {
            let called = management.signed_call(&request(1, url, BODY), BODY.as_bytes(), NOW);
            assert_eq!(called.is_ok(), expected, "{url}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_call_as_json() {
        let body = r#"{"method":"frobnicate"}"#;
        let response = read(&request(1, "wss://relay.example", body), body).unwrap_err();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(header(&response, "content-type"), "application/nostr+json+rpc");
        let text = text(response);
        assert!(text.starts_with(r#"{"error":"the method `frobnicate`"#), "{text}");
    }

    #[tokio::test]
    async fn reads_no_body_of_a_stranger_and_none_that_is_too_long() {
        async fn status(request: &Parts, length: usize) -> u16 {
            let body = Body::from("x".repeat(length));
            let read = RelayManagement::read_body(request, body).await;
            read.map_or_else(|response| response.status().as_u16(), |_| 200)
        }
        let somebody = request(2, "wss://relay.example", BODY);
        assert_eq!(status(&somebody, MAX_REQUEST_BYTES).await, 200);
        assert_eq!(status(&somebody, MAX_REQUEST_BYTES + 1).await, 413);
        assert_eq!(status(&request_of("POST", None), 1).await, 401);
    }
}
