//! `GET /metrics` and `/agent/{npub}/metrics.json`: number and duration of jobs by kind and outcome, in Prometheus'
//! text format and as JSON; in the former also the relay's memory and the blobs, which is all that a relay without agents
//! has. They contain nothing about customers.

use std::fmt::Write;
use std::sync::Arc;

use openagents_blossom::IndexStatistics;
use openagents_host::http::{HeaderValue, Response, StatusCode, response};
use openagents_relay::admission::ClientMemoryUsage;
use serde_json::json;

use super::answer::RouteAnswer;
use crate::engine::{AgentMetrics, EndedJobs, JobState, StateQuery};
use crate::manifest::{AgentManifest, SignedManifest};

/// The content type of Prometheus' text format.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What a deployment's relay and blob server use. What could not be asked is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeploymentUsage {
    /// The memory that clients make the relay keep.
    pub(crate) memory: Option<ClientMemoryUsage>,
    /// How many blobs there are.
    pub(crate) blobs: Option<IndexStatistics>,
}

pub(super) fn metrics(manifest: Arc<SignedManifest>, usage: DeploymentUsage) -> RouteAnswer {
    RouteAnswer::ask(StateQuery::Metrics, move |metrics: AgentMetrics| {
        let text = text(manifest.manifest(), &metrics, &usage);
        response::bytes(StatusCode::OK, CONTENT_TYPE, text)
    })
}

/// The response of a relay without agents.
pub(super) fn relay_metrics(usage: &DeploymentUsage) -> Response {
    if usage.memory.is_none() {
        return response::error(StatusCode::SERVICE_UNAVAILABLE, "The relay does not answer.");
    }
    let mut text = MetricsText(String::new());
    text.usage(usage);
    response::bytes(StatusCode::OK, CONTENT_TYPE, text.0)
}

pub(super) fn metrics_json() -> RouteAnswer {
    RouteAnswer::ask(StateQuery::Metrics, |metrics: AgentMetrics| {
        response::json(StatusCode::OK, json!(metrics).to_string())
    })
}

/// Formats the reply to [`StateQuery::Metrics`].
fn text(manifest: &AgentManifest, metrics: &AgentMetrics, usage: &DeploymentUsage) -> String {
    let mut text = MetricsText(String::new());
    text.family("openagents_agent_info", "gauge", "Name, key and version of the agent.");
    let labels = [
        ("name", manifest.name.to_string()),
        ("npub", manifest.author.npub.to_string()),
        ("version", manifest.version.to_string()),
    ];
    text.sample("openagents_agent_info", &labels, "1");

    text.family("openagents_jobs_total", "counter", "Finished jobs, by kind and state.");
    for row in &metrics.ended {
        text.sample("openagents_jobs_total", &kind_and_state(row), &row.jobs.to_string());
    }
    text.family(
        "openagents_job_duration_seconds",
        "summary",
        "Time from the arrival of a request to its answer.",
    );
    for row in &metrics.ended {
        text.sample("openagents_job_duration_seconds_sum", &kind_and_state(row), &seconds(row.elapsed_ms));
        text.sample("openagents_job_duration_seconds_count", &kind_and_state(row), &row.jobs.to_string());
    }
    text.family("openagents_earned_msat_total", "counter", "Total paid for finished jobs, in millisatoshis.");
    for row in metrics.ended.iter().filter(|row| row.state == JobState::Done) {
        text.sample("openagents_earned_msat_total", &[("kind", row.kind.to_string())], &row.msat.to_string());
    }
    if !metrics.payments.is_empty() {
        let help =
            "Rows of the ledger: what was received, returned, credited to customers, and spent by them.";
        text.family("openagents_payments_total", "counter", help);
        for total in &metrics.payments {
            let labels = [("movement", total.movement.clone())];
            text.sample("openagents_payments_total", &labels, &total.payments.to_string());
        }
        text.family("openagents_payments_msat_total", "counter", "Their sums, in millisatoshis.");
        for total in &metrics.payments {
            let labels = [("movement", total.movement.clone())];
            text.sample("openagents_payments_msat_total", &labels, &total.msat.to_string());
        }
    }
    for (name, number, help) in [
        ("openagents_jobs_unfinished", metrics.unfinished.to_string(), "Unfinished jobs."),
        ("openagents_runs_active", metrics.running.to_string(), "Running handlers, schedules and hooks."),
        ("openagents_outbox_events", metrics.outbox.to_string(), "Events that no relay has accepted yet."),
    ] {
        text.family(name, "gauge", help);
        text.sample(name, &[], &number);
    }
    text.usage(usage);
    text.0
}

