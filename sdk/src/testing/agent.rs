//! `TestAgent`: submits jobs and lets time pass.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::{EventId, Keys, Kind, PublicKey, Rumor, Timestamp, UnsignedEvent, VerifiedEvent};
use openagents_relay::Outcome;
use tokio::runtime::Runtime;

use super::blobs::TestBlobs;
use super::failure::{OrFail, fail};
use super::host::{TestHost, Until};
use super::job::{Job, SubmittedJob};
use super::wallet::TestWallet;
use super::web::{Page, ReceivedRequest, Web};
use crate::author::agent::Jobs;
use crate::engine::{JobState, ManualRun, StateQuery, StateReply};
use crate::nip90::Cancellation;

/// The longest time to wait for a job.
const FINISH_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest time until an agent notices a payment.
const PAYMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// An agent under test. See the [module](super).
pub struct TestAgent<A> {
    pub(super) host: TestHost<A>,
    pub(super) web: Arc<Web>,
    pub(super) wallet: Option<TestWallet>,
    pub(super) blobs: TestBlobs,
    submitted: BTreeSet<EventId>,
    // Declared last, so that it is dropped after the tasks that run on it.
    runtime: Runtime,
}

impl<A: Jobs> TestAgent<A> {
    pub(super) fn begin(
        host: TestHost<A>,
        runtime: Runtime,
        wallet: Option<TestWallet>,
        web: Arc<Web>,
        blobs: TestBlobs,
    ) -> Self {
        let mut agent = Self { host, web, wallet, blobs, submitted: BTreeSet::new(), runtime };
        agent.go(Until::Idle);
        agent
    }

    /// Submits a job request on the agent's own relay.
    ///
    /// # Panics
    /// When the relay rejects the request.
    #[track_caller]
    pub fn submit(&mut self, job: Job) -> SubmittedJob {
        let job = self.sign(job);
        self.publish(job.request());
        job
    }

    /// Submits a job request on an external relay that the agent serves.
    pub fn submit_external(&mut self, relay: &str, job: Job) -> SubmittedJob {
        let job = self.sign(job);
        self.publish_external(relay, job.request());
        job
    }

    /// Cancels a job, as its customer.
    ///
    /// # Panics
    /// When the relay rejects the cancellation.
    #[track_caller]
    pub fn cancel(&mut self, job: &SubmittedJob) {
        let event = Cancellation::event(&job.id(), job.request().kind, None);
        self.publish(&event.sign(job.customer(), self.now()));
    }

    /// Pays the invoice of a job, and lets time pass until the agent has noticed: a few seconds.
    ///
    /// # Panics
    /// When the agent has not requested payment, the invoice has expired, or the agent has no [`TestWallet`].
    #[track_caller]
    pub fn pay(&mut self, job: &SubmittedJob) {
        let Some(wallet) = self.wallet.clone() else {
            fail(format_args!("this agent has no test wallet"));
        };
        let Some(invoice) = self.invoice(job) else {
            let explanation = self.explain(job);
            fail(format_args!("no payment is requested for job {}: {explanation}", job.id()));
        };
        if !wallet.pay(&invoice) {
            fail(format_args!("the invoice {invoice} for job {} can no longer be paid", job.id()));
        }
        let last = self.now() + PAYMENT_TIMEOUT;
        while self.host.job_state(job.id()) == Some(JobState::AwaitingPayment) && self.now() < last {
            self.advance(Duration::from_secs(1));
        }
    }

    /// Publishes an event on the agent's own relay. Job requests and cancellations reach the agent.
    ///
    /// # Panics
    /// When the relay rejects the event.
    #[track_caller]
    pub fn publish(&mut self, event: &VerifiedEvent) {
        let outcome = {
            let _entered = self.runtime.enter();
            self.host.publish(event)
        };
        if let Outcome::Refused(reason) = outcome {
            fail(format_args!("the agent's relay rejected the event {}: {reason}", event.id));
        }
        self.go(Until::Idle);
    }

    /// Publishes an event by this author that mentions the agent, on the agent's own relay: for an
    /// [`#[event]`](macro@crate::event) function.
    ///
    /// # Panics
    /// When the relay rejects the event.
    #[track_caller]
    pub fn event(&mut self, author: &Keys, event: UnsignedEvent) -> VerifiedEvent {
        let event = event.tag(["p", &self.public_key().to_hex()]).sign(author, self.now());
        self.publish(&event);
        event
    }

    /// Sends the agent a direct message (NIP-17), for a [`#[direct_message]`](macro@crate::direct_message) function.
    ///
    /// ```
    /// use openagents_sdk::prelude::*;
    /// use openagents_sdk::testing::{TestAgent, customer};
    ///
    /// #[agent(name = "parrot")]
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Parrot;
    ///
    /// #[jobs]
    /// impl Parrot {
    ///     #[direct_message]
    ///     async fn answer(&self, text: Text) -> JobResult<String> {
    ///         Ok(text.to_uppercase())
    ///     }
    /// }
    ///
    /// let mut agent = TestAgent::<Parrot>::start();
    /// agent.direct_message(&customer(1), "good day");
    /// agent.settle();
    /// assert_eq!(agent.direct_messages_to(&customer(1)), ["GOOD DAY"]);
    /// ```
    ///
    /// # Panics
    /// When the relay rejects the message.
    #[track_caller]
    pub fn direct_message(&mut self, author: &Keys, text: &str) {
        let receiver = self.public_key();
        let message = UnsignedEvent::new(Kind::DIRECT_MESSAGE, text).tag(["p", &receiver.to_hex()]);
        let message = Rumor::new(message, author.public_key(), self.now());
        let wrap = message.wrap(author, &receiver, self.now()).or_fail("the message cannot be sent");
        self.publish(&wrap);
    }

