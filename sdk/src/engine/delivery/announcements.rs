//! The `announcement` table: publishes the agent's announcements, and deletes obsolete ones.
//!
//! The table holds what was announced last, so an agent that starts again without changes publishes nothing. Changes
//! are announced at once, unchanged announcements are repeated at intervals, and obsolete ones are deleted.

use openagents_host::sql::values;
use openagents_host::{Keys, Kind, Sql, SqlError, Timestamp, VerifiedEvent};

use crate::announcement::{Announcement, deletion};

/// How far in the future the last announcement may be. If it is further ahead, it was made while the clock was wrong,
/// and no relay accepted it.
const CLOCK_ERROR: std::time::Duration = std::time::Duration::from_secs(15 * 60);

pub(crate) struct Announcements<S> {
    sql: S,
    wanted: Vec<DesiredAnnouncement>,
}

struct DesiredAnnouncement {
    announcement: Announcement,
    digest: [u8; 32],
}

/// The last announcement with this kind and identifier.
struct LastAnnouncement {
    kind: Kind,
    identifier: String,
    /// `None` after it was deleted.
    digest: Option<Vec<u8>>,
    at: Timestamp,
}

impl<S: Sql> Announcements<S> {
    pub(crate) fn new(sql: S, announcements: Vec<Announcement>) -> Self {
        let wanted = announcements
            .into_iter()
            .map(|announcement| DesiredAnnouncement { digest: announcement.digest(), announcement });
        Self { sql, wanted: wanted.collect() }
    }

    /// When the next announcement is due.
    pub(crate) fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        let published = self.published()?;
        if self.unwanted(&published).next().is_some() {
            return Ok(Some(now));
        }
        Ok(self.wanted.iter().map(|wanted| wanted.due(&published, now)).min())
    }

    /// Signs what is due. The events must be added to the outbox in the same transaction.
    pub(crate) fn take_due(&self, now: Timestamp, keys: &Keys) -> Result<Vec<VerifiedEvent>, SqlError> {
        let published = self.published()?;
        let unwanted: Vec<&LastAnnouncement> = self.unwanted(&published).collect();
        let mut events = Vec::new();
        events.extend(self.delete(&unwanted, now, keys)?);
        for wanted in self.wanted.iter().filter(|wanted| wanted.due(&published, now) <= now) {
            let at = later_than(wanted.predecessor(&published), now);
            self.record(&wanted.announcement, &wanted.digest, at)?;
            events.push(wanted.announcement.event(at).sign(keys, at));
        }
        Ok(events)
    }

    /// Makes deletion requests (NIP-09) for announcements, and stores their time: later announcements with the same
    /// kind and identifier must be newer.
    fn delete(
        &self,
        announcements: &[&LastAnnouncement],
        now: Timestamp,
        keys: &Keys,
    ) -> Result<Option<VerifiedEvent>, SqlError> {
        let Some(latest) = announcements.iter().map(|published| published.at).max() else { return Ok(None) };
        let at = later_than(Some(latest), now);
        for LastAnnouncement { kind, identifier, .. } in announcements {
            self.sql.execute(
                "UPDATE announcement SET digest = NULL, published_at = ? WHERE kind = ? AND d = ?",
                values![at, *kind, identifier],
            )?;
        }
        let addresses = announcements.iter().map(|published| (published.kind, published.identifier.as_str()));
        Ok(Some(deletion(addresses, keys, at)))
    }

    fn record(&self, announcement: &Announcement, digest: &[u8; 32], at: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO announcement (kind, d, digest, published_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (kind, d) DO UPDATE SET digest = excluded.digest, published_at = excluded.published_at",
            values![announcement.kind(), announcement.identifier(), digest.as_slice(), at],
        )
    }

    fn published(&self) -> Result<Vec<LastAnnouncement>, SqlError> {
        let rows = self.sql.rows::<(Kind, String, Option<Vec<u8>>, Timestamp)>(
            "SELECT kind, d, digest, published_at FROM announcement",
            &[],
        )?;
        let published = rows.into_iter().map(|(kind, identifier, digest, at)| LastAnnouncement {
            kind,
            identifier,
            digest,
            at,
        });
        Ok(published.collect())
    }

    /// The announcements that are obsolete.
    fn unwanted<'a>(
        &'a self,
        published: &'a [LastAnnouncement],
    ) -> impl Iterator<Item = &'a LastAnnouncement> {
        published.iter().filter(|published| {
            published.digest.is_some() && !self.wanted.iter().any(|wanted| wanted.replaces(published))
        })
    }
}

impl DesiredAnnouncement {
    fn replaces(&self, published: &LastAnnouncement) -> bool {
        self.announcement.kind() == published.kind && self.announcement.identifier() == published.identifier
    }

    fn due(&self, published: &[LastAnnouncement], now: Timestamp) -> Timestamp {
        match published.iter().find(|published| self.replaces(published)) {
            Some(LastAnnouncement { digest: Some(digest), at, .. })
                if digest.as_slice() == self.digest && *at <= now + CLOCK_ERROR =>
            {
                *at + self.announcement.refresh()
            }
            _ => now,
        }
    }

    /// The time of the event that this one replaces.
    fn predecessor(&self, published: &[LastAnnouncement]) -> Option<Timestamp> {
        published.iter().find(|published| self.replaces(published)).map(|published| published.at)
    }
}

/// Now, or one second after the predecessor if that is later: of two events with the same `created_at`, relays keep
/// either (NIP-01).
fn later_than(predecessor: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let next = predecessor
        .filter(|at| *at <= now + CLOCK_ERROR)
        .map(|at| Timestamp::from_seconds(at.as_seconds().saturating_add(1)));
    next.map_or(now, |next| next.max(now))
}

#[cfg(test)]
mod tests;
