//! Job results: the request's kind + 1000.

use openagents_host::nostr::{Event, EventId, Kind, PublicKey, Tag, UnsignedEvent};

use super::answer::{content, customer, is_own, reference, referred};
use super::request::is_encrypted;
use super::{Amount, JobInput, JobRequest, REQUESTS};

/// What a provider produced for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobResultEvent {
    /// Which request it answers.
    pub request: EventId,
    /// That request, as the provider repeats it: checked by nobody but for having the id above.
    pub request_event: Option<Event>,
    /// Who produced it.
    pub provider: PublicKey,
    /// Who asked for it.
    pub customer: Option<PublicKey>,
    /// The output.
    pub content: String,
    /// Whether the content is encrypted for the customer.
    pub encrypted: bool,
    /// The inputs, as the provider repeats them.
    pub inputs: Vec<JobInput>,
    /// What the provider asks to be paid for it.
    pub amount: Option<Amount>,
    /// What the provider adds: the tags that are not NIP-90's.
    pub tags: Vec<Tag>,
}

/// The kind of a request's result: always 1000 higher.
#[must_use]
pub const fn result_kind(request: Kind) -> Kind {
    Kind(request.0.saturating_add(1_000))
}

impl JobResultEvent {
    /// The result of a request, to be signed by the provider: with the request, and the inputs as the customer wrote them.
    /// For an encrypted request it has no content: see [`ResultBuilder::sealed`].
    #[must_use]
    pub fn event(
        request: &JobRequest,
        content: impl Into<String>,
        tags: impl IntoIterator<Item = Tag>,
    ) -> UnsignedEvent {
        Self::answer(request).content(content).tags(tags).build()
    }

    /// Begins the result of a request.
    pub fn answer(request: &JobRequest) -> ResultBuilder<'_> {
        ResultBuilder {
            request,
            content: String::new(),
            sealed: None,
            amount: None,
            relay_hint: None,
            tags: Vec::new(),
        }
    }

    /// Reads a result; nothing when the event is something else or names no request. A provider that does not tag the
    /// request may have repeated it.
    #[must_use]
    pub fn from_event(event: &Event) -> Option<Self> {
        let request_kind = event.kind.0.checked_sub(1_000)?;
        if !REQUESTS.contains(&request_kind) {
            return None;
        }
        let repeated = event.tag_values("request").find_map(|json| Event::from_json(json).ok());
        let request = referred(event).or_else(|| Some(repeated.as_ref()?.id))?;
        Some(Self {
            request,
            request_event: repeated.filter(|repeated| repeated.id == request),
            provider: event.pubkey,
            customer: customer(event),
            content: event.content.clone(),
            encrypted: is_encrypted(event),
            inputs: event.tags_named("i").filter_map(|tag| JobInput::from_tag(tag)).collect(),
            amount: Amount::of(event),
            tags: event.tags.iter().filter(|tag| !is_own(tag)).cloned().collect(),
        })
    }
}

/// Writes a result.
///
/// ```
/// # use openagents_sdk::nostr::{Keys, Kind, Timestamp};
/// # use openagents_sdk::nip90::{JobRequest, RequestBuilder};
/// use openagents_sdk::nip90::{Amount, JobResultEvent};
///
/// # let (customer, provider) = (Keys::generate().unwrap(), Keys::generate().unwrap());
/// # let now = Timestamp::from_seconds(1_700_000_000);
/// # let request = JobRequest::from_event(RequestBuilder::new(Kind(5050)).text("Ada").build().sign(&customer, now)).unwrap();
/// let result = JobResultEvent::answer(&request).content("Hello, Ada!").amount(Amount::new(21_000)).build();
/// let event = result.sign(&provider, now);
/// assert_eq!(event.kind, Kind(6050));
/// assert_eq!(JobResultEvent::from_event(&event).unwrap().content, "Hello, Ada!");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ResultBuilder<'a> {
    request: &'a JobRequest,
    content: String,
    sealed: Option<String>,
    amount: Option<Amount>,
    relay_hint: Option<String>,
    tags: Vec<Tag>,
}

impl ResultBuilder<'_> {
    /// Gives it this output in clear. Has no effect for an encrypted request, whose output must not be published.
    pub fn content(mut self, output: impl Into<String>) -> Self {
        self.content = output.into();
        self
    }

    /// Gives it an output that is encrypted for the customer already, whatever was given in clear. Such a result is marked
    /// as `encrypted` and does not repeat the inputs (NIP-90, "Encrypted Output").
    pub fn sealed(mut self, ciphertext: impl Into<String>) -> Self {
        self.sealed = Some(ciphertext.into());
        self
    }

    /// Asks to be paid.
    pub fn amount(mut self, amount: Amount) -> Self {
        self.amount = Some(amount);
        self
    }

    /// Says on which relay the request can be found.
    pub fn relay_hint(mut self, relay: impl Into<String>) -> Self {
        self.relay_hint = Some(relay.into());
        self
    }

    /// Adds tags of a handler, which stay in clear. Those that clients take for the protocol's (`request`, `e`, `p`, `i`,
    /// `amount`, `encrypted`, `status`) are left out, so that no handler can answer another request or ask for money;
    /// so are tags without a name.
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags.into_iter().filter(|tag| !is_own(tag)));
        self
    }

    /// The event, to be signed by the provider.
    #[must_use]
    pub fn build(self) -> UnsignedEvent {
        let Self { request, content: clear, sealed, amount, relay_hint, tags } = self;
        let (content, encrypted) = content(request, clear, sealed);
        // What is repeated is what was published: decrypted inputs are not among the event's tags.
        let repeats_inputs = !encrypted && !request.encrypted;
        UnsignedEvent::new(result_kind(request.kind()), content)
            .tag(["request", request.event.json()])
            .tags(reference(request, relay_hint))
            .tags(request.event.tags_named("i").filter(|_| repeats_inputs).cloned())
            .tags(amount.map(|amount| amount.tag()))
            .tags(encrypted.then(|| vec!["encrypted".to_owned()]))
            .tags(tags)
    }
}

#[cfg(test)]
mod tests;
