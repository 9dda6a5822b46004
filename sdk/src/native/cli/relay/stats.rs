//! `relay stats`: what the database contains, and its size.

use std::path::Path;
use std::process::ExitCode;

use chrono::DateTime;
use openagents_relay::native::tools::statistics::{DatabaseSize, DatabaseStatistics};

use super::progress::{bytes, number};
use super::{DATABASE, RelayCommandError, arguments};
use crate::native::cli::terminal::say;

/// How many kinds are shown.
const KINDS: usize = 20;

pub(super) fn run(arguments: &arguments::Stats, data: &Path) -> Result<ExitCode, RelayCommandError> {
    let statistics = DatabaseStatistics::read(&data.join(DATABASE))?;
    if arguments.json {
        // Numbers and names always serialize.
        say(format_args!("{}", serde_json::to_string_pretty(&statistics).unwrap_or_default()));
    } else {
        events(&statistics);
        room(&statistics.size);
    }
    Ok(ExitCode::SUCCESS)
}

fn events(statistics: &DatabaseStatistics) {
    let stored = &statistics.stored;
    for (name, count) in [
        ("events", stored.events),
        ("authors", statistics.authors),
        ("indexed tags", stored.tags),
        ("with an expiration", stored.expiring),
        ("deleted for good", stored.deleted),
        ("authors who vanished", stored.vanished),
        ("waiting for the agent", statistics.handovers),
    ] {
        say(format_args!("{name:<24}{:>14}", number(count)));
    }
    for (name, seconds) in [("oldest", stored.oldest), ("newest", stored.newest)] {
        if let Some(seconds) = seconds {
            say(format_args!("{name:<18}{:>20}", date(seconds)));
        }
    }
    if !stored.kinds.is_empty() {
        say(format_args!("\n{:<24}{:>14}", "kind", "events"));
    }
    for (kind, events) in stored.kinds.iter().take(KINDS) {
        say(format_args!("{:<24}{:>14}", kind.to_string(), number(*events)));
    }
    if let Some(more) = stored.kinds.len().checked_sub(KINDS).filter(|more| *more > 0) {
        say(format_args!("and {more} more: --json has them"));
    }
}

fn room(size: &DatabaseSize) {
    say(format_args!("\n{:<24}{:>14}{:>12}", "table", "rows", "size"));
    for table in &size.tables {
        say(format_args!("{:<24}{:>14}{:>12}", table.name, number(table.rows), bytes(table.bytes)));
        for index in &table.indexes {
            say(format_args!("  {:<36}{:>12}", index.name, bytes(index.bytes)));
        }
    }
    say(format_args!("{:<38}{:>12}", "free", bytes(size.free)));
    say(format_args!("{:<38}{:>12}", "the whole database", bytes(size.database)));
    say(format_args!("{:<38}{:>12}", "its write-ahead log", bytes(size.log)));
}

/// `2026-01-31 12:00:00`, UTC. A time that is not a valid date is shown as a number.
pub(super) fn date(seconds: u64) -> String {
    let date = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    date.map_or_else(|| seconds.to_string(), |date| date.format("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn writes_any_time() {
        assert_eq!(date(1_700_000_000), "2023-11-14 22:13:20");
        assert_eq!(date(u64::MAX), u64::MAX.to_string());
        assert_eq!(date((1 << 53) - 1), ((1_u64 << 53) - 1).to_string());
    }
}
