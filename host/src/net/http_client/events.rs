//! `ServerSentEvents`: the body of a response as server-sent events.

use bytes::Bytes;

use super::response::HttpResponse;
use crate::net::error::HttpError;
use crate::net::server_sent_events::{EventParser, ServerSentEvent};

/// The type of a response that consists of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

impl HttpResponse {
    /// The body as server-sent events (`text/event-stream`), each as it arrives.
    ///
    /// ```no_run
    /// # async fn example(response: openagents_host::net::HttpResponse) -> Result<(), openagents_host::net::HttpError> {
    /// let mut events = response.events();
    /// while let Some(event) = events.next().await? {
    ///     println!("{}: {}", event.event, event.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn events(self) -> ServerSentEvents {
        ServerSentEvents { response: self, parser: EventParser::default(), unread: Bytes::new() }
    }
}

/// The events of a response, each as it arrives. See [`HttpResponse::events`].
#[derive(Debug)]
pub struct ServerSentEvents {
    response: HttpResponse,
    parser: EventParser,
    /// The rest of the last chunk.
    unread: Bytes,
}

impl ServerSentEvents {
    /// The next event; `None` after the last. An event that the end of the stream cuts off is left out, as the standard
    /// says.
    ///
    /// # Errors
    /// When the response is not of the type `text/event-stream`, or its body is too large, too late, or ends early.
    pub async fn next(&mut self) -> Result<Option<ServerSentEvent>, HttpError> {
        let found = self.response.content_type();
        let essence = found.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(EVENT_STREAM) {
            return Err(HttpError::ContentType { expected: EVENT_STREAM, found: found.to_owned() });
        }
        loop {
            if let Some(event) = self.parser.read(&mut self.unread) {
                return Ok(Some(event));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.unread = chunk,
                None => return Ok(None),
            }
        }
    }
}
