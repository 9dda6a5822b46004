//! A filter as SQL.

use openagents_host::event::MAX_CREATED_AT;
use openagents_host::sql::Value;

use super::{Owned, hex_string, json_list};
use crate::filter::{Filter, OneOf};
use crate::tag::{TagKey, TagName};

/// The statement that finds the stored events of a filter. Its text depends on which conditions there are and whether
/// each has one value or several, not on the values: few texts, which both hosts keep prepared.
#[derive(Debug)]
pub(super) struct Select {
    statement: String,
    values: Vec<Owned>,
}

/// The condition by which the rows are found; the others only sort out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Ids,
    Tag(TagName),
    Authors,
    Kinds,
    Time,
}

impl Driver {
    fn of(filter: &Filter) -> Self {
        if filter.ids.is_some() {
            return Self::Ids;
        }
        // Of several tags, the one with the fewest values brings the fewest rows.
        let fewest = |tags: &dyn Fn(TagName) -> bool| {
            let tags = filter.tags.iter().filter(|(name, _)| tags(**name));
            tags.min_by_key(|(_, values)| values.len()).map(|(name, _)| Self::Tag(*name))
        };
        fewest(&points_at_one_thing)
            .or_else(|| filter.authors.is_some().then_some(Self::Authors))
            .or_else(|| fewest(&|_| true))
            .or_else(|| filter.kinds.is_some().then_some(Self::Kinds))
            .unwrap_or(Self::Time)
    }

    const fn tables(self) -> &'static str {
        match self {
            Self::Ids => "event AS e INDEXED BY event_by_id",
            Self::Tag(_) => "tag AS t CROSS JOIN event AS e ON e.seq = t.seq",
            Self::Authors => "event AS e INDEXED BY event_by_author",
            Self::Kinds => "event AS e INDEXED BY event_by_kind",
            Self::Time => "event AS e INDEXED BY event_by_time",
        }
    }

    /// The table that has time and kind where the rows are found.
    const fn first_table(self) -> &'static str {
        match self {
            Self::Tag(_) => "t",
            _ => "e",
        }
    }
}

/// Whether a tag usually names one event, person or thing, so that few events share a value. A topic is shared by many,
/// more than an author writes.
fn points_at_one_thing(name: TagName) -> bool {
    matches!(name.letter(), 'e' | 'E' | 'a' | 'A' | 'd' | 'p' | 'P' | 'q' | 'i' | 'I')
}

impl Select {
    /// The statement for a filter. Its columns are seq, created_at, id and the length of the JSON.
    pub(super) fn new(filter: &Filter, limit: u64) -> Self {
        let driver = Driver::of(filter);
        let first = driver.first_table();
        let mut select = Self { statement: String::new(), values: Vec::new() };
        // An event that has two of the values would be found twice.
        let several = matches!(driver, Driver::Tag(name) if filter.tags.get(&name).is_some_and(|values| values.len() > 1));
        let distinct = if several { "DISTINCT " } else { "" };
        select.push(&[
            "SELECT ",
            distinct,
            "e.seq, ",
            first,
            ".created_at, e.id, octet_length(e.json) FROM ",
        ]);
        select.push(&[driver.tables(), " WHERE ", first, ".created_at BETWEEN ? AND ?"]);
        // A filter that was not read may hold a time that no host can store.
        select.values.push(Owned::Integer(filter.since.unwrap_or(0).min(MAX_CREATED_AT)));
        select.values.push(Owned::Integer(filter.until.unwrap_or(MAX_CREATED_AT).min(MAX_CREATED_AT)));
        if let Some(ids) = &filter.ids {
            select.push(&[" AND e.id"]);
            select.bytes(ids.iter().map(openagents_host::EventId::as_bytes));
        }
        if let Some(authors) = &filter.authors {
            select.push(&[" AND e.pubkey"]);
            select.bytes(authors.iter().map(openagents_host::PublicKey::as_bytes));
        }
        if let Some(kinds) = &filter.kinds {
            select.push(&[" AND ", first, ".kind"]);
            select.kinds(kinds);
        }
        for (name, values) in &filter.tags {
            if driver == Driver::Tag(*name) {
                select.push(&[" AND t.key"]);
                select.tags(*name, values);
            } else {
                select.push(&[" AND EXISTS (SELECT 1 FROM tag AS other WHERE other.created_at = ", first]);
                select.push(&[".created_at AND other.seq = e.seq AND other.key"]);
                select.tags(*name, values);
                select.push(&[")"]);
            }
        }
        select.push(&[" ORDER BY ", first, ".created_at DESC, e.id LIMIT ?"]);
        select.values.push(Owned::Integer(limit));
        select
    }

    pub(super) fn statement(&self) -> &str {
        &self.statement
    }

