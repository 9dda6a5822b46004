//! The command line arguments of the `relay` commands.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate};
use clap::{Args, Subcommand, ValueEnum};
use openagents_host::Timestamp;
use openagents_relay::Filter;

#[derive(Debug, Args)]
pub(in crate::native) struct Relay {
    #[command(subcommand)]
    pub(super) command: RelayCommand,
    /// The folder with the relay's database [default: ./data/<agent name>]
    #[arg(long, global = true, env = "OPENAGENTS_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RelayCommand {
    /// Store the events of a file, one JSON object per line
    #[command(
        after_help = "Each event's id and signature are verified, and the rules of the relay's store apply: only the newest \
            version of a replaceable event is kept, deletion requests are carried out, and the times of RELAY_RETENTION \
            start now. The agent does not receive imported requests, so past jobs are not done again.\n\n\
            An interrupted import of a file is resumed when the same command is run again.\n\
            The database is locked while the agent runs; --relay sends the events to the agent's relay, or to any other.\n\n\
            Examples:\n  \
            relay import events.jsonl\n  \
            zstdcat dump.jsonl.zst | AGENT relay import -\n  \
            relay import events.jsonl --relay ws://127.0.0.1:8787"
    )]
    Import(Import),
    /// Write the stored events, one JSON object per line; also while the agent runs
    #[command(
        after_help = "The export is a snapshot of the time when it started. The file appears when it is complete; until then \
            FILE.partial is written next to it. After an interruption the same command resumes from there, within a day \
            and with the relative times of the first run.\n\n\
            Examples:\n  \
            relay export backup.jsonl\n  \
            relay export --filter '{\"kinds\":[5050,6050]}' --since 2026-01-01 | zstd > jobs.jsonl.zst"
    )]
    Export(Export),
    /// Synchronize this relay with another one
    #[command(
        after_help = "Only events that one side lacks are transferred (NIP-77). A relay that does not support this is read \
            from its newest event to its oldest. An interrupted synchronization can be started again, and has less to do \
            then.\n\n\
            Fetched events are stored in the database, which is locked while the agent runs: stop the agent, or send the \
            events to its relay with --relay. That relay treats them as new, so its agent does the jobs among them. With \
            --direction up nothing is stored here, and the agent may run.\n\n\
            If the other relay requires authentication (NIP-42), the command authenticates as the agent, with the key of \
            NOSTR_PRIVATE_KEY or of the data folder.\n\n\
            Examples:\n  \
            relay sync wss://my-agent.example.workers.dev\n  \
            relay sync wss://relay.example.com --direction down --filter '{\"kinds\":[0,3]}' --since 30d\n  \
            relay sync wss://relay.example.com --relay ws://127.0.0.1:8787"
    )]
    Sync(SyncArguments),
    /// Show how many events are stored and how much space they take; also while the agent runs
    #[command(after_help = "Examples:\n  relay stats\n  relay stats --json | jq .kinds")]
    Stats(Stats),
    /// Reduce the size of the database file
    #[command(
        after_help = "The agent must be stopped. The database is rewritten, which temporarily needs as much disk space again. \
            If the command is interrupted, the database is unchanged."
    )]
    Compact,
    /// Check the database file, and that its indexes agree with the events; also while the agent runs
    #[command(after_help = "Changes nothing. The exit code is 0 if no problems were found, else 1.")]
    Check,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file; `-` reads from standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Publish the events to this relay instead of storing them
    #[arg(long, value_name = "URL")]
    pub(super) relay: Option<String>,
    /// Fail if any line contains no valid event; the other lines are imported nevertheless
    #[arg(long)]
    pub(super) strict: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file; `-` writes to standard output
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) file: PathBuf,
    /// Only events that match this filter (NIP-01); if repeated, any of them
    #[arg(long, value_name = "JSON", value_parser = filter)]
    pub(super) filter: Vec<Filter>,
    #[command(flatten)]
    pub(super) times: Times,
}

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    /// The URL of the other relay
    #[arg(value_name = "URL")]
    pub(super) url: String,
    /// Which side receives the events it lacks
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub(super) direction: Direction,
    /// Only events that match this filter (NIP-01)
    #[arg(long, value_name = "JSON", value_parser = filter_without_search)]
    pub(super) filter: Option<Filter>,
    #[command(flatten)]
    pub(super) times: Times,
    /// The URL of the agent's own running relay: missing events are sent to it instead of being stored
    #[arg(long, value_name = "URL")]
    pub(super) relay: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Direction {
    /// Both sides
    Both,
    /// This relay
    Down,
    /// The other relay
    Up,
}

/// A range of `created_at`.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Times {
    /// Only events created at or after this time: 2026-01-31, 2026-01-31T12:00:00Z, 30d, 12h, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) since: Option<Time>,
    /// Only events created at or before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) until: Option<Time>,
}

/// A time argument, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Seconds since 1970.
    At(u64),
    /// Seconds before the time at which the command runs.
    Ago(u64),
}

impl Time {
    fn as_of(self, now: Timestamp) -> u64 {
        match self {
            Self::At(seconds) => seconds,
            Self::Ago(seconds) => now.as_seconds().saturating_sub(seconds),
        }
    }
}

