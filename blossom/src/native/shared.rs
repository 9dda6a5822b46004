//! What the requests of a blob server share: files, locks, the threads that read, and the mailbox of the index.

use std::sync::Arc;

use openagents_host::SqlError;
use openagents_host::native::{Mailbox, Tickets, now};
use tokio::sync::Semaphore;

use super::files::BlobFiles;
use super::in_flight::InFlight;
use super::locks::HashLocks;
use super::readers::IndexReaders;
use crate::config::BlossomConfig;
use crate::index::{IndexCall, IndexInput, IndexRead, IndexReply, read as read_index};
use crate::refusal::Refusal;

/// What requests and removals share.
pub(super) struct Shared {
    pub(super) config: Arc<BlossomConfig>,
    pub(super) files: Arc<BlobFiles>,
    pub(super) locks: HashLocks,
    pub(super) uploads: Semaphore,
    pub(super) in_flight: InFlight,
    pub(super) readers: IndexReaders,
    pub(super) mailbox: Mailbox<IndexInput>,
    pub(super) replies: Tickets<Result<IndexReply, SqlError>>,
}

impl Shared {
    /// Passes a call to the index. What the reply says is durable.
    pub(super) async fn call(&self, call: IndexCall) -> Result<IndexReply, Refusal> {
        let input = |ticket| IndexInput::Call { ticket, call };
        match self.mailbox.ask(&self.replies, input).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => {
                tracing::error!(%error, "the index of blobs failed");
                Err(Refusal::unavailable("the index of blobs failed; the log has the reason"))
            }
            Err(_) => Err(stopped()),
        }
    }

    /// Answers a question without waiting for changes that are not durable yet.
    pub(super) async fn read_index(&self, read: IndexRead) -> Result<IndexReply, Refusal> {
        match self.readers.run(move |sql| read_index(sql, &read, now())).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => {
                tracing::error!(%error, "the index of blobs failed");
                Err(Refusal::unavailable("the index of blobs failed; the log has the reason"))
            }
            Err(_) => Err(stopped()),
        }
    }
}

pub(super) fn stopped() -> Refusal {
    Refusal::unavailable("the server is stopping")
}
