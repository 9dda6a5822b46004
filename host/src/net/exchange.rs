//! One HTTP request to one address, and the head of its response: the interface that each host implements.

use http::header::HeaderMap;
use url::Url;

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Retrieves a resource.
    #[default]
    Get,
    /// Sends data to a resource.
    Post,
}

/// One request to one address, without following redirects.
pub(crate) struct Exchange {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The head of a response, and the host's type for reading its body.
pub(crate) struct ExchangeResponse<B> {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) content_length: Option<usize>,
    pub(crate) body: B,
}
