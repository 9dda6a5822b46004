//! HTTP messages between the Workers runtime and [`crate::http`].
//!
//! The `worker` crate's own conversions panic on unexpected input, and copy more of a request than needed.

use ::worker::web_sys::ReadableStream;
use ::worker::worker_sys::FixedLengthStream as RawFixedLengthStream;
use ::worker::{Error, FixedLengthStream, Headers, ResponseBody, ResponseBuilder, Result};
use futures_util::StreamExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::http::message::without_forbidden_body;
use crate::http::{Body, BodyError, ByteStream, Parts, Request, Response, header_text};

/// A request received from the runtime. Its URL is absolute.
///
/// # Errors
/// When HTTP does not allow its URL or method.
pub fn request(mut request: ::worker::Request) -> Result<Request> {
    Ok(Request::from_parts(parts(&request)?, body(&mut request)?))
}

/// The head of a request received from the runtime. Its URL is absolute.
///
/// # Errors
/// When HTTP does not allow its URL or method.
pub fn parts(request: &::worker::Request) -> Result<Parts> {
    let empty = http::Request::builder()
        .method(request.method().as_ref())
        .uri(request.url()?.as_str())
        .body(())
        .map_err(|error| Error::RustError(error.to_string()))?;
    let (mut parts, ()) = empty.into_parts();
    parts.headers = header_map(request.headers());
    Ok(parts)
}

/// Takes the body of a request, which can be done once.
///
/// # Errors
/// When it was already taken.
pub fn body(request: &mut ::worker::Request) -> Result<Body> {
    if request.inner().body().is_none() {
        return Ok(Body::Empty);
    }
    let length = request.headers().get(CONTENT_LENGTH.as_str())?;
    Ok(stream(request.stream()?, length.as_deref()).into())
}

/// The response to a `fetch`, for example from another object.
///
/// # Errors
/// When HTTP does not allow its status.
pub fn fetched(mut response: ::worker::Response) -> Result<Response> {
    let status = StatusCode::from_u16(response.status_code());
    let headers = header_map(response.headers());
    let body = match response.body() {
        ResponseBody::Empty => Body::Empty,
        _ => stream(response.stream()?, Some(header_text(&headers, &CONTENT_LENGTH))).into(),
    };
    let mut fetched = Response::new(body);
    *fetched.status_mut() = status.map_err(|error| Error::RustError(error.to_string()))?;
    *fetched.headers_mut() = headers;
    Ok(fetched)
}

/// A copy of a fetched response whose headers can be changed. The body stays in the runtime, which passes it on
/// without copying it into this program's memory.
#[must_use]
pub fn with_mutable_headers(response: ::worker::Response) -> ::worker::Response {
    let headers = response.headers().clone();
    let status = response.status_code();
    let (_, body) = response.into_parts();
    ResponseBuilder::new().with_status(status).with_headers(headers).body(body)
}

/// A response in the form that the runtime sends in answer to this `method`: see [`without_forbidden_body`].
///
/// # Errors
/// When the runtime refuses a header.
pub fn response(response: Response, method: &Method) -> Result<::worker::Response> {
    let (parts, body) = without_forbidden_body(response, method).into_parts();
    let headers = headers(&parts.headers)?;
    let body = match body {
        Body::Empty => ResponseBody::Empty,
        Body::Bytes(bytes) => ResponseBody::Body(bytes.into()),
        Body::Stream(stream) => ResponseBody::Stream(readable(stream)?),
    };
    Ok(ResponseBuilder::new().with_status(parts.status.as_u16()).with_headers(headers).body(body))
}

/// Headers for the runtime.
///
/// # Errors
/// When it refuses one.
pub fn headers(map: &HeaderMap) -> Result<Headers> {
    let headers = Headers::new();
    for (name, value) in map {
        let value = value.to_str().map_err(|error| Error::RustError(error.to_string()))?;
        headers.append(name.as_str(), value)?;
    }
    Ok(headers)
}

/// A stream that the runtime reads, for example as the body of a request.
///
/// # Errors
/// When the runtime makes no stream.
pub fn readable(stream: ByteStream) -> Result<ReadableStream> {
    let length = stream.length();
    let chunks = stream.map(|chunk| match chunk {
        Ok(chunk) => Ok(chunk.into()),
        Err(error) => Err(Error::RustError(error.to_string())),
    });
    match length {
        // The runtime sends this as `Content-Length`.
        Some(length) => {
            let stream = RawFixedLengthStream::from(FixedLengthStream::wrap(chunks, length));
            Ok(stream.readable())
        }
        None => {
            let (_, body) = ::worker::Response::from_stream::<_>(chunks)?.into_parts();
            match body {
                ResponseBody::Stream(stream) => Ok(stream),
                _ => Err(Error::RustError("the runtime made no stream".to_owned())),
            }
        }
    }
}

fn stream(stream: ::worker::ByteStream, length: Option<&str>) -> ByteStream {
    let chunks = stream.map(|chunk| match chunk {
        Ok(chunk) => Ok(chunk.into()),
        Err(error) => Err(BodyError::Interrupted(error.to_string())),
    });
    let stream = ByteStream::new(Box::pin(chunks));
    match length.and_then(|length| length.trim().parse().ok()) {
        Some(length) => stream.with_length(length),
        None => stream,
    }
}

/// Converts the runtime's headers. Those that the `http` crate does not accept are left out; the runtime does not
/// produce any.
fn header_map(headers: &Headers) -> HeaderMap {
    let pairs = headers.entries().filter_map(|(name, value)| {
        let name = HeaderName::try_from(name).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    map
}
