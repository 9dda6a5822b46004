//! One HTTP/1.1 request on a connection of its own (native).

use bytes::Bytes;
use http::uri::{PathAndQuery, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use url::Url;

use super::dial::{DialError, dial};
use crate::net::address::Reach;
use crate::net::error::FetchError;
use crate::net::exchange::{Exchange, ExchangeResponse, Method};

/// The body of a response.
pub(crate) struct Body {
    incoming: Incoming,
    /// The task that drives the connection; aborted on drop.
    _connection: JoinSet<()>,
}

impl Body {
    /// The next chunk; `None` after the last.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        while let Some(frame) = self.incoming.frame().await {
            // Frames without data are trailers.
            if let Ok(data) = frame.map_err(failure)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

pub(crate) async fn exchange(
    exchange: &Exchange,
    reach: Reach,
) -> Result<ExchangeResponse<Body>, FetchError> {
    let request = request(exchange)?;
    let stream = dial(&exchange.url, reach).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failure)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Failures of the connection are also reported to the waiting request.
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.map_err(failure)?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    Ok(ExchangeResponse {
        status: response.status().as_u16(),
        location: header(http::header::LOCATION).map(str::to_owned),
        content_type: header(http::header::CONTENT_TYPE).map(str::to_owned),
        content_length: header(http::header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        body: Body { incoming: response.into_body(), _connection: driver },
    })
}

fn request(exchange: &Exchange) -> Result<http::Request<Full<Bytes>>, FetchError> {
    let method = match exchange.method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
    };
    let mut request = http::Request::builder()
        .method(method)
        .uri(target(&exchange.url)?)
        .header(http::header::HOST, authority(&exchange.url))
        .body(Full::from(exchange.body.clone()))
        .map_err(unsendable)?;
    for (name, value) in &exchange.headers {
        request.headers_mut().append(name, value.clone());
    }
    Ok(request)
}

/// The request target: path and query.
fn target(url: &Url) -> Result<Uri, FetchError> {
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

fn unsendable(error: impl Into<http::Error>) -> FetchError {
    FetchError::Network(error.into().to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn failure(error: hyper::Error) -> FetchError {
    FetchError::Network(error.to_string())
}

impl From<DialError> for FetchError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Address(error) => error.into(),
            error => Self::Network(error.to_string()),
        }
    }
}
