//! Formats records as text tables.

use std::fmt::Write;
use std::time::Duration;

use chrono::DateTime;
use openagents_host::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::engine::{
    AgentMetrics, JobDetails, JobSummary, MemoryKey, MemoryValue, PaymentMovement, ScheduleSummary,
    SessionSummary, SessionTurn,
};
use crate::native::cli::arguments::InspectedRecord;

/// A page of `/agent/{npub}/history`.
#[derive(Deserialize)]
struct HistoryPage {
    jobs: Vec<JobSummary>,
    more: bool,
}

#[derive(Deserialize)]
struct SessionsPage {
    sessions: Vec<SessionSummary>,
    more: bool,
}

#[derive(Deserialize)]
struct ConversationPage {
    turns: Vec<SessionTurn>,
}

#[derive(Deserialize)]
struct MemoryPage {
    entries: Vec<MemoryKey>,
    more: bool,
}

#[derive(Deserialize)]
struct PaymentsPage {
    payments: Vec<PaymentMovement>,
    more: bool,
}

#[derive(Deserialize)]
struct SchedulesPage {
    schedules: Vec<ScheduleSummary>,
    more: bool,
}

/// Formats the schedules of an agent, from its JSON.
pub(in crate::native::cli) fn schedules(json: &str) -> Result<String, serde_json::Error> {
    let page: SchedulesPage = serde_json::from_str(json)?;
    let row = |schedule: &ScheduleSummary| {
        vec![
            schedule.name.clone(),
            schedule.due.map_or_else(String::new, time),
            schedule.ran_at.map_or_else(String::new, time),
            if schedule.attempt == 0 { String::new() } else { schedule.attempt.to_string() },
            schedule.rule.clone(),
            schedule.key.clone().unwrap_or_default(),
        ]
    };
    let heads = ["NAME", "DUE (UTC)", "LAST RUN (UTC)", "TRIES", "RULE", "KEY"];
    let rows = page.schedules.iter().map(row).collect();
    Ok(table(&heads, rows, "This agent has no schedules.") + &more(page.more, || "--limit".to_owned()))
}

/// Formats a record for an operator, from the agent's JSON.
pub(super) fn text(record: &InspectedRecord, json: &str) -> Result<String, serde_json::Error> {
    Ok(match record {
        InspectedRecord::History { .. } => history(&serde_json::from_str(json)?),
        InspectedRecord::Job { .. } => job(&serde_json::from_str(json)?),
        InspectedRecord::Sessions { customer: None, .. } => sessions(&serde_json::from_str(json)?),
        InspectedRecord::Sessions { customer: Some(_), .. } => conversation(&serde_json::from_str(json)?),
        InspectedRecord::Memory { key: None, .. } => memory(&serde_json::from_str(json)?),
        InspectedRecord::Memory { key: Some(_), .. } => {
            pretty(&serde_json::from_str::<MemoryValue>(json)?.value)
        }
        InspectedRecord::Payments { .. } => payments(&serde_json::from_str(json)?),
        InspectedRecord::Metrics => metrics(&serde_json::from_str(json)?),
        InspectedRecord::State => pretty(&serde_json::from_str(json)?),
    })
}

fn history(page: &HistoryPage) -> String {
    let rows = page.jobs.iter().map(|job| {
        let took = job.finished_at.map(|end| job.received_at.until(end));
        vec![
            job.seq.to_string(),
            time(job.received_at),
            job.kind.to_string(),
            job.state.to_string(),
            job.attempt.to_string(),
            took.map_or_else(String::new, seconds),
            optional(job.price_msat),
            job.customer.to_hex().chars().take(12).collect(),
            job.id.to_hex(),
        ]
    });
    let heads = ["SEQ", "RECEIVED (UTC)", "KIND", "STATE", "TRIES", "TOOK", "MSAT", "CUSTOMER", "REQUEST"];
    let next = || format!("--before {}", optional(page.jobs.last().map(|job| job.seq)));
    table(&heads, rows.collect(), "No jobs are stored.") + &more(page.more, next)
}

fn payments(page: &PaymentsPage) -> String {
    let rows = page.payments.iter().map(|payment| {
        vec![
            payment.seq.to_string(),
            time(payment.noted_at),
            payment.movement.clone(),
            payment.msat.to_string(),
            payment.kind.0.to_string(),
            payment.provider.clone().unwrap_or_default(),
            payment.customer.map_or_else(String::new, |key| key.to_hex().chars().take(12).collect()),
            payment.job.to_hex(),
        ]
    });
    let heads = ["SEQ", "NOTED (UTC)", "WHAT", "MSAT", "KIND", "WALLET", "CUSTOMER", "REQUEST"];
    let next = || format!("--before {}", optional(page.payments.last().map(|payment| payment.seq)));
    table(&heads, rows.collect(), "There are no payments.") + &more(page.more, next)
}

fn job(details: &JobDetails) -> String {
    let job = &details.summary;
    let mut text = String::new();
    for (field, value) in [
        ("attempt", job.attempt.to_string()),
        ("customer", job.customer.to_hex()),
        ("finished_at", job.finished_at.map_or_else(String::new, time)),
        ("id", job.id.to_hex()),
        ("kind", job.kind.to_string()),
        ("price_msat", optional(job.price_msat)),
        ("received_at", time(job.received_at)),
        ("seq", job.seq.to_string()),
        ("source", job.source.clone().unwrap_or_default()),
        ("started_at", job.started_at.map_or_else(String::new, time)),
        ("state", job.state.to_string()),
    ] {
        let _ = writeln!(text, "{field:<12} {value}");
    }
    let _ = writeln!(text, "\nrequest\n{}", pretty(&details.request));
    if !details.answer.is_null() {
        let _ = writeln!(text, "\nanswer\n{}", pretty(&details.answer));
    }
    text
}

