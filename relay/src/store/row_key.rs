//! The key of an event's row, made of its second and the beginning of its id, so that rows are in answer order.

use openagents_host::Event;
use openagents_host::sql::{Sql, SqlError, values};

/// The last second (in the year 2242) that has row keys of its own. Later events share them.
pub(super) const LAST_SECOND: u64 = (1 << (53 - RANK_BITS)) - 1;

/// How many bits distinguish the events of one second.
const RANK_BITS: u32 = 20;

/// How many keys on each side of a taken one are tried.
const MAX_DISTANCE: u64 = 256;

const LAST_RANK: u64 = (1 << RANK_BITS) - 1;

/// The primary key (`seq`) of an event's row. Events with greater keys come earlier in an answer. It consists of the
/// event's second and of the distance between the beginning of its id and the greatest one, since within a second the
/// lowest id comes first (NIP-01).
///
/// So the table is in answer order, and so is every index, because each ends with this key. No answer needs sorting,
/// an answer can stop at its limit even if thousands of events claim the same second, and no index needs the time as
/// well.
///
/// Two ids of the same second rarely begin with the same 20 bits. If they do, the later event takes a neighbouring
/// key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey(u64);

impl RowKey {
    /// The row key that an event should have, whether or not it is taken.
    pub(super) fn of(event: &Event) -> Self {
        let [a, b, c, ..] = *event.id.as_bytes();
        let beginning = (u64::from(a) << 12) | (u64::from(b) << 4) | (u64::from(c) >> 4);
        let rank = LAST_RANK.saturating_sub(beginning);
        Self::last(event.created_at).with_rank(rank)
    }

    /// The first row key of a second.
    pub(super) fn first(second: u64) -> Self {
        Self(second.min(LAST_SECOND) << RANK_BITS)
    }

    /// The last row key of a second.
    pub(super) fn last(second: u64) -> Self {
        Self::first(second).with_rank(LAST_RANK)
    }

    pub(super) const fn seq(self) -> u64 {
        self.0
    }

    /// The row key 0 is not used: paging starts after it.
    fn with_rank(self, rank: u64) -> Self {
        Self((self.0 & !LAST_RANK | rank).max(1))
    }

    /// A free row key of the same second for an event whose own is taken: the nearest one on the correct side of the
    /// event that has it. A sender of many events can fill all the keys around; then one of the [probes](Self::probes)
    /// may be free.
    pub(super) fn free<S: Sql>(sql: &S, event: &Event) -> Result<Option<Self>, SqlError> {
        let own = Self::of(event);
        let comes_earlier: Option<(bool,)> =
            sql.first("SELECT id > ? FROM event WHERE seq = ?", values![&event.id, own.seq()])?;
        let above = "SELECT seq + 1 FROM (SELECT seq FROM event WHERE seq >= ? ORDER BY seq LIMIT ?) AS e
             WHERE NOT EXISTS (SELECT 1 FROM event WHERE seq = e.seq + 1) ORDER BY seq LIMIT 1";
        let below = "SELECT seq - 1 FROM (SELECT seq FROM event WHERE seq <= ? ORDER BY seq DESC LIMIT ?) AS e
             WHERE seq > 1 AND NOT EXISTS (SELECT 1 FROM event WHERE seq = e.seq - 1) ORDER BY seq DESC LIMIT 1";
        let sides = if matches!(comes_earlier, Some((true,))) { [above, below] } else { [below, above] };
        let second = Self::first(event.created_at)..=Self::last(event.created_at);
        for side in sides {
            if let Some((seq,)) = sql.first::<(u64,)>(side, values![own.seq(), MAX_DISTANCE])?
                && second.contains(&Self(seq))
            {
                return Ok(Some(Self(seq)));
            }
        }
        for probe in Self::probes(event) {
            let taken: Option<(u64,)> =
                sql.first("SELECT seq FROM event WHERE seq = ?", values![probe.seq()])?;
            if taken.is_none() {
                return Ok(Some(probe));
            }
        }
        Ok(None)
    }

