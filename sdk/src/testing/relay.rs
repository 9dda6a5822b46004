//! The agent's own relay in a test: the real engine, on a database in memory, without connections.

use std::sync::Arc;

use openagents_host::native::Sqlite;
use openagents_host::{Engine, Event, EventId, Timestamp, VerifiedEvent};
use openagents_relay::{Effect, Input, Relay, Ticket};
use openagents_relay::{Filter, Limits, Outcome};

use super::failure::OrFail;
use super::handler_host::RelayQueryError;
use crate::assemble::deployment_of;
use crate::author::agent::Jobs;
use crate::settings;

pub(super) struct OwnRelay {
    relay: Relay<Sqlite>,
    /// All accepted events, in order of arrival.
    accepted: Vec<VerifiedEvent>,
}

/// What the relay did with an event.
pub(super) struct PublishResult {
    pub(super) outcome: Outcome,
    /// The event, if it concerns the agent.
    pub(super) handed_over: Option<VerifiedEvent>,
}

impl OwnRelay {
    #[track_caller]
    pub(super) fn open<A: Jobs>() -> Self {
        let sql = Sqlite::in_memory().or_fail("the relay cannot start");
        let relay = Relay::open(sql, settings::relay_config(&deployment_of::<A>(), Limits::default()));
        Self { relay: relay.or_fail("the relay cannot start"), accepted: Vec::new() }
    }

    pub(super) fn publish(&mut self, now: Timestamp, event: &VerifiedEvent) -> PublishResult {
        let mut effects = Vec::new();
        let publish = Input::Publish { ticket: Ticket(0), event: event.clone() };
        self.relay.handle(now, &publish, &mut effects);
        let mut published = PublishResult { outcome: Outcome::Duplicate, handed_over: None };
        for effect in effects {
            match effect {
                Effect::Published { outcome, .. } => published.outcome = outcome,
                Effect::HandOver(event) => published.handed_over = Some(event),
                _ => {}
            }
        }
        if published.outcome == Outcome::Accepted {
            self.accepted.push(event.clone());
        }
        published
    }

    /// The agent has stored the event.
    pub(super) fn delivered(&mut self, now: Timestamp, event: EventId) {
        self.relay.handle(now, &Input::Delivered(event), &mut Vec::new());
    }

    pub(super) fn query(
        &mut self,
        now: Timestamp,
        filters: Vec<Filter>,
    ) -> Result<Vec<Event>, RelayQueryError> {
        let mut effects = Vec::new();
        self.relay.handle(now, &Input::Query { ticket: Ticket(0), filters }, &mut effects);
        let found = effects.into_iter().find_map(|effect| match effect {
            Effect::Found { events, .. } => Some(events),
            _ => None,
        });
        let found =
            found.unwrap_or_else(|| Ok(Vec::new())).map_err(|reason| RelayQueryError(reason.to_string()))?;
        let read =
            |json: &Arc<str>| Event::from_json(json).map_err(|error| RelayQueryError(error.to_string()));
        found.iter().map(read).collect()
    }

    pub(super) fn accepted(&self) -> &[VerifiedEvent] {
        &self.accepted
    }
}