fn kind_and_state(row: &EndedJobs) -> [(&'static str, String); 2] {
    [("kind", row.kind.to_string()), ("state", row.state.to_string())]
}

struct MetricsText(String);

impl MetricsText {
    fn usage(&mut self, usage: &DeploymentUsage) {
        if let Some(memory) = &usage.memory {
            self.memory(memory);
        }
        if let Some(blobs) = &usage.blobs {
            self.blobs(blobs);
        }
    }

    fn blobs(&mut self, blobs: &IndexStatistics) {
        for (name, number, help) in [
            ("openagents_blobs", blobs.blobs, "Stored blobs."),
            ("openagents_blob_bytes", blobs.bytes, "Size of all stored blobs."),
            ("openagents_blob_owners", blobs.owners, "Keys that own a blob."),
            ("openagents_blob_removals", blobs.removals, "Blobs whose bytes are still to be removed."),
            ("openagents_blob_reports", blobs.reports, "Reports of blobs to the operator."),
        ] {
            self.family(name, "gauge", help);
            self.sample(name, &[], &number.to_string());
        }
    }

    fn memory(&mut self, memory: &ClientMemoryUsage) {
        let name = "openagents_relay_client_memory_bytes";
        self.family(name, "gauge", "Memory that clients make the relay keep, by use.");
        for (kept, bytes) in memory.by_name() {
            self.sample(name, &[("use", kept.to_owned())], &bytes.to_string());
        }
        let name = "openagents_relay_client_memory_limit_bytes";
        self.family(name, "gauge", "Beyond this memory for clients, the relay closes connections.");
        self.sample(name, &[], &memory.limit.to_string());
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, String)], value: &str) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// Escapes a label value; it may contain any other character.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Kind};
    use openagents_relay::admission::ClientMemoryUsage;

    use openagents_blossom::IndexStatistics;

    use super::{DeploymentUsage, text};
    use crate::declaration::AgentDeclaration;
    use crate::engine::{AgentMetrics, EndedJobs, JobState, PaymentTotal};
    use crate::manifest::AgentManifest;

    #[test]
    fn writes_what_prometheus_reads() {
        let key = Keys::from_secret(&[1; 32]).unwrap().public_key();
        let agent = AgentDeclaration { version: "1.0 \"beta\"\\\n", ..AgentDeclaration::new("scribe") };
        let manifest = AgentManifest::new(&agent, &[], &key);
        let ended =
            |state, jobs, elapsed_ms, msat| EndedJobs { kind: Kind(5_050), state, jobs, elapsed_ms, msat };
        let metrics = AgentMetrics {
            ended: vec![ended(JobState::Done, 3, 1_205, 21_000), ended(JobState::Failed, 1, 7, 0)],
            unfinished: 2,
            running: 1,
            outbox: 4,
            payments: vec![PaymentTotal { movement: "received".to_owned(), payments: 2, msat: 42_000 }],
        };
        let mut memory = ClientMemoryUsage::default();
        (memory.subscriptions, memory.limit) = (5_000, 9_000);
        let blobs = IndexStatistics { blobs: 3, bytes: 1_000, ..IndexStatistics::default() };
        let text = text(&manifest, &metrics, &DeploymentUsage { memory: Some(memory), blobs: Some(blobs) });
        for line in [
            r#"openagents_jobs_total{kind="5050",state="done"} 3"#,
            r#"openagents_jobs_total{kind="5050",state="failed"} 1"#,
            r#"openagents_job_duration_seconds_sum{kind="5050",state="done"} 1.205"#,
            r#"openagents_job_duration_seconds_sum{kind="5050",state="failed"} 0.007"#,
            r#"openagents_job_duration_seconds_count{kind="5050",state="done"} 3"#,
            r#"openagents_earned_msat_total{kind="5050"} 21000"#,
            r#"openagents_payments_total{movement="received"} 2"#,
            r#"openagents_payments_msat_total{movement="received"} 42000"#,
            "openagents_jobs_unfinished 2",
            "openagents_runs_active 1",
            "openagents_outbox_events 4",
            r#"openagents_relay_client_memory_bytes{use="subscriptions"} 5000"#,
            r#"openagents_relay_client_memory_bytes{use="output"} 0"#,
            "openagents_relay_client_memory_limit_bytes 9000",
            "openagents_blobs 3",
            "openagents_blob_bytes 1000",
            "# TYPE openagents_jobs_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(text.contains(r#"version="1.0 \"beta\"\\\n"}"#), "{text}");
        assert!(text.ends_with('\n'));
    }
}
