//! Job results: the request's kind + 1000.

use openagents_host::event::{Event, EventId, Kind, UnsignedEvent};

use super::{REQUESTS, reference, referred};
use crate::job::JobRequest;
use crate::output::Output;

/// What a provider produced for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobResultEvent {
    /// Which request it answers.
    pub request: EventId,
    /// The output.
    pub content: String,
}

/// The kind of a request's result: always 1000 higher.
#[must_use]
pub const fn result_kind(request: Kind) -> Kind {
    Kind(request.0.saturating_add(1_000))
}

impl JobResultEvent {
    /// The result of a request, to be signed by the provider: with the request, and the inputs as the customer wrote them.
    #[must_use]
    pub fn event(request: &JobRequest, output: Output) -> UnsignedEvent {
        let Output { content, tags } = output;
        UnsignedEvent::new(result_kind(request.kind()), content)
            .tag(["request", request.event.json()])
            .tags(reference(&request.event))
            .tags(request.event.tags_named("i").cloned())
            .tags(tags)
    }

    /// Reads a result; nothing when the event is something else or names no request.
    #[must_use]
    pub fn from_event(event: &Event) -> Option<Self> {
        let request_kind = event.kind.0.checked_sub(1_000)?;
        if !REQUESTS.contains(&request_kind) {
            return None;
        }
        Some(Self { request: referred(event)?, content: event.content.clone() })
    }
}
