//! One HTTP/1.1 request on a connection of its own (native).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::uri::{PathAndQuery, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use url::Url;

use super::dial::{DialError, dial};
use crate::http::{Body, BodyError, ByteStream, Response};
use crate::native::http::{HyperBody, body};
use crate::net::error::HttpError;
use crate::net::exchange::Exchange;

pub(crate) async fn exchange(exchange: Exchange) -> Result<Response, HttpError> {
    let stream = dial(&exchange.url, exchange.reach).await?;
    let request = request(exchange)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failure)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Failures of the connection are also reported to the waiting request.
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.map_err(failure)?;
    Ok(response.map(|incoming| match body(incoming) {
        Body::Stream(stream) => driven(stream, driver).into(),
        other => other,
    }))
}

/// A body with the task that drives its connection, which is aborted when the body is dropped.
fn driven(stream: ByteStream, driver: JoinSet<()>) -> ByteStream {
    let length = stream.length();
    let driven = ByteStream::new(Box::pin(DrivenStream { stream, _driver: driver }));
    match length {
        Some(length) => driven.with_length(length),
        None => driven,
    }
}

struct DrivenStream {
    stream: ByteStream,
    _driver: JoinSet<()>,
}

impl Stream for DrivenStream {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.stream).poll_next(context)
    }
}

fn request(exchange: Exchange) -> Result<http::Request<HyperBody>, HttpError> {
    let Exchange { method, url, headers, body, .. } = exchange;
    let mut request = http::Request::builder()
        .method(method)
        .uri(target(&url)?)
        .header(http::header::HOST, authority(&url))
        .body(HyperBody::from(body))
        .map_err(unsendable)?;
    for (name, value) in &headers {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
}

/// The request target: path and query.
fn target(url: &Url) -> Result<Uri, HttpError> {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    PathAndQuery::try_from(target).map(Uri::from).map_err(unsendable)
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn unsendable(error: impl Into<http::Error>) -> HttpError {
    HttpError::Network(error.into().to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn failure(error: hyper::Error) -> HttpError {
    HttpError::Network(error.to_string())
}

impl From<DialError> for HttpError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Address(error) => error.into(),
            error => Self::Connect(error.to_string()),
        }
    }
}
