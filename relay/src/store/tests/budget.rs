//! How many rows an event costs. Cloudflare bills every table row and every index entry that is written.
//!
//! SQLite does not report this number, so entries are counted: nothing is removed in this test, so each table and
//! index is as long as the number of writes to it. `tests/worker` measures the same in workerd (`cursor.rowsWritten`).

use openagents_host::sql::Sql;

use super::{NOW, store};
use crate::fixtures;

/// The tables and indexes with rows of events.
const ENTRIES: [&str; 9] = [
    "SELECT count(*) FROM event NOT INDEXED",
    "SELECT count(*) FROM event INDEXED BY event_by_id",
    "SELECT count(*) FROM event INDEXED BY event_by_author",
    "SELECT count(*) FROM event INDEXED BY event_by_kind",
    "SELECT count(*) FROM event INDEXED BY event_by_version WHERE identifier IS NOT NULL",
    "SELECT count(*) FROM event INDEXED BY event_by_expiry WHERE expires_at IS NOT NULL",
    "SELECT count(*) FROM tag",
    "SELECT count(*) FROM deleted",
    "SELECT count(*) FROM deleted_address",
];

#[test]
fn counts_every_index_there_is() {
    let indexes: Vec<(String,)> = store()
        .sql()
        .rows("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name", &[])
        .unwrap();
    let counted = ENTRIES.iter().filter_map(|entry| entry.split("INDEXED BY ").nth(1)?.split(' ').next());
    let mut counted: Vec<_> = counted.map(|name| (name.to_owned(),)).collect();
    counted.sort_unstable();
    assert_eq!(indexes, counted);
}

#[test]
fn an_event_of_the_mixed_set_costs_at_most_seven_and_a_half_rows() {
    let store = store();
    let reference = fixtures::keys(1).public_key().to_hex();
    let count = 200_usize;
    for number in 0..count {
        let text = format!("{number}: {}", "lorem ipsum ".repeat(9));
        let job: &[&[&str]] =
            &[&["i", &text, "text"], &["param", "language", "en"], &["output", "text/plain"]];
        let article: &[&[&str]] = &[&["d", &text], &["t", "bench"]];
        let note: &[&[&str]] = &[&["e", &reference], &["p", &reference], &["t", "bench"]];
        let (kind, tags) = match number % 10 {
            0..3 => (5_050, job),
            3 => (30_023, article),
            _ => (1, note),
        };
        let event = fixtures::signed_by(&fixtures::keys(number % 3), kind, number as u64, tags, &text);
        store.insert(NOW, &event).unwrap();
    }
    let rows: u64 =
        ENTRIES.iter().map(|entry| store.sql().first::<(u64,)>(entry, &[]).unwrap().unwrap().0).sum();
    let per_event = rows as f64 / count as f64;
    println!("{per_event:.2} rows per event");
    // Four for an event, one for each of 2.3 tags, and one for every tenth event, which is replaceable.
    assert!(per_event <= 6.41, "{per_event}");
}
