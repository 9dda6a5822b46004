//! Job requests.

use openagents_host::event::{Event, EventId, Kind, PublicKey, Tag, UnsignedEvent, VerifiedEvent};

use super::REQUESTS;
use crate::params::ParamMap;

/// A customer's request, read from its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// The signed event itself.
    pub event: VerifiedEvent,
    /// The inputs, in their order.
    pub inputs: Vec<Input>,
    /// The parameters.
    pub params: ParamMap,
    /// The MIME types the customer would like, the dearest first; often none.
    pub output: Vec<String>,
    /// The most the customer would pay, in msat.
    pub bid: Option<u64>,
    /// Where the customer wants the answers published.
    pub relays: Vec<String>,
    /// The providers the customer wants; anyone when empty.
    pub providers: Vec<PublicKey>,
    /// Whether inputs and parameters are encrypted in the content.
    pub encrypted: bool,
}

/// One input of a request: an `i` tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What the customer gives; what it is depends on [`kind`](Self::kind).
    pub data: String,
    /// What `data` is.
    pub kind: InputKind,
    /// Where an event or a job's result can be found.
    pub relay: Option<String>,
    /// What the input is for, in the words of the kind's own description.
    pub marker: Option<String>,
}

/// What an input's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// The input itself.
    Text,
    /// Where the input is to be fetched.
    Url,
    /// The id of an event.
    Event,
    /// The id of a job whose output is the input.
    Job,
}

impl InputKind {
    /// The word for it in an `i` tag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Url => "url",
            Self::Event => "event",
            Self::Job => "job",
        }
    }

    /// Clients leave the type out or write their own (`prompt`, in kind 5050's own example): that is text.
    fn from_word(word: Option<&str>) -> Self {
        match word {
            Some("url") => Self::Url,
            Some("event") => Self::Event,
            Some("job") => Self::Job,
            _ => Self::Text,
        }
    }
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
        if !REQUESTS.contains(&event.kind.0) {
            return Err(NotAJobRequest(event.kind));
        }
        let bid = event.tag_values("bid").find_map(|bid| bid.parse().ok());
        let encrypted = event.tags_named("encrypted").next().is_some();
        Ok(Self {
            inputs: event.tags_named("i").filter_map(|tag| input(tag)).collect(),
            params: ParamMap(event.tags_named("param").filter_map(|tag| param(tag)).collect()),
            output: values(&event, "output"),
            bid,
            relays: values(&event, "relays"),
            providers: event.tag_values("p").filter_map(|key| PublicKey::from_hex(key).ok()).collect(),
            encrypted,
            event,
        })
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

    /// Whether the request is for this provider: it names it, or it names nobody.
    #[must_use]
    pub fn is_for(&self, provider: &PublicKey) -> bool {
        self.providers.is_empty() || self.providers.contains(provider)
    }
}

fn input(tag: &[String]) -> Option<Input> {
    let (data, rest) = tag.get(1..)?.split_first()?;
    let word = |index: usize| rest.get(index).filter(|word| !word.is_empty());
    Some(Input {
        data: data.clone(),
        kind: InputKind::from_word(word(0).map(String::as_str)),
        relay: word(1).cloned(),
        marker: word(2).cloned(),
    })
}

fn param(tag: &[String]) -> Option<(String, Vec<String>)> {
    let (key, values) = tag.get(1..)?.split_first()?;
    Some((key.clone(), values.to_vec()))
}

/// All values of all tags of a name: clients put several into one tag or repeat the tag.
fn values(event: &Event, name: &str) -> Vec<String> {
    event.tags_named(name).flat_map(|tag| tag.iter().skip(1)).cloned().collect()
}

/// Writes a request.
///
/// ```
/// use openagents_sdk::nip90::{JobRequest, RequestBuilder};
/// use openagents_sdk::host::{Keys, Kind, Timestamp};
///
/// let customer = Keys::generate().unwrap();
/// let event = RequestBuilder::new(Kind(5050)).text("Ada").param("language", ["en"]).build().sign(&customer, Timestamp::from_seconds(1_700_000_000));
/// let request = JobRequest::from_event(event).unwrap();
/// assert_eq!(request.inputs[0].data, "Ada");
/// assert_eq!(request.params.first("language"), Some("en"));
/// ```
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    kind: Kind,
    tags: Vec<Tag>,
}

impl RequestBuilder {
    /// A request of this kind, open to every provider.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, tags: Vec::new() }
    }

    /// Adds a text input.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.input(&Input { data: text.into(), kind: InputKind::Text, relay: None, marker: None })
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, input: &Input) -> Self {
        let mut tag = vec!["i".to_owned(), input.data.clone(), input.kind.as_str().to_owned()];
        if input.relay.is_some() || input.marker.is_some() {
            tag.push(input.relay.clone().unwrap_or_default());
        }
        tag.extend(input.marker.clone());
        self.tags.push(tag);
        self
    }

    /// Adds a parameter with its values.
    #[must_use]
    pub fn param<T: Into<String>>(
        mut self,
        key: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let mut tag = vec!["param".to_owned(), key.into()];
        tag.extend(values.into_iter().map(Into::into));
        self.tags.push(tag);
        self
    }

    /// Asks for output of these MIME types.
    #[must_use]
    pub fn output<T: Into<String>>(self, types: impl IntoIterator<Item = T>) -> Self {
        self.list("output", types)
    }

    /// Says how much the customer would pay at most, in msat.
    #[must_use]
    pub fn bid(self, msat: u64) -> Self {
        self.list("bid", [msat.to_string()])
    }

    /// Asks for the answers on these relays.
    #[must_use]
    pub fn relays<T: Into<String>>(self, relays: impl IntoIterator<Item = T>) -> Self {
        self.list("relays", relays)
    }

    /// Asks this provider.
    #[must_use]
    pub fn provider(self, provider: &PublicKey) -> Self {
        self.list("p", [provider.to_hex()])
    }

    /// The event, to be signed by the customer.
    #[must_use]
    pub fn build(self) -> UnsignedEvent {
        UnsignedEvent::new(self.kind, "").tags(self.tags)
    }

    fn list<T: Into<String>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut tag = vec![name.to_owned()];
        tag.extend(values.into_iter().map(Into::into));
        self.tags.push(tag);
        self
    }
}
