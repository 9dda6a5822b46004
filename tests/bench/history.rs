//! `bench history`: writes months of finished jobs directly into a server's databases.

use std::path::{Path, PathBuf};

use nostr_sdk::nostr::Keys;
use openagents_tests::events::{event, now};
use openagents_tests::jobs::request;
use rusqlite::{Connection, Transaction, params};
use serde_json::{Value, json};

/// The number of rows in one transaction.
const AT_ONCE: u64 = 20_000;

/// How many days the jobs are spread over: fewer than the time after which they are deleted.
const DAYS: u64 = 20;

/// The SQLite files in a data folder: two natively, one for each object in Miniflare's.
pub(crate) fn databases(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(databases(&path));
        } else if path.extension().is_some_and(|extension| extension == "sqlite") {
            found.push(path);
        }
    }
    found
}

/// Adds `rows` finished jobs to an agent's database, or their events to a relay's. The server must be stopped.
/// Everything else in the file is unchanged.
pub(crate) fn fill(database: &Path, rows: u64) -> Result<(), String> {
    let failed = |error: rusqlite::Error| format!("{}: {error}", database.display());
    let mut connection = Connection::open(database).map_err(failed)?;
    // If this is interrupted, the file is thrown away.
    connection.pragma_update(None, "synchronous", "OFF").map_err(failed)?;
    connection.pragma_update(None, "cache_size", -200_000).map_err(failed)?;
    let write = if has_table(&connection, "job").map_err(failed)? {
        write_job
    } else if has_table(&connection, "event").map_err(failed)? {
        write_events
    } else {
        return Ok(());
    };
    let past = Past::new();
    let start: u64 = rand_like(u64::from(std::process::id()), now());
    let mut done = 0;
    while done < rows {
        let until = rows.min(done + AT_ONCE);
        let transaction = connection.transaction().map_err(failed)?;
        for row in done..until {
            write(&transaction, &past, start.wrapping_add(row), row * DAYS * 86_400 / rows)
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        done = until;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(failed)
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?")?.exists([name])
}

/// The template of all these jobs: real events, whose ids differ from row to row.
struct Past {
    customers: Vec<Vec<u8>>,
    agent: Vec<u8>,
    /// The time of the first job, in seconds.
    since: u64,
    request: String,
    processing: String,
    answer: String,
}

impl Past {
    fn new() -> Self {
        let (customer, agent) = (Keys::generate(), Keys::generate());
        let key = agent.public_key();
        let asked = request(&customer, 5900, Some(key), &"lorem ipsum ".repeat(25), &[("language", "en")]);
        let (id, p, asked_json) = (asked.id.to_hex(), customer.public_key().to_hex(), as_text(&json!(asked)));
        let about: [&[&str]; 3] = [&["e", &id], &["p", &p], &["status", "processing"]];
        let tags: [&[&str]; 3] = [&["request", &asked_json], &["e", &id], &["p", &p]];
        let answered = event(&agent, 6900, &tags, &"dolor sit amet ".repeat(20));
        Self {
            customers: (0..1_000).map(|_| Keys::generate().public_key().to_bytes().to_vec()).collect(),
            agent: key.to_bytes().to_vec(),
            since: now() - DAYS * 86_400 - 3_600,
            processing: as_text(&json!(event(&agent, 7000, &about, ""))),
            request: asked_json,
            answer: as_text(&json!(answered)),
        }
    }

    fn customer(&self, row: u64) -> &[u8] {
        let index = usize::try_from(rand_like(row, 7) % 1_000).unwrap_or_default();
        &self.customers[index]
    }
}

fn as_text(event: &Value) -> String {
    event.to_string()
}

/// A pseudo-random number, for ids in no particular order.
fn rand_like(row: u64, salt: u64) -> u64 {
    let mut x =
        row.wrapping_add(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn bytes<const N: usize>(row: u64, salt: u64) -> [u8; N] {
    let mut bytes = [0; N];
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&rand_like(row, salt + index as u64).to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// A finished job, at this offset in seconds.
fn write_job(transaction: &Transaction<'_>, past: &Past, row: u64, second: u64) -> rusqlite::Result<()> {
    let received = ((past.since + second) * 1_000).cast_signed();
    transaction
        .prepare_cached(
            "INSERT INTO job (id, kind, customer, request, state, attempt, price, answer, received_at, started_at, finished_at)
             VALUES (?, 5900, ?, ?, 'done', 1, 0, ?, ?, ?, ?)",
        )?
        .execute(params![
            bytes::<32>(row, 1),
            past.customer(row),
            past.request,
            past.answer,
            received,
            received + 5,
            received + 200
        ])
        .map(drop)
}

/// The request, the feedback and the result of a job.
fn write_events(transaction: &Transaction<'_>, past: &Past, row: u64, second: u64) -> rusqlite::Result<()> {
    let created_at = (past.since + second).cast_signed();
    let (customer, agent) = (past.customer(row), past.agent.as_slice());
    let events = [
        (1, customer, 5900, &past.request, 1),
        (11, agent, 7000, &past.processing, 2),
        (21, agent, 6900, &past.answer, 2),
    ];
    for (salt, author, kind, json, tags) in events {
        transaction
            .prepare_cached("INSERT INTO event (id, pubkey, created_at, kind, json) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![bytes::<32>(row, salt), author, created_at, kind, json])?;
        let seq = transaction.last_insert_rowid();
        for tag in 0..tags {
            transaction
                .prepare_cached("INSERT INTO tag (key, created_at, seq, kind) VALUES (?, ?, ?, ?)")?
                .execute(params![bytes::<16>(row, 31 + salt + tag), created_at, seq, kind])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn every_row_has_an_id_of_its_own() {
        let ids: std::collections::HashSet<[u8; 32]> = (0..10_000).map(|row| bytes(row, 1)).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
