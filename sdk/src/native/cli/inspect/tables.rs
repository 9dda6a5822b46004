//! Formats records as text.

use std::fmt::Write;

use chrono::DateTime;
use serde_json::Value;

use crate::native::cli::arguments::InspectedRecord;

/// What an operator sees of a record.
pub(super) fn text(record: &InspectedRecord, answer: &Value) -> String {
    match record {
        InspectedRecord::History { .. } => history(answer),
        InspectedRecord::Job { .. } => job(answer),
        InspectedRecord::Sessions { customer: None, .. } => sessions(answer),
        InspectedRecord::Sessions { customer: Some(_), .. } => conversation(answer),
        InspectedRecord::Memory { key: None, .. } => memory(answer),
        InspectedRecord::Memory { key: Some(_), .. } => pretty(&answer["value"]),
        InspectedRecord::Metrics => metrics(answer),
        InspectedRecord::State => pretty(answer),
    }
}

fn history(answer: &Value) -> String {
    let jobs = list(answer, "jobs");
    let rows = jobs.iter().map(|job| {
        let took = job["finished_at"].as_u64().zip(job["received_at"].as_u64());
        vec![
            plain(&job["seq"]),
            time(&job["received_at"]),
            plain(&job["kind"]),
            plain(&job["state"]),
            plain(&job["attempt"]),
            took.map_or_else(String::new, |(end, begin)| seconds(end.saturating_sub(begin))),
            plain(&job["price_msat"]),
            plain(&job["customer"]).chars().take(12).collect(),
            plain(&job["id"]),
        ]
    });
    let heads = ["SEQ", "RECEIVED (UTC)", "KIND", "STATE", "TRIES", "TOOK", "MSAT", "CUSTOMER", "REQUEST"];
    let more = more(answer, || {
        format!("--before {}", jobs.last().map_or_else(String::new, |job| plain(&job["seq"])))
    });
    table(&heads, rows.collect(), "No jobs are on record.") + &more
}

fn job(answer: &Value) -> String {
    let mut text = String::new();
    for (field, value) in answer.as_object().into_iter().flatten() {
        let value = match field.as_str() {
            "request" | "answer" => continue,
            field if field.ends_with("_at") => time(value),
            _ => plain(value),
        };
        let _ = writeln!(text, "{field:<12} {value}");
    }
    let _ = writeln!(text, "\nrequest\n{}", pretty(&answer["request"]));
    if !answer["answer"].is_null() {
        let _ = writeln!(text, "\nanswer\n{}", pretty(&answer["answer"]));
    }
    text
}

fn sessions(answer: &Value) -> String {
    let rows = list(answer, "sessions")
        .iter()
        .map(|session| vec![time(&session["last_at"]), plain(&session["turns"]), plain(&session["npub"])]);
    table(&["LAST (UTC)", "TURNS", "CUSTOMER"], rows.collect(), "There are no conversations.")
        + &more(answer, || "--limit".to_owned())
}

fn conversation(answer: &Value) -> String {
    let mut text = String::new();
    for turn in list(answer, "turns") {
        let _ =
            writeln!(text, "{}  {}: {}", time(&turn["said_at"]), plain(&turn["role"]), plain(&turn["text"]));
    }
    text
}

fn memory(answer: &Value) -> String {
    let entries = list(answer, "entries");
    let rows = entries
        .iter()
        .map(|entry| vec![time(&entry["written_at"]), plain(&entry["characters"]), plain(&entry["key"])]);
    let last = || entries.last().map_or_else(String::new, |entry| plain(&entry["key"]));
    table(&["WRITTEN (UTC)", "SIZE", "KEY"], rows.collect(), "Nothing is in memory.")
        + &more(answer, || format!("--after '{}'", last()))
}

fn metrics(answer: &Value) -> String {
    let rows = list(answer, "ended").iter().map(|row| {
        let mean = row["elapsed_ms"].as_u64().unwrap_or(0).checked_div(row["jobs"].as_u64().unwrap_or(0));
        vec![
            plain(&row["kind"]),
            plain(&row["state"]),
            plain(&row["jobs"]),
            mean.map_or_else(String::new, seconds),
            plain(&row["msat"]),
        ]
    });
    let now = format!(
        "\n{} unfinished, {} running, {} events not delivered yet\n",
        plain(&answer["unfinished"]),
        plain(&answer["running"]),
        plain(&answer["outbox"])
    );
    table(&["KIND", "STATE", "JOBS", "MEAN", "MSAT"], rows.collect(), "No job has ended yet.") + &now
}

/// Columns as wide as their widest cell; the last one as long as it is.
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

fn more(answer: &Value, how: impl Fn() -> String) -> String {
    if answer["more"] == true { format!("\nThere are more: see {}.\n", how()) } else { String::new() }
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A time given in milliseconds since the Unix epoch, as UTC.
fn time(value: &Value) -> String {
    let time = value.as_i64().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;
    use crate::native::cli::arguments::{InspectedRecord, ListPage};

    const PAGE: ListPage = ListPage { limit: 1 };

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
             \nThere are more: see --before 12.\n",
            "ab".repeat(32)
        );
        assert_eq!(shown, expected);
        assert_eq!(text(&record, &json!({"jobs": [], "more": false})), "No jobs are on record.\n");
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
