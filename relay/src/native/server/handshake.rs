//! The WebSocket handshake (RFC 6455, section 4.2): the response that accepts it.

use hyper::upgrade::OnUpgrade;
use openagents_host::http::{Body, HeaderValue, Request, Response, StatusCode, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The only version of the WebSocket protocol.
const VERSION: &[u8] = b"13";

/// Why a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("Sec-WebSocket-Key header is missing")]
    MissingKey,
    #[error("Sec-WebSocket-Version must be 13")]
    Version,
    #[error("the Sec-WebSocket-Accept header cannot be written")]
    Accept,
}

/// The response that accepts a handshake, and the connection, which is usable once the response has been sent.
pub(super) fn accept(request: &mut Request) -> Result<(Response, OnUpgrade), HandshakeError> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).ok_or(HandshakeError::MissingKey)?;
    if request.headers().get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(VERSION) {
        return Err(HandshakeError::Version);
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let accept = accept.map_err(|_| HandshakeError::Accept)?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok((response, hyper::upgrade::on(request)))
}

#[cfg(test)]
mod tests {
    use openagents_host::http::{Body, HeaderName, Request, StatusCode};

    use super::{HandshakeError, accept};

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Body::Empty);
        for (name, value) in headers {
            request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        request
    }

    #[test]
    fn answers_the_key_of_the_rfc() {
        let mut asked =
            request(&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13")]);
        let (response, _) = accept(&mut asked).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn refuses_a_request_without_a_key_or_of_another_version() {
        for (headers, expected) in [
            (&[("sec-websocket-version", "13")][..], HandshakeError::MissingKey),
            (&[("sec-websocket-key", "x"), ("sec-websocket-version", "8")], HandshakeError::Version),
            (&[("sec-websocket-key", "x")], HandshakeError::Version),
        ] {
            assert_eq!(accept(&mut request(headers)).err(), Some(expected));
        }
    }
}
