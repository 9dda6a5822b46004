//! `JobHandle`: a submitted job request whose updates and result can be awaited.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use openagents_host::{EventId, PublicKey};

use super::connection::ClientCommand;
use super::{ClientError, JobClient, JobUpdate, PaymentRefusal};
use crate::clock;
use crate::nip90::{Amount, Cancellation, JobRequest, JobResultEvent};
use crate::payment::guard::PaymentGuard;

/// A submitted job and its updates. Dropping the handle closes the subscription; it does not cancel the job.
pub struct JobHandle {
    request: JobRequest,
    client: JobClient,
    updates: mpsc::Receiver<Result<JobUpdate, ClientError>>,
    guard: PaymentGuard,
}

impl JobHandle {
    pub(super) fn new(
        request: JobRequest,
        client: JobClient,
        updates: mpsc::Receiver<Result<JobUpdate, ClientError>>,
        guard: PaymentGuard,
    ) -> Self {
        Self { request, client, updates, guard }
    }

    /// The id of the job request.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.request.id()
    }

    /// The job request as it was published.
    #[must_use]
    pub fn request(&self) -> &JobRequest {
        &self.request
    }

    /// The next update, in order of arrival. `None` when no more can follow: after the result, or when every provider
    /// that the request names has reported an error.
    ///
    /// If a provider requires payment, this method pays it, provided that the client has a [`Payer`](super::Payer)
    /// and the order's limit allows it; the update is then [`JobUpdate::Paid`]. If the future is dropped during a
    /// payment, it is unknown whether the invoice was paid; it is not tried again.
    ///
    /// # Errors
    /// When the relay closes the subscription, or a payment fails.
    pub async fn next(&mut self) -> Result<Option<JobUpdate>, ClientError> {
        match self.updates.next().await.transpose()? {
            Some(update) => Ok(Some(self.settle(update).await?.0)),
            None => Ok(None),
        }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// When every provider that the request names has reported an error or requires more than the limit, when there
    /// is no result in time, and as for [`next`](Self::next). If the request names no provider, errors and payment
    /// requests are ignored, since another provider may do the job.
    pub async fn result(&mut self, timeout: Duration) -> Result<JobResultEvent, ClientError> {
        let mut limit = pin!(clock::sleep(timeout));
        let mut last_error = None;
        loop {
            let update = match select(self.updates.next(), &mut limit).await {
                Either::Left((update, _)) => update.transpose()?,
                Either::Right(_) => {
                    let last_error = last_error.map(|(_, message)| message);
                    return Err(ClientError::Timeout { after: timeout, last_error });
                }
            };
            // A payment that has begun is completed, even if it exceeds the time limit.
            let settled = match update {
                Some(update) => Some(self.settle(update).await?),
                None => None,
            };
            match settled {
                Some((JobUpdate::Result(result), _)) => return Ok(*result),
                Some((JobUpdate::PaymentRequired { amount, .. }, Some(refusal)))
                    if self.is_final(&refusal) =>
                {
                    return Err(ClientError::PaymentRequired { amount, refusal });
                }
                Some((JobUpdate::Error { provider, message }, _)) => last_error = Some((provider, message)),
                Some((JobUpdate::UnreadableResult { provider, error }, _)) => {
                    last_error = Some((provider, format!("its result cannot be decrypted: {error}")));
                }
                Some(_) => {}
                None => {
                    return Err(match last_error {
                        Some((provider, message)) => ClientError::Failed { provider, message },
                        None => ClientError::Stopped,
                    });
                }
            }
        }
    }

    /// Cancels the job: publishes a deletion request (NIP-09). Providers may ignore it or be done already; their
    /// answers still arrive through [`next`](Self::next).
    ///
    /// # Errors
    /// When the relay does not accept the event.
    pub async fn cancel(&self, reason: &str) -> Result<(), ClientError> {
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        let cancellation = Cancellation::event(&self.id(), self.request.kind(), reason);
        self.client.publish(cancellation.sign(&self.client.keys, self.client.connector.now())).await
    }

    /// Pays if the update is a payment request that may be paid; otherwise returns the reason.
    async fn settle(
        &mut self,
        update: JobUpdate,
    ) -> Result<(JobUpdate, Option<PaymentRefusal>), ClientError> {
        let JobUpdate::PaymentRequired { provider, amount, .. } = &update else { return Ok((update, None)) };
        match self.pay(*provider, amount.clone()).await? {
            Ok(paid) => Ok((paid, None)),
            Err(refusal) => Ok((update, Some(refusal))),
        }
    }

    async fn pay(
        &mut self,
        provider: PublicKey,
        amount: Option<Amount>,
    ) -> Result<Result<JobUpdate, PaymentRefusal>, ClientError> {
        let payment = match self.guard.authorize(&self.request, &provider, amount.as_ref()) {
            Ok(payment) => payment,
            Err(refusal) => return Ok(Err(refusal)),
        };
        payment.make().await.map_err(ClientError::Payment)?;
        Ok(Ok(JobUpdate::Paid { provider, msat: payment.msat }))
    }

    /// Whether this refusal ends the wait for a result.
    fn is_final(&self, refusal: &PaymentRefusal) -> bool {
        // Another provider may do it for less; and a provider that was paid may not have noticed yet.
        self.request.providers.len() == 1 && *refusal != PaymentRefusal::Paid
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        let _ = self.client.tell(ClientCommand::Forget(self.id()));
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("request", &self.id()).finish_non_exhaustive()
    }
}
