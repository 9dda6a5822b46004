//! SQL for the events of a filter.

use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::{EventId, Kind, PublicKey, Timestamp};

use super::driver::Driver;
use crate::store::row_key::{LAST_SECOND, RowKey};
use crate::store::statement::{MAX_ROWS, Statement, hex_string, json_list};
use crate::store::viewer::Viewer;
use openagents_host::nostr::filter::{Filter, OneOf};
use openagents_host::nostr::tag::{TagKey, TagName};

/// Who reads, and when: events expired by then are left out.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct QueryContext<'a> {
    pub(in crate::store) now: Timestamp,
    pub(in crate::store) viewer: &'a Viewer<'a>,
}

/// Where to continue reading one value of the driving condition. The index has the rows of each value in answer order,
/// but not those of several values together, so each is read separately and the results are merged.
#[derive(Clone, Debug)]
pub(in crate::store) struct MergeCursor {
    /// The value as JSON: tag key, `author","kind`, or kind.
    pub(in crate::store) value: String,
    /// The greatest row key that is not yet read; rows are read in descending order.
    pub(in crate::store) upper: u64,
}

/// Statements for the stored events of a filter.
pub(in crate::store) struct Select;

impl Select {
    /// A column of the newest events down to a row key, for a condition with one value.
    pub(in crate::store) fn ordered(
        column: &str,
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
        lower: u64,
        limit: u64,
    ) -> Statement {
        let mut select = Statement::default();
        select.push("SELECT ").push(column);
        SelectBody::of(driver, filter, context).push(&mut select, Some(lower));
        select.push(" ORDER BY ").push(row_key(driver)).push(" DESC LIMIT ?").integer(limit);
        select
    }

    /// The row keys of the newest events of a condition that finds few rows, in any order. An event that has several
    /// of the values appears once.
    pub(in crate::store) fn sorted(
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
    ) -> Statement {
        let mut select = Statement::default();
        select.push("SELECT ").push(row_key(driver)).push(" AS seq");
        SelectBody::of(driver, filter, context).push(&mut select, Some(lower(filter)));
        if matches!(driver, Driver::Tag(_)) {
            select.push(" GROUP BY ").push(row_key(driver));
        }
        select.push(" ORDER BY ").push(row_key(driver)).push(" DESC LIMIT ?").integer(limit);
        select
    }

    /// The JSON of the same events. Sorting is done before the JSON is read, so reading can stop where the answer
    /// ends.
    pub(in crate::store) fn sorted_json(
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
    ) -> Statement {
        let mut select = Self::sorted(driver, filter, context, limit);
        select.enclose("SELECT event.json FROM (", ") AS hit CROSS JOIN event ON event.seq = hit.seq");
        select
    }

    /// For each cursor, a JSON list of the row keys of its newest events, down to `lower`.
    pub(in crate::store) fn cursors(
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
        cursors: &[MergeCursor],
        lower: u64,
        each: u64,
    ) -> Statement {
        let mut select = Statement::default();
        select.push("SELECT ");
        Self::newest_of_cursor(&mut select, driver, filter, context, lower, each);
        select.push(" FROM json_each(?) AS c").text_value(json_list(
            cursors.iter().map(|cursor| format!("[{},{}]", cursor.value, cursor.upper)),
        ));
        select
    }

    /// The same for all kinds that each author has written; the rows also have the author and the kind.
    pub(in crate::store) fn cursors_of_authors(
        filter: &Filter,
        authors: &OneOf<PublicKey>,
        context: &QueryContext<'_>,
        lower: u64,
        upper: u64,
        each: u64,
    ) -> Statement {
        let mut select = Statement::default();
        // Skips from kind to kind without reading the rows in between.
        select
            .push(
                "WITH RECURSIVE written (author, kind) AS (
                 SELECT unhex(value), (SELECT min(kind) FROM event WHERE pubkey = unhex(value)) FROM json_each(?)
                 UNION ALL
                 SELECT author, (SELECT min(kind) FROM event WHERE pubkey = author AND kind > written.kind)
                 FROM written WHERE written.kind IS NOT NULL)
                 SELECT hex(author), kind, ",
            )
            .text_value(json_list(authors.iter().map(|author| hex_string(author.as_bytes()))));
        Self::newest_of_cursor(&mut select, Driver::Authors, filter, context, lower, each);
        select
            .push(
                " FROM (SELECT author, kind, json_array(hex(author), kind, CAST(? AS INTEGER)) AS value
                 FROM written WHERE kind IS NOT NULL",
            )
            .integer(upper);
        if let Some(kinds) = &filter.kinds {
            select.push(" AND ").kinds("kind", kinds);
        }
        select.push(") AS c");
        select
    }

    fn newest_of_cursor(
        select: &mut Statement,
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
        lower: u64,
        each: u64,
    ) {
        select
            .push("(SELECT json_group_array(row_key) FROM (SELECT ")
            .push(row_key(driver))
            .push(" AS row_key");
        SelectBody { from: ValueSource::MergeCursor, ..SelectBody::of(driver, filter, context) }
            .push(select, Some(lower));
        select.push(" ORDER BY ").push(row_key(driver)).push(" DESC LIMIT ?))").integer(each);
    }
}

