//! Test requests for handlers, and readers of their responses.

use openagents_host::http::{Body, HeaderName, Parts, Request, Response};

/// The head of a request as a native host gets it, with the host in a header.
pub(super) fn parts(method: &str, url: &str, headers: &[(&str, &str)]) -> Parts {
    let (_, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut parts = Request::new(Body::Empty).into_parts().0;
    (parts.method, parts.uri) = (method.parse().unwrap(), path.parse().unwrap());
    for (name, value) in [("host", host)].iter().chain(headers) {
        parts.headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    parts
}

pub(super) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

pub(super) fn text(response: Response) -> String {
    match response.into_body() {
        Body::Empty => String::new(),
        Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Body::Stream(stream) => panic!("{stream:?} is in no memory"),
    }
}
