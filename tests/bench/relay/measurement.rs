//! All measurements of one relay.

use std::path::Path;
use std::time::Duration;

use super::batch::Events;
use super::ceiling::Verification;
use super::connection::Target;
use super::cost::{Watched, cores, on_disk};
use super::dataset::Dataset;
use super::ingest::{self, Depth, Ingested, MANY, ONE};
use super::options::{Options, Part};
use super::report::{Better, Figure};
use super::shapes::{Shape, questions};
use super::{connections, fanout, requests};

/// The number of events published one by one, and of events stored when queries are measured: ten blocks.
const SINGLE: u64 = 2_000;
const STORED: u64 = 12_000;

/// The number of queries of each shape.
const QUESTIONS: u64 = 500;

/// Queries at the same time: four connections with four subscriptions each.
const AT_ONCE: Depth = Depth { connections: 4, in_flight: 4 };

/// A measurement in progress.
#[derive(Debug)]
pub(crate) struct Measurement<'a> {
    pub(crate) name: &'a str,
    pub(crate) target: &'a Target,
    pub(crate) server: &'a Watched,
    pub(crate) data: Option<&'a Path>,
    pub(crate) options: &'a Options,
    pub(crate) verification: Verification,
    pub(crate) figures: Vec<Figure>,
}

impl Measurement<'_> {
    /// Runs the selected measurements on a relay with an empty database.
    pub(crate) fn all(&mut self, events: &Events) -> Result<(), String> {
        let wanted = |part: Part| self.options.parts.contains(&part);
        let (ingests, asks) = (wanted(Part::Ingest), wanted(Part::Requests));
        if self.server.pids.is_empty() {
            self.say(format_args!("no --pid: its memory and processor time cannot be seen"));
        } else if wanted(Part::Connections) {
            self.say(format_args!("{} idle connections", self.options.connections));
            self.connections()?;
        }
        let mut stored = 0;
        if ingests || asks {
            self.say(format_args!("{STORED} events"));
            self.single(events)?;
            // Store the rest of the events for the queries; this also warms up the next measurement.
            let batch = events.load(SINGLE..STORED)?;
            ingest::measure(self.target, self.server, &batch, MANY)?;
            stored = STORED;
        }
        if asks {
            for depth in [ONE, AT_ONCE] {
                let figures = self.requests(STORED, STORED, depth)?;
                self.figures.extend(figures);
            }
        }
        if ingests {
            self.say(format_args!("{} events, {MANY} in flight", self.options.events));
            let batch = events.load(stored..stored + self.options.events)?;
            let many = ingest::measure(self.target, self.server, &batch, MANY)?;
            stored += self.options.events;
            let figures = throughput(self.verification, many);
            self.figures.extend(figures);
        }
        if self.options.parts.contains(&Part::Fanout) {
            self.say(format_args!("fan-out"));
            self.fanout()?;
        }
        let figures = self.sizes(stored);
        self.figures.extend(figures);
        Ok(())
    }

    pub(crate) fn say(&self, what: std::fmt::Arguments<'_>) {
        eprintln!("{}: {what}", self.name);
    }

    fn connections(&mut self) -> Result<(), String> {
        let idle = connections::measure(self.target, self.server, self.options.connections)?;
        self.figures.extend([
            Figure::new("idle_connection", "idle connection", idle.alone, "KB", Better::Lower),
            Figure::new(
                "idle_subscription",
                "idle connection with a subscription",
                idle.subscribed,
                "KB",
                Better::Lower,
            ),
        ]);
        Ok(())
    }

    fn single(&mut self, events: &Events) -> Result<(), String> {
        let batch = events.load(0..SINGLE)?;
        let single = ingest::measure(self.target, self.server, &batch, ONE)?;
        let per_second = single.count as f64 / single.cost.elapsed;
        let what = format!("events, {ONE} in flight");
        let figure = Figure::new("ingest_1x1", &what, per_second, "/s", Better::Higher);
        self.figures.push(figure.latencies(single.latencies).cost(single.cost, single.count));
        Ok(())
    }

    /// Queries the first `about` of `stored` events.
    pub(crate) fn requests(&self, about: u64, stored: u64, depth: Depth) -> Result<Vec<Figure>, String> {
        self.say(format_args!("questions, {depth} at once, about {stored} events"));
        let mut dataset = Dataset::new(self.options.seed);
        let mut figures = Vec::new();
        for (number, shape) in Shape::ALL.into_iter().enumerate() {
            let about = if matches!(shape, Shape::Newest | Shape::Topic) { stored } else { about };
            let questions = questions(&mut dataset, shape, about, QUESTIONS);
            let time = Duration::from_secs_f64(self.options.seconds);
            let asked = requests::measure(self.target, self.server, &questions, depth, time)?;
            let per_second = asked.count as f64 / asked.cost.elapsed;
            let events = asked.events as f64 / asked.count.max(1) as f64;
            let key = format!("req_{}_{depth}", number + 1).replace('×', "x");
            let what = format!("REQ {depth}: {} → {events:.0} events", shape.name());
            let figure = Figure::new(&key, &what, per_second, "/s", Better::Higher);
            figures.push(figure.latencies(asked.latencies).cost(asked.cost, asked.count).fault(asked.fault));
        }
        Ok(figures)
    }

    fn fanout(&mut self) -> Result<(), String> {
        let fanned = fanout::measure(self.target, self.server)?;
        let per_second = fanned.deliveries as f64 / fanned.cost.elapsed;
        let micros = fanned.cost.generator * 1e6 / fanned.deliveries.max(1) as f64;
        let (of, to) = (fanout::EVENTS, fanout::MATCHING);
        let what = format!("fan-out, {of} events to {to} of 500 sockets");
        self.figures.extend([
            Figure::new("fanout", &what, per_second, "deliveries/s", Better::Higher)
                .cost(fanned.cost, fanned.deliveries)
                .fault(fanned.fault),
            Figure::new(
                "fanout_generator",
                "fan-out: the generator's time for a delivery",
                micros,
                "µs",
                Better::Neither,
            ),
        ]);
        if !fanned.latencies.is_empty() {
            let what = format!("fan-out, one event: to the last of {to} (p50 / p99)");
            let figure =
                Figure::new("fanout_paced", &what, 0.0, "ms", Better::Lower).latencies(fanned.latencies);
            let value = figure.latency.map_or(0.0, |(p50, _)| p50);
            self.figures.push(Figure { value, ..figure });
        }
        Ok(())
    }

    /// Current memory and disk usage.
    pub(crate) fn sizes(&self, stored: u64) -> Vec<Figure> {
        let mut figures = Vec::new();
        if let Some(kilobytes) = self.server.resident() {
            let megabytes = |kilobytes: u64| kilobytes as f64 / 1024.0;
            let (all, own) = (megabytes(kilobytes), megabytes(self.server.anonymous()));
            figures.push(Figure::new("rss", "memory (RSS) afterwards", all, "MB", Better::Lower));
            figures.push(Figure::new("rss_anonymous", "– without mapped files", own, "MB", Better::Lower));
        }
        // An empty folder has 4 KB.
        let bytes = self.data.map_or(0, on_disk);
        if stored > 0 && bytes > 4096 {
            let each = bytes as f64 / stored as f64;
            figures.push(Figure::new("disk", "disk for an event", each, "bytes", Better::Lower));
        }
        figures
    }
}

