//! Which events from relays count as updates of a job.
//!
//! Anybody can publish an event that refers to a request. Only what the providers signed that were named counts, once each;
//! when nobody was named, anybody may answer, and the first result is the one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use openagents_host::nostr::Filter;
use openagents_host::{DecryptError, EventId, Keys, PublicKey, VerifiedEvent};

use crate::nip90::{Amount, FEEDBACK, Feedback, JobRequest, JobResultEvent, Status, result_kind};

/// How many answers to one request are looked at. After that only a result counts.
const MAX_ANSWERS: usize = 10_000;

/// News of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobUpdate {
    /// It is being worked on.
    Processing {
        /// Who says so.
        provider: PublicKey,
        /// What it says about it.
        message: Option<String>,
    },
    /// What there is of the output so far.
    Partial {
        /// Who says so.
        provider: PublicKey,
        /// That output.
        content: String,
    },
    /// Nothing is done until it is paid for.
    PaymentRequired {
        /// Who says so.
        provider: PublicKey,
        /// How much it asks for.
        amount: Option<Amount>,
        /// What it says about it.
        message: Option<String>,
    },
    /// What was asked for was paid, by the client's [`Payer`](super::Payer).
    Paid {
        /// Who was paid.
        provider: PublicKey,
        /// How much, in msat.
        msat: u64,
    },
    /// This provider will not do it.
    Error {
        /// Who says so.
        provider: PublicKey,
        /// Why.
        message: String,
    },
    /// This provider gave a result that is encrypted, but not so that this customer could read it.
    UnreadableRequest {
        /// Who did.
        provider: PublicKey,
        /// What is wrong with it.
        error: DecryptError,
    },
    /// A status that is not about any of this.
    Other {
        /// Who says so.
        provider: PublicKey,
        /// The word for it.
        status: String,
        /// What it says about it.
        message: Option<String>,
    },
    /// The result, decrypted if it has to be. Nothing follows it.
    Result(Box<JobResultEvent>),
}

/// What is known of a job.
pub(super) struct JobProgress {
    request: JobRequest,
    keys: Keys,
    /// The answers that were looked at. Relays send them again, and so do copies of them.
    seen: HashSet<EventId>,
    /// When each provider made the newest feedback of it that came.
    heard: BTreeMap<PublicKey, u64>,
    gave_up: BTreeSet<PublicKey>,
    has_result: bool,
}

impl JobProgress {
    /// A request that was not answered yet; `keys` are the customer's.
    pub(super) fn new(request: JobRequest, keys: Keys) -> Self {
        Self {
            request,
            keys,
            seen: HashSet::new(),
            heard: BTreeMap::new(),
            gave_up: BTreeSet::new(),
            has_result: false,
        }
    }

    pub(super) fn request(&self) -> EventId {
        self.request.id()
    }

    /// The filter for the answers to the request.
    pub(super) fn filter(&self) -> Filter {
        let kinds = [FEEDBACK, result_kind(self.request.kind())];
        let filter = Filter::new().kinds(kinds.map(|kind| kind.0)).events([self.request.id()]);
        if self.request.providers.is_empty() {
            return filter;
        }
        filter.authors(self.request.providers.iter().copied())
    }

    /// Whether no more news can come: there is a result, or all providers that were named have given up. Where none was,
    /// an error is not the end, since anybody could publish one.
    pub(super) fn is_over(&self) -> bool {
        let providers = &self.request.providers;
        let all_gave_up = || providers.iter().all(|provider| self.gave_up.contains(provider));
        self.has_result || (!providers.is_empty() && all_gave_up())
    }

    /// Takes an event, and says what is new by it.
    pub(super) fn take(&mut self, event: &VerifiedEvent) -> Option<JobUpdate> {
        if self.is_over() || !self.request.is_for(&event.pubkey) {
            return None;
        }
        let update = if event.kind == FEEDBACK {
            let feedback =
                Feedback::from_event(event).filter(|feedback| feedback.request == self.request.id())?;
            if !self.is_new(event) {
                return None;
            }
            self.take_feedback(event, feedback)?
        } else if event.kind == result_kind(self.request.kind()) {
            let result =
                JobResultEvent::from_event(event).filter(|result| result.request == self.request.id())?;
            self.take_result(event, result)
        } else {
            return None;
        };
        match &update {
            JobUpdate::Result(_) => self.has_result = true,
            JobUpdate::Error { provider, .. } | JobUpdate::UnreadableRequest { provider, .. } => {
                self.gave_up.insert(*provider);
            }
            _ => {}
        }
        Some(update)
    }

    fn is_new(&mut self, event: &VerifiedEvent) -> bool {
        self.seen.len() < MAX_ANSWERS && self.seen.insert(event.id)
    }

    fn take_feedback(&mut self, event: &VerifiedEvent, feedback: Feedback) -> Option<JobUpdate> {
        let feedback = self.open_feedback(event, feedback);
        let newest = self.heard.entry(event.pubkey).or_insert(event.created_at);
        let is_outdated = event.created_at < *newest;
        *newest = event.created_at.max(*newest);
        let Feedback { provider, message, content, amount, .. } = feedback;
        match feedback.status {
            Status::Error => {
                let message = message.unwrap_or_else(|| "the provider does not say why".to_owned());
                Some(JobUpdate::Error { provider, message })
            }
            Status::PaymentRequired => Some(JobUpdate::PaymentRequired { provider, amount, message }),
            // Stored events come newest first; what an older one says of the work has been said better.
            _ if is_outdated => None,
            Status::Processing => Some(JobUpdate::Processing { provider, message }),
            Status::Partial => Some(JobUpdate::Partial { provider, content }),
            status => Some(JobUpdate::Other { provider, status: status.as_str().to_owned(), message }),
        }
    }

    /// The feedback with its content decrypted. That it is encrypted is often not marked.
    fn open_feedback(&self, event: &VerifiedEvent, feedback: Feedback) -> Feedback {
        if event.content.is_empty() || !(feedback.encrypted || self.request.encrypted) {
            return feedback;
        }
        match self.keys.decrypt(&event.pubkey, &event.content) {
            Ok((plaintext, _)) => feedback.unsealed(&plaintext),
            Err(_) if feedback.encrypted => Feedback { content: String::new(), ..feedback },
            Err(_) => feedback,
        }
    }

    fn take_result(&self, event: &VerifiedEvent, mut result: JobResultEvent) -> JobUpdate {
        if result.encrypted || (self.request.encrypted && !event.content.is_empty()) {
            match self.keys.decrypt(&event.pubkey, &event.content) {
                Ok((plaintext, _)) => {
                    result.content = plaintext;
                    result.encrypted = false;
                }
                Err(error) if result.encrypted => {
                    return JobUpdate::UnreadableRequest { provider: event.pubkey, error };
                }
                // The provider was not careful, but it did the job.
                Err(_) => {}
            }
        }
        JobUpdate::Result(Box::new(result))
    }
}

#[cfg(test)]
mod tests;
