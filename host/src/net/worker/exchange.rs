//! One HTTP request in a Worker, without following redirects.

use ::worker::js_sys::Uint8Array;
use ::worker::{Error, Headers, Request, RequestRedirect, web_sys};
use futures_util::StreamExt;

use super::AbortOnDrop;
use crate::http::{Body, ByteStream, Response};
use crate::net::error::HttpError;
use crate::net::exchange::Exchange;
use crate::worker::http as worker_http;

pub(crate) async fn exchange(exchange: Exchange) -> Result<Response, HttpError> {
    let request = request(exchange).map_err(failure)?;
    let (response, abort) = AbortOnDrop::send(request).await.map_err(failure)?;
    let response = worker_http::fetched(response).map_err(failure)?;
    Ok(response.map(|body| match body {
        Body::Stream(stream) => guarded(stream, abort).into(),
        other => other,
    }))
}

/// A body whose request is aborted when it is dropped.
fn guarded(stream: ByteStream, abort: AbortOnDrop) -> ByteStream {
    let length = stream.length();
    let guarded = ByteStream::new(Box::pin(stream.inspect(move |_| {
        let _ = &abort;
    })));
    match length {
        Some(length) => guarded.with_length(length),
        None => guarded,
    }
}

fn request(exchange: Exchange) -> Result<Request, Error> {
    let headers = Headers::new();
    for (name, value) in &exchange.headers {
        // The values are ASCII.
        headers.append(name.as_str(), value.to_str().unwrap_or_default())?;
    }
    let init = web_sys::RequestInit::new();
    init.set_headers(headers.as_ref());
    init.set_redirect(RequestRedirect::Manual.into());
    init.set_method(exchange.method.as_str());
    match exchange.body {
        Body::Empty => {}
        Body::Bytes(bytes) => init.set_body(&Uint8Array::from(&*bytes)),
        Body::Stream(stream) => {
            let stream = worker_http::readable(stream)?;
            init.set_body(&stream);
        }
    }
    Ok(web_sys::Request::new_with_str_and_init(exchange.url.as_str(), &init)?.into())
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn failure(error: Error) -> HttpError {
    HttpError::Network(error.to_string())
}
