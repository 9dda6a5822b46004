//! `HttpResponse`: status, headers, and a body that is read at once, in chunks, or as server-sent events.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{self, HeaderMap};
use serde::de::DeserializeOwned;
use url::Url;

use crate::http::{Body, BodyError, ByteStream, Response, header_text};
use crate::net::deadline::Deadline;
use crate::net::error::HttpError;

/// How much of an error's body is kept, in bytes.
const MAX_ERROR_BYTES: usize = 1_000;

/// A response with any status, whose body has not been read yet.
///
/// Reading is limited by the `max_bytes` and the `timeout` of the request. Dropping the response ends the request.
pub struct HttpResponse {
    status: u16,
    headers: HeaderMap,
    url: Url,
    body: ResponseBody,
}

struct ResponseBody {
    /// Never locked: a response can be borrowed by any thread, as a handler that waits does, but a stream cannot.
    rest: Mutex<Body>,
    /// The announced length, until something was read.
    announced: Option<u64>,
    max_bytes: usize,
    left: usize,
    deadline: Deadline,
}

impl HttpResponse {
    pub(super) fn new(
        url: Url,
        response: Response,
        is_head: bool,
        max_bytes: usize,
        deadline: Deadline,
    ) -> Self {
        let (parts, body) = response.into_parts();
        // The `Content-Length` of a response to HEAD is that of another response.
        let body = if is_head { Body::Empty } else { body };
        let announced = body.length();
        let body = ResponseBody { rest: Mutex::new(body), announced, max_bytes, left: max_bytes, deadline };
        Self { status: parts.status.as_u16(), headers: parts.headers, url, body }
    }

    /// The HTTP status, such as 200.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is a success (2xx).
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The value of a header, whose name may have any case; `None` if it is missing or not ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers, with names in lower case. Values that are not ASCII are left out.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// The URL of the response, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// This response if it is a success, else an error with the beginning of the body.
    ///
    /// # Errors
    /// When the status is not a success.
    pub async fn error_for_status(mut self) -> Result<Self, HttpError> {
        if self.is_success() {
            return Ok(self);
        }
        let mut body = Vec::new();
        while body.len() < MAX_ERROR_BYTES
            && let Ok(Some(chunk)) = self.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(MAX_ERROR_BYTES);
        let body = String::from_utf8_lossy(&body).trim().to_owned();
        Err(HttpError::Status { status: self.status, body })
    }

    /// The next chunk of the body as it arrives; `None` after the last.
    ///
    /// ```no_run
    /// # async fn example(mut response: openagents_host::net::HttpResponse) -> Result<(), openagents_host::net::HttpError> {
    /// while let Some(chunk) = response.chunk().await? {
    ///     println!("{} bytes", chunk.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the body is too large, too late, or ends early.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        self.body.chunk().await
    }

    /// The whole body.
    ///
    /// # Errors
    /// When the body is too large, too late, or ends early.
    pub async fn bytes(mut self) -> Result<Bytes, HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.body.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }

    /// The whole body as UTF-8, with `�` in place of invalid bytes.
    ///
    /// # Errors
    /// When the body is too large, too late, or ends early.
    pub async fn text(self) -> Result<String, HttpError> {
        let body = self.bytes().await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The whole body, read as JSON.
    ///
    /// # Errors
    /// When the body is too large, too late, ends early, or is not the JSON of a `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, HttpError> {
        let body = self.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| HttpError::Json(error.to_string()))
    }

    /// The body as a stream, for example as the body of another request. It is still limited in size and time.
    #[must_use]
    pub fn into_body(self) -> Body {
        let length = self.body.announced;
        let chunks = futures_util::stream::unfold(self.body, async |mut body| match body.chunk().await {
            Ok(chunk) => chunk.map(|chunk| (Ok(chunk), body)),
            Err(error) => Some((Err(BodyError::Interrupted(error.to_string())), body.ended())),
        });
        let stream = ByteStream::new(Box::pin(chunks));
        match length {
            Some(length) => stream.with_length(length).into(),
            None => stream.into(),
        }
    }

    /// The header `content-type`; empty if there is none.
    pub(crate) fn content_type(&self) -> &str {
        header_text(&self.headers, &header::CONTENT_TYPE)
    }
}

impl ResponseBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let too_large = HttpError::TooLarge { limit: self.max_bytes };
        let limit = u64::try_from(self.max_bytes).unwrap_or(u64::MAX);
        if self.announced.take().is_some_and(|length| length > limit) {
            return Err(too_large);
        }
        let chunk = match self.rest.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Body::Empty => None,
            Body::Bytes(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Body::Stream(stream) => {
                let next = async {
                    stream.next().await.transpose().map_err(|error| HttpError::Network(error.to_string()))
                };
                self.deadline.limit(next).await?
            }
        };
        let Some(chunk) = chunk else { return Ok(None) };
        self.left = self.left.checked_sub(chunk.len()).ok_or(too_large)?;
        Ok(Some(chunk))
    }

    /// After an error nothing follows.
    fn ended(self) -> Self {
        Self { rest: Mutex::new(Body::Empty), ..self }
    }
}

impl std::fmt::Debug for HttpResponse {
    /// Leaves out the query of the URL, header values and the body, because they may contain secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
