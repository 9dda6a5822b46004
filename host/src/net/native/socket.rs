//! A WebSocket connection with tungstenite (native).

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use super::dial::{Connection, DialError, dial};
use crate::net::address::Reach;
use crate::net::error::{MAX_MESSAGE_BYTES, SocketError};

pub(crate) struct Socket {
    /// `None` once the connection has ended.
    stream: Option<WebSocketStream<Connection>>,
}

impl Socket {
    pub(crate) async fn connect(url: &Url, reach: Reach) -> Result<Self, SocketError> {
        let connection = dial(url, reach).await?;
        let (stream, _) =
            client_async_with_config(url.as_str(), connection, Some(config())).await.map_err(failure)?;
        Ok(Self { stream: Some(stream) })
    }

    pub(crate) async fn over(connection: Connection) -> Self {
        let stream = WebSocketStream::from_raw_socket(connection, Role::Client, Some(config())).await;
        Self { stream: Some(stream) }
    }

    pub(crate) async fn send(&mut self, text: String) -> Result<(), SocketError> {
        let stream = self.stream.as_mut().ok_or(SocketError::Closed)?;
        stream.send(Message::text(text)).await.map_err(failure)
    }

    pub(crate) async fn next(&mut self) -> Option<Result<String, SocketError>> {
        loop {
            match self.stream.as_mut()?.next().await {
                Some(Ok(Message::Text(text))) => return Some(Ok(text.as_str().to_owned())),
                // Control frames are answered by tungstenite; a close frame is followed by the end of the stream.
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.abandon();
                    let error = failure(error);
                    return (error != SocketError::Closed).then_some(Err(error));
                }
                None => self.abandon(),
            }
        }
    }

    /// Sends a close frame and reads until the peer's close frame, so that what was sent before is delivered.
    pub(crate) async fn close(&mut self) {
        if let Some(stream) = &mut self.stream
            && stream.close(None).await.is_ok()
        {
            while let Some(Ok(_)) = stream.next().await {}
        }
        self.abandon();
    }

    /// Ends the connection without a close frame.
    pub(crate) fn abandon(&mut self) {
        self.stream = None;
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

fn failure(error: Error) -> SocketError {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => SocketError::Closed,
        Error::Capacity(_) => SocketError::TooLarge { limit: MAX_MESSAGE_BYTES },
        Error::Http(response) => SocketError::Refused { status: response.status().as_u16() },
        error => SocketError::Network(error.to_string()),
    }
}

impl From<DialError> for SocketError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Address(error) => error.into(),
            error => Self::Network(error.to_string()),
        }
    }
}
