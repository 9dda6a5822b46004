//! `HttpClient` and `HttpRequestBuilder`: HTTP requests of handlers, as in `context.http().get(url).send()`.

use std::sync::Arc;
use std::time::Duration;

use openagents_host::http::{Body, Method};
use openagents_host::net::{AllowedOrigins, HttpError, HttpLimits, HttpRequest, HttpResponse, Url};
use serde::Serialize;

use super::context::AgentContext;
use crate::host_port::HandlerHost;

impl AgentContext {
    /// A client for HTTP requests to other servers.
    ///
    /// ```
    /// use openagents_sdk::prelude::*;
    /// use openagents_sdk::serde_json::{Value, json};
    ///
    /// async fn ask(context: &JobContext, question: &str, key: &str) -> JobResult<String> {
    ///     let request = context
    ///         .http()
    ///         .post("https://api.example.com/v1/answers")
    ///         .bearer(key)
    ///         .json(&json!({ "question": question }))
    ///         .timeout(Duration::from_secs(60));
    ///     let answer: Value = request.send().await?.error_for_status().await?.json().await?;
    ///     Ok(answer["text"].to_string())
    /// }
    /// ```
    ///
    /// Requests reach public addresses, with encryption (`https`), and the origins that the operator has listed in the
    /// variable `AGENT_HTTP_ALLOWED_ORIGINS`, such as a model server on the same machine. If a customer names the URL,
    /// take it as an argument of type [`Url`](crate::Url), which is checked to be public, or add
    /// [`public_only`](HttpRequestBuilder::public_only), so that no customer reaches such a server through the agent.
    #[must_use]
    pub fn http(&self) -> HttpClient {
        HttpClient { host: Arc::clone(self.host()) }
    }
}

/// Makes HTTP requests. See [`AgentContext::http`].
#[derive(Clone)]
pub struct HttpClient {
    host: Arc<dyn HandlerHost>,
}

impl HttpClient {
    /// A GET request.
    pub fn get(&self, url: impl Into<String>) -> HttpRequestBuilder {
        self.with(Method::GET, url.into())
    }

    /// A HEAD request.
    pub fn head(&self, url: impl Into<String>) -> HttpRequestBuilder {
        self.with(Method::HEAD, url.into())
    }

    /// A POST request.
    pub fn post(&self, url: impl Into<String>) -> HttpRequestBuilder {
        self.with(Method::POST, url.into())
    }

    /// A PUT request.
    pub fn put(&self, url: impl Into<String>) -> HttpRequestBuilder {
        self.with(Method::PUT, url.into())
    }

    /// A PATCH request.
    pub fn patch(&self, url: impl Into<String>) -> HttpRequestBuilder {
        self.with(Method::PATCH, url.into())
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl Into<String>) -> HttpRequestBuilder {
        self.with(Method::DELETE, url.into())
    }

    /// A request with another method, such as `OPTIONS`. CONNECT and TRACE are not accepted.
    pub fn request(&self, method: &str, url: impl Into<String>) -> HttpRequestBuilder {
        match Method::from_bytes(method.as_bytes()) {
            Ok(method) => self.with(method, url.into()),
            Err(_) => {
                let mistake = HttpError::Request(format!("`{method}` is not an HTTP method"));
                HttpRequestBuilder { host: Arc::clone(&self.host), request: Err(mistake) }
            }
        }
    }

    fn with(&self, method: Method, url: String) -> HttpRequestBuilder {
        let mut request = HttpRequest::new(method, url);
        request.allowed_origins = self.host.allowed_origins();
        HttpRequestBuilder { host: Arc::clone(&self.host), request: Ok(request) }
    }
}

/// An HTTP request that is being put together. A mistake in it, such as a malformed header, is an error of
/// [`send`](Self::send).
#[must_use = "the request is sent by `send`"]
pub struct HttpRequestBuilder {
    host: Arc<dyn HandlerHost>,
    request: Result<HttpRequest, HttpError>,
}

impl HttpRequestBuilder {
    /// Adds a header. After a redirect to another origin, only headers that can hold no secret are sent.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.map(|request| request.header(name, value))
    }

    /// Adds the header `authorization` with a bearer token.
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.header("authorization", format!("Bearer {}", token.as_ref()))
    }

    /// Adds a parameter to the query of the URL.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        if let Ok(request) = &mut self.request {
            // If it is not a URL, `send` says what is wrong with it.
            if let Ok(mut url) = Url::parse(&request.url) {
                url.query_pairs_mut().append_pair(name, value);
                request.url = url.into();
            }
        }
        self
    }

    /// Sets the body: text, bytes, or a stream of bytes.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.map(|request| HttpRequest { body: body.into(), ..request })
    }

    /// Sets the body to a value as JSON, with its `content-type`.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.header("content-type", "application/json").body(json),
            Err(error) => {
                self.fail(format!("the body cannot be written as JSON: {error}"));
                self
            }
        }
    }

    /// Limits the time from now to the last byte of the response's body; 20 seconds by default. The handler's own
    /// `timeout` goes on as well.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.limit(|limits| limits.timeout = timeout)
    }

    /// Limits the size of the response's body, in bytes; 5,000,000 by default.
    pub fn max_bytes(self, max_bytes: usize) -> Self {
        self.limit(|limits| limits.max_bytes = max_bytes)
    }

    /// Limits the number of redirects; 3 by default. With 0, a redirect is an error.
    pub fn max_redirects(self, max_redirects: usize) -> Self {
        self.limit(|limits| limits.max_redirects = max_redirects)
    }

    /// Refuses the origins that the operator has allowed in `AGENT_HTTP_ALLOWED_ORIGINS`: for URLs that customers name.
    pub fn public_only(self) -> Self {
        self.map(|request| HttpRequest { allowed_origins: AllowedOrigins::default(), ..request })
    }

    /// Sends the request. The response is there as soon as its head is; its body is read afterwards, within the limits of
    /// the request.
    ///
    /// # Errors
    /// When the request has a mistake, the URL or one that it redirects to may not be reached, or the server does not
    /// answer in time. A status such as 404 is not an error; see
    /// [`error_for_status`](HttpResponse::error_for_status).
    pub async fn send(self) -> Result<HttpResponse, HttpError> {
        self.host.send_http(self.request?).await
    }

    /// The most that the response's body may have, in bytes.
    pub(crate) fn byte_limit(&self) -> usize {
        self.request.as_ref().map_or(0, |request| request.limits.max_bytes)
    }

    fn limit(self, set: impl FnOnce(&mut HttpLimits)) -> Self {
        self.map(|mut request| {
            set(&mut request.limits);
            request
        })
    }

    fn map(self, change: impl FnOnce(HttpRequest) -> HttpRequest) -> Self {
        Self { request: self.request.map(change), ..self }
    }

    /// The first mistake is what `send` reports.
    fn fail(&mut self, mistake: String) {
        if self.request.is_ok() {
            self.request = Err(HttpError::Request(mistake));
        }
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HttpRequestBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRequestBuilder").field("request", &self.request).finish_non_exhaustive()
    }
}