    /// Publishes an event on an external relay that the agent serves. Job requests and cancellations reach the agent.
    pub fn publish_external(&mut self, relay: &str, event: &VerifiedEvent) {
        let relay = relay.trim_end_matches('/');
        {
            let _entered = self.runtime.enter();
            self.host.publish_external(relay, event);
            self.host.receive(relay, event.clone());
        }
        self.go(Until::Idle);
    }

    /// Runs a schedule now, as an operator does with `schedules run`.
    ///
    /// # Panics
    /// When the agent has no schedule with this name, or it is running.
    #[track_caller]
    pub fn run_schedule(&mut self, name: &str) {
        self.run_scheduled(name, "");
    }

    /// Runs a `#[schedule(once)]` function now, of which a run with this key is scheduled.
    ///
    /// # Panics
    /// When there is no such run, or it is running.
    #[track_caller]
    pub fn run_scheduled(&mut self, name: &str, key: &str) {
        let query = StateQuery::RunSchedule { name: name.to_owned(), key: key.to_owned(), token: None };
        match self.host.query_state(query) {
            Ok(StateReply::ManualRun(ManualRun::Due)) => self.go(Until::Idle),
            other => fail(format_args!("the schedule `{name}` cannot run now: {other:?}")),
        }
    }

    /// Serves a body at a URL, for handlers that fetch it.
    ///
    /// # Panics
    /// When the URL is invalid.
    #[track_caller]
    pub fn serve(&mut self, url: &str, content_type: &str, body: impl Into<Vec<u8>>) {
        let page = Page::new(content_type, body);
        self.serve_with(url, move |_| page.clone());
    }

    /// Serves at a URL the pages that the closure returns. A URL without a query also serves those with one.
    ///
    /// ```no_run
    /// # use openagents_sdk::testing::{Page, TestAgent};
    /// # fn test<A: openagents_sdk::Jobs>(mut agent: TestAgent<A>) {
    /// agent.serve_with("https://api.example.com/translate", |request| match request.body.is_empty() {
    ///     true => Page::status(400),
    ///     false => Page::new("text/plain", "Good day"),
    /// });
    /// # }
    /// ```
    ///
    /// # Panics
    /// When the URL is invalid.
    #[track_caller]
    pub fn serve_with(
        &mut self,
        url: &str,
        answer: impl Fn(&ReceivedRequest) -> Page + Send + Sync + 'static,
    ) {
        self.web.serve(url, Box::new(answer));
    }

    /// Lets as much time pass as the running handlers need, and those that wait for them. It does not wait for
    /// retries; [`finish`](Self::finish) does.
    pub fn settle(&mut self) {
        self.go(Until::Settled);
    }

    /// Lets as much time pass as a job needs, including its retries; a day at most. A job that waits for payment ends
    /// when its invoice has expired.
    ///
    /// # Panics
    /// When the agent did not accept the job, or it has not ended after a day.
    #[track_caller]
    pub fn finish(&mut self, job: &SubmittedJob) {
        let until = Until::Ended(job.id(), self.now() + FINISH_TIMEOUT);
        self.go(until);
        if !self.host.job_state(job.id()).is_some_and(JobState::is_final) {
            let explanation = self.explain(job);
            fail(format_args!("job {} has not ended: {explanation}", job.id()));
        }
    }

    /// Lets this much time pass, with everything that happens in it. Rounded up to milliseconds.
    pub fn advance(&mut self, duration: Duration) {
        let until = Until::At(self.now() + duration);
        self.go(until);
    }

    /// Kills the agent's process and starts it again: memory and runs are lost, the database is kept.
    ///
    /// # Panics
    /// When the agent cannot start again.
    #[track_caller]
    pub fn evict(&mut self) {
        {
            let _entered = self.runtime.enter();
            self.host.evict();
        }
        self.go(Until::Idle);
    }

    /// Makes the agent forget what it has in memory, like a hibernating Durable Object. Has no effect while something
    /// is in progress.
    pub fn forget(&mut self) {
        self.host.forget();
        self.go(Until::Idle);
    }

    /// The current virtual time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.host.clock.now()
    }

    /// The agent's public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.host.keys.public_key()
    }

    /// Signs the request. Two equal jobs within one second would be the same event, so the later one gets an earlier
    /// `created_at`.
    #[track_caller]
    fn sign(&mut self, job: Job) -> SubmittedJob {
        for file in &job.files {
            self.blobs.upload(file, self.now());
        }
        let draft = job.draft(&self.public_key());
        let mut date = self.now();
        let mut signed = draft.sign(date);
        while !self.submitted.insert(signed.id()) {
            date = date - Duration::from_secs(1);
            signed = draft.sign(date);
        }
        signed
    }

    pub(super) fn go(&mut self, until: Until) {
        self.runtime.block_on(self.host.go(until));
    }
}
