//! Reads and decrypts requests, with a cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use openagents_host::sql::values;
use openagents_host::{Encryption, Event, EventId, Keys, Sql, SqlError, VerifiedEvent};

use crate::nip90::JobRequest;

/// How many requests are kept in memory, so that they need be neither verified nor decrypted again.
const MAX_CACHED: usize = 512;

/// A request that this agent can read.
#[derive(Clone, Debug)]
pub(in crate::engine) struct ReadableRequest {
    pub(in crate::engine) request: JobRequest,
    /// How it was encrypted, and so how it is answered.
    pub(in crate::engine) encryption: Option<Encryption>,
}

/// Why a request cannot be worked on.
pub(in crate::engine) enum UnreadableRequest {
    /// The database failed.
    Sql(SqlError),
    /// It is not on record, or what is on record is damaged.
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

    /// Reads a request; nothing when it is none, or encrypted for somebody else.
    pub(in crate::engine) fn read(&self, event: &VerifiedEvent) -> Option<ReadableRequest> {
        let request = JobRequest::from_event(event.clone()).ok()?;
        if !request.encrypted {
            return Some(ReadableRequest { request, encryption: None });
        }
        // Silence towards those who cannot be understood: an answer would tell more than it helps.
        let (plaintext, encryption) = self.keys.decrypt(&event.pubkey, &event.content).ok()?;
        let request = request.unsealed(&plaintext).ok()?;
        Some(ReadableRequest { request, encryption: Some(encryption) })
    }

    /// Keeps a request in memory.
    pub(in crate::engine) fn remember(&mut self, readable: ReadableRequest) -> Arc<ReadableRequest> {
        if self.remembered.len() >= MAX_CACHED {
            self.remembered.pop_first();
        }
        let readable = Arc::new(readable);
        self.remembered.insert(readable.request.id(), Arc::clone(&readable));
        readable
    }

    /// A request that is on record. The jobs table holds verified ones only; checking again costs less than trusting a file.
    pub(in crate::engine) fn on_record(
        &mut self,
        id: &EventId,
    ) -> Result<Arc<ReadableRequest>, UnreadableRequest> {
        if let Some(readable) = self.remembered.get(id) {
            return Ok(Arc::clone(readable));
        }
        let json = self.sql.first::<(String,)>("SELECT request FROM job WHERE id = ?", values![id])?;
        let Some((json,)) = json else {
            return Err(UnreadableRequest::Damaged("it is not there".to_owned()));
        };
        let damaged = |error: &dyn std::fmt::Display| UnreadableRequest::Damaged(error.to_string());
        let event = Event::from_json(&json).map_err(|error| damaged(&error))?;
        let event = event.verify().map_err(|error| damaged(&error))?;
        let readable =
            self.read(&event).ok_or_else(|| damaged(&"it is no request that this agent's key can read"))?;
        Ok(self.remember(readable))
    }

    /// A job that is over needs no room.
    pub(in crate::engine) fn forget(&mut self, id: &EventId) {
        self.remembered.remove(id);
    }
}
