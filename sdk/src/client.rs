//! The customer's side of NIP-90: send job requests to agents, follow the jobs, and pay for them if allowed to.
//!
//! Any program can use it. A handler that delegates work to another agent uses
//! [`AgentContext::hire`](crate::AgentContext::hire) instead.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use openagents_sdk::client::{JobClient, JobUpdate};
//! use openagents_sdk::nostr::{Keys, Kind};
//! use openagents_sdk::nip90::RequestBuilder;
//!
//! let client = JobClient::connect("wss://relay.example.com", Keys::generate()?).await?;
//! let mut job = client.submit(RequestBuilder::new(Kind(5050)).text("Ada")).await?;
//! while let Some(update) = job.next().await? {
//!     match update {
//!         JobUpdate::Processing { message, .. } => println!("… {}", message.unwrap_or_default()),
//!         JobUpdate::Result(result) => println!("{}", result.content),
//!         other => println!("{other:?}"),
//!     }
//! }
//!
//! // Or wait for the result alone:
//! let mut translation = client.chain(&job, RequestBuilder::new(Kind(5002)).param("language", "fr")).await?;
//! println!("{}", translation.result(Duration::from_secs(60)).await?.content);
//! # Ok(())
//! # }
//! ```

mod connection;
mod job_handle;
mod job_progress;
mod order;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use openagents_host::net::{Reach, RelayClient, RelayError};
use openagents_host::{EncryptError, Keys, PublicKey, VerifiedEvent, timeout};

use crate::clock;
use crate::nip90::{Amount, NotAJobRequest};
use crate::payment::guard::PaymentGuard;
use crate::payment::wallet::WalletError;
use connection::{ClientCommand, ClientConnection, Dial};
use job_progress::JobProgress;

pub use crate::payment::guard::{Payer, PaymentRefusal};
pub use job_handle::JobHandle;
pub use job_progress::JobUpdate;
pub use openagents_blossom::{BlobClient, BlobClientError, BlobUri, MediaType};
pub use order::Order;

pub(crate) use connection::Connector;

/// How long it may take until the relay accepts a request, including reconnecting.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);

/// How many unread updates are kept for each job; further feedback is dropped.
const WAITING_UPDATES: usize = 256;

/// A customer on one relay.
///
/// Clones share one connection. When it breaks, the client reconnects, reads the answers that were published
/// meanwhile, and publishes a request again if the relay had not accepted it; so nothing is lost. The connection is
/// closed when the last clone and the last [`JobHandle`] are dropped.
#[derive(Clone)]
pub struct JobClient {
    keys: Keys,
    /// The relay's address, given as the relay hint in chained requests.
    relay: Option<String>,
    commands: mpsc::UnboundedSender<ClientCommand>,
    connector: Arc<dyn Connector>,
    payer: Option<Arc<dyn Payer>>,
}

