//! Job feedback: kind 7000.

use openagents_host::nostr::{Event, EventId, PublicKey, UnsignedEvent};

use super::answer::{content, customer, reference, referred};
use super::request::is_encrypted;
use super::{Amount, FEEDBACK, JobRequest};

/// How many characters of text a status tag holds at most; what is longer is cut.
const MAX_MESSAGE: usize = 1_000;

/// What a provider tells a customer before the result, or instead of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Which request it is about.
    pub request: EventId,
    /// Who says it.
    pub provider: PublicKey,
    /// To whom it is said.
    pub customer: Option<PublicKey>,
    /// How the job stands.
    pub status: Status,
    /// More about it, for people.
    pub message: Option<String>,
    /// A part of the output, or a sample of it.
    pub content: String,
    /// Whether the content is marked as encrypted for the customer. Feedback on an encrypted request may be without the mark.
    pub encrypted: bool,
    /// What the provider asks to be paid.
    pub amount: Option<Amount>,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is done until it is paid for.
    PaymentRequired,
    /// It is being worked on.
    Processing,
    /// It could not be done.
    Error,
    /// It is done.
    Success,
    /// It is partly done; the content may hold that part.
    Partial,
    /// A word that is not in NIP-90.
    Other(String),
}

impl Status {
    /// The word for it in a `status` tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::PaymentRequired => "payment-required",
            Self::Processing => "processing",
            Self::Error => "error",
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Other(word) => word,
        }
    }

    fn from_word(word: &str) -> Self {
        match word {
            // NDK writes it with an underscore.
            "payment-required" | "payment_required" => Self::PaymentRequired,
            "processing" => Self::Processing,
            "error" => Self::Error,
            "success" => Self::Success,
            "partial" => Self::Partial,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Feedback {
    /// Feedback on a request, to be signed by the provider. For an encrypted request it has no message: see
    /// [`FeedbackBuilder::sealed`].
    #[must_use]
    pub fn event(request: &JobRequest, status: &Status, message: Option<&str>) -> UnsignedEvent {
        let builder = Self::about(request, status.clone());
        message.into_iter().fold(builder, FeedbackBuilder::message).build()
    }

    /// Begins feedback on a request.
    pub fn about(request: &JobRequest, status: Status) -> FeedbackBuilder<'_> {
        FeedbackBuilder {
            request,
            status,
            message: None,
            content: String::new(),
            sealed: None,
            amount: None,
            relay_hint: None,
        }
    }

    /// Reads feedback; nothing when the event is something else, or says neither about what nor how it stands.
    #[must_use]
    pub fn from_event(event: &Event) -> Option<Self> {
        if event.kind != FEEDBACK {
            return None;
        }
        let tag = event.tags_named("status").next()?;
        let status = Status::from_word(tag.get(1).filter(|word| !word.is_empty())?);
        let encrypted = is_encrypted(event);
        // Some providers write what they have to say into the content.
        let speaks = matches!(status, Status::Error | Status::Processing) && !encrypted;
        let content = Some(&event.content).filter(|_| speaks);
        Some(Self {
            request: referred(event)?,
            provider: event.pubkey,
            customer: customer(event),
            message: tag.get(2).into_iter().chain(content).find(|text| !text.is_empty()).cloned(),
            status,
            content: event.content.clone(),
            encrypted,
            amount: Amount::of(event),
        })
    }

    /// The feedback with its content decrypted: a part of the output if the status is `partial` or `success`, else the message.
    #[must_use]
    pub fn unsealed(self, plaintext: &str) -> Self {
        match self.status {
            Status::Partial | Status::Success => Self { content: plaintext.to_owned(), ..self },
            _ => Self { message: Some(plaintext.to_owned()), content: String::new(), ..self },
        }
    }
}

/// Writes feedback.
///
/// ```
/// # use openagents_sdk::nostr::{Keys, Kind, Timestamp};
/// # use openagents_sdk::nip90::{JobRequest, RequestBuilder};
/// use openagents_sdk::nip90::{Amount, Feedback, Status};
///
/// # let (customer, provider) = (Keys::generate().unwrap(), Keys::generate().unwrap());
/// # let now = Timestamp::from_seconds(1_700_000_000);
/// # let request = JobRequest::from_event(RequestBuilder::new(Kind(5050)).text("Ada").build().sign(&customer, now)).unwrap();
/// let feedback = Feedback::about(&request, Status::PaymentRequired)
///     .message("21 sat, please")
///     .amount(Amount::new(21_000).invoice("lnbc210n1…"))
///     .build();
/// let read = Feedback::from_event(&feedback.sign(&provider, now)).unwrap();
/// assert_eq!(read.message.as_deref(), Some("21 sat, please"));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FeedbackBuilder<'a> {
    request: &'a JobRequest,
    status: Status,
    message: Option<String>,
    content: String,
    sealed: Option<String>,
    amount: Option<Amount>,
    relay_hint: Option<String>,
}

impl FeedbackBuilder<'_> {
    /// Says more, for people, in up to 1000 characters; the rest is cut off. Clients read it from the status tag, which
    /// stays in clear: it has no effect for an encrypted request, or in sealed feedback.
    pub fn message(mut self, text: &str) -> Self {
        self.message =
            Some(text.chars().take(MAX_MESSAGE).collect()).filter(|text: &String| !text.is_empty());
        self
    }

    /// Shows a part of the output in clear. Has no effect for an encrypted request.
    pub fn content(mut self, output_so_far: impl Into<String>) -> Self {
        self.content = output_so_far.into();
        self
    }

    /// Gives it a content that is encrypted for the customer already: the part of the output, or else the message.
    ///
    /// NIP-90 marks encrypted requests and results with a tag, feedback not; NDK takes the content of feedback that has the
    /// tag for a list of tags.
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

    /// The event, to be signed by the provider.
    #[must_use]
    pub fn build(self) -> UnsignedEvent {
        let Self { request, status, message, content: clear, sealed, amount, relay_hint } = self;
        let (content, encrypted) = content(request, clear, sealed);
        let mut tag = vec!["status".to_owned(), status.as_str().to_owned()];
        tag.extend(message.filter(|_| !encrypted && !request.encrypted));
        UnsignedEvent::new(FEEDBACK, content)
            .tags([tag])
            .tags(reference(request, relay_hint))
            .tags(amount.map(|amount| amount.tag()))
    }
}

#[cfg(test)]
mod tests;
