//! HTTP messages between hyper and [`crate::http`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::Method;
use http::header::{CONNECTION, UPGRADE};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use crate::http::message::{lists, without_forbidden_body};
use crate::http::{Body, BodyError, ByteStream, Request, Response};

/// A request that hyper received. It can still be upgraded by `hyper::upgrade::on`.
///
/// An `Upgrade` header that `Connection` does not name applies to nobody (RFC 9110, 7.8), so it is removed.
#[must_use]
pub fn request(mut request: http::Request<Incoming>) -> Request {
    if !lists(request.headers(), &CONNECTION, UPGRADE.as_str()) {
        request.headers_mut().remove(UPGRADE);
    }
    request.map(body)
}

/// A body that hyper receives.
pub(crate) fn body(incoming: Incoming) -> Body {
    if incoming.is_end_stream() {
        return Body::Empty;
    }
    let length = incoming.size_hint().exact();
    let stream = ByteStream::new(Box::pin(IncomingChunks(incoming)));
    match length {
        Some(length) => stream.with_length(length).into(),
        None => stream.into(),
    }
}

struct IncomingChunks(Incoming);

impl Stream for IncomingChunks {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Frames without data are trailers.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(BodyError::Interrupted(error.to_string()))));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

/// A response in the form that hyper sends in answer to this `method`: see `without_forbidden_body`.
#[must_use]
pub fn response(response: Response, method: &Method) -> http::Response<HyperBody> {
    without_forbidden_body(response, method).map(HyperBody)
}

/// A [`Body`] for hyper. Chunks are sent as they arrive; the length, if known, becomes `Content-Length`.
#[derive(Debug, Default)]
pub struct HyperBody(Body);

impl From<Body> for HyperBody {
    fn from(body: Body) -> Self {
        Self(body)
    }
}

impl hyper::body::Body for HyperBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Body::Empty => Poll::Ready(None),
            Body::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Body::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Body::Stream(stream) => {
                let chunk = ready!(Pin::new(stream).poll_next(context));
                Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Body::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.length().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream::iter;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{request, response};
    use crate::http::response::{bytes, empty, text};
    use crate::http::{ByteStream, HeaderValue, Response, StatusCode, is_websocket_upgrade};

    fn stream() -> ByteStream {
        ByteStream::new(Box::pin(iter(["ab", "cd"].map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))))))
    }

    async fn answer(request: crate::http::Request) -> Response {
        let (parts, body) = request.into_parts();
        match parts.uri.path() {
            "/text" => text(StatusCode::OK, "text"),
            "/stream" => Response::new(stream().into()),
            "/known" => Response::new(stream().with_length(4).into()),
            "/204" => empty(StatusCode::NO_CONTENT),
            "/upgrade" => text(StatusCode::OK, is_websocket_upgrade(&parts.headers).to_string()),
            "/304" => bytes(StatusCode::NOT_MODIFIED, HeaderValue::from_static("a/b"), "left out"),
            _ => {
                let length = body.length();
                match body.read_to_end(6).await {
                    Ok(body) => {
                        text(StatusCode::OK, format!("{length:?} {}", String::from_utf8_lossy(&body)))
                    }
                    Err(error) => text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
                }
            }
        }
    }

    /// The bytes that a server sends in answer to this request.
    async fn exchange(sent: &str) -> String {
        let (client, server) = tokio::io::duplex(1 << 16);
        let service = service_fn(async |received| {
            let received = request(received);
            let method = received.method().clone();
            Ok::<_, Infallible>(response(answer(received).await, &method))
        });
        let served = async {
            let http1 = hyper::server::conn::http1::Builder::new();
            let _ = http1.serve_connection(TokioIo::new(server), service).await;
        };
        let (mut client, sent) = (client, sent.replace('\n', "\r\n"));
        let asked = async {
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut answered = String::new();
            client.read_to_string(&mut answered).await.unwrap();
            answered
        };
        tokio::join!(served, asked).1
    }

    async fn get(method: &str, path: &str) -> (String, String) {
        let answered = exchange(&format!("{method} {path} HTTP/1.1\nhost: a\nconnection: close\n\n")).await;
        let (head, body) = answered.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    #[tokio::test]
    async fn sends_bytes_and_streams_with_their_length_where_it_is_known() {
        for path in ["/text", "/known"] {
            let (head, body) = get("GET", path).await;
            assert!(head.contains("content-length: 4") && !head.contains("chunked"), "{head}");
            assert!(body == "text" || body == "abcd", "{body}");
        }
        let (head, body) = get("GET", "/stream").await;
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert_eq!(body, "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
    }

    #[tokio::test]
    async fn head_keeps_the_length_and_leaves_out_the_body() {
        for path in ["/text", "/known"] {
            let (head, body) = get("HEAD", path).await;
            assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 4"), "{head}");
            assert_eq!(body, "");
        }
        let (head, body) = get("HEAD", "/stream").await;
        assert!(head.starts_with("http/1.1 200") && !head.contains("content-length"), "{head}");
        assert_eq!(body, "");
    }

    #[tokio::test]
    async fn statuses_without_a_body_have_neither_body_nor_length() {
        for path in ["/204", "/304"] {
            let (head, body) = get("GET", path).await;
            assert!(!head.contains("content-length") && !head.contains("chunked"), "{head}");
            assert_eq!(body, "");
        }
    }

    #[tokio::test]
    async fn upgrade_counts_only_if_connection_names_it() {
        let get = "GET /upgrade HTTP/1.1\nhost: a\nupgrade: websocket\n";
        for (connection, expected) in
            [("close, Upgrade", "true"), ("close\nconnection: UPGRADE", "true"), ("close", "false")]
        {
            let answered = exchange(&format!("{get}connection: {connection}\n\n")).await;
            assert!(answered.ends_with(&format!("\r\n\r\n{expected}")), "{answered}");
        }
    }

    #[tokio::test]
    async fn reads_bodies_with_and_without_a_length() {
        let (_, nothing) = get("GET", "/body").await;
        assert_eq!(nothing, "Some(0) ");
        let post = "POST /body HTTP/1.1\nhost: a\nconnection: close\n";
        let known = exchange(&format!("{post}content-length: 4\n\nabcd")).await;
        assert!(known.ends_with("\r\n\r\nSome(4) abcd"), "{known}");
        let chunked = exchange(&format!("{post}transfer-encoding: chunked\n\n2\nab\n2\ncd\n0\n\n")).await;
        assert!(chunked.ends_with("\r\n\r\nNone abcd"), "{chunked}");
        for rest in ["content-length: 7\n\nabcdefg", "transfer-encoding: chunked\n\n7\nabcdefg\n0\n\n"] {
            let too_long = exchange(&format!("{post}{rest}")).await;
            assert!(too_long.starts_with("HTTP/1.1 413"), "{too_long}");
        }
    }
}
