//! `BlobServer`: the index on its thread, the files, and the answers to requests.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use openagents_host::http::{Body, Bytes, Parts, Response};
use openagents_host::native::{Durability, EngineThread, Mailbox, OpenError, Sqlite, Tickets};
use openagents_host::sql::SchemaError;
use openagents_host::{BlobHash, PublicKey};
use tokio::sync::{Semaphore, mpsc};

use super::files::BlobFiles;
use super::in_flight::InFlight;
use super::locks::HashLocks;
use super::readers::IndexReaders;
use super::shared::Shared;
use super::store;
use crate::config::BlossomConfig;
use crate::descriptor::BlobDescriptor;
use crate::expected::ExpectedUploads;
use crate::index::{
    BlobRecord, IndexEffect, IndexEngine, IndexInput, IndexRead, IndexReply, IndexStatistics,
};
use crate::media_type::MediaType;
use crate::route::BlobRoute;
use crate::service::own::{self, BlobError, OwnerBan};
use crate::service::{self, Answer};

/// The most uploads at once.
const MAX_UPLOADS: usize = 64;

/// What a blob server needs to start.
#[derive(Clone, Debug)]
pub struct BlobServerConfig {
    /// The file of the index.
    pub database: PathBuf,
    /// The folder of the blobs.
    pub folder: PathBuf,
    /// What an accepted blob survives.
    pub durability: Durability,
    /// Whether the index forgets what is in memory after each batch, for tests.
    pub forget_memory: bool,
    /// What is accepted.
    pub blossom: BlossomConfig,
}

/// Why a blob server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobServerError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The data is not of this release.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The folder cannot be used, or a thread cannot be started.
    #[error("the blob server cannot start: {0}")]
    Io(#[from] io::Error),
}

/// A running blob server. Clones are the same one.
#[derive(Clone)]
pub struct BlobServer {
    shared: Arc<Shared>,
}

/// What keeps a blob server running.
#[must_use = "a blob server that is dropped stops"]
pub struct BlobServerThread {
    thread: EngineThread,
}

impl BlobServer {
    /// Opens the index and the folder.
    ///
    /// # Errors
    /// When either cannot be used.
    pub async fn start(config: BlobServerConfig) -> Result<(Self, BlobServerThread), BlobServerError> {
        let BlobServerConfig { database, folder, durability, forget_memory, blossom } = config;
        let config = Arc::new(blossom);
        let files = Arc::new(BlobFiles::open(folder, durability)?);
        let replies = Tickets::default();
        let (work, waiting) = mpsc::unbounded_channel();
        let open = {
            let (database, time_to_live) = (database.clone(), config.time_to_live);
            move || -> Result<IndexEngine<Sqlite>, BlobServerError> {
                Ok(IndexEngine::open(Sqlite::open(&database, durability)?, time_to_live)?)
            }
        };
        let tickets = replies.clone();
        let apply = move |effects: &mut Vec<IndexEffect>| {
            for effect in effects.drain(..) {
                match effect {
                    IndexEffect::Reply { ticket, reply } => tickets.redeem(ticket, reply),
                    IndexEffect::Remove(hash) => drop(work.send(FileWork::Remove(hash))),
                    IndexEffect::Check(hash) => drop(work.send(FileWork::Check(hash))),
                }
            }
        };
        let (inputs, thread) = EngineThread::start("blossom", forget_memory, open, apply).await?;
        let shared = Arc::new(Shared {
            config,
            files,
            locks: HashLocks::new(),
            uploads: Semaphore::new(MAX_UPLOADS),
            in_flight: InFlight::default(),
            readers: IndexReaders::start(&database)?,
            mailbox: Mailbox::new(inputs),
            replies,
        });
        tokio::spawn(work_on_files(Arc::clone(&shared), waiting));
        Ok((Self { shared }, BlobServerThread { thread }))
    }

    /// Answers a request. Keys that may not upload otherwise may upload what is `expected` of them.
    pub async fn answer(
        &self,
        route: BlobRoute,
        parts: &Parts,
        body: Body,
        expected: &impl ExpectedUploads,
    ) -> Response {
        match service::answer(&self.shared, expected, route, parts, body).await {
            Answer::Finished(response) => response,
            Answer::Content(mut head, content) => {
                *head.body_mut() = content;
                head
            }
        }
    }

    /// Stores a blob of the deployment's own agent, which needs no authorization.
    ///
    /// # Errors
    /// When it is too large or blocked, or the disk fails.
    pub async fn store(
        &self,
        owner: PublicKey,
        bytes: Bytes,
        media_type: MediaType,
    ) -> Result<BlobDescriptor, BlobError> {
        own::store(&self.shared, owner, bytes, media_type).await
    }

    /// A blob without its bytes; `None` if it is not here.
    ///
    /// # Errors
    /// When the index fails.
    pub async fn find(&self, hash: &BlobHash) -> Result<Option<BlobRecord>, BlobError> {
        own::find(&self.shared, hash).await
    }

    /// The bytes of a blob; `None` if it is not here.
    ///
    /// # Errors
    /// When it has more than `max_bytes`, or the disk fails.
    pub async fn read(&self, hash: &BlobHash, max_bytes: usize) -> Result<Option<Bytes>, BlobError> {
        own::read(&self.shared, hash, max_bytes).await
    }

    /// Takes a blob from this key, and returns whether it was its owner.
    ///
    /// # Errors
    /// When the index fails.
    pub async fn delete(&self, hash: &BlobHash, owner: PublicKey) -> Result<bool, BlobError> {
        own::delete(&self.shared, hash, owner).await
    }

    /// Takes all blobs from a key that has vanished (NIP-62), as far as they were uploaded until this second.
    ///
    /// # Errors
    /// When the index fails.
    pub async fn remove_owner(&self, owner: PublicKey, until: u64) -> Result<(), BlobError> {
        own::remove_owner(&self.shared, owner, until).await
    }

    /// Carries out an operator's decision about a key (NIP-86). Doing it twice changes nothing.
    ///
    /// # Errors
    /// When the index fails.
    pub async fn apply_ban(&self, ban: OwnerBan) -> Result<(), BlobError> {
        own::apply_ban(&self.shared, ban).await
    }

    /// How much there is; `None` if the index does not answer.
    pub async fn statistics(&self) -> Option<IndexStatistics> {
        match self.shared.read_index(IndexRead::Statistics).await {
            Ok(IndexReply::Statistics(statistics)) => Some(statistics),
            _ => None,
        }
    }
}

impl BlobServerThread {
    /// Completes when the index has ended without being stopped.
    pub async fn ended(&mut self) {
        self.thread.ended().await;
    }

    /// Ends the index after what is queued.
    pub async fn stop(self) {
        self.thread.stop().await;
    }
}

/// What the index wants of the files.
enum FileWork {
    Remove(BlobHash),
    Check(BlobHash),
}

/// Removes files that nobody owns, and confirms it. What fails is tried again when the index says so.
async fn work_on_files(shared: Arc<Shared>, mut waiting: mpsc::UnboundedReceiver<FileWork>) {
    while let Some(work) = waiting.recv().await {
        let done = match work {
            FileWork::Remove(hash) => store::remove(&shared, hash).await.then_some(IndexInput::Removed(hash)),
            FileWork::Check(hash) => {
                let files = Arc::clone(&shared.files);
                let is_stored = store::blocking(move || Ok(files.open_blob(&hash, 0).is_ok())).await;
                is_stored.ok().map(|is_stored| IndexInput::Checked { hash, is_stored })
            }
        };
        if let Some(done) = done {
            let _ = shared.mailbox.inputs().send(done).await;
        }
    }
}
