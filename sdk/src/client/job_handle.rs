//! `JobHandle`: a published request, whose updates and result can be awaited.

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

/// A job that was asked for, and the news of it. Dropping it ends the listening, not the job.
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

    /// The id of the request.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.request.id()
    }

    /// The request as it was published.
    #[must_use]
    pub fn request(&self) -> &JobRequest {
        &self.request
    }

    /// What is new, in the order in which it arrives; nothing when no more can come: after the result, or when every
    /// provider that was named has given up.
    ///
    /// What a provider asks for first is paid here, if the client has a [`Payer`](super::Payer) and the limit allows it;
    /// the news is then [`JobUpdate::Paid`]. Dropping the future of this while that is going on leaves open whether it
    /// was paid; it is not tried again.
    ///
    /// # Errors
    /// When the relay does not let the job be followed, or a payment failed.
    pub async fn next(&mut self) -> Result<Option<JobUpdate>, ClientError> {
        match self.updates.next().await.transpose()? {
            Some(update) => Ok(Some(self.settle(update).await?.0)),
            None => Ok(None),
        }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// When the providers that were named have given up, or want more than they may be paid, or there is no result in time;
    /// and as with [`next`](Self::next). When none was named, errors and demands are passed over: another may do the job.
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
            // A payment that was begun is not left in the middle, even if it outlasts the limit.
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
                Some((JobUpdate::UnreadableRequest { provider, error }, _)) => {
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

    /// Tells the providers that the result is no longer wanted. They may not care, or be done already; what they say to it
    /// comes by [`next`](Self::next).
    ///
    /// # Errors
    /// When the relay does not accept that.
    pub async fn cancel(&self, reason: &str) -> Result<(), ClientError> {
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        let cancellation = Cancellation::event(&self.id(), self.request.kind(), reason);
        self.client.publish(cancellation.sign(&self.client.keys, clock::now())).await
    }

    /// Pays what is asked for, if it may be. If not, says why.
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

    /// Whether nothing will come of a job that was not paid for this reason.
    fn is_final(&self, refusal: &PaymentRefusal) -> bool {
        // Of several providers, another may do it for less; one that was paid may not have noticed yet.
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
