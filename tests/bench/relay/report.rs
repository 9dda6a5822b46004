//! What was measured of some relays, side by side, for people and for programs.

use serde_json::{Value, json};

use super::cost::Cost;

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
    /// It tells something and is no merit.
    Neither,
}

/// One figure of one relay.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// For programs: the same in every release.
    pub(crate) key: String,
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// p50 and p99 in milliseconds.
    pub(crate) latency: Option<(f64, f64)>,
    /// The server's processor time for one, in microseconds: it says something on a busy machine, too.
    pub(crate) server_micros: Option<f64>,
    /// Why the value does not count.
    pub(crate) fault: Option<String>,
}

impl Figure {
    pub(crate) fn new(key: &str, what: &str, value: f64, unit: &'static str, better: Better) -> Self {
        let (key, what) = (key.to_owned(), what.to_owned());
        Self { key, what, value, unit, better, latency: None, server_micros: None, fault: None }
    }

    /// Adds p50 and p99 of these, in nanoseconds.
    pub(crate) fn latencies(mut self, mut nanoseconds: Vec<u64>) -> Self {
        nanoseconds.sort_unstable();
        let percentile = |share: f64| {
            let index = (nanoseconds.len() as f64 * share).ceil() as usize;
            nanoseconds.get(index.saturating_sub(1)).map_or(0.0, |latency| *latency as f64 / 1e6)
        };
        self.latency = Some((percentile(0.50), percentile(0.99)));
        self
    }

    /// Adds what so many of them cost the server.
    pub(crate) fn cost(mut self, cost: Cost, count: usize) -> Self {
        self.server_micros = cost.server.map(|seconds| seconds * 1e6 / count.max(1) as f64);
        self
    }

    pub(crate) fn fault(mut self, fault: Option<String>) -> Self {
        self.fault = fault;
        self
    }

    fn cell(&self) -> String {
        let value = number(self.value);
        let latency =
            self.latency.map_or_else(String::new, |(p50, p99)| format!(" ({p50:.2} / {p99:.2} ms)"));
        let fault = self.fault.as_ref().map_or_else(String::new, |fault| format!(" **wrong: {fault}**"));
        format!("{value} {}{latency}{fault}", self.unit).trim_end().to_owned()
    }
}

/// Digits as far as they mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0..10.0 => return format!("{value:.2}"),
        10.0..100.0 => return format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digit.is_ascii_digit() && (digits.len() - index) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One relay.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) relay: String,
    pub(crate) figures: Vec<Figure>,
    /// What ended its measurement before its end.
    pub(crate) error: Option<String>,
}

impl Report {
    fn figure(&self, key: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.key == key)
    }

    /// What is wrong with it, for a message.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faults = self.figures.iter().filter_map(|figure| {
            figure.fault.as_ref().map(|fault| format!("{}: {}: {fault}", self.relay, figure.what))
        });
        faults.chain(self.error.as_ref().map(|error| format!("{}: {error}", self.relay))).collect()
    }
}

/// How many times better the first is than the second.
fn ratio(ours: &Figure, theirs: &Figure) -> Option<f64> {
    let ratio = match ours.better {
        Better::Higher => ours.value / theirs.value,
        Better::Lower => theirs.value / ours.value,
        Better::Neither => return None,
    };
    (ratio.is_finite() && ratio > 0.0 && ours.fault.is_none() && theirs.fault.is_none()).then_some(ratio)
}

/// Markdown: a line for each figure, a column for each relay, and how many times better the first is than each other.
pub(crate) fn table(reports: &[Report]) -> String {
    let Some((first, others)) = reports.split_first() else { return String::new() };
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut head = vec![String::new(), first.relay.clone()];
    head.extend(others.iter().map(|other| other.relay.clone()));
    head.extend(others.iter().map(|other| format!("× {}", other.relay)));
    rows.push(head);
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for figure in reports.iter().flat_map(|report| &report.figures) {
        if !keys.iter().any(|(key, _)| *key == figure.key) {
            keys.push((&figure.key, &figure.what));
        }
    }
    for (key, what) in keys {
        let mut row = vec![what.to_owned()];
        row.extend(reports.iter().map(|report| report.figure(key).map_or_else(String::new, Figure::cell)));
        row.extend(others.iter().map(|other| {
            let ratio =
                first.figure(key).zip(other.figure(key)).and_then(|(ours, theirs)| ratio(ours, theirs));
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
        }));
        rows.push(row);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|---|{}\n", "---:|".repeat(widths.len() - 1));
    let mut table = line(&rows[0]) + &rule;
    rows[1..].iter().for_each(|row| table.push_str(&line(row)));
    table
}

/// The same for programs.
pub(crate) fn json(reports: &[Report]) -> Value {
    let figure = |figure: &Figure| {
        json!({
            "key": figure.key,
            "value": figure.value,
            "unit": figure.unit,
            "p50_ms": figure.latency.map(|(p50, _)| p50),
            "p99_ms": figure.latency.map(|(_, p99)| p99),
            "server_micros": figure.server_micros,
            "fault": figure.fault,
        })
    };
    reports
        .iter()
        .map(|report| {
            let figures: Vec<Value> = report.figures.iter().map(figure).collect();
            json!({ "relay": report.relay, "figures": figures, "error": report.error })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Better, Figure, Report, number, table};

    #[test]
    fn the_first_is_set_against_each_other() {
        let report = |relay: &str, rate, memory| Report {
            relay: relay.to_owned(),
            figures: vec![
                Figure::new("rate", "events", rate, "/s", Better::Higher),
                Figure::new("rss", "memory", memory, "MB", Better::Lower),
            ],
            error: None,
        };
        let table = table(&[report("ours", 12_000.0, 20.0), report("theirs", 4000.0, 50.0)]);
        let cells: Vec<Vec<&str>> =
            table.lines().skip(2).map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(cells[0], ["", "events", "12,000 /s", "4,000 /s", "3.00", ""]);
        assert_eq!(cells[1], ["", "memory", "20.0 MB", "50.0 MB", "2.50", ""]);
    }

    #[test]
    fn percentiles_are_taken_from_the_sorted_latencies() {
        let latencies = (1..=100).rev().map(|milliseconds| milliseconds * 1_000_000).collect();
        let figure = Figure::new("", "", 1.0, "/s", Better::Higher).latencies(latencies);
        assert_eq!((figure.latency, number(1234567.0)), (Some((50.0, 99.0)), "1,234,567".to_owned()));
    }
}
