//! `GET /metrics` and `/agent/{npub}/metrics.json`: how many jobs ended in which way and how long they took, in Prometheus'
//! text format and as JSON. Nothing is said of customers.

use std::fmt::Write;

use openagents_host::http::{HeaderValue, StatusCode, response};
use serde_json::Value;

use super::agent_routes::AgentRoutes;
use super::answer::RouteAnswer;
use crate::engine::StateQuery;
use crate::manifest::AgentManifest;

/// The type of the text format.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) fn metrics(routes: &AgentRoutes) -> RouteAnswer {
    let routes = routes.clone();
    RouteAnswer::ask(StateQuery::Metrics, move |metrics| {
        response::bytes(StatusCode::OK, CONTENT_TYPE, text(routes.manifest(), &metrics))
    })
}

pub(super) fn metrics_json() -> RouteAnswer {
    RouteAnswer::ask(StateQuery::Metrics, |metrics| response::json(StatusCode::OK, metrics.to_string()))
}

/// Writes the reply to [`StateQuery::Metrics`].
fn text(manifest: &AgentManifest, metrics: &Value) -> String {
    let mut text = MetricsText(String::new());
    text.family("openagents_agent_info", "gauge", "Which agent this is.");
    let labels =
        [("name", &*manifest.name), ("npub", &*manifest.author.npub), ("version", &*manifest.version)];
    text.sample("openagents_agent_info", &labels, "1");

    let ended: Vec<EndedJobs<'_>> =
        metrics["ended"].as_array().into_iter().flatten().map(EndedJobs::of).collect();
    text.family("openagents_jobs_total", "counter", "Jobs that ended, by the kind of request and how.");
    for row in &ended {
        text.sample("openagents_jobs_total", &row.labels(), &row.jobs.to_string());
    }
    text.family("openagents_job_duration_seconds", "summary", "From a request's arrival to its answer.");
    for row in &ended {
        text.sample("openagents_job_duration_seconds_sum", &row.labels(), &seconds(row.elapsed_ms));
        text.sample("openagents_job_duration_seconds_count", &row.labels(), &row.jobs.to_string());
    }
    text.family(
        "openagents_earned_msat_total",
        "counter",
        "What was paid for jobs that are done, in millisatoshi.",
    );
    for row in ended.iter().filter(|row| row.state == "done") {
        text.sample("openagents_earned_msat_total", &[("kind", &row.kind)], &row.msat.to_string());
    }
    for (name, field, help) in [
        ("openagents_jobs_unfinished", "unfinished", "Jobs that are on record and have not ended."),
        ("openagents_runs_active", "running", "Runs of handlers, schedules and hooks that are going on."),
        ("openagents_outbox_events", "outbox", "Events that no relay has confirmed yet."),
    ] {
        text.family(name, "gauge", help);
        text.sample(name, &[], &number(metrics, field).to_string());
    }
    text.0
}

/// What came of the jobs of one kind that ended in one way.
struct EndedJobs<'a> {
    kind: String,
    state: &'a str,
    jobs: u64,
    elapsed_ms: u64,
    msat: u64,
}

impl<'a> EndedJobs<'a> {
    fn of(row: &'a Value) -> Self {
        Self {
            kind: number(row, "kind").to_string(),
            state: row["state"].as_str().unwrap_or_default(),
            jobs: number(row, "jobs"),
            elapsed_ms: number(row, "elapsed_ms"),
            msat: number(row, "msat"),
        }
    }

    fn labels(&self) -> [(&'static str, &str); 2] {
        [("kind", &self.kind), ("state", self.state)]
    }
}

struct MetricsText(String);

impl MetricsText {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A label's value may hold anything once these three are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or(0)
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

#[cfg(test)]
mod tests {
    use openagents_host::Keys;
    use serde_json::json;

    use super::text;
    use crate::declaration::AgentDeclaration;
    use crate::manifest::AgentManifest;

    #[test]
    fn writes_what_prometheus_reads() {
        let key = Keys::from_secret(&[1; 32]).unwrap().public_key();
        let agent = AgentDeclaration { version: "1.0 \"beta\"\\\n", ..AgentDeclaration::new("scribe") };
        let manifest = AgentManifest::new(&agent, &[], &key);
        let metrics = json!({
            "ended": [
                {"kind": 5050, "state": "done", "jobs": 3, "elapsed_ms": 1205, "msat": 21_000},
                {"kind": 5050, "state": "failed", "jobs": 1, "elapsed_ms": 7, "msat": 0},
            ],
            "unfinished": 2, "running": 1, "outbox": 4,
        });
        let text = text(&manifest, &metrics);
        for line in [
            r#"openagents_jobs_total{kind="5050",state="done"} 3"#,
            r#"openagents_jobs_total{kind="5050",state="failed"} 1"#,
            r#"openagents_job_duration_seconds_sum{kind="5050",state="done"} 1.205"#,
            r#"openagents_job_duration_seconds_sum{kind="5050",state="failed"} 0.007"#,
            r#"openagents_job_duration_seconds_count{kind="5050",state="done"} 3"#,
            r#"openagents_earned_msat_total{kind="5050"} 21000"#,
            "openagents_jobs_unfinished 2",
            "openagents_runs_active 1",
            "openagents_outbox_events 4",
            "# TYPE openagents_jobs_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(text.contains(r#"version="1.0 \"beta\"\\\n"}"#), "{text}");
        assert!(text.ends_with('\n'));
    }
}
