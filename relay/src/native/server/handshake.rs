//! The WebSocket handshake (RFC 6455, section 4.2): whether a request asks for it, and the response that accepts it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The only version of the protocol.
const VERSION: &[u8] = b"13";

/// Why a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("Sec-WebSocket-Key header is missing")]
    MissingKey,
    #[error("Sec-Websocket-Version must be 13")]
    Version,
    #[error("the Sec-WebSocket-Accept header cannot be written")]
    Accept,
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_requested<B>(request: &Request<B>) -> bool {
    lists(request.headers(), &header::CONNECTION, b"upgrade")
        && lists(request.headers(), &header::UPGRADE, b"websocket")
}

/// The response that accepts a handshake, and the connection once that is sent.
pub(super) fn accept<B>(
    request: &mut Request<B>,
) -> Result<(Response<Full<Bytes>>, OnUpgrade), HandshakeError> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).ok_or(HandshakeError::MissingKey)?;
    if request.headers().get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(VERSION) {
        return Err(HandshakeError::Version);
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let accept = accept.map_err(|_| HandshakeError::Accept)?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok((response, hyper::upgrade::on(request)))
}

/// Whether a header, which may be there more than once, lists a value.
fn lists(headers: &HeaderMap, name: &header::HeaderName, value: &[u8]) -> bool {
    headers.get_all(name).iter().any(|listed| {
        listed
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(value))
    })
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::{HandshakeError, accept, is_requested};

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        headers
            .iter()
            .fold(Request::builder(), |request, (name, value)| request.header(*name, *value))
            .body(())
            .unwrap()
    }

    #[test]
    fn recognizes_a_request_whatever_else_its_headers_list() {
        for (headers, expected) in [
            (&[("connection", "Upgrade"), ("upgrade", "websocket")][..], true),
            (&[("connection", "keep-alive, UPGRADE"), ("upgrade", "h2c,WebSocket")], true),
            (&[("connection", "keep-alive"), ("connection", "upgrade"), ("upgrade", "websocket")], true),
            (&[("connection", "keep-alive"), ("upgrade", "websocket")], false),
            (&[("connection", "upgrade"), ("upgrade", "websockets")], false),
            (&[("upgrade", "websocket")], false),
        ] {
            assert_eq!(is_requested(&request(headers)), expected, "{headers:?}");
        }
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
