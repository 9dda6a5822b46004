//! What was measured, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

/// The outcome of one measurement.
pub(crate) struct Figures {
    pub(crate) what: String,
    pub(crate) count: usize,
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Vec<Duration>,
}

impl Figures {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency, in milliseconds, that this share of all stayed under.
    fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// One line for each measurement.
pub(crate) fn table(figures: &[Figures]) -> String {
    let mut table =
        format!("{:<44}{:>8}{:>12}{:>12}{:>12}\n", "", "count", "per second", "p50 (ms)", "p99 (ms)");
    for one in figures {
        table.push_str(&format!(
            "{:<44}{:>8}{:>12.0}{:>12.2}{:>12.2}\n",
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
        let figures = Figures { what: String::new(), count: 100, elapsed: Duration::from_secs(2), latencies };
        assert_eq!(
            (figures.percentile(0.5), figures.percentile(0.99), figures.per_second()),
            (50.0, 99.0, 50.0)
        );
    }
}