fn sessions(page: &SessionsPage) -> String {
    let row = |session: &SessionSummary| {
        vec![time(session.last_at), session.turns.to_string(), session.npub.clone()]
    };
    let rows = page.sessions.iter().map(row).collect();
    table(&["LAST (UTC)", "TURNS", "CUSTOMER"], rows, "There are no conversations.")
        + &more(page.more, || "--limit".to_owned())
}

fn conversation(conversation: &ConversationPage) -> String {
    let mut text = String::new();
    for turn in &conversation.turns {
        let _ = writeln!(text, "{}  {}: {}", time(turn.said_at), turn.role, turn.text);
    }
    text
}

fn memory(page: &MemoryPage) -> String {
    let row =
        |entry: &MemoryKey| vec![time(entry.written_at), entry.characters.to_string(), entry.key.clone()];
    let rows = page.entries.iter().map(row).collect();
    let last = || page.entries.last().map_or("", |entry| &*entry.key);
    table(&["WRITTEN (UTC)", "SIZE", "KEY"], rows, "The memory is empty.")
        + &more(page.more, || format!("--after '{}'", last()))
}

fn metrics(metrics: &AgentMetrics) -> String {
    let rows = metrics.ended.iter().map(|row| {
        let mean = row.elapsed_ms.checked_div(row.jobs).map(Duration::from_millis);
        vec![
            row.kind.to_string(),
            row.state.to_string(),
            row.jobs.to_string(),
            mean.map_or_else(String::new, seconds),
            row.msat.to_string(),
        ]
    });
    let now = format!(
        "\n{} unfinished, {} running, {} events not delivered yet\n",
        metrics.unfinished, metrics.running, metrics.outbox
    );
    table(&["KIND", "STATE", "JOBS", "MEAN", "MSAT"], rows.collect(), "No job has finished yet.") + &now
}

/// A table with columns as wide as their widest cell, except the last.
fn table(heads: &[&str], rows: Vec<Vec<String>>, nothing: &str) -> String {
    if rows.is_empty() {
        return format!("{nothing}\n");
    }
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let lines: Vec<Vec<String>> = [vec![heads], rows].concat();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column))).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn more(is_more: bool, how: impl Fn() -> String) -> String {
    if is_more { format!("\nFor more, use {}.\n", how()) } else { String::new() }
}

fn optional(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

/// A time in UTC.
fn time(time: Timestamp) -> String {
    let time = i64::try_from(time.as_millis()).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

fn seconds(duration: Duration) -> String {
    format!("{}.{:03} s", duration.as_secs(), duration.subsec_millis())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::native::cli::arguments::{InspectedRecord, ListPage};
    use serde_json::{Value, json};

    const PAGE: ListPage = ListPage { limit: 1 };

    fn text(record: &InspectedRecord, json: &Value) -> String {
        super::text(record, &json.to_string()).unwrap()
    }

    #[test]
    fn shows_jobs_in_columns_and_how_to_see_more() {
        let job = json!({
            "seq": 12, "id": "ab".repeat(32), "kind": 5050, "customer": "cd".repeat(32), "state": "done", "attempt": 1,
            "price_msat": null, "source": null, "received_at": 1_700_000_000_000_u64,
            "started_at": 1_700_000_000_010_u64, "finished_at": 1_700_000_001_250_u64,
        });
        let record = InspectedRecord::History { page: PAGE, before: None };
        let shown = text(&record, &json!({"jobs": [job], "more": true}));
        let expected = format!(
            "SEQ  RECEIVED (UTC)       KIND  STATE  TRIES  TOOK     MSAT  CUSTOMER      REQUEST\n\
             12   2023-11-14 22:13:20  5050  done   1      1.250 s        cdcdcdcdcdcd  {}\n\
             \nFor more, use --before 12.\n",
            "ab".repeat(32)
        );
        assert_eq!(shown, expected);
        assert_eq!(text(&record, &json!({"jobs": [], "more": false})), "No jobs are stored.\n");
    }

    #[test]
    fn shows_when_schedules_are_due() {
        let schedules = json!([
            {
                "name": "refresh", "rule": "every 600000 ms", "key": null, "due": 1_700_000_000_000_u64,
                "ran_at": 1_700_000_000_000_u64, "attempt": 0,
            },
            {"name": "ring", "rule": "once", "key": "a", "due": 1_700_000_001_000_u64, "ran_at": null, "attempt": 2},
        ]);
        let shown = super::schedules(&json!({"schedules": schedules, "more": false}).to_string()).unwrap();
        let expected = "NAME     DUE (UTC)            LAST RUN (UTC)       TRIES  RULE             KEY\n\
                        refresh  2023-11-14 22:13:20  2023-11-14 22:13:20         every 600000 ms\n\
                        ring     2023-11-14 22:13:21                       2      once             a\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn shows_what_was_said() {
        let record = InspectedRecord::Sessions { customer: Some("npub1".to_owned()), page: PAGE };
        let turns = json!({"turns": [{"role": "user", "text": "hello", "said_at": 1_700_000_000_000_u64}]});
        assert_eq!(text(&record, &turns), "2023-11-14 22:13:20  user: hello\n");
    }

    #[test]
    fn shows_means_and_divides_by_no_jobs() {
        let row =
            |jobs: u64| json!({"kind": 5050, "state": "done", "jobs": jobs, "elapsed_ms": 30, "msat": 7});
        let shown = text(
            &InspectedRecord::Metrics,
            &json!({"ended": [row(3), row(0)], "unfinished": 1, "running": 0, "outbox": 2}),
        );
        assert!(
            shown.contains("5050  done   3     0.010 s  7\n") && shown.contains("1 unfinished, 0 running"),
            "{shown}"
        );
    }
}
