//! The command that asks an agent and follows the job until its result.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use openagents_host::keys::npub;
use openagents_host::native::now;
use openagents_host::{Event, EventId, Keys, Kind, VerifiedEvent};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::arguments::Ask;
use super::terminal::{foreign, foreign_output, say, tell};
use crate::agent::Jobs;
use crate::nip90::{FEEDBACK, Feedback, JobResultEvent, RequestBuilder, Status, result_kind};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("cannot reach the relay {relay}: {error}{}", hint(error))]
    Connect { relay: String, error: Box<tokio_tungstenite::tungstenite::Error> },
    #[error("a key to ask with could not be made: {0}")]
    Key(#[from] openagents_host::keys::KeyError),
    #[error("the relay ended the connection: {0}")]
    Disconnected(String),
    #[error("the relay did not take the request: {0}")]
    Refused(String),
    #[error("the relay ended the subscription: {0}")]
    Closed(String),
    #[error("the agent could not do it: {0}")]
    Failed(String),
    #[error("the agent wants to be paid first, which this client cannot do: {0}")]
    PaymentRequired(String),
    #[error(
        "no result within {0:?}. Is an agent for this kind of job connected to the relay? --timeout waits longer"
    )]
    TooLate(Duration),
}

fn hint(error: &tokio_tungstenite::tungstenite::Error) -> &'static str {
    match error {
        tokio_tungstenite::tungstenite::Error::Io(error)
            if error.kind() == std::io::ErrorKind::ConnectionRefused =>
        {
            ". Nothing listens there: start the agent first, or give its address with --relay"
        }
        _ => "",
    }
}

pub(super) async fn run<A: Jobs>(ask: &Ask) -> Result<(), AskError> {
    let kind = ask.kind.or_else(|| A::HANDLERS.first().map(|job| job.declaration.kind)).unwrap_or(5050);
    let customer = Keys::generate()?;
    let mut builder = RequestBuilder::new(Kind(kind));
    if let Some(input) = &ask.input {
        builder = builder.text(input);
    }
    for (key, value) in &ask.param {
        builder = builder.param(key, [value]);
    }
    if let Some(provider) = &ask.to {
        builder = builder.provider(provider);
    }
    let request = builder.build().sign(&customer, now());
    let mut conversation = Conversation::begin(&ask.relay).await?;
    conversation.note(
        "asking",
        format_args!("kind {kind} {:?} through {}", ask.input.as_deref().unwrap_or(""), ask.relay),
    );
    match tokio::time::timeout(ask.timeout, conversation.follow(&request, ask)).await {
        Ok(Ok(content)) => {
            say(format_args!("{}", foreign_output(&content)));
            Ok(())
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(AskError::TooLate(ask.timeout)),
    }
}

struct Conversation {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    began: Instant,
}

/// What a relay says, as far as this client cares.
enum Said {
    Event(Event),
    Taken,
    Other,
}

impl Conversation {
    async fn begin(relay: &str) -> Result<Self, AskError> {
        let (socket, _) = connect_async(relay)
            .await
            .map_err(|error| AskError::Connect { relay: relay.to_owned(), error: Box::new(error) })?;
        Ok(Self { socket, began: Instant::now() })
    }

    /// Subscribes before it asks, so that no answer is missed.
    async fn follow(&mut self, request: &VerifiedEvent, ask: &Ask) -> Result<String, AskError> {
        let filter = json!({"kinds": [FEEDBACK, result_kind(request.kind)], "#e": [request.id]});
        self.send(json!(["REQ", "job", filter]).to_string()).await?;
        self.send(format!("[\"EVENT\",{}]", request.json())).await?;
        loop {
            match self.next(&request.id).await? {
                Said::Taken => self.note("accepted", format_args!("request {}", request.id)),
                Said::Event(event) => {
                    // Anyone may publish under anyone's name; only what verifies counts.
                    let Ok(event) = event.verify() else { continue };
                    if ask.to.is_some_and(|provider| provider != event.pubkey) {
                        continue;
                    }
                    if let Some(content) = self.answer(request, &event)? {
                        return Ok(content);
                    }
                }
                Said::Other => {}
            }
        }
    }

    /// The output, if this event holds it.
    fn answer(&self, request: &VerifiedEvent, event: &VerifiedEvent) -> Result<Option<String>, AskError> {
        let agent = npub(&event.pubkey);
        if let Some(feedback) = Feedback::from_event(event).filter(|feedback| feedback.request == request.id)
        {
            let message = feedback.message.unwrap_or(feedback.content);
            match feedback.status {
                Status::Error => return Err(AskError::Failed(message)),
                Status::PaymentRequired => return Err(AskError::PaymentRequired(message)),
                status => self.note(status.as_str(), format_args!("{agent} {message}")),
            }
        } else if let Some(result) =
            JobResultEvent::from_event(event).filter(|result| result.request == request.id)
        {
            self.note("result", format_args!("{agent}"));
            return Ok(Some(result.content));
        }
        Ok(None)
    }

    async fn send(&mut self, text: String) -> Result<(), AskError> {
        self.socket.send(Message::text(text)).await.map_err(|error| AskError::Disconnected(error.to_string()))
    }

    async fn next(&mut self, request: &EventId) -> Result<Said, AskError> {
        loop {
            let text = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => {
                    return Err(AskError::Disconnected(
                        frame.map_or_else(String::new, |frame| frame.reason.to_string()),
                    ));
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(AskError::Disconnected(error.to_string())),
                None => return Err(AskError::Disconnected("without a word".to_owned())),
            };
            return self.understand(&text, request);
        }
    }

    fn understand(&self, text: &str, request: &EventId) -> Result<Said, AskError> {
        let message: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
        let word = |index: usize| message.get(index).and_then(Value::as_str).unwrap_or_default();
        Ok(match word(0) {
            "EVENT" => message
                .get(2)
                .and_then(|event| serde_json::from_value(event.clone()).ok())
                .map_or(Said::Other, Said::Event),
            "OK" if word(1) == request.to_hex() => {
                if message.get(2).and_then(Value::as_bool) != Some(true) {
                    return Err(AskError::Refused(word(3).to_owned()));
                }
                Said::Taken
            }
            "CLOSED" => return Err(AskError::Closed(word(2).to_owned())),
            "NOTICE" => {
                self.note("notice", format_args!("{}", word(1)));
                Said::Other
            }
            _ => Said::Other,
        })
    }

    fn note(&self, what: &str, more: fmt::Arguments<'_>) {
        let line = format!("{what:<10} {more}");
        tell(format_args!("{:>7} ms  {}", self.began.elapsed().as_millis(), foreign(line.trim_end())));
    }
}
