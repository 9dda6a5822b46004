//! Formats measurements, as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::memory::Memory;

/// The result of one measurement.
pub(crate) struct Figures {
    pub(crate) what: String,
    pub(crate) count: usize,
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Vec<Duration>,
    /// The server's memory, if it was measured.
    pub(crate) memory: Option<Memory>,
}

impl Figures {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in milliseconds below which this share of all lies.
    fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// A Markdown table with one line for each measurement.
pub(crate) fn table(figures: &[Figures]) -> String {
    let mut table = format!(
        "| {:<52} | {:>7} | {:>10} | {:>9} | {:>9} | {:>24} |\n|---|---:|---:|---:|---:|---:|\n",
        "", "count", "per second", "p50 (ms)", "p99 (ms)", "MB before / peak / after"
    );
    for one in figures {
        let megabytes = |kilobytes: u64| kilobytes as f64 / 1024.0;
        let memory = one.memory.map_or_else(String::new, |Memory { before, peak, after }| {
            format!("{:.0} / {:.0} / {:.0}", megabytes(before), megabytes(peak), megabytes(after))
        });
        table.push_str(&format!(
            "| {:<52} | {:>7} | {:>10.0} | {:>9.2} | {:>9.2} | {memory:>24} |\n",
            one.what,
            one.count,
            one.per_second(),
            one.percentile(0.50),
            one.percentile(0.99)
        ));
    }
    table
}

/// The same as one line of JSON.
pub(crate) fn json(figures: &[Figures]) -> Value {
    figures
        .iter()
        .map(|one| {
            json!({
                "what": one.what,
                "count": one.count,
                "per_second": one.per_second(),
                "p50_ms": one.percentile(0.50),
                "p99_ms": one.percentile(0.99),
                "rss_kb": one.memory.map(|memory| [memory.before, memory.peak, memory.after]),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Duration, Figures};

    #[test]
    fn percentiles_are_taken_from_the_sorted_latencies() {
        let latencies = (1..=100).rev().map(Duration::from_millis).collect();
        let elapsed = Duration::from_secs(2);
        let figures = Figures { what: String::new(), count: 100, elapsed, latencies, memory: None };
        assert_eq!(
            (figures.percentile(0.5), figures.percentile(0.99), figures.per_second()),
            (50.0, 99.0, 50.0)
        );
    }
}
