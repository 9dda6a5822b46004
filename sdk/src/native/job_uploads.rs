//! Which blobs customers may upload, natively: those that `url` inputs of their unfinished jobs name.

use openagents_blossom::{ExpectedUploadLimits, ExpectedUploads};
use openagents_host::{BlobHash, PublicKey};

use super::mailbox::AgentMailbox;
use crate::engine::{StateQuery, StateReply};
use crate::input_blobs::CUSTOMER_LIMITS;

/// The uploads that the jobs of this agent expect, if there is one.
pub(super) struct NativeJobUploads<'a>(pub(super) Option<&'a AgentMailbox>);

impl NativeJobUploads<'_> {
    async fn ask(&self, query: StateQuery) -> bool {
        let Some(agent) = self.0 else { return false };
        match agent.query_state(query).await {
            Ok(reply) => matches!(reply, StateReply::Answer(true)),
            Err(error) => {
                tracing::warn!(%error, "the agent could not be asked about an upload");
                false
            }
        }
    }
}

impl ExpectedUploads for NativeJobUploads<'_> {
    async fn expected(&self, owner: &PublicKey, hash: &BlobHash) -> Option<ExpectedUploadLimits> {
        let query = StateQuery::ExpectsBlob { customer: *owner, hash: *hash };
        self.ask(query).await.then_some(CUSTOMER_LIMITS)
    }

    async fn arrived(&self, _: &PublicKey, hash: &BlobHash) {
        self.ask(StateQuery::BlobArrived { hash: *hash }).await;
    }
}
