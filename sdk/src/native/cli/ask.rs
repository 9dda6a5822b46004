//! The command `ask`: sends a job request to an agent and follows the job until its result. A new key signs the request,
//! and authenticates to the relay if it requires that (NIP-42).

use std::fmt;
use std::time::{Duration, Instant};

use openagents_host::nostr::keys::npub;
use openagents_host::{Encryption, Keys, Kind};

use super::arguments::{Ask, Scheme};
use super::terminal::{foreign, foreign_output, say, tell};
use crate::author::agent::Jobs;
use crate::client::{ClientError, JobClient, JobHandle, JobUpdate, Order};
use crate::nip90::RequestBuilder;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum AskError {
    #[error("cannot reach the relay {relay}: {error}{}", hint(error))]
    Connect { relay: String, error: ClientError },
    #[error("a key for the request could not be generated: {0}")]
    Key(#[from] openagents_host::nostr::keys::KeyError),
    #[error("the relay rejected the request: {0}")]
    Refused(String),
    #[error("the relay closed the subscription: {0}")]
    Closed(String),
    #[error(transparent)]
    Client(ClientError),
    #[error("the connection was closed before there was a result")]
    Ended,
    #[error("the agent could not do the job: {0}")]
    Failed(String),
    #[error("the agent requires payment first, but this command cannot pay: {0}")]
    PaymentRequired(String),
    #[error(
        "no result within {0:?}. Is an agent for this job kind connected to the relay? --timeout SECONDS waits longer"
    )]
    TooLate(Duration),
}

fn hint(error: &ClientError) -> &'static str {
    // The operating system's error is only available as text.
    if error.to_string().contains("Connection refused") {
        ". Nothing is listening there: start the agent first, or give another relay with --relay"
    } else {
        ""
    }
}

impl From<ClientError> for AskError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(reason) => Self::Refused(reason),
            ClientError::Closed(reason) => Self::Closed(reason),
            error => Self::Client(error),
        }
    }
}

pub(in crate::native) async fn run<A: Jobs>(ask: &Ask) -> Result<(), AskError> {
    let kind = ask.kind.or_else(|| A::HANDLERS.first().map(|job| job.declaration.kind)).unwrap_or(5050);
    let began = Began(Instant::now());
    let connected = JobClient::connect(&ask.relay, Keys::generate()?).await;
    let client = connected.map_err(|error| AskError::Connect { relay: ask.relay.clone(), error })?;
    began.note(
        "asking",
        format_args!("kind {kind} {:?} through {}", ask.input.as_deref().unwrap_or(""), ask.relay),
    );
    let answered = async {
        let mut job = client.submit(order(ask, Kind(kind))).await?;
        began.note("accepted", format_args!("request {}", job.id()));
        began.follow(&mut job, ask).await
    };
    match tokio::time::timeout(ask.timeout, answered).await {
        Ok(Ok(content)) => {
            say(format_args!("{}", foreign_output(&content)));
            Ok(())
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(AskError::TooLate(ask.timeout)),
    }
}

fn order(ask: &Ask, kind: Kind) -> Order {
    let mut request = RequestBuilder::new(kind);
    if let Some(input) = &ask.input {
        request = request.text(input);
    }
    for (key, value) in &ask.param {
        request = request.param(key, [value]);
    }
    if let Some(msat) = ask.bid {
        request = request.bid(msat);
    }
    if let Some(provider) = &ask.to {
        request = request.provider(provider);
    }
    match ask.encrypt {
        Some(Scheme::Nip44) => Order::new(request).sealed(Encryption::Nip44),
        Some(Scheme::Nip04) => Order::new(request).sealed(Encryption::Nip04),
        None => request.into(),
    }
}

/// The start of the command: each line shows the time since then.
struct Began(Instant);

impl Began {
    /// Prints the job's progress until there is an output, and returns it.
    async fn follow(&self, job: &mut JobHandle, ask: &Ask) -> Result<String, AskError> {
        if let Some(limit) = ask.cancel_after {
            match tokio::time::timeout(limit, self.output(job)).await {
                Ok(output) => return output,
                Err(_) => {
                    job.cancel("it is taking too long").await?;
                    self.note("cancelled", format_args!("after {limit:?}"));
                }
            }
        }
        self.output(job).await
    }

    async fn output(&self, job: &mut JobHandle) -> Result<String, AskError> {
        while let Some(update) = job.next().await? {
            let (word, provider, message) = match update {
                JobUpdate::Result(result) => {
                    self.note("result", format_args!("{}", npub(&result.provider)));
                    return Ok(result.content);
                }
                // From any agent: this command sends one request, usually to one agent.
                JobUpdate::Error { message, .. } => return Err(AskError::Failed(message)),
                JobUpdate::UnreadableResult { error, .. } => {
                    return Err(AskError::Failed(format!("its result could not be decrypted: {error}")));
                }
                JobUpdate::PaymentRequired { amount, message, .. } => {
                    let price = amount.map(|amount| format!("{} msat", amount.msat));
                    return Err(AskError::PaymentRequired(message.or(price).unwrap_or_default()));
                }
                JobUpdate::Processing { provider, message } => {
                    ("processing".to_owned(), provider, message.unwrap_or_default())
                }
                JobUpdate::Partial { provider, content } => ("partial".to_owned(), provider, content),
                JobUpdate::Paid { provider, msat } => ("paid".to_owned(), provider, format!("{msat} msat")),
                JobUpdate::Other { provider, status, message } => {
                    (status, provider, message.unwrap_or_default())
                }
            };
            self.note(&word, format_args!("{} {message}", npub(&provider)));
        }
        Err(AskError::Ended)
    }

    fn note(&self, what: &str, more: fmt::Arguments<'_>) {
        let line = format!("{what:<10} {more}");
        tell(format_args!("{:>7} ms  {}", self.0.elapsed().as_millis(), foreign(line.trim_end())));
    }
}
