//! The cost of a full database: the same measurements with more and more stored events.

use super::batch::Events;
use super::connection::Swarm;
use super::dataset::BLOCK;
use super::ingest::{self, Answer, FLOOD, ONE};
use super::measurement::Measurement;
use super::report::{Better, Figure};

/// The events of one filling step, so that a million need not be in memory.
const STEP: u64 = 48_000;

/// The number of events published one by one at each size.
const SINGLE: u64 = 1_000;

/// Fills the relay to each of these sizes and measures there.
pub(crate) fn measure(
    measurement: &mut Measurement<'_>,
    events: &Events,
    sizes: &[u64],
) -> Result<(), String> {
    events.prepare(sizes.last().copied().unwrap_or_default() + SINGLE)?;
    let mut stored = 0;
    for size in sizes {
        let filled = fill(measurement, events, stored, *size)?;
        stored = (*size).max(stored);
        let at = |figure: Figure| Figure {
            key: format!("{size}.{}", figure.key),
            what: format!("{}: {}", thousands(*size), figure.what),
            ..figure
        };
        let mut figures = Vec::new();
        if let Some(per_second) = filled {
            let what = format!("filled, {FLOOD} in flight");
            figures.push(Figure::new("fill", &what, per_second, "events/s", Better::Higher));
        }
        figures.extend(measurement.requests(stored / BLOCK * BLOCK, stored, ONE)?);
        let batch = events.load(stored..stored + SINGLE)?;
        let single = ingest::measure(measurement.target, measurement.server, &batch, ONE)?;
        stored += SINGLE;
        let per_second = single.count as f64 / single.cost.elapsed;
        let what = format!("events, {ONE} in flight");
        figures.push(
            Figure::new("ingest_1x1", &what, per_second, "/s", Better::Higher).latencies(single.latencies),
        );
        figures.extend(measurement.sizes(stored));
        measurement.figures.extend(figures.into_iter().map(at));
    }
    Ok(())
}

/// Publishes at full speed. Returns events per second.
fn fill(measurement: &Measurement<'_>, events: &Events, from: u64, to: u64) -> Result<Option<f64>, String> {
    let mut swarm = Swarm::open(measurement.target, FLOOD.connections)?;
    let (mut stored, mut seconds) = (from, 0.0);
    while stored < to {
        let until = to.min(stored + STEP);
        let batch = events.load(stored..until)?;
        let filled = ingest::publish(&mut swarm, measurement.server, &batch, FLOOD.in_flight, Answer::Ok)?;
        seconds += filled.cost.elapsed;
        stored = until;
        let rate = filled.count as f64 / filled.cost.elapsed;
        eprintln!("{}: {stored} of {to} events stored, {rate:.0}/s", measurement.name);
    }
    Ok((to > from).then(|| (to - from) as f64 / seconds))
}

/// `12 k`, `1 M`.
fn thousands(count: u64) -> String {
    match count {
        1_000_000.. if count.is_multiple_of(1_000_000) => format!("{} M", count / 1_000_000),
        1_000.. if count.is_multiple_of(1_000) => format!("{} k", count / 1_000),
        _ => count.to_string(),
    }
}
