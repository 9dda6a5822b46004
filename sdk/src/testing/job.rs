//! `Job` and `SubmittedJob`: jobs as a customer sends them.

use openagents_blossom::MediaType;
use openagents_host::http::Bytes;
use openagents_host::{Encryption, EventId, Keys, Kind, PublicKey, Timestamp, UnsignedEvent, VerifiedEvent};

use super::blobs::TestFile;
use super::failure::OrFail;
use crate::nip90::RequestBuilder;
use crate::price::Price;

/// The keys of a test's customer. Each number is another customer; jobs are from customer 1 by default.
#[must_use]
#[track_caller]
pub fn customer(number: u8) -> Keys {
    // Neither zero nor the agent's own key.
    let mut secret = [0xc5; 32];
    secret[31] = number;
    Keys::from_secret(&secret).or_fail("the keys of a customer")
}

/// A job request, for [`TestAgent::submit`](super::TestAgent::submit).
///
/// ```
/// use openagents_sdk::nostr::Encryption;
/// use openagents_sdk::testing::{Job, customer};
///
/// let job = Job::of(5002).text("Guten Tag").param("language", "en").from(&customer(2)).sealed(Encryption::Nip44);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a job is submitted by `TestAgent::submit`"]
pub struct Job {
    request: RequestBuilder,
    customer: Option<Keys>,
    is_named: bool,
    sealed: Option<Encryption>,
    pub(super) files: Vec<TestFile>,
}

impl Job {
    /// A job of this kind.
    pub fn of(kind: impl Into<Kind>) -> Self {
        Self {
            request: RequestBuilder::new(kind),
            customer: None,
            is_named: false,
            sealed: None,
            files: Vec::new(),
        }
    }

    /// Adds a `text` input.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.with(|request| request.text(text))
    }

    /// Adds a `url` input: see [`TestAgent::serve`](super::TestAgent::serve).
    pub fn url(self, url: impl Into<String>) -> Self {
        self.with(|request| request.url(url))
    }

    /// Adds a file as a `url` input, as if the customer had uploaded it to the agent's blob server. For a handler that takes a
    /// [`Blob`](crate::Blob).
    ///
    /// ```
    /// use openagents_sdk::prelude::*;
    /// use openagents_sdk::testing::{Job, TestAgent};
    ///
    /// #[agent(name = "scale")]
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Scale;
    ///
    /// #[jobs]
    /// impl Scale {
    ///     #[job(kind = 5050)]
    ///     async fn weigh(&self, file: Blob) -> JobResult<String> {
    ///         Ok(format!("{} of {} bytes", file.media_type(), file.bytes().len()))
    ///     }
    /// }
    ///
    /// let mut agent = TestAgent::<Scale>::start();
    /// let job = agent.submit(Job::of(5050).file("hello", "text/plain"));
    /// assert_eq!(agent.result(&job).content, "text/plain of 5 bytes");
    /// ```
    ///
    /// # Panics
    /// When the media type is not one.
    #[track_caller]
    pub fn file(mut self, bytes: impl Into<Bytes>, media_type: &str) -> Self {
        let media_type: MediaType =
            media_type.parse().or_fail(format_args!("`{media_type}` is no media type"));
        let file = TestFile { bytes: bytes.into(), media_type };
        let url = file.url();
        self.files.push(file);
        self.url(url)
    }

    /// Adds an `event` input: see [`TestAgent::publish`](super::TestAgent::publish).
    pub fn event(self, id: &EventId) -> Self {
        self.with(|request| request.event(id, None))
    }

    /// Adds a `job` input: the output of another job.
    pub fn output_of(self, job: &SubmittedJob) -> Self {
        self.with(|request| request.job(&job.id(), None))
    }

    /// Adds a parameter.
    pub fn param(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|request| request.param(key, value))
    }

    /// Sets the bid: the most that the customer would pay.
    pub fn bid(self, most: Price) -> Self {
        self.with(|request| request.bid(most.as_msat()))
    }

    /// Names the agent in a `p` tag. An encrypted job always does.
    pub fn named(mut self) -> Self {
        self.is_named = true;
        self
    }

    /// Sets the customer.
    pub fn from(mut self, customer: &Keys) -> Self {
        self.customer = Some(customer.clone());
        self
    }

    /// Encrypts inputs and parameters for the agent.
    pub fn sealed(mut self, encryption: Encryption) -> Self {
        self.sealed = Some(encryption);
        self
    }

    /// Changes the request in any other way.
    ///
    /// ```
    /// # use openagents_sdk::testing::Job;
    /// let job = Job::of(5050).with(|request| request.output(["application/json"]).topic("weather"));
    /// ```
    pub fn with(mut self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        self.request = change(self.request);
        self
    }

    /// The unsigned request.
    #[track_caller]
    pub(super) fn draft(self, agent: &PublicKey) -> Draft {
        let customer = self.customer.unwrap_or_else(|| customer(1));
        let is_named = self.is_named || self.sealed.is_some();
        let request = if is_named { self.request.provider(agent) } else { self.request };
        let event = match self.sealed {
            None => request.build(),
            Some(encryption) => request
                .build_sealed(|plaintext| customer.encrypt(agent, plaintext, encryption))
                .or_fail("the job could not be encrypted"),
        };
        Draft { event, customer }
    }
}

/// An unsigned request.
pub(super) struct Draft {
    event: UnsignedEvent,
    customer: Keys,
}

impl Draft {
    pub(super) fn sign(&self, now: Timestamp) -> SubmittedJob {
        SubmittedJob {
            request: self.event.clone().sign(&self.customer, now),
            customer: self.customer.clone(),
        }
    }
}

/// A submitted job, with which a test looks up its result and state.
#[derive(Clone, Debug)]
pub struct SubmittedJob {
    request: VerifiedEvent,
    customer: Keys,
}

impl SubmittedJob {
    /// The id of the request.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.request.id
    }

    /// The signed request.
    #[must_use]
    pub fn request(&self) -> &VerifiedEvent {
        &self.request
    }

    /// The customer's keys.
    #[must_use]
    pub fn customer(&self) -> &Keys {
        &self.customer
    }
}
