//! Insertion of an event and recording of its handover, in one transaction.

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{Event, Kind, Timestamp};

use super::ShardEngine;
use crate::engine::shard_api::{InsertReply, InsertRequest};
use crate::store::{Insertion, Precheck, expiry};

impl<S: Sql> ShardEngine<S> {
    /// Prechecks an event, whose id and signature need not be verified yet; `None` if its kind is not stored.
    pub(in crate::engine) fn precheck(
        &self,
        now: Timestamp,
        event: &Event,
    ) -> Result<Option<Precheck>, SqlError> {
        match self.config.retention.keeps(event.kind) {
            true => self.store.precheck(now, event).map(Some),
            false => Ok(None),
        }
    }

    /// Which of these events are unknown to the store, with the number of invalidating changes so far.
    pub(in crate::engine) fn are_fresh(
        &self,
        now: Timestamp,
        events: &[&Event],
    ) -> Result<(Vec<bool>, u64), SqlError> {
        Ok((self.store.are_fresh(now, events)?, self.changes))
    }

    /// The precheck of an event that was [fresh](Self::are_fresh) after this many changes, if there were none since.
    pub(in crate::engine) fn precheck_fresh(
        &self,
        now: Timestamp,
        event: &Event,
        changes: u64,
    ) -> Option<Precheck> {
        (changes == self.changes).then(|| self.store.precheck_fresh(now, event))
    }

    /// Stores an event and records its handover, depending on its kind.
    pub(in crate::engine) fn insert(
        &mut self,
        now: Timestamp,
        request: &InsertRequest<'_>,
    ) -> Result<InsertReply, SqlError> {
        let handed_over = match self.write(now, request)? {
            Acceptance::Refused(refusal) => return Ok(InsertReply::Refused(refusal)),
            Acceptance::New { handed_over } => handed_over,
        };
        let InsertRequest { event, precheck, .. } = request;
        let is_stored = self.config.retention.keeps(event.kind);
        if precheck.is_none_or(|precheck| precheck.changes_others(event)) {
            self.changes = self.changes.wrapping_add(1);
        }
        if is_stored {
            self.index_later(now);
            if let Some(end) = self.store.end(now, event) {
                self.schedule_removal(end);
            }
        }
        if event.kind == Kind::VANISH {
            self.schedule_removal(Timestamp::EPOCH);
        }
        if let Some(due) = handed_over {
            self.handovers.stored(&event.id);
            self.next_handover = Some(self.next_handover.map_or(due, |next| next.min(due)));
        }
        Ok(InsertReply::New { is_stored, is_handed_over: handed_over.is_some() })
    }

    fn write(&self, now: Timestamp, request: &InsertRequest<'_>) -> Result<Acceptance, SqlError> {
        let InsertRequest { event, precheck, vanishes } = request;
        let kept = self.config.retention.keeps(event.kind);
        // A request to vanish that is addressed to other relays is an event like any other.
        let wanted = self.config.handover.wants(event) && (event.kind != Kind::VANISH || *vanishes);
        // A kind with a retention period may be removed before its handover succeeds.
        let stays = kept && self.config.retention.time(event.kind).is_none();
        let hand_over = || {
            let handed_over = match self.handovers.retried_at(&event.id) {
                Some(retried_at) => retried_at,
                None => self.store.hand_over(now, event, stays)?,
            };
            Ok(Acceptance::New { handed_over: Some(handed_over) })
        };
        let insert = || match precheck {
            _ if *vanishes => self.store.vanish(now, event),
            Some(precheck) => self.store.insert_prechecked(event, precheck),
            None => self.store.insert(now, event),
        };
        match (kept, wanted) {
            (false, _) if expiry(event).is_some_and(|expiry| expiry <= now) => {
                Ok(Acceptance::Refused(Insertion::Expired))
            }
            (false, false) => Ok(Acceptance::New { handed_over: None }),
            (false, true) => hand_over(),
            (true, false) => Ok(insert()?.into()),
            (true, true) => self.store.sql().transaction(|| match insert()? {
                Insertion::Inserted => hand_over(),
                other => Ok(other.into()),
            }),
        }
    }
}

/// The result of a write.
enum Acceptance {
    /// It is new. If it must be handed over, the handover is retried at this time.
    New {
        handed_over: Option<Timestamp>,
    },
    Refused(Insertion),
}

impl From<Insertion> for Acceptance {
    fn from(insertion: Insertion) -> Self {
        match insertion {
            Insertion::Inserted => Self::New { handed_over: None },
            refusal => Self::Refused(refusal),
        }
    }
}
