//! Job feedback: kind 7000.

use openagents_host::event::{Event, EventId, UnsignedEvent};

use super::{FEEDBACK, reference, referred};
use crate::job::JobRequest;

/// What a provider tells a customer before the result, or instead of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Which request it is about.
    pub request: EventId,
    /// How the job stands.
    pub status: Status,
    /// More about it, for people.
    pub message: Option<String>,
    /// A part of the output, or a sample of it.
    pub content: String,
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
    /// Feedback on a request, to be signed by the provider. Clients read the text from the status tag, so it goes there.
    #[must_use]
    pub fn event(request: &JobRequest, status: &Status, message: Option<&str>) -> UnsignedEvent {
        let mut tag = vec!["status".to_owned(), status.as_str().to_owned()];
        tag.extend(message.map(str::to_owned));
        UnsignedEvent::new(FEEDBACK, "").tags([tag]).tags(reference(&request.event))
    }

    /// Reads feedback; nothing when the event is something else, or says neither about what nor how it stands.
    #[must_use]
    pub fn from_event(event: &Event) -> Option<Self> {
        if event.kind != FEEDBACK {
            return None;
        }
        let status = event.tags_named("status").next()?;
        Some(Self {
            request: referred(event)?,
            status: Status::from_word(status.get(1)?),
            message: status.get(2).filter(|message| !message.is_empty()).cloned(),
            content: event.content.clone(),
        })
    }
}
