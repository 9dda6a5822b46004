//! Reads and decrypts job requests, with a cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use openagents_blossom::named_hash;
use openagents_host::sql::values;
use openagents_host::{BlobHash, Encryption, Event, EventId, Keys, Sql, SqlError, VerifiedEvent};

use crate::declaration::JobDeclaration;
use crate::nip90::{InputKind, JobRequest};

/// How many requests are cached, so that they need not be verified and decrypted again.
const MAX_CACHED: usize = 512;

/// A decrypted job request.
#[derive(Clone, Debug)]
pub(in crate::engine) struct ReadableRequest {
    pub(in crate::engine) request: JobRequest,
    /// The encryption scheme of the request, and so of its answers.
    pub(in crate::engine) encryption: Option<Encryption>,
}

/// The most blobs of one job that are waited for.
const MAX_BLOBS: usize = 8;

impl ReadableRequest {
    /// The blobs that its `url` inputs name, with their URLs, if the handler takes blobs.
    pub(in crate::engine) fn named_blobs(
        &self,
        job: &JobDeclaration,
    ) -> impl Iterator<Item = (BlobHash, &str)> {
        let takes_blobs = job.takes_uploads();
        let inputs =
            self.request.inputs.iter().filter(move |input| takes_blobs && input.kind == InputKind::Url);
        inputs.filter_map(|input| Some((named_hash(&input.data)?, input.data.as_str()))).take(MAX_BLOBS)
    }
}

/// Why a stored request cannot be used.
pub(in crate::engine) enum UnreadableRequest {
    /// The database failed.
    Sql(SqlError),
    /// The request is missing or damaged.
    Damaged(String),
}

impl From<SqlError> for UnreadableRequest {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

pub(in crate::engine) struct RequestStore<S> {
    sql: S,
    keys: Keys,
    remembered: BTreeMap<EventId, Arc<ReadableRequest>>,
}

impl<S: Sql> RequestStore<S> {
    pub(in crate::engine) fn new(sql: S, keys: Keys) -> Self {
        Self { sql, keys, remembered: BTreeMap::new() }
    }

    /// Reads a request; `None` if the event is not one, or is encrypted for somebody else.
    pub(in crate::engine) fn read(&self, event: &VerifiedEvent) -> Option<ReadableRequest> {
        let request = JobRequest::from_event(event.clone()).ok()?;
        if !request.encrypted {
            return Some(ReadableRequest { request, encryption: None });
        }
        // No answer to requests that cannot be decrypted: it would reveal more than it helps.
        let (plaintext, encryption) = self.keys.decrypt(&event.pubkey, &event.content).ok()?;
        let request = request.unsealed(&plaintext).ok()?;
        Some(ReadableRequest { request, encryption: Some(encryption) })
    }

    /// Adds a request to the cache.
    pub(in crate::engine) fn remember(&mut self, readable: ReadableRequest) -> Arc<ReadableRequest> {
        if self.remembered.len() >= MAX_CACHED {
            self.remembered.pop_first();
        }
        let readable = Arc::new(readable);
        self.remembered.insert(readable.request.id(), Arc::clone(&readable));
        readable
    }

    /// A stored request. Only verified requests are stored, but verifying again is cheaper than trusting a file.
    pub(in crate::engine) fn on_record(
        &mut self,
        id: &EventId,
    ) -> Result<Arc<ReadableRequest>, UnreadableRequest> {
        if let Some(readable) = self.remembered.get(id) {
            return Ok(Arc::clone(readable));
        }
        let json = self.sql.first::<(String,)>("SELECT request FROM job WHERE id = ?", values![id])?;
        let Some((json,)) = json else {
            return Err(UnreadableRequest::Damaged("it is missing".to_owned()));
        };
        let damaged = |error: &dyn std::fmt::Display| UnreadableRequest::Damaged(error.to_string());
        let event = Event::from_json(&json).map_err(|error| damaged(&error))?;
        let event = event.verify().map_err(|error| damaged(&error))?;
        let readable = self
            .read(&event)
            .ok_or_else(|| damaged(&"it is not a job request that this agent's key can decrypt"))?;
        Ok(self.remember(readable))
    }

    /// Removes a finished job's request from the cache.
    pub(in crate::engine) fn forget(&mut self, id: &EventId) {
        self.remembered.remove(id);
    }
}
