//! What a test can read of its agent: results, jobs, state, memory.

use std::fmt;

use openagents_blossom::BlobDescriptor;
use openagents_host::http::Bytes;
use openagents_host::{Keys, PublicKey, Rumor, Timestamp, VerifiedEvent};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::agent::TestAgent;
use super::failure::{OrFail, fail};
use super::job::SubmittedJob;
use super::wallet::TestWallet;
use super::web::ReceivedRequest;
use crate::author::agent::Jobs;
use crate::engine::{JobDetails, JobState, SessionTurn, StateQuery, StateReply, Turn};
use crate::nip90::{FEEDBACK, Feedback, JobRequest, JobResultEvent, Status};
use crate::price::Price;
use crate::runner::StateCache;

/// A job as stored by the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobRecord {
    /// The job's state.
    pub state: JobState,
    /// How many attempts have started.
    pub attempts: u32,
    /// The price, once it is known.
    pub price: Option<Price>,
    /// When the request arrived.
    pub received_at: Timestamp,
    /// When the last attempt started.
    pub started_at: Option<Timestamp>,
    /// When the job ended.
    pub finished_at: Option<Timestamp>,
}

impl<A: Jobs> TestAgent<A> {
    /// The result of a job, decrypted if necessary.
    ///
    /// # Panics
    /// When it has none. The message tells the job's state.
    #[must_use]
    #[track_caller]
    pub fn result(&mut self, job: &SubmittedJob) -> JobResultEvent {
        match self.find_result(job) {
            Some(result) => result,
            None => {
                let explanation = self.explain(job);
                fail(format_args!("job {} has no result: {explanation}", job.id()))
            }
        }
    }

    /// The result of a job, if it has one, decrypted if necessary.
    ///
    /// When the customer cannot decrypt it.
    /// When its customer cannot decrypt it.
    #[must_use]
    #[track_caller]
    pub fn find_result(&self, job: &SubmittedJob) -> Option<JobResultEvent> {
        let results = self.said().filter_map(|event| JobResultEvent::from_event(event));
        let mut result = results.into_iter().find(|result| result.request == job.id())?;
        if result.encrypted {
            result.content = self.decrypt(job, &result.content);
        }
        Some(result)
    }

    /// The feedback on a job, oldest first, decrypted if necessary.
    ///
    /// # Panics
    /// When the customer cannot decrypt it.
    #[must_use]
    #[track_caller]
    pub fn feedback(&self, job: &SubmittedJob) -> Vec<Feedback> {
        let is_sealed = JobRequest::from_event(job.request().clone()).is_ok_and(|request| request.encrypted);
        let mut all = Vec::new();
        for feedback in self.said().filter_map(|event| Feedback::from_event(event)) {
            if feedback.request != job.id() {
                continue;
            }
            if is_sealed && !feedback.content.is_empty() {
                let plaintext = self.decrypt(job, &feedback.content);
                all.push(feedback.unsealed(&plaintext));
            } else {
                all.push(feedback);
            }
        }
        all
    }

