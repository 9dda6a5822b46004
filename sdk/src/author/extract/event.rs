//! `NostrEvent`: the event that an `event` input names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use futures_util::future::join_all;
use openagents_host::net::{AddressError, RelayError, RelayLimits, SocketError};
use openagents_host::{EventId, VerifiedEvent};
use openagents_relay::Filter;

use super::FromInput;
use crate::author::job::JobContext;
use crate::declaration::InputDeclaration;
use crate::error::JobError;
use crate::nip90::{InputKind, JobInput};

/// The most events that one request may name.
const MAX_EVENTS: usize = 100;

/// The most relays that one request may name for its events.
const MAX_RELAYS: usize = 8;

/// The event that an `event` input names, from the agent's own relay or from the relay that the input names. Its id
/// and signature are verified. It derefs to the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NostrEvent(VerifiedEvent);

impl NostrEvent {
    pub(crate) fn of(event: VerifiedEvent) -> Self {
        Self(event)
    }

    /// The event itself.
    #[must_use]
    pub fn into_event(self) -> VerifiedEvent {
        self.0
    }
}

impl Deref for NostrEvent {
    type Target = VerifiedEvent;

    fn deref(&self) -> &VerifiedEvent {
        &self.0
    }
}

impl FromInput for NostrEvent {
    const INPUT: InputDeclaration = InputDeclaration {
        input_type: "event",
        mime_types: &["application/json"],
        required: true,
        is_uploadable: false,
    };

    const KINDS: &'static [InputKind] = &[InputKind::Event];

    async fn from_inputs(context: &JobContext, inputs: &[&JobInput]) -> Result<Vec<Self>, JobError> {
        let named = named(inputs)?;
        let ids: BTreeSet<EventId> = named.iter().map(|(id, _)| *id).collect();
        let mut found = on_own_relay(context, &ids).await?;
        let mut elsewhere: BTreeMap<&str, BTreeSet<EventId>> = BTreeMap::new();
        for (id, relay) in &named {
            if let Some(relay) = relay.filter(|_| !found.contains_key(id)) {
                elsewhere.entry(relay).or_default().insert(*id);
            }
        }
        if elsewhere.len() > MAX_RELAYS {
            return Err(JobError::failed(format!("the inputs name more than {MAX_RELAYS} relays")));
        }
        let asked = elsewhere.iter().map(async |(url, ids)| (*url, on_relay(context, url, ids).await));
        let mut failures = BTreeMap::new();
        for (url, answer) in join_all(asked).await {
            match answer {
                Ok(events) => found.extend(events.into_iter().map(|event| (event.id, event))),
                Err(error) => drop(failures.insert(url, error)),
            }
        }
        let events = named.into_iter().map(|(id, relay)| match (found.get(&id), relay) {
            (Some(event), _) => Ok(Self(event.clone())),
            (None, Some(relay)) => Err(failures.remove(relay).map_or_else(
                || JobError::failed(format!("the event {id} was found neither on this agent's relay nor on {relay}")),
                |error| unanswered(&id, relay, error),
            )),
            (None, None) => Err(JobError::failed(format!(
                "the event {id} is not on this agent's relay: add the relay that has it, [\"i\", \"{id}\", \"event\", \"wss://…\"]"
            ))),
        });
        events.collect()
    }
}

/// The event ids in the inputs, each with the relay hint of its tag.
fn named<'a>(inputs: &[&'a JobInput]) -> Result<Vec<(EventId, Option<&'a str>)>, JobError> {
    if inputs.len() > MAX_EVENTS {
        let text = format!("this job looks up at most {MAX_EVENTS} events, not {}", inputs.len());
        return Err(JobError::failed(text));
    }
    let named = inputs.iter().map(|input| match input.event_id() {
        Some(id) => Ok((id, input.relay.as_deref())),
        None => Err(JobError::failed(
            "an event input must be an event id of 64 lowercase hex characters: [\"i\", \"<id>\", \"event\"]",
        )),
    });
    named.collect()
}

async fn on_own_relay(
    context: &JobContext,
    ids: &BTreeSet<EventId>,
) -> Result<BTreeMap<EventId, VerifiedEvent>, JobError> {
    let events = context.events([Filter::new().ids(ids.iter().copied())]).await?;
    Ok(events.into_iter().filter_map(|event| event.verify().ok()).map(|event| (event.id, event)).collect())
}

async fn on_relay(
    context: &JobContext,
    url: &str,
    ids: &BTreeSet<EventId>,
) -> Result<Vec<VerifiedEvent>, RelayError> {
    let limit = u64::try_from(ids.len()).unwrap_or(u64::MAX);
    let filter = Filter::new().ids(ids.iter().copied()).limit(limit);
    context.host().external_events(url, vec![filter], RelayLimits::default()).await
}

/// The error for a relay that could not be queried. Details of the agent's own network stay in the log.
fn unanswered(id: &EventId, relay: &str, error: RelayError) -> JobError {
    match error {
        RelayError::Socket(SocketError::Address(error))
            if !matches!(error, AddressError::Resolved { .. }) =>
        {
            JobError::failed(format!("the relay given for the event {id} cannot be used: {error}"))
        }
        error => JobError::retry(format!("the event {id} could not be read from the relay {relay}"))
            .caused_by(error),
    }
}