/// The JSON of events by row key, in the order of the list.
pub(in crate::store) const BY_ROW_KEYS: &str =
    "SELECT e.json FROM json_each(?) AS hit CROSS JOIN event AS e ON e.seq = hit.value";

/// The lowest row key that the filter allows.
pub(in crate::store) fn lower(filter: &Filter) -> u64 {
    RowKey::first(filter.since.unwrap_or(0)).seq()
}

/// The greatest row key that the filter allows.
pub(in crate::store) fn upper(filter: &Filter) -> u64 {
    RowKey::last(filter.until.unwrap_or(MAX_CREATED_AT)).seq()
}

/// The column with the row key in the driving table.
pub(in crate::store) const fn row_key(driver: Driver) -> &'static str {
    match driver {
        Driver::Tag(_) => "t.seq",
        _ => "e.seq",
    }
}

/// The driving table, for statements that need no other columns of the event.
pub(in crate::store) const fn driving_table(driver: Driver) -> &'static str {
    match driver {
        Driver::Tag(_) => "tag AS t",
        driver => tables(driver),
    }
}

/// The driving table joined with the events.
pub(in crate::store) const fn tables(driver: Driver) -> &'static str {
    match driver {
        Driver::Ids => "event AS e INDEXED BY event_by_id",
        Driver::Tag(_) => "tag AS t CROSS JOIN event AS e ON e.seq = t.seq",
        Driver::Authors => "event AS e INDEXED BY event_by_author",
        Driver::Kinds => "event AS e INDEXED BY event_by_kind",
        Driver::Time => "event AS e NOT INDEXED",
    }
}

/// `FROM … WHERE …`.
#[derive(Clone, Copy)]
pub(in crate::store) struct SelectBody<'a> {
    pub(in crate::store) driver: Driver,
    pub(in crate::store) filter: &'a Filter,
    pub(in crate::store) context: &'a QueryContext<'a>,
    pub(in crate::store) from: ValueSource,
}

/// Where the driving condition's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum ValueSource {
    /// The filter; several values are bound as one list.
    Filter,
    /// The filter; if there are few values, each is bound separately, which saves parsing a list.
    OneByOne,
    /// A row `c`, which also says where to continue.
    MergeCursor,
}

impl<'a> SelectBody<'a> {
    pub(in crate::store) const fn of(
        driver: Driver,
        filter: &'a Filter,
        context: &'a QueryContext<'a>,
    ) -> Self {
        Self { driver, filter, context, from: ValueSource::Filter }
    }
}

