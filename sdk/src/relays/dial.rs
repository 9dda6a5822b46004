//! `RelayConnection`: a connection to an external relay that stays open between events.

use openagents_host::net::{PublishOutcome, Reach, RelayClient, RelayError, SocketError};
use openagents_host::nostr::reason::Prefix;
use openagents_host::{Keys, VerifiedEvent};

use crate::engine::Delivery;

/// A connection to one external relay, opened when needed and reopened after it was lost.
#[derive(Debug)]
pub(crate) struct RelayConnection {
    url: String,
    reach: Reach,
    keys: Keys,
    client: Option<RelayClient>,
}

impl RelayConnection {
    pub(crate) fn to(url: String, reach: Reach, keys: Keys) -> Self {
        Self { url, reach, keys, client: None }
    }

    /// Publishes an event, and returns the result of the delivery.
    pub(crate) async fn publish(&mut self, event: &VerifiedEvent) -> Delivery {
        if let Some(mut client) = self.client.take() {
            match client.publish(event).await {
                Ok(outcome) => return self.keep(client, outcome),
                // The relay is connected but slow.
                Err(error @ RelayError::Timeout { .. }) => return self.failure(&error),
                // Relays close idle connections.
                Err(_) => {}
            }
        }
        let published = async {
            let mut client = RelayClient::connect(&self.url, self.reach, &self.keys).await?;
            let outcome = client.publish(event).await?;
            Ok((client, outcome))
        };
        match published.await {
            Ok((client, outcome)) => self.keep(client, outcome),
            Err(error) => self.failure(&error),
        }
    }

    /// Closes the connection, if there is one.
    pub(crate) async fn close(self) {
        if let Some(client) = self.client {
            client.close().await;
        }
    }

    fn keep(&mut self, client: RelayClient, outcome: PublishOutcome) -> Delivery {
        match outcome {
            PublishOutcome::Accepted => {
                self.client = Some(client);
                Delivery::Accepted
            }
            PublishOutcome::Refused(reason) => {
                // Where authentication did not help, the next attempt is made with another challenge.
                self.client = (reason.prefix != Prefix::AuthRequired).then_some(client);
                Delivery::refused(&reason)
            }
        }
    }

    fn failure(&self, error: &RelayError) -> Delivery {
        match error {
            // The address is never allowed.
            RelayError::Socket(error @ SocketError::Address(_)) => Delivery::Refused(error.to_string()),
            error => Delivery::Unreachable(format!("{}: {error}", self.url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent};

    use super::*;
    use crate::relays::tests::{Relay, agent, note};

    #[tokio::test]
    async fn is_used_again_and_renewed_when_it_has_ended() {
        let mut relay = Relay::start().await;
        let mut connection = RelayConnection::to(relay.url(), Reach::Anywhere, agent());
        for number in 0..3 {
            assert_eq!(connection.publish(&note(number)).await, Delivery::Accepted);
        }
        assert_eq!(relay.connections(), 1);
        relay.restart().await;
        assert_eq!(connection.publish(&note(3)).await, Delivery::Accepted);
        assert_eq!(relay.connections(), 2);
        assert_eq!(relay.published().len(), 4);
        relay.stop().await;
        assert!(matches!(connection.publish(&note(4)).await, Delivery::Unreachable(_)));
    }

    #[tokio::test]
    async fn never_reaches_a_private_address_unless_that_is_allowed() {
        let relay = Relay::start().await;
        let mut connection = RelayConnection::to(relay.url(), Reach::Public, agent());
        assert!(matches!(connection.publish(&note(0)).await, Delivery::Refused(_)));
        assert_eq!(relay.connections(), 0);
    }

    #[tokio::test]
    async fn passes_on_that_the_relay_does_not_want_an_event() {
        let relay = Relay::start().await;
        let keys = Keys::from_secret(&[2; 32]).unwrap();
        let unwanted = UnsignedEvent::new(Kind(1), "unwanted").sign(&keys, Timestamp::from_seconds(1));
        let mut connection = RelayConnection::to(relay.url(), Reach::Anywhere, agent());
        assert_eq!(connection.publish(&unwanted).await, Delivery::Refused("blocked: unwanted".to_owned()));
        assert_eq!(connection.publish(&note(1)).await, Delivery::Accepted);
        assert_eq!(relay.connections(), 1);
    }
}