/// The ingest rate, and what it would be without the generator on the same machine.
fn throughput(verification: Verification, many: Ingested) -> Vec<Figure> {
    let (count, cost) = (many.count as f64, many.cost);
    let per_second = count / cost.elapsed;
    let what = format!("events, {MANY} in flight");
    let mut figures = vec![
        Figure::new("ingest_8x16", &what, per_second, "/s", Better::Higher)
            .latencies(many.latencies)
            .cost(cost, many.count),
        Figure::new(
            "ingest_generator",
            "– the generator's own time for an event",
            cost.generator * 1e6 / count,
            "µs",
            Better::Neither,
        ),
    ];
    // The generator used this share of the machine.
    let without = count / (cost.elapsed - cost.generator / cores()).max(cost.elapsed / 10.0);
    figures.push(Figure::new(
        "ingest_without_generator",
        "– with the generator's time taken out",
        without,
        "/s",
        Better::Higher,
    ));
    let ceiling = verification.ceiling();
    let share = |rate: f64| rate * 100.0 / ceiling;
    figures.push(Figure::new(
        "ingest_of_ceiling",
        "– that is, of the verification ceiling",
        share(without),
        "%",
        Better::Neither,
    ));
    if let Some(server) = cost.server.filter(|seconds| *seconds > 0.0) {
        let alone = count * cores() / server;
        figures.extend([
            Figure::new(
                "ingest_server_cpu",
                "– the server's processor time for an event",
                server * 1e6 / count,
                "µs",
                Better::Lower,
            ),
            Figure::new(
                "ingest_alone",
                "– cores ÷ that: if it could use them fully",
                alone,
                "/s",
                Better::Higher,
            ),
            Figure::new(
                "ingest_alone_of_ceiling",
                "– that is, of the verification ceiling",
                share(alone),
                "%",
                Better::Neither,
            ),
        ]);
    }
    figures
}
