//! Job requests: kinds 5000 to 5999.

use openagents_host::Timestamp;
use openagents_host::nostr::{Event, EventId, Kind, PublicKey, VerifiedEvent};

use super::{InputKind, JobInput, ParamMap, REQUESTS};

/// A customer's request, read from its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// The signed event itself, as the customer published it.
    pub event: VerifiedEvent,
    /// The inputs, in their order.
    pub inputs: Vec<JobInput>,
    /// The parameters.
    pub params: ParamMap,
    /// The MIME types the customer would like, the dearest first; often none.
    pub output: Vec<String>,
    /// The most the customer would pay, in msat.
    pub bid: Option<u64>,
    /// Where the customer wants the answers published.
    pub relays: Vec<String>,
    /// The providers the customer wants. See [`is_for`](Self::is_for).
    pub providers: Vec<PublicKey>,
    /// What the job is about, in the customer's words (`t` tags).
    pub topics: Vec<String>,
    /// When the request is no longer of interest (NIP-40).
    pub expires_at: Option<Timestamp>,
    /// Whether inputs and parameters are encrypted in the event's content. Then what answers it is encrypted too.
    pub encrypted: bool,
    /// Whether the fields above hold what was encrypted: see [`unsealed`](Self::unsealed). None of that may be published.
    pub sealed: bool,
}

/// The event's kind is not one of job requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kind {0} is not a job request, which has a kind from 5000 to 5999")]
pub struct NotAJobRequest(pub Kind);

impl JobRequest {
    /// Reads a request. Tags that are malformed are passed over, as clients write them in many ways.
    ///
    /// # Errors
    /// When the event's kind is not one of job requests.
    pub fn from_event(event: VerifiedEvent) -> Result<Self, NotAJobRequest> {
        if REQUESTS.contains(&event.kind.0) { Ok(Self::read(event)) } else { Err(NotAJobRequest(event.kind)) }
    }

    /// The request's id: its event's.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.event.id
    }

    /// The kind of job.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.event.kind
    }

    /// Who asks.
    #[must_use]
    pub fn customer(&self) -> PublicKey {
        self.event.pubkey
    }

    /// Whether the request is for this provider: it names it, or it names nobody. One that names providers in a way nobody
    /// can read is for none.
    #[must_use]
    pub fn is_for(&self, provider: &PublicKey) -> bool {
        self.providers.contains(provider) || self.event.tags_named("p").next().is_none()
    }

    /// The text to work on: the first text input. Where there is none, it is the content, into which older clients put the
    /// prompt, unless that is encrypted or empty.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let input = self.inputs.iter().find(|input| input.kind == InputKind::Text);
        let content = || Some(self.event.content.as_str()).filter(|text| !self.encrypted && !text.is_empty());
        input.map(|input| input.data.as_str()).or_else(content)
    }

    /// What the event says in clear.
    pub(super) fn read(event: VerifiedEvent) -> Self {
        Self {
            inputs: event.tags_named("i").filter_map(|tag| JobInput::from_tag(tag)).collect(),
            params: ParamMap(event.tags_named("param").filter_map(|tag| param(tag)).collect()),
            output: values(&event, "output"),
            bid: number(&event, "bid"),
            relays: values(&event, "relays"),
            providers: event.tag_values("p").filter_map(|key| PublicKey::from_hex(key).ok()).collect(),
            topics: values(&event, "t"),
            expires_at: number(&event, "expiration").map(Timestamp::from_seconds),
            encrypted: is_encrypted(&event),
            sealed: false,
            event,
        }
    }
}

/// Reads a `param` tag: a key, and values of any number; nothing when it has no key.
pub(super) fn param(tag: &[String]) -> Option<(String, Vec<String>)> {
    let (key, values) = tag.get(1..)?.split_first()?;
    Some((key.clone(), values.to_vec()))
}

/// The values of one tag that are not empty. Clients put several into one tag or repeat the tag.
pub(super) fn several(tag: &[String]) -> impl Iterator<Item = String> {
    tag.iter().skip(1).filter(|value| !value.is_empty()).cloned()
}

fn values(event: &Event, name: &str) -> Vec<String> {
    event.tags_named(name).flat_map(|tag| several(tag)).collect()
}

/// The first value of this name that is a whole number.
fn number(event: &Event, name: &str) -> Option<u64> {
    event.tag_values(name).find_map(|value| value.trim().parse().ok())
}

/// Whether the content is marked as encrypted.
pub(super) fn is_encrypted(event: &Event) -> bool {
    event.tags_named("encrypted").next().is_some()
}

#[cfg(test)]
mod tests;
