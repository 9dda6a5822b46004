//! `JobConnection`: a client's connection to the deployment's own relay, for one job.

use std::sync::Arc;
use std::time::Duration;

use openagents_host::http::StatusCode;
use openagents_host::net::Socket;
use openagents_host::nostr::message::{ClientMessage, RelayMessage, SubscriptionId};
use openagents_host::nostr::reason::{Outcome, Prefix, Reason};
use openagents_host::{EventId, VerifiedEvent, timeout};
use openagents_relay::Filter;

use crate::http::problem::Problem;

/// How long the relay may take to answer.
const RELAY_TIMEOUT: Duration = Duration::from_secs(10);

/// In how many seconds a client may try again whom the relay refuses because of its rate.
const RATE_PAUSE_SECONDS: u64 = 10;

/// A connection to the relay.
#[derive(Debug)]
pub(super) struct JobConnection(Socket);

/// What the relay sends for a subscription.
#[derive(Debug)]
pub(super) enum FromRelay {
    /// An event as JSON.
    Event(Arc<str>),
    /// All stored events were sent.
    EndOfStoredEvents,
}

impl JobConnection {
    pub(super) const fn new(socket: Socket) -> Self {
        Self(socket)
    }

    /// Publishes an event: its text, which the relay verifies. What it has already counts as published.
    pub(super) async fn publish(&mut self, id: EventId, json: &str) -> Result<(), Problem> {
        let answered = async {
            self.send(format!(r#"["EVENT",{json}]"#)).await?;
            loop {
                match self.receive().await? {
                    Some(RelayMessage::Ok { id: answered, outcome }) if answered == id => return Ok(outcome),
                    // Without the event's id: what the relay says of a text that it does not read.
                    Some(RelayMessage::Notice(text)) => {
                        return Ok(Outcome::Refused(Reason::invalid(text.into_owned())));
                    }
                    _ => {}
                }
            }
        };
        match timeout(RELAY_TIMEOUT, answered).await.unwrap_or_else(|| Err(unreachable_relay()))? {
            Outcome::Accepted | Outcome::Duplicate => Ok(()),
            Outcome::Refused(reason) => Err(refused(&reason)),
        }
    }

    /// Subscribes to the events that match any of the filters.
    pub(super) async fn subscribe(&mut self, filters: Vec<Filter>) -> Result<(), Problem> {
        let subscription = SubscriptionId::numbered("job", 1);
        let request: ClientMessage<VerifiedEvent> = ClientMessage::Request { subscription, filters };
        self.send(request.to_json()).await
    }

    /// What the relay sends next for the subscription. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<FromRelay, Problem> {
        loop {
            match self.receive().await? {
                Some(RelayMessage::Event { event, .. }) => return Ok(FromRelay::Event(event)),
                Some(RelayMessage::EndOfStoredEvents { .. }) => return Ok(FromRelay::EndOfStoredEvents),
                Some(RelayMessage::Closed { reason, .. }) => return Err(refused(&reason)),
                _ => {}
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), Problem> {
        self.0.send(text).await.map_err(|error| {
            tracing::warn!(%error, "a job request could not be sent to the relay");
            unreachable_relay()
        })
    }

    async fn receive(&mut self) -> Result<Option<RelayMessage>, Problem> {
        match self.0.next().await {
            Some(Ok(text)) => Ok(RelayMessage::parse(&text)),
            ended => {
                tracing::warn!(?ended, "the relay closed the connection of a job request");
                Err(unreachable_relay())
            }
        }
    }
}

/// What the client is told of a relay that refuses an event or a subscription (NIP-01).
fn refused(reason: &Reason) -> Problem {
    let (status, code) = match reason.prefix {
        Prefix::AuthRequired => (StatusCode::UNAUTHORIZED, "auth_required"),
        Prefix::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        Prefix::Blocked | Prefix::Restricted => (StatusCode::FORBIDDEN, "restricted"),
        Prefix::Invalid | Prefix::Pow | Prefix::Unsupported => (StatusCode::BAD_REQUEST, "invalid_event"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "relay_failed"),
    };
    let problem = Problem::new(status, code, reason.to_string());
    match reason.prefix {
        Prefix::RateLimited => problem.retry_after(RATE_PAUSE_SECONDS),
        _ if status == StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(1),
        _ => problem,
    }
}

/// What a client is told if the relay does not answer.
pub(crate) fn unreachable_relay() -> Problem {
    let detail = "the relay of this deployment does not answer; the same request can be sent again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "relay_failed", detail).retry_after(1)
}

/// What a client is told whose connection the relay refuses with this status.
pub(crate) fn refused_connection(status: u16, reason: impl Into<String>) -> Problem {
    match StatusCode::from_u16(status) {
        Ok(status @ StatusCode::FORBIDDEN) => Problem::new(status, "restricted", reason),
        Ok(status @ StatusCode::TOO_MANY_REQUESTS) => {
            Problem::new(status, "rate_limited", reason).retry_after(1)
        }
        _ => unreachable_relay(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Prefix, Reason, refused};

    #[test]
    fn a_refusal_has_the_status_of_its_prefix() {
        for (prefix, status, retry_after) in [
            (Prefix::Invalid, 400, None),
            (Prefix::Pow, 400, None),
            (Prefix::AuthRequired, 401, None),
            (Prefix::Blocked, 403, None),
            (Prefix::Restricted, 403, None),
            (Prefix::RateLimited, 429, Some(10)),
            (Prefix::Error, 503, Some(1)),
        ] {
            let problem = refused(&Reason::new(prefix, "no"));
            assert_eq!((problem.status.as_u16(), problem.retry_after), (status, retry_after), "{prefix:?}");
            assert_eq!(problem.detail, format!("{}: no", prefix.as_str()));
        }
    }
}
