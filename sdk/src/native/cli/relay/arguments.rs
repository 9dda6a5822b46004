//! The command line of `relay`.

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
    /// Store the events of a file, one JSON object on a line
    #[command(
        after_help = "Each event's id and signature are checked, and the relay's rules apply: of replaceable events the \
            newest stays, deletions delete, and kinds that RELAY_RETENTION gives a time are kept for so long from now. \
            Nothing is handed to the agent: requests of the past are not done again.\n\n\
            An import of a file that is interrupted, however it is, goes on where it was when the same command is run again.\n\
            While the agent runs its database is its own; --relay sends the events to it, or to any other relay.\n\n\
            Examples:\n  \
            relay import events.jsonl\n  \
            zstdcat dump.jsonl.zst | AGENT relay import -\n  \
            relay import events.jsonl --relay ws://127.0.0.1:8787"
    )]
    Import(Import),
    /// Write the stored events, one JSON object on a line; also while the agent runs
    #[command(
        after_help = "What is written is what was stored when it began. A file appears when it is complete; until then FILE.partial \
            grows beside it. When that is broken off, however it is, the same command goes on from there, within a day \
            and with the times of the first run.\n\n\
            Examples:\n  \
            relay export backup.jsonl\n  \
            relay export --filter '{\"kinds\":[5050,6050]}' --since 2026-01-01 | zstd > jobs.jsonl.zst"
    )]
    Export(Export),
    /// Bring this relay and another one to the same events
    #[command(
        after_help = "Only what one side lacks is sent (NIP-77). A relay that does not know that is read from its newest \
            event to its oldest. Run again after an interruption, it finds less to do.\n\n\
            What is fetched is stored in the database, which while the agent runs is its own: stop it, or have the \
            events stored by it with --relay. ReplyFormat it takes them for new ones: requests for it are done. With \
            --direction up nothing is stored here, and the agent may run.\n\n\
            A relay that asks who this is (NIP-42) is told that it is the agent: NOSTR_PRIVATE_KEY, or the key in its folder.\n\n\
            Examples:\n  \
            relay sync wss://my-agent.example.workers.dev\n  \
            relay sync wss://relay.example.com --direction down --filter '{\"kinds\":[0,3]}' --since 30d\n  \
            relay sync wss://relay.example.com --relay ws://127.0.0.1:8787"
    )]
    Sync(SyncArguments),
    /// Count what is stored, and measure it; also while the agent runs
    #[command(after_help = "Examples:\n  relay stats\n  relay stats --json | jq .kinds")]
    Stats(Stats),
    /// Make the database as small as its events allow
    #[command(
        after_help = "The agent must be stopped. The database is written anew beside the old one, which takes as \
            much room again for as long as it lasts; ended early, it leaves everything as it was."
    )]
    Compact,
    /// Check that the database is sound and that its indexes agree with the events; also while the agent runs
    #[command(
        after_help = "Nothing is changed. The exit code is 0 when all is well, and 1 when something is not."
    )]
    Check,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file; `-` reads the standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Send the events to this relay in place of storing them
    #[arg(long, value_name = "URL")]
    pub(super) relay: Option<String>,
    /// Fail when a line holds no event or one that is not genuine; the other lines are imported even so
    #[arg(long)]
    pub(super) strict: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file; `-` writes to the standard output
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) file: PathBuf,
    /// Only events that match (NIP-01); may be repeated, then one of them has to
    #[arg(long, value_name = "JSON", value_parser = filter)]
    pub(super) filter: Vec<Filter>,
    #[command(flatten)]
    pub(super) times: Times,
}

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    /// The other relay
    #[arg(value_name = "URL")]
    pub(super) url: String,
    /// Which side gets what it lacks
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub(super) direction: Direction,
    /// Only events that match (NIP-01)
    #[arg(long, value_name = "JSON", value_parser = filter_without_search)]
    pub(super) filter: Option<Filter>,
    #[command(flatten)]
    pub(super) times: Times,
    /// The agent's relay, running: what is missing here is sent to it in place of being stored
    #[arg(long, value_name = "URL")]
    pub(super) relay: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Direction {
    /// Both sides
    Both,
    /// This one
    Down,
    /// The other one
    Up,
}

/// A span of time, of `created_at`.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Times {
    /// Only events made then or later: 2026-01-31, 2026-01-31T12:00:00Z, 30d, 12h, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) since: Option<Time>,
    /// Only events made then or earlier
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) until: Option<Time>,
}

/// A time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Since 1970.
    At(u64),
    /// So long before the command is run.
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
    /// Only what both the filter and this span allow.
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
    /// The events that are asked for.
    pub(super) fn filters(&self, now: Timestamp) -> Vec<Filter> {
        let times = self.times;
        match self.filter.is_empty() && (times.since.is_some() || times.until.is_some()) {
            true => vec![times.narrow(Filter::new(), now)],
            false => self.filter.iter().cloned().map(|filter| times.narrow(filter, now)).collect(),
        }
    }

    /// What the events that are asked for are called, whenever they are.
    pub(super) fn words(&self) -> String {
        let filters = serde_json::to_string(&self.filter).unwrap_or_default();
        let Times { since, until } = self.times;
        format!("{filters} since {since:?} until {until:?}")
    }
}

#[derive(Debug, Args)]
pub(super) struct Stats {
    /// Print everything, as JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn filter(text: &str) -> Result<Filter, String> {
    let filter = Filter::from_json(text).map_err(|error| error.to_string())?;
    match filter.limit {
        Some(_) => Err("\"limit\" has no meaning here: all events that match are taken".to_owned()),
        None => Ok(filter),
    }
}

fn filter_without_search(text: &str) -> Result<Filter, String> {
    match filter(text)? {
        Filter { search: Some(_), .. } => {
            Err("\"search\" has no meaning here: relays search differently".to_owned())
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
            .map_err(|_| "write it as 2026-01-31, 2026-01-31T12:00:00Z, 30d, 12h, or in seconds since 1970")?
            .timestamp(),
    };
    Ok(Time::At(u64::try_from(seconds).unwrap_or(0)))
}

/// The seconds of `30d`, `12h` or `15m`.
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
        let words: std::collections::BTreeSet<_> = all.iter().map(Export::words).collect();
        assert_eq!(words.len(), all.len(), "{words:?}");
        assert_eq!(asking(&[], Some("1d")).words(), asking(&[], Some("24h")).words());
    }

    #[test]
    fn refuses_a_limit() {
        assert!(filter(r#"{"kinds":[1]}"#).is_ok());
        assert!(filter(r#"{"kinds":[1],"limit":5}"#).unwrap_err().contains("limit"));
        assert!(filter("kinds").is_err());
        assert!(filter(r#"{"search":"x"}"#).is_ok() && filter_without_search(r#"{"search":"x"}"#).is_err());
    }
}
