//! Which blobs customers may upload to a Worker: those that `url` inputs of their unfinished jobs name. Only the agent's object
//! knows them.

use openagents_blossom::{ExpectedUploadLimits, ExpectedUploads};
use openagents_host::{BlobHash, PublicKey, timeout};
use worker::{Env, console_error};

use super::DELIVERY_TIMEOUT;
use super::calls::{AgentCall, ask_agent};
use crate::input_blobs::CUSTOMER_LIMITS;

/// The uploads that the jobs of this Worker's agent expect.
pub(super) struct WorkerJobUploads<'a>(pub(super) &'a Env);

impl WorkerJobUploads<'_> {
    async fn ask(&self, call: AgentCall<'_>) -> bool {
        match timeout(DELIVERY_TIMEOUT, ask_agent(self.0, &call)).await {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                console_error!("the agent could not be asked about an upload: {error}");
                false
            }
            None => false,
        }
    }
}

impl ExpectedUploads for WorkerJobUploads<'_> {
    async fn expected(&self, owner: &PublicKey, hash: &BlobHash) -> Option<ExpectedUploadLimits> {
        let call = AgentCall::ExpectsBlob { customer: *owner, hash: *hash };
        self.ask(call).await.then_some(CUSTOMER_LIMITS)
    }

    async fn arrived(&self, _: &PublicKey, hash: &BlobHash) {
        self.ask(AgentCall::BlobArrived { hash: *hash }).await;
    }
}
