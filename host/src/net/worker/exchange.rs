//! One HTTP request in a Worker, without following redirects.

use ::worker::js_sys::Uint8Array;
use ::worker::{ByteStream, Error, Headers, Request, RequestInit, RequestRedirect, ResponseBody};
use futures_util::StreamExt;

use super::AbortOnDrop;
use crate::net::address::Reach;
use crate::net::error::FetchError;
use crate::net::exchange::{Exchange, ExchangeResponse, Method};

/// The body of a response.
pub(crate) struct Body {
    /// `None` if there is no body, as with status 204.
    stream: Option<ByteStream>,
    /// Aborts the request on drop.
    _abort: AbortOnDrop,
}

impl Body {
    /// The next chunk; `None` after the last.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        match &mut self.stream {
            Some(stream) => stream.next().await.transpose().map_err(failure),
            None => Ok(None),
        }
    }
}

pub(crate) async fn exchange(
    exchange: &Exchange,
    _reach: Reach,
) -> Result<ExchangeResponse<Body>, FetchError> {
    let (mut response, abort) =
        AbortOnDrop::send(request(exchange).map_err(failure)?).await.map_err(failure)?;
    let header = |name| response.headers().get(name).ok().flatten();
    let location = header("location");
    let content_type = header("content-type");
    let content_length = header("content-length").and_then(|length| length.parse().ok());
    let stream = match response.body() {
        ResponseBody::Empty => None,
        _ => Some(response.stream().map_err(failure)?),
    };
    Ok(ExchangeResponse {
        status: response.status_code(),
        location,
        content_type,
        content_length,
        body: Body { stream, _abort: abort },
    })
}

fn request(exchange: &Exchange) -> Result<Request, Error> {
    let headers = Headers::new();
    for (name, value) in &exchange.headers {
        // The values are ASCII.
        headers.append(name.as_str(), value.to_str().unwrap_or_default())?;
    }
    let mut init = RequestInit::new();
    init.with_headers(headers).with_redirect(RequestRedirect::Manual).with_method(match exchange.method {
        Method::Get => ::worker::Method::Get,
        Method::Post => ::worker::Method::Post,
    });
    if exchange.method == Method::Post {
        init.with_body(Some(Uint8Array::from(exchange.body.as_slice()).into()));
    }
    Request::new_with_init(exchange.url.as_str(), &init)
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn failure(error: Error) -> FetchError {
    FetchError::Network(error.to_string())
}