impl SelectBody<'_> {
    pub(in crate::store) fn push(&self, select: &mut Statement, lower: Option<u64>) {
        select.push(" FROM ");
        self.push_values(select);
        select.push(tables(self.driver)).push(" WHERE ");
        self.push_driving(select);
        self.push_range(select, lower.unwrap_or(0));
        self.push_rest(select);
    }

    /// All conditions that only filter.
    pub(in crate::store) fn push_rest(&self, select: &mut Statement) {
        self.push_others(select);
        self.push_presence(select);
        if self.context.viewer.restricts(self.filter) {
            self.push_privacy(select);
        }
    }

    /// The driving values as rows, if there are several: each is looked up in turn, without a temporary table.
    pub(in crate::store) fn push_values(&self, select: &mut Statement) {
        if self.from == ValueSource::MergeCursor {
            return;
        }
        let Filter { ids, authors, kinds, tags, .. } = self.filter;
        let several = |select: &mut Statement, name: &str, list: Vec<String>| {
            if list.len() != 1 {
                select
                    .push("json_each(?) AS ")
                    .push(name)
                    .push(" CROSS JOIN ")
                    .text_value(json_list(list.iter()));
            }
        };
        let blobs = |select: &mut Statement, list: std::vec::IntoIter<&[u8]>| {
            if self.has_rows(list.len()) {
                select.rows(list).push(" AS v CROSS JOIN ");
            } else {
                several(select, "v", list.map(hex_string).collect());
            }
        };
        let numbers = |kinds: &OneOf<Kind>| kinds.iter().map(ToString::to_string).collect();
        match self.driver {
            Driver::Ids => blobs(select, bytes(ids.as_ref())),
            Driver::Tag(name) => {
                let values = tags.get(&name).into_iter().flatten();
                let keys: Vec<TagKey> = values.map(|value| TagKey::new(name, value)).collect();
                blobs(select, keys.iter().map(TagKey::as_bytes).collect::<Vec<_>>().into_iter());
            }
            Driver::Authors => {
                blobs(select, bytes(authors.as_ref()));
                if let Some(kinds) = kinds {
                    several(select, "k", numbers(kinds));
                }
            }
            Driver::Kinds => several(select, "k", kinds.as_ref().map(numbers).unwrap_or_default()),
            Driver::Time => {}
        }
    }

    /// Whether this many driving values are bound as [rows](Statement::rows).
    fn has_rows(&self, values: usize) -> bool {
        self.from == ValueSource::OneByOne && (2..=MAX_ROWS).contains(&values)
    }

    pub(in crate::store) fn push_driving(&self, select: &mut Statement) {
        let Filter { ids, authors, kinds, tags, .. } = self.filter;
        let bytes_of = |select: &mut Statement, column: &str, only: Option<&[u8]>, count: Option<usize>| {
            select.push(column);
            match only {
                Some(value) => select.push(" = ?").bytes(value),
                None if self.has_rows(count.unwrap_or(0)) => select.push(" = v.column1"),
                None => select.push(" = unhex(v.value)"),
            };
        };
        let kinds_of = |select: &mut Statement, kinds: &OneOf<Kind>| {
            select.push("e.kind");
            match kinds.only() {
                Some(kind) => select.push(" = ?").integer(kind.0.into()),
                None => select.push(" = k.value"),
            };
        };
        match self.driver {
            Driver::Tag(_) if self.from == ValueSource::MergeCursor => {
                select.push("t.key = unhex(c.value ->> 0)");
            }
            Driver::Authors if self.from == ValueSource::MergeCursor => {
                select.push("e.pubkey = unhex(c.value ->> 0) AND e.kind = c.value ->> 1");
            }
            Driver::Kinds if self.from == ValueSource::MergeCursor => {
                select.push("e.kind = c.value ->> 0");
            }
            Driver::Ids => {
                let only = ids.as_ref().and_then(OneOf::only).map(AsBytes::as_bytes);
                bytes_of(select, "e.id", only, ids.as_ref().map(OneOf::len));
            }
            Driver::Tag(name) => {
                let values = tags.get(&name);
                let only = values.and_then(OneOf::only).map(|value| TagKey::new(name, value));
                bytes_of(select, "t.key", only.as_ref().map(TagKey::as_bytes), values.map(OneOf::len));
            }
            Driver::Authors => {
                let only = authors.as_ref().and_then(OneOf::only);
                bytes_of(select, "e.pubkey", only.map(AsBytes::as_bytes), authors.as_ref().map(OneOf::len));
                if let Some(kinds) = kinds {
                    select.push(" AND ");
                    kinds_of(select, kinds);
                }
            }
            Driver::Kinds => {
                if let Some(kinds) = kinds {
                    kinds_of(select, kinds);
                }
            }
            Driver::Time => drop(select.push("true")),
        }
    }

    pub(in crate::store) fn push_range(&self, select: &mut Statement, lower: u64) {
        let is_cursor = self.from == ValueSource::MergeCursor;
        select.push(" AND ").push(row_key(self.driver)).push(" BETWEEN ? AND ").integer(lower);
        match self.driver {
            Driver::Authors if is_cursor => drop(select.push("c.value ->> 2")),
            Driver::Tag(_) | Driver::Kinds if is_cursor => drop(select.push("c.value ->> 1")),
            _ => drop(select.push("?").integer(upper(self.filter))),
        }
    }

    /// The conditions that do not drive.
    fn push_others(&self, select: &mut Statement) {
        let Self { driver, filter, .. } = self;
        let is_late =
            |second: Option<u64>| second.is_some_and(|s| (LAST_SECOND..MAX_CREATED_AT).contains(&s));
        if is_late(filter.since) || is_late(filter.until) {
            // Events that share the last second that row keys can express.
            select.push(" AND e.created_at BETWEEN ? AND ?").integer(filter.since.unwrap_or(0));
            select.integer(filter.until.unwrap_or(MAX_CREATED_AT));
        }
        if let Some(authors) = &filter.authors
            && *driver != Driver::Authors
        {
            select.push(" AND ").is_one_of_bytes("e.pubkey", bytes(Some(authors)));
        }
        if let Some(kinds) = &filter.kinds
            && !matches!(driver, Driver::Authors | Driver::Kinds)
        {
            select.push(" AND ").kinds(kind(*driver), kinds);
        }
        let others: Vec<_> = filter.tags.iter().filter(|(name, _)| *driver != Driver::Tag(**name)).collect();
        // In groups, because each chained condition makes the expression deeper, and the maximum depth is 100.
        for group in others.chunks(8) {
            select.push(" AND (true");
            for (name, values) in group {
                self.push_other_tag(select, **name, values);
            }
            select.push(")");
        }
    }

    /// The condition that the event has one of these tag values, each looked up together with the row key.
    fn push_other_tag(&self, select: &mut Statement, name: TagName, values: &OneOf<String>) {
        let keys: Vec<TagKey> = values.iter().map(|value| TagKey::new(name, value)).collect();
        select.push(" AND ");
        select.tagged(row_key(self.driver), &keys);
    }

    /// Leaves out events that are expired (NIP-40) or about to be removed (NIP-62). Whether any such event exists is
    /// determined once per statement; usually there is none, and nothing more is read.
    fn push_presence(&self, select: &mut Statement) {
        let now = self.context.now.as_seconds();
        select.push(
            " AND ((SELECT 1 FROM event INDEXED BY event_by_expiry
                    WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT 1) IS NULL
                OR e.expires_at IS NULL OR e.expires_at > ?)",
        );
        select.integer(now).integer(now);
        select.push(NOT_VANISHING);
    }

    fn push_privacy(&self, select: &mut Statement) {
        let QueryContext { viewer, .. } = self.context;
        select.push(" AND (NOT ");
        select.is_one_of_integers(kind(self.driver), viewer.private_kinds.iter().map(|kind| kind.0.into()));
        if !viewer.pubkeys.is_empty() {
            let keys = viewer.addressee_keys();
            let readers: Vec<&[u8]> = viewer.pubkeys.iter().map(|pubkey| &pubkey.as_bytes()[..]).collect();
            select.push(" OR ").is_one_of_bytes("e.pubkey", readers.into_iter());
            select.push(" OR ").tagged(row_key(self.driver), &keys);
        }
        select.push(")");
    }
}

