//! Job results: the request's kind + 1000.

use openagents_host::nostr::{Event, EventId, Kind, PublicKey, Tag, UnsignedEvent};

use super::answer::{content, customer, is_own, reference, referred};
use super::request::is_encrypted;
use super::{Amount, JobInput, JobRequest, REQUESTS};

/// A job result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobResultEvent {
    /// The id of the job request that it answers.
    pub request: EventId,
    /// The request as the provider repeats it. Only its id is checked, not its signature.
    pub request_event: Option<Event>,
    /// The provider: the author of the result.
    pub provider: PublicKey,
    /// The customer, from the `p` tag.
    pub customer: Option<PublicKey>,
    /// The output.
    pub content: String,
    /// Whether the content is encrypted for the customer.
    pub encrypted: bool,
    /// The inputs as the provider repeats them.
    pub inputs: Vec<JobInput>,
    /// The amount that the provider requests.
    pub amount: Option<Amount>,
    /// Additional tags that are not part of NIP-90.
    pub tags: Vec<Tag>,
}

/// The kind of the result of this request kind: 1000 higher.
#[must_use]
pub const fn result_kind(request: Kind) -> Kind {
    Kind(request.0.saturating_add(1_000))
}

impl JobResultEvent {
    /// The result of a request, to be signed with the provider's key. It repeats the request and its inputs. For an
    /// encrypted request the content is left out; use [`ResultBuilder::sealed`] instead.
    #[must_use]
    pub fn event(
        request: &JobRequest,
        content: impl Into<String>,
        tags: impl IntoIterator<Item = Tag>,
    ) -> UnsignedEvent {
        Self::answer(request).content(content).tags(tags).build()
    }

    /// Starts building the result of a request.
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

    /// Reads a result. `None` if the event is not a result or refers to no request. Without an `e` tag, the id is
    /// taken from the repeated request.
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

/// Builds a job result.
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
    /// Sets the output, in clear text. Has no effect for an encrypted request, whose output must not be published.
    pub fn content(mut self, output: impl Into<String>) -> Self {
        self.content = output.into();
        self
    }

    /// Sets an output that is already encrypted for the customer, in place of any in clear text. The result is then
    /// marked as `encrypted` and does not repeat the inputs (NIP-90, "Encrypted Output").
    pub fn sealed(mut self, ciphertext: impl Into<String>) -> Self {
        self.sealed = Some(ciphertext.into());
        self
    }

    /// Requests an amount.
    pub fn amount(mut self, amount: Amount) -> Self {
        self.amount = Some(amount);
        self
    }

    /// Adds a relay hint: a relay that has the request.
    pub fn relay_hint(mut self, relay: impl Into<String>) -> Self {
        self.relay_hint = Some(relay.into());
        self
    }

    /// Adds a handler's own tags, which are not encrypted. Tags without a name are dropped. So are the protocol's own
    /// (`request`, `e`, `p`, `i`, `amount`, `encrypted`, `status`), so that a handler cannot answer another request
    /// or request money.
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags.into_iter().filter(|tag| !is_own(tag)));
        self
    }

    /// The event, to be signed with the provider's key.
    #[must_use]
    pub fn build(self) -> UnsignedEvent {
        let Self { request, content: clear, sealed, amount, relay_hint, tags } = self;
        let (content, encrypted) = content(request, clear, sealed);
        // Only published tags are repeated; decrypted inputs are not among them.
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