    /// Other row keys of the same second, derived from later bytes of the id so that nobody can predict and fill them.
    fn probes(event: &Event) -> impl Iterator<Item = Self> {
        let (later, _) = event.id.as_bytes().as_chunks::<4>();
        let last = Self::last(event.created_at);
        later
            .iter()
            .skip(1)
            .map(move |bytes| last.with_rank(u64::from(u32::from_be_bytes(*bytes)) & LAST_RANK))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use openagents_host::native::Sqlite;
    use openagents_host::nostr::MAX_CREATED_AT;
    use openagents_host::sql::{MAX_INTEGER, Sql, values};
    use openagents_host::{Timestamp, VerifiedEvent};

    use super::RowKey;
    use crate::fixtures;
    use crate::store::{Insertion, Store};

    fn event(second: u64, number: usize) -> VerifiedEvent {
        fixtures::signed(1, second, &[&["n", &number.to_string()]])
    }

    #[test]
    fn a_newer_event_and_of_one_second_the_lower_id_has_the_greater_place() {
        let mut events: Vec<_> = (0..40).map(|number| event(number as u64 % 3, number)).collect();
        events.push(event(MAX_CREATED_AT, 0));
        events.sort_by_key(|event| (event.created_at, std::cmp::Reverse(event.id)));
        let row_keys: Vec<u64> = events.iter().map(|event| RowKey::of(event).seq()).collect();
        assert!(row_keys.is_sorted_by(|a, b| a < b), "{row_keys:?}");
        assert!(row_keys.iter().all(|row_key| (1..=MAX_INTEGER as u64).contains(row_key)));
        for event in &events {
            let second = event.created_at;
            assert!((RowKey::first(second)..=RowKey::last(second)).contains(&RowKey::of(event)));
        }
    }

    #[test]
    fn a_taken_row_key_is_replaced_by_a_neighbour_on_the_right_side() {
        let mut pair = [event(7, 0), event(7, 1)];
        pair.sort_by_key(|event| event.id);
        for (first, second, expected) in [(0, 1, -1), (1, 0, 1)] {
            let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
            let (first, second) = (&pair[first], &pair[second]);
            store.insert(Timestamp::EPOCH, first).unwrap();
            let own = RowKey::of(second).seq();
            // As if both ids began alike. The neighbouring row key is taken as well.
            let move_to = "UPDATE event SET seq = ? WHERE id = ?";
            store.sql().execute(move_to, values![own, &first.id]).unwrap();
            let third = event(7, 2);
            store.insert(Timestamp::EPOCH, &third).unwrap();
            let beside = own.checked_add_signed(expected).unwrap();
            store.sql().execute(move_to, values![beside, &third.id]).unwrap();
            store.insert(Timestamp::EPOCH, second).unwrap();
            let found: Option<(u64,)> =
                store.sql().first("SELECT seq FROM event WHERE id = ?", values![&second.id]).unwrap();
            assert_eq!(found, Some((beside.checked_add_signed(expected).unwrap(),)));
        }
    }

    /// Assigns all row keys of a range to dummy events.
    fn fill(store: &Store<Sqlite>, from: u64, to: u64) {
        let statement = "WITH RECURSIVE place (seq) AS (SELECT CAST(? AS INTEGER) UNION ALL SELECT seq + 1 FROM place WHERE seq < ?)
             INSERT INTO event (seq, id, pubkey, created_at, kind, json)
             SELECT seq, randomblob(32), zeroblob(32), 7, 1, '{}' FROM place WHERE true ON CONFLICT DO NOTHING";
        store.sql().execute(statement, values![from, to]).unwrap();
    }

    #[test]
    fn a_long_run_of_taken_places_is_not_walked_to_its_end() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let event = event(7, 0);
        let own = RowKey::of(&event).seq();
        fill(&store, own - 300, own + 300);
        assert_eq!(store.insert(Timestamp::EPOCH, &event).unwrap(), Insertion::Inserted);
        let found: Option<(u64,)> =
            store.sql().first("SELECT seq FROM event WHERE id = ?", values![&event.id]).unwrap();
        let seq = found.unwrap().0;
        assert!((RowKey::first(7).seq()..=RowKey::last(7).seq()).contains(&seq));
        assert!(seq.abs_diff(own) > 301, "{seq} is at the end of the run");
    }

    #[test]
    fn an_event_without_a_free_place_is_refused() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let event = event(7, 0);
        let own = RowKey::of(&event).seq();
        fill(&store, own - 300, own + 300);
        assert_eq!(RowKey::probes(&event).count(), 7);
        for probe in RowKey::probes(&event) {
            assert!((RowKey::first(7)..=RowKey::last(7)).contains(&probe));
            fill(&store, probe.seq(), probe.seq());
        }
        assert_eq!(store.insert(Timestamp::EPOCH, &event).unwrap(), Insertion::Crowded);
    }
}
