//! `TestAgent`: submits jobs and lets time pass.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::net::FetchRequest;
use openagents_host::{EventId, PublicKey, Timestamp, VerifiedEvent};
use openagents_relay::Outcome;
use tokio::runtime::Runtime;

use super::failure::fail;
use super::host::{TestHost, Until};
use super::job::{Job, SubmittedJob};
use super::wallet::TestWallet;
use super::web::{Page, Web};
use crate::author::agent::Jobs;
use crate::engine::JobState;
use crate::nip90::Cancellation;

/// How long a job is waited for at most.
const FINISH_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an agent may take to see that it was paid.
const PAYMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// An agent in a test. See the [module](super).
pub struct TestAgent<A> {
    pub(super) host: TestHost<A>,
    pub(super) web: Arc<Web>,
    pub(super) wallet: Option<TestWallet>,
    submitted: BTreeSet<EventId>,
    // Last, since what is at work lives on it.
    runtime: Runtime,
}

impl<A: Jobs> TestAgent<A> {
    pub(super) fn begin(
        host: TestHost<A>,
        runtime: Runtime,
        wallet: Option<TestWallet>,
        web: Arc<Web>,
    ) -> Self {
        let mut agent = Self { host, web, wallet, submitted: BTreeSet::new(), runtime };
        agent.go(Until::Idle);
        agent
    }

    /// Asks for a job on the agent's own relay.
    ///
    /// # Panics
    /// When the relay does not take the request.
    #[track_caller]
    pub fn submit(&mut self, job: Job) -> SubmittedJob {
        let job = self.sign(job);
        self.publish(job.request());
        job
    }

    /// Asks for a job on an external relay that the agent serves.
    pub fn submit_outside(&mut self, relay: &str, job: Job) -> SubmittedJob {
        let job = self.sign(job);
        self.publish_outside(relay, job.request());
        job
    }

    /// Cancels a job, as its customer.
    ///
    /// # Panics
    /// When the relay does not take the cancellation.
    #[track_caller]
    pub fn cancel(&mut self, job: &SubmittedJob) {
        let event = Cancellation::event(&job.id(), job.request().kind, None);
        self.publish(&event.sign(job.customer(), self.now()));
    }

    /// Pays what the agent asks for a job, and lets time pass until the agent has seen it: a few seconds.
    ///
    /// # Panics
    /// When the agent asked for nothing, the invoice can no longer be paid, or the agent has no [`TestWallet`].
    #[track_caller]
    pub fn pay(&mut self, job: &SubmittedJob) {
        let Some(wallet) = self.wallet.clone() else {
            fail(format_args!("this agent has no test wallet to be paid through"));
        };
        let Some(invoice) = self.invoice(job) else {
            let explanation = self.explain(job);
            fail(format_args!("job {} is not to be paid for: {explanation}", job.id()));
        };
        if !wallet.pay(&invoice) {
            fail(format_args!("the invoice {invoice} for job {} cannot be paid any more", job.id()));
        }
        let last = self.now() + PAYMENT_TIMEOUT;
        while self.host.job_state(job.id()) == Some(JobState::AwaitingPayment) && self.now() < last {
            self.advance(Duration::from_secs(1));
        }
    }

    /// Publishes any event on the agent's own relay. A job request or cancellation reaches the agent.
    ///
    /// # Panics
    /// When the relay does not take the event.
    #[track_caller]
    pub fn publish(&mut self, event: &VerifiedEvent) {
        let outcome = {
            let _entered = self.runtime.enter();
            self.host.publish(event)
        };
        if let Outcome::Refused(reason) = outcome {
            fail(format_args!("the agent's relay refused the event {}: {reason}", event.id));
        }
        self.go(Until::Idle);
    }

    /// Publishes any event on an external relay that the agent serves. A job request or cancellation reaches the agent.
    pub fn publish_outside(&mut self, relay: &str, event: &VerifiedEvent) {
        let relay = relay.trim_end_matches('/');
        self.host.outside.entry(relay.to_owned()).or_default().push(event.clone());
        {
            let _entered = self.runtime.enter();
            self.host.receive(relay, event.clone());
        }
        self.go(Until::Idle);
    }

    /// Serves something at a URL for the handlers' fetches.
    ///
    /// # Panics
    /// When the URL is none.
    #[track_caller]
    pub fn serve(&mut self, url: &str, content_type: &str, body: impl Into<Vec<u8>>) {
        let page = Page::new(content_type, body);
        self.serve_with(url, move |_| page.clone());
    }

    /// Serves at a URL what the closure answers to each fetch, by GET or POST.
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
    /// When the URL is none.
    #[track_caller]
    pub fn serve_with(&mut self, url: &str, answer: impl Fn(&FetchRequest) -> Page + Send + Sync + 'static) {
        self.web.serve(url, Box::new(answer));
    }

    /// Lets as much time pass as the handlers at work need, and those that they hold up. Pauses before another attempt are
    /// not waited for: [`finish`](Self::finish) does.
    pub fn settle(&mut self) {
        self.go(Until::Settled);
    }

    /// Lets as much time pass as a job needs, with its other attempts; a day at most. A job that waits to be paid waits
    /// until its invoice has expired.
    ///
    /// # Panics
    /// When the agent did not take the job, or it has not ended after a day.
    #[track_caller]
    pub fn finish(&mut self, job: &SubmittedJob) {
        let until = Until::Ended(job.id(), self.now() + FINISH_TIMEOUT);
        self.go(until);
        if !self.host.job_state(job.id()).is_some_and(JobState::is_final) {
            let explanation = self.explain(job);
            fail(format_args!("job {} does not end: {explanation}", job.id()));
        }
    }

    /// Lets this much time pass, with all that happens in it. Rounded up to milliseconds.
    pub fn advance(&mut self, duration: Duration) {
        let until = Until::At(self.now() + duration);
        self.go(until);
    }

    /// Ends the agent's process without warning and starts it again: memory and runs are lost, the database is kept.
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

    /// Lets the agent forget what it has in memory, as a Durable Object does that hibernates. While something is under way
    /// it does not.
    pub fn forget(&mut self) {
        self.host.forget();
        self.go(Until::Idle);
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.host.clock.now()
    }

    /// The agent's public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.host.keys.public_key()
    }

    /// Signs the request. Two jobs that are the same, of one second, would be the same event: then the later one has an
    /// earlier `created_at`.
    #[track_caller]
    fn sign(&mut self, job: Job) -> SubmittedJob {
        let draft = job.draft(&self.public_key());
        let mut date = self.now();
        let mut signed = draft.sign(date);
        while !self.submitted.insert(signed.id()) {
            date = date - Duration::from_secs(1);
            signed = draft.sign(date);
        }
        signed
    }

    fn go(&mut self, until: Until) {
        self.runtime.block_on(self.host.go(until));
    }
}
