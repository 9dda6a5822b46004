//! `Page`: HTTP responses that a test serves to its agent, and `ReceivedRequest`: what the agent sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openagents_host::http::BodyError;
use openagents_host::http::{Body, ByteStream, Bytes, HeaderName, HeaderValue, Response, StatusCode};
use openagents_host::net::{
    AllowedOrigins, Exchange, HttpError, HttpRequest, HttpResponse, Reach, Url, public_url, send_through,
};
use serde::de::DeserializeOwned;

use super::failure::OrFail;

/// A response to an HTTP request.
///
/// ```
/// use std::time::Duration;
/// use openagents_sdk::testing::Page;
///
/// // A model that begins its answer after two seconds, and breaks off.
/// let page = Page::events(["{\"text\":\"Good\"}"])
///     .delay(Duration::from_secs(2))
///     .pause(Duration::from_millis(500))
///     .chunk("data: {\"text\":\" day\"}\n\n")
///     .fail("connection reset");
/// ```
#[derive(Clone, Debug)]
pub struct Page {
    status: u16,
    headers: Vec<(String, String)>,
    delay: Duration,
    body: VecDeque<Piece>,
}

/// A part of a body.
#[derive(Clone, Debug)]
enum Piece {
    Chunk(Bytes),
    Pause(Duration),
    Failure(String),
}

impl Page {
    /// A page with this content type and status 200.
    pub fn new(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).header("content-type", content_type).chunk(body)
    }

    /// A JSON page with status 200.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self::new("application/json", value.to_string())
    }

    /// Server-sent events with this data, each in a chunk of its own.
    #[must_use]
    pub fn events<'a>(data: impl IntoIterator<Item = &'a str>) -> Self {
        let page = Self::status(200).header("content-type", "text/event-stream");
        data.into_iter().fold(page, |page, data| {
            let lines: String = data.split('\n').map(|line| format!("data: {line}\n")).collect();
            page.chunk(format!("{lines}\n"))
        })
    }

    /// An empty page with this status code, such as 404.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), delay: Duration::ZERO, body: VecDeque::new() }
    }

    /// Replaces the status code.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Lets time pass before the response begins.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Adds a chunk to the body.
    #[must_use]
    pub fn chunk(mut self, chunk: impl Into<Vec<u8>>) -> Self {
        self.body.push_back(Piece::Chunk(chunk.into().into()));
        self
    }

    /// Lets time pass before the next chunk of the body.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.body.push_back(Piece::Pause(pause));
        self
    }

    /// Breaks the connection at this point of the body.
    #[must_use]
    pub fn fail(mut self, reason: impl Into<String>) -> Self {
        self.body.push_back(Piece::Failure(reason.into()));
        self
    }

    async fn respond(mut self) -> Result<Response, HttpError> {
        tokio::time::sleep(self.delay).await;
        let body = match self.body.pop_front() {
            None => Body::Empty,
            Some(Piece::Chunk(bytes)) if self.body.is_empty() => bytes.into(),
            Some(first) => {
                self.body.push_front(first);
                stream(self.body).into()
            }
        };
        let mut response = Response::new(body);
        let status = StatusCode::from_u16(self.status);
        *response.status_mut() = status.or_fail(format_args!("{} is not an HTTP status", self.status));
        for (name, value) in self.headers {
            let name = HeaderName::try_from(name).or_fail("the name of a header is malformed");
            let value = HeaderValue::try_from(value).or_fail("the value of a header is malformed");
            response.headers_mut().append(name, value);
        }
        Ok(response)
    }
}

fn stream(pieces: VecDeque<Piece>) -> ByteStream {
    ByteStream::new(Box::pin(futures_util::stream::unfold(pieces, async |mut pieces| {
        loop {
            match pieces.pop_front()? {
                Piece::Chunk(bytes) => return Some((Ok(bytes), pieces)),
                Piece::Pause(pause) => tokio::time::sleep(pause).await,
                Piece::Failure(reason) => {
                    return Some((Err(BodyError::Interrupted(reason)), VecDeque::new()));
                }
            }
        }
    })))
}

/// An HTTP request that a handler has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The method, such as `GET`.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers that the handler set, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl ReceivedRequest {
    /// The value of a header that the handler set; its name may have any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    /// When the body is not the JSON of a `T`.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).or_fail("the body of the request is not the expected JSON")
    }
}

type PageServer = Box<dyn Fn(&ReceivedRequest) -> Page + Send + Sync>;

#[derive(Default)]
pub(super) struct Web {
    pub(super) allowed_origins: AllowedOrigins,
    sites: Mutex<Sites>,
}

#[derive(Default)]
struct Sites {
    servers: BTreeMap<Url, PageServer>,
    requests: Vec<ReceivedRequest>,
}

impl Web {
    pub(super) fn allowing(allowed_origins: AllowedOrigins) -> Self {
        Self { allowed_origins, sites: Mutex::default() }
    }

    #[track_caller]
    pub(super) fn serve(&self, url: &str, server: PageServer) {
        let url = public_url(url, &["https", "http"], Reach::Anywhere);
        let url = without_fragment(url.or_fail("the test cannot serve this URL"));
        self.sites().servers.insert(url, server);
    }

    /// Responds like the real network: forbidden addresses are refused, redirects are followed, limits apply.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let HttpRequest { method, url, headers, body, limits, allowed_origins } = request;
        let body = body.read_to_end(usize::MAX).await;
        let body = body.map_err(|error| HttpError::Network(error.to_string()))?;
        self.sites().requests.push(ReceivedRequest {
            method: method.to_string(),
            url: url.clone(),
            headers: headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
            body: body.clone(),
        });
        let request = HttpRequest { method, url, headers, body: body.into(), limits, allowed_origins };
        send_through(request, async |exchange| self.exchange(exchange).await).await
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Response, HttpError> {
        let page = self.page(exchange).await?;
        page.respond().await
    }

    async fn page(&self, exchange: Exchange) -> Result<Page, HttpError> {
        let Exchange { method, url, headers, body, .. } = exchange;
        let headers = headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        let body = body.read_to_end(usize::MAX).await;
        let body = body.map_err(|error| HttpError::Network(error.to_string()))?;
        let asked = ReceivedRequest { method: method.to_string(), url: url.to_string(), headers, body };
        let url = without_fragment(url);
        let mut path = url.clone();
        path.set_query(None);
        let sites = self.sites();
        match sites.servers.get(&url).or_else(|| sites.servers.get(&path)) {
            Some(server) => Ok(server(&asked)),
            None => {
                Err(HttpError::Network(format!("the test serves nothing at {url}: see `TestAgent::serve`")))
            }
        }
    }

    pub(super) fn requests(&self) -> Vec<ReceivedRequest> {
        self.sites().requests.clone()
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fragment (`#…`) is not sent.
fn without_fragment(mut url: Url) -> Url {
    url.set_fragment(None);
    url
}