impl Times {
    /// Restricts the filter to this range as well.
    pub(super) fn narrow(self, filter: Filter, now: Timestamp) -> Filter {
        let [since, until] = [self.since, self.until].map(|time| time.map(|time| time.as_of(now)));
        let since = since.max(filter.since);
        let until = match (until, filter.until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Filter { since, until, ..filter }
    }
}

impl Export {
    /// The filters of the export.
    pub(super) fn filters(&self, now: Timestamp) -> Vec<Filter> {
        let times = self.times;
        match self.filter.is_empty() && (times.since.is_some() || times.until.is_some()) {
            true => vec![times.narrow(Filter::new(), now)],
            false => self.filter.iter().cloned().map(|filter| times.narrow(filter, now)).collect(),
        }
    }

    /// A description of the filters that does not depend on the current time.
    pub(super) fn description(&self) -> String {
        let filters = serde_json::to_string(&self.filter).unwrap_or_default();
        let Times { since, until } = self.times;
        format!("{filters} since {since:?} until {until:?}")
    }
}

#[derive(Debug, Args)]
pub(super) struct Stats {
    /// Print all numbers as JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn filter(text: &str) -> Result<Filter, String> {
    let filter = Filter::from_json(text).map_err(|error| error.to_string())?;
    match filter.limit {
        Some(_) => Err("\"limit\" is not supported here: all matching events are used".to_owned()),
        None => Ok(filter),
    }
}

fn filter_without_search(text: &str) -> Result<Filter, String> {
    match filter(text)? {
        Filter { search: Some(_), .. } => {
            Err("\"search\" is not supported here: relays search differently".to_owned())
        }
        filter => Ok(filter),
    }
}

fn time(text: &str) -> Result<Time, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Time::At(seconds));
    }
    if let Some(ago) = ago(text) {
        return Ok(Time::Ago(ago));
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|date| date.and_hms_opt(0, 0, 0));
    let seconds = match date {
        Some(midnight) => midnight.and_utc().timestamp(),
        None => DateTime::parse_from_rfc3339(text)
            .map_err(|_| "expected a time such as 2026-01-31, 2026-01-31T12:00:00Z, 30d or 12h, or seconds since 1970")?
            .timestamp(),
    };
    Ok(Time::At(u64::try_from(seconds).unwrap_or(0)))
}

/// The number of seconds in `30d`, `12h` or `15m`.
fn ago(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use openagents_host::Timestamp;
    use openagents_relay::Filter;

    use super::{Export, Time, Times, filter, filter_without_search, time};

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    #[test]
    fn reads_times_in_several_forms() {
        for (text, seconds) in [
            ("0", 0),
            ("1700000000", 1_700_000_000),
            ("2023-11-14", 1_699_920_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000),
            ("1969-12-31", 0),
        ] {
            assert_eq!(time(text), Ok(Time::At(seconds)), "{text}");
        }
        for (text, ago) in [("30d", 30 * 86_400), ("12h", 43_200), ("1m", 60)] {
            assert_eq!(time(text), Ok(Time::Ago(ago)), "{text}");
        }
        assert_eq!((Time::Ago(60).as_of(NOW), Time::Ago(2_000_000).as_of(NOW)), (999_940, 0));
        for text in ["", "d", "-1", "yesterday", "2023-13-01", "1é", "99999999999999999999d"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn narrows_a_filter_and_never_widens_it() {
        let of = |since: Option<u64>, until: Option<u64>| Times {
            since: since.map(Time::At),
            until: until.map(Time::At),
        };
        let wide = Filter::new().kinds([1]).since(10).until(20);
        assert_eq!(of(None, None).narrow(wide.clone(), NOW), wide);
        assert_eq!(of(Some(5), Some(25)).narrow(wide.clone(), NOW), wide);
        assert_eq!(of(Some(12), Some(15)).narrow(wide, NOW), Filter::new().kinds([1]).since(12).until(15));
        assert_eq!(of(None, Some(5)).narrow(Filter::new(), NOW), Filter::new().until(5));
    }

    #[test]
    fn the_same_command_is_the_same_export_at_any_time() {
        let asking = |filters: &[&str], since: Option<&str>| Export {
            file: "out.jsonl".into(),
            filter: filters.iter().map(|text| filter(text).unwrap()).collect(),
            times: Times { since: since.map(|text| time(text).unwrap()), until: None },
        };
        let recent = asking(&[], Some("1d"));
        let later = Timestamp::from_seconds(1_000_100);
        assert_eq!(recent.filters(NOW), [Filter::new().since(913_600)]);
        assert_eq!(recent.filters(later), [Filter::new().since(913_700)]);
        let all = [
            recent,
            asking(&[], None),
            asking(&[], Some("2d")),
            asking(&[], Some("86400")),
            asking(&[r#"{"kinds":[1]}"#], Some("1d")),
            asking(&[r#"{"kinds":[1]}"#, r#"{"kinds":[2]}"#], Some("1d")),
        ];
        let descriptions: std::collections::BTreeSet<_> = all.iter().map(Export::description).collect();
        assert_eq!(descriptions.len(), all.len(), "{descriptions:?}");
        assert_eq!(asking(&[], Some("1d")).description(), asking(&[], Some("24h")).description());
    }

    #[test]
    fn refuses_a_limit() {
        assert!(filter(r#"{"kinds":[1]}"#).is_ok());
        assert!(filter(r#"{"kinds":[1],"limit":5}"#).unwrap_err().contains("limit"));
        assert!(filter("kinds").is_err());
        assert!(filter(r#"{"search":"x"}"#).is_ok() && filter_without_search(r#"{"search":"x"}"#).is_err());
    }
}
