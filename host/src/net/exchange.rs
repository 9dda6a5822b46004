//! One HTTP request to one address: the interface that each host, and the test kit, implements.

use http::Method;
use http::header::HeaderMap;
use url::Url;

use super::address::Reach;
use crate::http::Body;

/// One request to one address, without following redirects.
#[derive(Debug)]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// The URL, which may be reached as far as its text tells.
    pub url: Url,
    /// The headers, except those that frame the message. Their values are ASCII.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// Which addresses the name in the URL may resolve to.
    pub reach: Reach,
}
