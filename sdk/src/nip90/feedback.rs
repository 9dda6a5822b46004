//! Job feedback: kind 7000.

use openagents_host::nostr::{Event, EventId, PublicKey, UnsignedEvent};

use super::answer::{content, customer, reference, referred};
use super::request::is_encrypted;
use super::{Amount, FEEDBACK, JobRequest};

/// The longest text in a status tag, in characters; the rest is cut off.
const MAX_MESSAGE: usize = 1_000;

/// Job feedback: what a provider tells a customer before the result, or instead of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// The id of the job request.
    pub request: EventId,
    /// The provider: the author of the feedback.
    pub provider: PublicKey,
    /// The customer, from the `p` tag.
    pub customer: Option<PublicKey>,
    /// The status of the job.
    pub status: Status,
    /// The text of the status tag, or the content if that holds the message.
    pub message: Option<String>,
    /// The output so far, or a sample of it.
    pub content: String,
    /// Whether the content is marked as encrypted. Feedback on an encrypted request may lack the mark.
    pub encrypted: bool,
    /// The amount that the provider requests.
    pub amount: Option<Amount>,
}

/// The status of a job, as in a `status` tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// `payment-required`: the provider waits for payment.
    PaymentRequired,
    /// `processing`: the job is in progress.
    Processing,
    /// `error`: the job failed or was refused.
    Error,
    /// `success`: the job is done.
    Success,
    /// `partial`: the content holds a part of the output.
    Partial,
    /// A status that is not in NIP-90.
    Other(String),
}

impl Status {
    /// The value of the `status` tag.
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
    /// Feedback on a request, to be signed with the provider's key. For an encrypted request the message is left out;
    /// use [`FeedbackBuilder::sealed`] instead.
    #[must_use]
    pub fn event(request: &JobRequest, status: &Status, message: Option<&str>) -> UnsignedEvent {
        let builder = Self::about(request, status.clone());
        message.into_iter().fold(builder, FeedbackBuilder::message).build()
    }

    /// Starts building feedback on a request.
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

    /// Reads feedback. `None` if the event is not feedback, or has no request id or no status.
    #[must_use]
    pub fn from_event(event: &Event) -> Option<Self> {
        if event.kind != FEEDBACK {
            return None;
        }
        let tag = event.tags_named("status").next()?;
        let status = Status::from_word(tag.get(1).filter(|word| !word.is_empty())?);
        let encrypted = is_encrypted(event);
        // Some providers put the message into the content.
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

    /// The feedback with decrypted content: a part of the output if the status is `partial` or `success`, otherwise
    /// the message.
    #[must_use]
    pub fn unsealed(self, plaintext: &str) -> Self {
        match self.status {
            Status::Partial | Status::Success => Self { content: plaintext.to_owned(), ..self },
            _ => Self { message: Some(plaintext.to_owned()), content: String::new(), ..self },
        }
    }
}

/// Builds feedback.
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
    /// Sets the message, up to 1,000 characters; the rest is cut off. It goes into the status tag, which is not
    /// encrypted, so it is left out for an encrypted request and in sealed feedback.
    pub fn message(mut self, text: &str) -> Self {
        self.message =
            Some(text.chars().take(MAX_MESSAGE).collect()).filter(|text: &String| !text.is_empty());
        self
    }

    /// Sets the output so far, in clear text. Has no effect for an encrypted request.
    pub fn content(mut self, output_so_far: impl Into<String>) -> Self {
        self.content = output_so_far.into();
        self
    }

    /// Sets a content that is already encrypted for the customer: the output so far, or the message.
    ///
    /// NIP-90 marks encrypted requests and results with a tag, but not feedback. NDK would parse the content of
    /// feedback with that tag as a list of tags.
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

    /// The event, to be signed with the provider's key.
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
