//! Job requests: kinds 5000 to 5999.

use openagents_host::Timestamp;
use openagents_host::nostr::{Event, EventId, Kind, PublicKey, VerifiedEvent};

use super::{InputKind, JobInput, ParamMap, REQUESTS};

/// A job request, read from its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// The signed event, as it was published.
    pub event: VerifiedEvent,
    /// The inputs, in order.
    pub inputs: Vec<JobInput>,
    /// The parameters (`param` tags).
    pub params: ParamMap,
    /// The MIME types that the customer accepts, the preferred one first; often empty.
    pub output: Vec<String>,
    /// The most that the customer would pay, in msat.
    pub bid: Option<u64>,
    /// The relays to which answers should be published.
    pub relays: Vec<String>,
    /// The providers that the request names (`p` tags). See [`is_for`](Self::is_for).
    pub providers: Vec<PublicKey>,
    /// The topics of the job (`t` tags).
    pub topics: Vec<String>,
    /// When the request expires (NIP-40).
    pub expires_at: Option<Timestamp>,
    /// Whether inputs and parameters are encrypted in the content. If so, answers must be encrypted too.
    pub encrypted: bool,
    /// Whether the fields above include decrypted values: see [`unsealed`](Self::unsealed). These must not be
    /// published.
    pub sealed: bool,
}

/// The event's kind is not a job request kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kind {0} is not a job request: those have kinds 5000 to 5999")]
pub struct NotAJobRequest(pub Kind);

impl JobRequest {
    /// Reads a job request. Malformed tags are ignored, since clients write them in many ways.
    ///
    /// # Errors
    /// When the event's kind is not a job request kind.
    pub fn from_event(event: VerifiedEvent) -> Result<Self, NotAJobRequest> {
        if REQUESTS.contains(&event.kind.0) { Ok(Self::read(event)) } else { Err(NotAJobRequest(event.kind)) }
    }

    /// The id of the request event.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.event.id
    }

    /// The job kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.event.kind
    }

    /// The customer: the author of the request.
    #[must_use]
    pub fn customer(&self) -> PublicKey {
        self.event.pubkey
    }

    /// Whether the request is for this provider: it names this provider, or has no `p` tag. If all its `p` tags are
    /// malformed, it is for nobody.
    #[must_use]
    pub fn is_for(&self, provider: &PublicKey) -> bool {
        self.providers.contains(provider) || self.event.tags_named("p").next().is_none()
    }

    /// The text to work on: the first text input. If there is none, the content, where older clients put the prompt,
    /// unless it is encrypted or empty.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let input = self.inputs.iter().find(|input| input.kind == InputKind::Text);
        let content = || Some(self.event.content.as_str()).filter(|text| !self.encrypted && !text.is_empty());
        input.map(|input| input.data.as_str()).or_else(content)
    }

    /// Reads what the event holds in clear text.
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

/// Reads a `param` tag: a key and any number of values. `None` if it has no key.
pub(super) fn param(tag: &[String]) -> Option<(String, Vec<String>)> {
    let (key, values) = tag.get(1..)?.split_first()?;
    Some((key.clone(), values.to_vec()))
}

/// The values of one tag, without empty ones. Clients put several values into one tag or repeat the tag.
pub(super) fn several(tag: &[String]) -> impl Iterator<Item = String> {
    tag.iter().skip(1).filter(|value| !value.is_empty()).cloned()
}

fn values(event: &Event, name: &str) -> Vec<String> {
    event.tags_named(name).flat_map(|tag| several(tag)).collect()
}

/// The first tag value with this name that is a whole number.
fn number(event: &Event, name: &str) -> Option<u64> {
    event.tag_values(name).find_map(|value| value.trim().parse().ok())
}

/// Whether the event has an `encrypted` tag.
pub(super) fn is_encrypted(event: &Event) -> bool {
    event.tags_named("encrypted").next().is_some()
}

#[cfg(test)]
mod tests;