/// The error of a request that was not published, or that has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The relay cannot be reached.
    #[error("the relay cannot be reached: {0}")]
    Connect(#[from] RelayError),
    /// The relay rejected the event.
    #[error("the relay rejected the event: {0}")]
    Refused(String),
    /// The relay did not acknowledge the event in time. It may have stored it.
    #[error("the relay did not acknowledge the event within {after:?}, including reconnecting")]
    NotTaken {
        /// The time limit.
        after: Duration,
    },
    /// The relay closed the subscription for the job's answers.
    #[error("the relay closed the subscription: {0}")]
    Closed(String),
    /// The request's kind is not a job request kind (5000 to 5999).
    #[error(transparent)]
    Kind(#[from] NotAJobRequest),
    /// An encrypted request must name exactly one provider, since it is encrypted to that provider's key.
    #[error("an encrypted request must name exactly one provider, found {count}")]
    Providers {
        /// The number of providers that the request names.
        count: usize,
    },
    /// The request could not be encrypted.
    #[error("the request could not be encrypted: {0}")]
    Encrypt(#[from] EncryptError),
    /// Every provider that the request names has reported an error.
    #[error("the job could not be done: {message}")]
    Failed {
        /// The provider that reported the last error.
        provider: PublicKey,
        /// Its error message.
        message: String,
    },
    /// The provider requires payment first, and was not paid.
    #[error("the provider requires payment first: {refusal}")]
    PaymentRequired {
        /// The requested amount and invoice.
        amount: Option<Amount>,
        /// Why it was not paid.
        refusal: PaymentRefusal,
    },
    /// The payment failed, or its outcome is unknown.
    #[error("the payment failed: {0}")]
    Payment(WalletError),
    /// No result arrived in time.
    #[error("no result within {after:?}{}", last_error.as_ref().map(|error| format!("; the last error was: {error}")).unwrap_or_default())]
    Timeout {
        /// The time limit.
        after: Duration,
        /// The last error that a provider reported, if the request named no provider.
        last_error: Option<String>,
    },
    /// The runtime on which the connection's task was running has ended.
    #[error("the runtime of the connection has ended")]
    Stopped,
}

impl JobClient {
    /// Connects to a relay at any address, including private addresses and `ws://`. If the relay requires authentication
    /// (NIP-42), the client authenticates with these keys, the same that sign its requests.
    ///
    /// Natively, this needs a tokio runtime with I/O and time. On a Worker, the client lasts as long as the event in
    /// which it was created.
    ///
    /// # Errors
    /// When the first connection fails. Later failures are not errors: the client reconnects until it succeeds.
    pub async fn connect(relay_url: &str, keys: Keys) -> Result<Self, ClientError> {
        let dial = Dial { url: relay_url.to_owned(), reach: Reach::Anywhere, keys: keys.clone() };
        Self::through(Arc::new(dial), Some(relay_url.to_owned()), keys).await
    }

    /// Connects with a connector.
    pub(crate) async fn through(
        connector: Arc<dyn Connector>,
        relay: Option<String>,
        keys: Keys,
    ) -> Result<Self, ClientError> {
        let client: RelayClient = connector.connect().await?;
        let (commands, received) = mpsc::unbounded();
        clock::spawn(ClientConnection::new(Arc::clone(&connector), received).keep(client));
        Ok(Self { keys, relay, commands, connector, payer: None })
    }

    /// Pays for jobs from this wallet, each up to the order's [limit](Order::pay_up_to). The wallet can be a closure:
    ///
    /// ```
    /// # use openagents_sdk::client::JobClient;
    /// # use openagents_sdk::payment::WalletError;
    /// # fn with_wallet(client: JobClient) -> JobClient {
    /// client.on_payment(|invoice: String, msat: u64| async move {
    ///     println!("paying {msat} msat by {invoice}");
    ///     Ok::<(), WalletError>(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn on_payment(self, payer: impl Payer + 'static) -> Self {
        Self { payer: Some(Arc::new(payer)), ..self }
    }

    /// The customer's public key.
    #[must_use]
    pub fn customer(&self) -> PublicKey {
        self.keys.public_key()
    }

    /// Signs and publishes a job request, and returns when the relay has accepted it. The client subscribes to the
    /// answers first. If the relay refuses the request for now (`rate-limited:` or `error:`), the client publishes it
    /// again after growing pauses, for 15 s in all.
    ///
    /// # Errors
    /// When the order is invalid or the relay does not accept the request. After [`NotTaken`](ClientError::NotTaken),
    /// the relay may have stored the request without acknowledging it.
    pub async fn submit(&self, order: impl Into<Order>) -> Result<JobHandle, ClientError> {
        let signed = order.into().sign(&self.keys, self.connector.now())?;
        let (updates, received) = mpsc::channel(WAITING_UPDATES);
        let progress = JobProgress::new(signed.request.clone(), self.keys.clone());
        let handle = JobHandle::new(
            signed.request.clone(),
            self.clone(),
            received,
            PaymentGuard::new(self.payer.clone(), signed.limit_msat),
        );
        self.tell(ClientCommand::Follow { progress: Box::new(progress), updates })?;
        // If this fails or is dropped, the handle is dropped too, which closes the subscription.
        self.publish(signed.request.event).await?;
        Ok(handle)
    }

    /// Submits a request with the output of another job as its input. The provider waits for that output if necessary
    /// (NIP-90, "Job chaining").
    ///
    /// # Errors
    /// See [`submit`](Self::submit).
    pub async fn chain(
        &self,
        previous: &JobHandle,
        order: impl Into<Order>,
    ) -> Result<JobHandle, ClientError> {
        let order = order.into().input_of_job(&previous.id(), self.relay.as_deref());
        self.submit(order).await
    }

    /// Publishes an event, and returns when the relay has accepted it.
    async fn publish(&self, event: VerifiedEvent) -> Result<(), ClientError> {
        let (done, published) = oneshot::channel();
        self.tell(ClientCommand::Publish { event, done })?;
        match timeout(PUBLISH_TIMEOUT, published).await {
            Some(published) => published.unwrap_or(Err(ClientError::Stopped)),
            None => Err(ClientError::NotTaken { after: PUBLISH_TIMEOUT }),
        }
    }

    fn tell(&self, command: ClientCommand) -> Result<(), ClientError> {
        self.commands.unbounded_send(command).map_err(|_| ClientError::Stopped)
    }
}

impl fmt::Debug for JobClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobClient").field("customer", &self.customer()).field("relay", &self.relay).finish()
    }
}