    /// The message that the customer got when the job failed, was rejected or was cancelled.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn error(&mut self, job: &SubmittedJob) -> String {
        match self.feedback(job).into_iter().rfind(|feedback| feedback.status == Status::Error) {
            Some(error) => error.message.unwrap_or_default(),
            None => {
                let explanation = self.explain(job);
                fail(format_args!("job {} has no error: {explanation}", job.id()))
            }
        }
    }

    /// The job as stored by the agent.
    ///
    /// # Panics
    /// When the agent has not stored it: it is for another provider, or the agent has no handler for its kind.
    #[must_use]
    #[track_caller]
    pub fn job(&mut self, job: &SubmittedJob) -> JobRecord {
        match self.record(job) {
            Some(record) => record,
            None => fail(format_args!("job {}: {NOT_ON_RECORD}", job.id())),
        }
    }

    /// The agent's last committed state.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn state(&self) -> A {
        let cache = StateCache::<A>::default();
        let state = cache.shared(&self.host.engine.state()).or_fail("the state cannot be read");
        drop(cache);
        std::sync::Arc::into_inner(state).unwrap_or_else(|| A::STATE.initial())
    }

    /// The value under a key of the agent's [memory](crate::Memory), if there is one.
    ///
    /// # Panics
    /// When it is not a `T`.
    #[must_use]
    #[track_caller]
    pub fn memory<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value: Value = self.query_state(StateQuery::Memory { key: key.to_owned() });
        serde_json::from_value(value).or_fail(format_args!("the value under `{key}` is of another type"))
    }

    /// The [conversation](crate::Session) with a customer, oldest turn first.
    #[must_use]
    #[track_caller]
    pub fn turns(&mut self, customer: &Keys) -> Vec<Turn> {
        let query = StateQuery::Turns { customer: customer.public_key(), limit: 200 };
        let turns: Vec<SessionTurn> = self.query_state(query);
        turns.into_iter().map(|SessionTurn { role, text, .. }| Turn { role, text }).collect()
    }

    /// Runs a statement on the author's own tables and returns its rows: see [`Memory::sql`](crate::Memory::sql).
    ///
    /// # Panics
    /// When the statement fails.
    #[must_use]
    #[track_caller]
    pub fn sql(&mut self, statement: &str, values: &[Value]) -> Vec<Vec<Value>> {
        self.query_state(StateQuery::Sql { statement: statement.to_owned(), values: values.to_vec() })
    }

    /// All events that the agent's own relay accepted, from any author, in order.
    #[must_use]
    pub fn relay_events(&self) -> Vec<VerifiedEvent> {
        self.host.relay.accepted().to_vec()
    }

    /// The events that the agent published, without results and feedback.
    #[must_use]
    pub fn published(&self) -> Vec<VerifiedEvent> {
        let is_answer =
            |event: &VerifiedEvent| event.kind == FEEDBACK || JobResultEvent::from_event(event).is_some();
        self.said().filter(|event| !is_answer(event)).cloned().collect()
    }

    /// The texts of the direct messages (NIP-17) that the agent has sent to somebody over its own relay, in order.
    #[must_use]
    pub fn direct_messages_to(&self, receiver: &Keys) -> Vec<String> {
        let messages =
            self.host.relay.accepted().iter().filter_map(|wrap| Rumor::unwrap(wrap, receiver).ok());
        messages
            .filter(|message| message.pubkey == self.public_key())
            .map(|message| message.content)
            .collect()
    }

    /// The events on an external relay, in order of arrival.
    #[must_use]
    pub fn external_events(&self, relay: &str) -> Vec<VerifiedEvent> {
        self.host.external_events(relay).to_vec()
    }

    /// The blobs that the agent has stored and their bytes, by hash.
    pub fn blobs(&self) -> Vec<(BlobDescriptor, Bytes)> {
        self.blobs.of_agent()
    }

    /// The HTTP requests that handlers made, in order, including failed ones.
    #[must_use]
    pub fn http_requests(&self) -> Vec<ReceivedRequest> {
        self.web.requests()
    }

    /// The warnings for the operator.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.host.warnings
    }

    /// The wallet through which the agent is paid.
    ///
    /// # Panics
    /// When the agent has no wallet, or one of the test's own.
    #[must_use]
    #[track_caller]
    pub fn wallet(&self) -> &TestWallet {
        match &self.wallet {
            Some(wallet) => wallet,
            None => fail(format_args!("this agent has no test wallet")),
        }
    }

    /// The invoice that the customer was sent.
    pub(super) fn invoice(&self, job: &SubmittedJob) -> Option<String> {
        let asked =
            self.feedback(job).into_iter().rfind(|feedback| feedback.status == Status::PaymentRequired);
        asked?.amount?.invoice
    }

    /// The job's state as text, for failure messages.
    pub(super) fn explain(&mut self, job: &SubmittedJob) -> String {
        let Some(JobRecord { state, attempts, .. }) = self.record(job) else {
            return NOT_ON_RECORD.to_owned();
        };
        let mut text = format!("it is {state} after {attempts} attempts");
        if let Some(last) = self.feedback(job).last() {
            let message = last.message.as_deref().unwrap_or(&last.content);
            text.push_str(&format!("; its last feedback was {}: {message}", last.status.as_str()));
        }
        text.push_str(match state {
            JobState::Running => "; `settle` lets time pass until its handler has finished",
            JobState::Received | JobState::Queued => "; `finish` lets time pass until it has ended",
            JobState::AwaitingPayment => "; `pay` pays its invoice",
            _ => "",
        });
        text
    }

    #[track_caller]
    fn record(&mut self, job: &SubmittedJob) -> Option<JobRecord> {
        let details: Option<JobDetails> = self.query_state(StateQuery::Job { id: job.id() });
        let job = details?.summary;
        Some(JobRecord {
            state: job.state,
            attempts: job.attempt,
            price: job.price_msat.map(Price::msat),
            received_at: job.received_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        })
    }

    #[track_caller]
    fn query_state<T: TryFrom<StateReply, Error: fmt::Display>>(&mut self, query: StateQuery) -> T {
        let reply = self.host.query_state(query).or_fail("the agent's database failed");
        T::try_from(reply).or_fail("the agent's database failed")
    }

    /// The events by the agent on its own relay.
    fn said(&self) -> impl Iterator<Item = &VerifiedEvent> {
        let me: PublicKey = self.public_key();
        self.host.relay.accepted().iter().filter(move |event| event.pubkey == me)
    }

    #[track_caller]
    fn decrypt(&self, job: &SubmittedJob, ciphertext: &str) -> String {
        let decrypted = job.customer().decrypt(&self.public_key(), ciphertext);
        decrypted.or_fail(format_args!("the customer cannot decrypt an answer to job {}", job.id())).0
    }
}

const NOT_ON_RECORD: &str =
    "the agent did not accept it: it names another provider, or the agent has no handler for its kind";