/// Events `e` that are not about to be removed because their author or addressee vanished.
pub(in crate::store) const NOT_VANISHING: &str = "
     AND ((SELECT 1 FROM vanishing LIMIT 1) IS NULL OR NOT (
         EXISTS (SELECT 1 FROM vanishing
                 WHERE pubkey = e.pubkey AND until >= e.created_at AND request <> e.id)
         OR e.kind = 1059 AND EXISTS (SELECT 1 FROM vanishing AS v CROSS JOIN tag AS wrap
                 ON wrap.key = v.key AND wrap.seq = e.seq WHERE v.until >= e.created_at)))";

/// The column with the kind in the driving table.
const fn kind(driver: Driver) -> &'static str {
    match driver {
        Driver::Tag(_) => "t.kind",
        _ => "e.kind",
    }
}

fn bytes<T: AsBytes>(values: Option<&OneOf<T>>) -> std::vec::IntoIter<&[u8]> {
    values.into_iter().flatten().map(AsBytes::as_bytes).collect::<Vec<_>>().into_iter()
}

trait AsBytes {
    fn as_bytes(&self) -> &[u8];
}

impl AsBytes for EventId {
    fn as_bytes(&self) -> &[u8] {
        Self::as_bytes(self)
    }
}

impl AsBytes for PublicKey {
    fn as_bytes(&self) -> &[u8] {
        Self::as_bytes(self)
    }
}

impl Statement {
    /// The condition that the event with this row key has one of these tags.
    fn tagged(&mut self, row_key: &str, keys: &[TagKey]) -> &mut Self {
        let (begin, end) = ("EXISTS (SELECT 1 FROM tag AS other WHERE other.key", ")");
        if !self.has_room_for(keys.len()) {
            self.push(begin)
                .push(" IN (SELECT unhex(value) FROM json_each(?)) AND other.seq = ")
                .push(row_key)
                .push(end);
            return self.text_value(json_list(keys.iter().map(|key| hex_string(key.as_bytes()))));
        }
        for (number, key) in keys.iter().enumerate() {
            self.push(if number == 0 { "(" } else { " OR " }).push(begin).push(" = ?").bytes(key.as_bytes());
            self.push(" AND other.seq = ").push(row_key).push(end);
        }
        self.push(")")
    }

    fn kinds(&mut self, column: &str, kinds: &OneOf<Kind>) -> &mut Self {
        self.is_one_of_integers(column, kinds.iter().map(|kind| u64::from(kind.0)))
    }
}
