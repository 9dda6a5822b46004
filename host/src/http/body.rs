//! The bodies of HTTP messages: empty, bytes in memory, or a stream of bytes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};

/// Why a body could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than the reader accepts.
    #[error("the body is longer than the {max_bytes} bytes that are accepted")]
    TooLong {
        /// The most that is accepted, in bytes.
        max_bytes: u64,
    },
    /// The connection or the source failed before the end.
    #[error("the body ended early: {0}")]
    Interrupted(String),
}

/// The chunks of a stream: `Send` natively, where connections run on several threads.
#[cfg(not(target_arch = "wasm32"))]
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// The chunks of a stream: not `Send` in a Worker, where everything runs on one thread.
#[cfg(target_arch = "wasm32")]
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>>>>;

/// Bytes that arrive in chunks, with their total length if it is known in advance.
pub struct ByteStream {
    chunks: Chunks,
    length: Option<u64>,
    limit: Option<Limit>,
}

#[derive(Clone, Copy)]
struct Limit {
    max_bytes: u64,
    left: u64,
}

impl ByteStream {
    /// A stream of unknown length.
    #[must_use]
    pub fn new(chunks: Chunks) -> Self {
        Self { chunks, length: None, limit: None }
    }

    /// Sets the total length in bytes. It must be right, because it becomes `Content-Length`.
    #[must_use]
    pub fn with_length(self, length: u64) -> Self {
        Self { length: Some(length), ..self }
    }

    /// Fails with [`BodyError::TooLong`] as soon as there are more than `max_bytes`.
    #[must_use]
    pub fn with_limit(self, max_bytes: u64) -> Self {
        Self { limit: Some(Limit { max_bytes, left: max_bytes }), ..self }
    }

    /// The total length in bytes, if known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.chunks.as_mut().poll_next(context));
        if let (Some(Ok(chunk)), Some(limit)) = (&chunk, &mut self.limit) {
            match limit.left.checked_sub(bytes_of(chunk)) {
                Some(left) => limit.left = left,
                None => return Poll::Ready(Some(Err(BodyError::TooLong { max_bytes: limit.max_bytes }))),
            }
        }
        Poll::Ready(chunk)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("length", &self.length).finish_non_exhaustive()
    }
}

/// The body of a request or a response.
#[derive(Debug, Default)]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes that are passed on as they arrive.
    Stream(ByteStream),
}

impl Body {
    /// The length in bytes, if known in advance.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes_of(bytes)),
            Self::Stream(stream) => stream.length(),
        }
    }

    /// Reads all bytes, at most `max_bytes`.
    ///
    /// # Errors
    /// When there are more (before anything is read if the length is known), or when the stream fails.
    pub async fn read_to_end(self, max_bytes: usize) -> Result<Bytes, BodyError> {
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
        let too_long = BodyError::TooLong { max_bytes: limit };
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_long);
        }
        let mut stream = match self {
            Self::Empty => return Ok(Bytes::new()),
            Self::Bytes(bytes) => return Ok(bytes),
            Self::Stream(stream) => stream,
        };
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if chunk.len() > max_bytes.saturating_sub(body.len()) {
                return Err(too_long);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }
}

fn bytes_of(chunk: &Bytes) -> u64 {
    u64::try_from(chunk.len()).unwrap_or(u64::MAX)
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Bytes(bytes) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<ByteStream> for Body {
    fn from(stream: ByteStream) -> Self {
        Self::Stream(stream)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream::{StreamExt, iter};

    use super::{Body, BodyError, ByteStream};

    fn stream(chunks: &'static [&'static str]) -> ByteStream {
        ByteStream::new(Box::pin(iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))))))
    }

    #[tokio::test]
    async fn reads_every_kind_of_body_up_to_the_limit() {
        let bodies = || {
            [Body::from("abcd"), stream(&["ab", "", "cd"]).into(), stream(&["abcd"]).with_length(4).into()]
        };
        for body in bodies() {
            assert_eq!(body.read_to_end(4).await.unwrap(), "abcd");
        }
        for body in bodies() {
            assert_eq!(body.read_to_end(3).await, Err(BodyError::TooLong { max_bytes: 3 }));
        }
        assert_eq!(Body::Empty.read_to_end(0).await.unwrap(), "");
    }

    #[tokio::test]
    async fn refuses_an_announced_length_before_reading() {
        let endless = ByteStream::new(Box::pin(futures_util::stream::pending())).with_length(5);
        assert_eq!(Body::from(endless).read_to_end(4).await, Err(BodyError::TooLong { max_bytes: 4 }));
    }

    #[tokio::test]
    async fn reports_a_stream_that_fails() {
        let failure = BodyError::Interrupted("connection reset".to_owned());
        let chunks = iter([Ok(Bytes::from_static(b"ab")), Err(failure.clone())]);
        assert_eq!(Body::from(ByteStream::new(Box::pin(chunks))).read_to_end(9).await, Err(failure));
    }

    #[tokio::test]
    async fn limited_stream_fails_once_there_is_too_much() {
        let chunks: Vec<_> = stream(&["ab", "cd", "e"]).with_limit(4).collect().await;
        let too_long = BodyError::TooLong { max_bytes: 4 };
        assert_eq!(chunks, [Ok("ab".into()), Ok("cd".into()), Err(too_long)]);
        assert!(stream(&["ab", "cd"]).with_limit(4).all(async |chunk| chunk.is_ok()).await);
    }

    #[test]
    fn knows_its_length_where_it_can() {
        assert_eq!(Body::Empty.length(), Some(0));
        assert_eq!(Body::from("abc").length(), Some(3));
        assert_eq!(Body::from(stream(&["abc"])).length(), None);
        assert_eq!(Body::from(stream(&["abc"]).with_length(3)).length(), Some(3));
        assert!(matches!(Body::from(""), Body::Empty));
    }

    #[test]
    fn bodies_can_be_sent_between_threads() {
        fn is_send<T: Send>(_: &T) {}
        is_send(&Body::Empty);
        is_send(&Body::Empty.read_to_end(1));
    }
}
