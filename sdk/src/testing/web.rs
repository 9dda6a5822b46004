//! `Page`: HTTP responses that a test serves to its agent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openagents_host::net::{FetchError, FetchRequest, Fetched, Reach, Url, public_url};

use super::failure::OrFail;

/// A response to an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status code.
    pub status: u16,
    /// The `content-type` header.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Page {
    /// A page with this content type and status 200.
    pub fn new(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, content_type: Some(content_type.into()), body: body.into() }
    }

    /// A JSON page with status 200.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self::new("application/json", value.to_string())
    }

    /// An empty page with this status code, such as 404.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, content_type: None, body: Vec::new() }
    }
}

type PageServer = Box<dyn Fn(&FetchRequest) -> Page + Send + Sync>;

#[derive(Default)]
pub(super) struct Web(Mutex<Sites>);

#[derive(Default)]
struct Sites {
    servers: BTreeMap<Url, PageServer>,
    fetches: Vec<FetchRequest>,
}

impl Web {
    #[track_caller]
    pub(super) fn serve(&self, url: &str, server: PageServer) {
        let url = address(url, Reach::Anywhere).or_fail(format_args!("`{url}` cannot be served"));
        self.sites().servers.insert(url, server);
    }

    /// Responds like the real network: forbidden addresses are refused, and so are bodies that are too large.
    pub(super) fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let mut sites = self.sites();
        sites.fetches.push(request.clone());
        let url = address(&request.url, Reach::Public)?;
        let Some(server) = sites.servers.get(&url) else {
            return Err(FetchError::Network(format!(
                "the test serves nothing at {url}: see `TestAgent::serve`"
            )));
        };
        let Page { status, content_type, body } = server(request);
        let limit = request.limits.max_bytes;
        if body.len() > limit {
            return Err(FetchError::TooLarge { limit });
        }
        Ok(Fetched { status, content_type, body, url })
    }

    pub(super) fn fetches(&self) -> Vec<FetchRequest> {
        self.sites().fetches.clone()
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fragment (`#…`) is not sent.
fn address(url: &str, reach: Reach) -> Result<Url, FetchError> {
    let mut url = public_url(url, &["https", "http"], reach)?;
    url.set_fragment(None);
    Ok(url)
}
