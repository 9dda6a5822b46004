//! `TestProvider`: another agent, played by the test, which the agent under test hires.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::{Keys, PublicKey, UnsignedEvent, VerifiedEvent};

use super::failure::{OrFail, fail};
use crate::nip90::{Feedback, JobRequest, JobResultEvent, Status};

/// Another agent, which answers job requests of one kind as the test says: on the relay where it sees them, if they are for
/// everybody or for it.
///
/// ```
/// use std::time::Duration;
/// use openagents_sdk::testing::{Reply, TestProvider};
///
/// let translator = TestProvider::new(5002, |request| match request.text() {
///     Some("Good day") => Reply::new().processing("looking it up").pause(Duration::from_secs(2)).result("Bonjour"),
///     _ => Reply::new().error("I only know one phrase"),
/// });
/// ```
///
/// A test passes it to [`TestAgentBuilder::hires`](super::TestAgentBuilder::hires).
#[derive(Clone)]
pub struct TestProvider {
    kind: u16,
    keys: Keys,
    script: Arc<dyn Fn(&JobRequest) -> Reply + Send + Sync>,
}

/// What a [`TestProvider`] says to one request, in order.
#[derive(Clone, Debug, Default)]
pub struct Reply(VecDeque<Step>);

#[derive(Clone, Debug)]
enum Step {
    Pause(Duration),
    Feedback(Status, String),
    Result(String),
}

impl TestProvider {
    /// A provider for jobs of this kind. Each kind has a key of its own.
    ///
    /// # Panics
    /// When the kind is not that of a job request.
    #[track_caller]
    pub fn new(kind: u16, script: impl Fn(&JobRequest) -> Reply + Send + Sync + 'static) -> Self {
        if !(5000..=5999).contains(&kind) {
            fail(format_args!("{kind} is not the kind of a job request: 5000 to 5999"));
        }
        let mut secret = [0xd7; 32];
        let [.., high, low] = &mut secret;
        [*high, *low] = kind.to_be_bytes();
        let keys = Keys::from_secret(&secret).or_fail("the keys of a provider");
        Self { kind, keys, script: Arc::new(script) }
    }

    /// The provider's public key, for requests that name it.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.keys.public_key()
    }

    /// The answers to an event, each with the pause before it, if it is a request for this provider.
    pub(super) fn answers(&self, event: &VerifiedEvent) -> Vec<(Duration, UnsignedEvent)> {
        if event.kind.0 != self.kind || event.pubkey == self.public_key() {
            return Vec::new();
        }
        let Ok(request) = JobRequest::from_event(event.clone()) else { return Vec::new() };
        if !request.is_for(&self.public_key()) {
            return Vec::new();
        }
        let (request, encrypt) = self.unsealed(request);
        let (mut answers, mut pause) = (Vec::new(), Duration::ZERO);
        for step in (self.script)(&request).0 {
            let answer = match step {
                Step::Pause(more) => {
                    pause = pause.saturating_add(more);
                    continue;
                }
                Step::Result(content) => match encrypt(&content) {
                    Some(ciphertext) => JobResultEvent::answer(&request).sealed(ciphertext).build(),
                    None => JobResultEvent::answer(&request).content(content).build(),
                },
                Step::Feedback(status, text) => {
                    let is_partial = status == Status::Partial;
                    let feedback = Feedback::about(&request, status);
                    match encrypt(&text) {
                        Some(ciphertext) => feedback.sealed(ciphertext).build(),
                        None if is_partial => feedback.content(text).build(),
                        None => feedback.message(&text).build(),
                    }
                }
            };
            answers.push((std::mem::take(&mut pause), answer));
        }
        answers
    }

    /// The request with its encrypted part, and how answers to it are encrypted.
    #[track_caller]
    fn unsealed(&self, request: JobRequest) -> (JobRequest, impl Fn(&str) -> Option<String>) {
        let (keys, customer) = (self.keys.clone(), request.customer());
        let (request, scheme) = if request.encrypted {
            let decrypted = keys.decrypt(&customer, &request.event.content);
            let (text, scheme) = decrypted.or_fail("a provider cannot decrypt its request");
            let unsealed = request.unsealed(&text).or_fail("the encrypted part of a request is malformed");
            (unsealed, Some(scheme))
        } else {
            (request, None)
        };
        let encrypt = move |text: &str| {
            scheme
                .map(|scheme| keys.encrypt(&customer, text, scheme).or_fail("an answer cannot be encrypted"))
        };
        (request, encrypt)
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }
}

impl Reply {
    /// Says nothing, until something is added.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A result with this content.
    #[must_use]
    pub fn result(self, content: impl Into<String>) -> Self {
        self.then(Step::Result(content.into()))
    }

    /// `processing` feedback with this message.
    #[must_use]
    pub fn processing(self, message: impl Into<String>) -> Self {
        self.then(Step::Feedback(Status::Processing, message.into()))
    }

    /// `partial` feedback with the output so far.
    #[must_use]
    pub fn partial(self, output_so_far: impl Into<String>) -> Self {
        self.then(Step::Feedback(Status::Partial, output_so_far.into()))
    }

    /// `error` feedback with this message.
    #[must_use]
    pub fn error(self, message: impl Into<String>) -> Self {
        self.then(Step::Feedback(Status::Error, message.into()))
    }

    /// Time that passes before what follows.
    #[must_use]
    pub fn pause(self, pause: Duration) -> Self {
        self.then(Step::Pause(pause))
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push_back(step);
        self
    }
}

impl std::fmt::Debug for TestProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestProvider").field("kind", &self.kind).finish_non_exhaustive()
    }
}
