//! Which events from relays count as updates of a job.
//!
//! Anyone can publish an event that refers to a request. If the request names providers, only their answers count;
//! otherwise anyone may answer. The first result ends the job.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use openagents_host::nostr::Filter;
use openagents_host::{DecryptError, EventId, Keys, PublicKey, VerifiedEvent};

use crate::nip90::{Amount, FEEDBACK, Feedback, JobRequest, JobResultEvent, Status, result_kind};

/// How many feedback events are processed for each job. After that, only a result counts.
const MAX_ANSWERS: usize = 10_000;

/// A change in the progress of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobUpdate {
    /// The job is in progress.
    Processing {
        /// The provider.
        provider: PublicKey,
        /// The provider's message.
        message: Option<String>,
    },
    /// The output so far.
    Partial {
        /// The provider.
        provider: PublicKey,
        /// The partial output.
        content: String,
    },
    /// The provider does not continue until it is paid.
    PaymentRequired {
        /// The provider.
        provider: PublicKey,
        /// The requested amount and invoice.
        amount: Option<Amount>,
        /// The provider's message.
        message: Option<String>,
    },
    /// The client's [`Payer`](super::Payer) has paid the provider.
    Paid {
        /// The provider.
        provider: PublicKey,
        /// The amount paid, in msat.
        msat: u64,
    },
    /// The provider has failed or refused.
    Error {
        /// The provider.
        provider: PublicKey,
        /// The error message.
        message: String,
    },
    /// The provider has sent an encrypted result that the customer's key cannot decrypt.
    UnreadableResult {
        /// The provider.
        provider: PublicKey,
        /// Why it could not be decrypted.
        error: DecryptError,
    },
    /// Feedback with a status that is not in NIP-90.
    Other {
        /// The provider.
        provider: PublicKey,
        /// The text of the status.
        status: String,
        /// The provider's message.
        message: Option<String>,
    },
    /// The result, decrypted if necessary. No update follows.
    Result(Box<JobResultEvent>),
}

/// The state of one job, as the customer sees it.
pub(super) struct JobProgress {
    request: JobRequest,
    keys: Keys,
    /// Answers already processed; relays may send an event more than once.
    seen: HashSet<EventId>,
    /// The time of the newest feedback from each provider, in seconds.
    heard: BTreeMap<PublicKey, u64>,
    gave_up: BTreeSet<PublicKey>,
    has_result: bool,
}

impl JobProgress {
    /// A job without answers; `keys` are the customer's.
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

    /// The subscription filter for answers to the request.
    pub(super) fn filter(&self) -> Filter {
        let kinds = [FEEDBACK, result_kind(self.request.kind())];
        let filter = Filter::new().kinds(kinds.map(|kind| kind.0)).events([self.request.id()]);
        if self.request.providers.is_empty() {
            return filter;
        }
        filter.authors(self.request.providers.iter().copied())
    }

    /// Whether no further update can follow: there is a result, or every provider that the request names has failed.
    /// If it names none, an error is not the end, since anyone could have published it.
    pub(super) fn is_over(&self) -> bool {
        let providers = &self.request.providers;
        let all_gave_up = || providers.iter().all(|provider| self.gave_up.contains(provider));
        self.has_result || (!providers.is_empty() && all_gave_up())
    }

    /// Processes an event and returns the update that follows from it.
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
            JobUpdate::Error { provider, .. } | JobUpdate::UnreadableResult { provider, .. } => {
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
            // Stored events arrive newest first, so older feedback about progress is outdated.
            _ if is_outdated => None,
            Status::Processing => Some(JobUpdate::Processing { provider, message }),
            Status::Partial => Some(JobUpdate::Partial { provider, content }),
            status => Some(JobUpdate::Other { provider, status: status.as_str().to_owned(), message }),
        }
    }

    /// Decrypts the content of feedback. Encrypted feedback often has no `encrypted` tag.
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
                    return JobUpdate::UnreadableResult { provider: event.pubkey, error };
                }
                // The provider should have encrypted the result, but it did the job.
                Err(_) => {}
            }
        }
        JobUpdate::Result(Box::new(result))
    }
}

#[cfg(test)]
mod tests;
