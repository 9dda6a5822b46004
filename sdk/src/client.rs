//! The customer's side of NIP-90: asks agents, follows their jobs, pays them if told to.
//!
//! Any program can use it, and so can a handler that leaves a part of its work to another agent: see
//! [`AgentContext::hire`](crate::AgentContext::hire).
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
//! // Or all of that at once:
//! let mut translation = client.chain(&job, RequestBuilder::new(Kind(5002)).param("language", ["fr"])).await?;
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
pub use order::Order;

pub(crate) use connection::Connector;

/// How long the relay may take to accept a request, with reconnecting.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);

/// How many updates wait for a customer who does not look; more feedback than that is dropped.
const WAITING_UPDATES: usize = 256;

/// A customer at one relay.
///
/// Clones share one connection. It is made again when it breaks: whatever was said meanwhile is asked for, and a request
/// that the relay had not accepted is published again, so nothing is lost. It ends with the last clone and the last
/// [`JobHandle`].
#[derive(Clone)]
pub struct JobClient {
    keys: Keys,
    /// Where the relay is, for those who look for the jobs there.
    relay: Option<String>,
    commands: mpsc::UnboundedSender<ClientCommand>,
    payer: Option<Arc<dyn Payer>>,
}

/// Why a job was not asked for, or has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The relay cannot be reached.
    #[error("the relay cannot be reached: {0}")]
    Connect(#[from] RelayError),
    /// The relay does not want the event, and says why.
    #[error("the relay did not take the event: {0}")]
    Refused(String),
    /// The relay did not say whether it has the event.
    #[error("the relay did not take the event within {after:?}, with reconnecting")]
    NotTaken {
        /// The limit.
        after: Duration,
    },
    /// The relay does not want to tell how the job goes.
    #[error("the relay ended the subscription: {0}")]
    Closed(String),
    /// The request is of a kind that no job has.
    #[error(transparent)]
    Kind(#[from] NotAJobRequest),
    /// An encrypted request has to be for one provider: each could read it with its own key only.
    #[error("an encrypted request must name exactly one provider, found {count}")]
    Providers {
        /// How many are named.
        count: usize,
    },
    /// The request could not be encrypted.
    #[error("the request could not be encrypted: {0}")]
    Encrypt(#[from] EncryptError),
    /// Every provider that was named has given up.
    #[error("the job could not be done: {message}")]
    Failed {
        /// Who gave up last.
        provider: PublicKey,
        /// What it says about it.
        message: String,
    },
    /// The provider wants to be paid first, and is not, for the reason given.
    #[error("the provider wants to be paid first: {refusal}")]
    PaymentRequired {
        /// How much it asks for, and by which invoice.
        amount: Option<Amount>,
        /// Why it was not paid.
        refusal: PaymentRefusal,
    },
    /// The payment failed, or it is not known whether it did.
    #[error("the payment failed: {0}")]
    Payment(WalletError),
    /// There was no result in time.
    #[error("no result within {after:?}{}", last_error.as_ref().map(|error| format!("; the last error was: {error}")).unwrap_or_default())]
    Timeout {
        /// The limit.
        after: Duration,
        /// The last error that somebody told, if nobody was named who should do the job.
        last_error: Option<String>,
    },
    /// The runtime that kept the connection is no more.
    #[error("the connection was ended with the runtime it lived in")]
    Stopped,
}

impl JobClient {
    /// Connects to a relay, which may be anywhere: also on this machine, or without encryption.
    ///
    /// Natively it needs a tokio runtime with I/O and time; on a Worker it lives as long as the event that it was made in.
    ///
    /// # Errors
    /// When there is no connection. Later ones are made again and again, without an error.
    pub async fn connect(relay_url: &str, keys: Keys) -> Result<Self, ClientError> {
        let dial = Dial { url: relay_url.to_owned(), reach: Reach::Anywhere };
        Self::through(Arc::new(dial), Some(relay_url.to_owned()), keys).await
    }

    /// Connects by whatever way leads to the relay.
    pub(crate) async fn through(
        connector: Arc<dyn Connector>,
        relay: Option<String>,
        keys: Keys,
    ) -> Result<Self, ClientError> {
        let client: RelayClient = connector.connect().await?;
        let (commands, received) = mpsc::unbounded();
        clock::spawn(ClientConnection::new(connector, received).keep(client));
        Ok(Self { keys, relay, commands, payer: None })
    }

    /// Lets jobs be paid for through this wallet, each up to its [limit](Order::pay_up_to). A closure will do:
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

    /// Who asks.
    #[must_use]
    pub fn customer(&self) -> PublicKey {
        self.keys.public_key()
    }

    /// Signs and publishes a request, and returns when the relay has accepted it. Answers are listened for from before that.
    ///
    /// # Errors
    /// When the request cannot be made as ordered, or the relay does not accept it; in the latter case, if it is
    /// [`NotTaken`](ClientError::NotTaken), it may have done so without saying so.
    pub async fn submit(&self, order: impl Into<Order>) -> Result<JobHandle, ClientError> {
        let signed = order.into().sign(&self.keys, clock::now())?;
        let (updates, received) = mpsc::channel(WAITING_UPDATES);
        let progress = JobProgress::new(signed.request.clone(), self.keys.clone());
        let handle = JobHandle::new(
            signed.request.clone(),
            self.clone(),
            received,
            PaymentGuard::new(self.payer.clone(), signed.limit_msat),
        );
        self.tell(ClientCommand::Follow { progress: Box::new(progress), updates })?;
        // If this fails, or is dropped, so is the handle, and with it the subscription.
        self.publish(signed.request.event).await?;
        Ok(handle)
    }

    /// Submits a request that has the output of another job as its input. The provider waits for that output, if it has to
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