    pub(super) fn values(&self) -> Vec<Value<'_>> {
        self.values.iter().map(Owned::value).collect()
    }

    fn push(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.statement.push_str(part));
    }

    fn kinds(&mut self, kinds: &OneOf<openagents_host::Kind>) {
        if let Some(kind) = kinds.only() {
            self.push(&[" = ?"]);
            self.values.push(Owned::Integer(kind.0.into()));
        } else {
            self.push(&[" IN (SELECT value FROM json_each(?))"]);
            self.values.push(Owned::Text(json_list(kinds.iter().map(ToString::to_string))));
        }
    }

    fn tags(&mut self, name: TagName, values: &OneOf<String>) {
        let keys: Vec<TagKey> = values.iter().map(|value| TagKey::new(name, value)).collect();
        self.bytes(keys.iter().map(TagKey::as_bytes));
    }

    fn bytes<'a, B: AsRef<[u8]> + ?Sized + 'a>(&mut self, values: impl ExactSizeIterator<Item = &'a B>) {
        let mut values = values.peekable();
        if let (1, Some(value)) = (values.len(), values.peek()) {
            self.push(&[" = ?"]);
            self.values.push(Owned::Blob(value.as_ref().to_vec()));
        } else {
            self.push(&[" IN (SELECT unhex(value) FROM json_each(?))"]);
            self.values.push(Owned::Text(json_list(values.map(|value| hex_string(value.as_ref())))));
        }
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::native::Sqlite;
    use openagents_host::sql::{Sql, SqlError};
    use openagents_host::{EventId, Kind, PublicKey};

    use super::Select;
    use crate::filter::Filter;
    use crate::store::Store;

    /// SQLite's plan, one line.
    fn plan(json: &str) -> String {
        let id = |byte: u8| EventId::from_bytes([byte; 32]).to_hex();
        let filter = Filter::from_json(&json.replace("ID1", &id(1)).replace("ID2", &id(2))).unwrap();
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let select = Select::new(&filter, 500);
        let statement = format!("EXPLAIN QUERY PLAN {}", select.statement());
        let rows: Result<Vec<(i64, i64, i64, String)>, SqlError> =
            store.sql().rows(&statement, &select.values());
        rows.unwrap().into_iter().map(|row| row.3).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn drives_by_the_most_selective_condition() {
        for (filter, driver) in [
            (r##"{"ids":["ID1"],"kinds":[1],"#e":["ID1"]}"##, "e USING INDEX event_by_id (id=?)"),
            (r##"{"ids":["ID1","ID2"]}"##, "e USING INDEX event_by_id (id=?)"),
            (
                r##"{"#e":["ID1"],"kinds":[1],"authors":["ID1"]}"##,
                "t USING PRIMARY KEY (key=? AND created_at>? AND created_at<?)",
            ),
            (
                r##"{"#e":["ID1","ID2"],"#t":["a"]}"##,
                "t USING PRIMARY KEY (key=? AND created_at>? AND created_at<?)",
            ),
            (r##"{"#t":["a"],"kinds":[1]}"##, "t USING PRIMARY KEY (key=?"),
            (
                r##"{"#t":["a"],"authors":["ID1"],"kinds":[1]}"##,
                "event_by_author (pubkey=? AND kind=? AND created_at>? AND created_at<?)",
            ),
            (r##"{"authors":["ID1","ID2"],"kinds":[1,2]}"##, "event_by_author (pubkey=? AND kind=?"),
            (r##"{"authors":["ID1"]}"##, "event_by_author (pubkey=?"),
            (r##"{"kinds":[1,2]}"##, "event_by_kind (kind=? AND created_at>? AND created_at<?)"),
            (r##"{"since":5}"##, "event_by_time (created_at>? AND created_at<?)"),
        ] {
            let plan = plan(filter);
            assert!(plan.contains(driver), "{filter}: {plan}");
            assert!(!plan.contains("SCAN e") && !plan.contains("SCAN t"), "{filter}: {plan}");
        }
    }

    #[test]
    fn other_tags_are_looked_up_by_the_whole_key() {
        let plan = plan(r##"{"#e":["ID1"],"#p":["ID1","ID2"]}"##);
        assert!(plan.contains("USING PRIMARY KEY (key=? AND created_at=? AND seq=?)"), "{plan}");
    }

    #[test]
    fn reads_no_further_than_the_limit_where_the_index_is_in_order() {
        for filter in
            [r##"{"#e":["ID1"]}"##, r##"{"authors":["ID1"],"kinds":[1]}"##, r##"{"kinds":[1]}"##, "{}"]
        {
            let plan = plan(filter);
            assert!(plan.contains("LAST TERM OF ORDER BY"), "{filter}: {plan}");
        }
    }

    #[test]
    fn a_time_that_no_host_can_store_is_taken_for_the_last_one() {
        let filter = Filter { since: Some(u64::MAX), until: Some(u64::MAX), ..Filter::default() };
        let select = Select::new(&filter, 1);
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        store.sql().execute(select.statement(), &select.values()).unwrap();
    }

    #[test]
    fn long_lists_are_one_value_each() {
        let many = |n: u16| (0..n).map(|n| PublicKey::from_bytes([n.to_be_bytes()[1]; 32]));
        let filter = Filter {
            authors: Some(many(256).collect()),
            kinds: Some((0..5_000).map(Kind).collect()),
            ..Filter::default()
        };
        let select = Select::new(&filter, 1);
        assert_eq!(select.values().len(), 5);
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        store.sql().execute(select.statement(), &select.values()).unwrap();
    }
}
