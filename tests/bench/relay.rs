//! `bench relay`: how fast a relay accepts events, answers queries and delivers events to subscribers, and what that
//! costs.
//!
//! One thread writes prepared frames and does as little work as possible, so that the relay has the rest of the
//! machine. The generator's own cost is measured and shown.

mod batch;
mod ceiling;
mod connection;
mod connections;
mod cost;
mod dataset;
mod fanout;
mod frames;
mod growth;
mod ingest;
mod measurement;
mod messages;
mod options;
mod report;
mod requests;
mod shapes;
mod suite;

use std::path::Path;

use batch::Events;
use ceiling::Verification;
use connection::Target;
use cost::{Watched, cores};
use ingest::{MANY, ONE};
use measurement::Measurement;
use options::{Options, USAGE};
use report::{Better, Figure, Report};
use suite::Running;

/// The number of messages for an echo.
const ECHOED: u64 = 12_000;

/// Runs the measurements of the command line and prints the results.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let options = Options::parse(arguments).map_err(|error| format!("{error}\n{USAGE}"))?;
    let Some(options) = options else {
        println!("{USAGE}");
        return Ok(());
    };
    // Report invalid options before spending minutes on measurements.
    options.url.iter().chain(&options.echo_url).try_for_each(|url| Target::parse(url).map(drop))?;
    if options.suite {
        suite::check(&options.peers)?;
    }
    let events = Events::of(options.seed)?;
    let wanted = options.sizes.last().copied().unwrap_or(ECHOED + options.events);
    events.prepare(wanted)?;
    let verification = ceiling::verification(options.seed)?;
    let sync = ceiling::sync_to_disk()?;
    let mut reports = Vec::new();
    if let Some(url) = &options.url {
        let server = Watched { pids: options.pids.clone() };
        reports.push(relay(
            &options.name,
            url,
            &server,
            options.data.as_deref(),
            &options,
            &events,
            verification,
        ));
    } else {
        reports.push(started("ours", Running::ours(&options.variables)?, &options, &events, verification));
        for peer in &options.peers {
            reports.push(match Running::peer(peer) {
                Ok(running) => started(peer, running, &options, &events, verification),
                Err(error) => Report { relay: peer.clone(), figures: Vec::new(), error: Some(error) },
            });
        }
    }
    if let (Some(url), Some(report)) = (&options.echo_url, reports.first_mut()) {
        let micros = options.verify_micros.unwrap_or(verification.micros);
        report.figures.extend(beside_echo(url, &events, micros, &report.figures)?);
    }
    println!("{}\n", machine(verification, sync));
    if reports.iter().any(|report| !report.figures.is_empty()) {
        println!("{}", report::table(&reports));
    }
    if options.json {
        let machine = serde_json::json!({
            "cores": cores(),
            "verify_micros": verification.micros,
            "verify_micros_all_cores": verification.micros_all_cores,
            "verification_ceiling": verification.ceiling(),
            "sync_ms": sync,
        });
        println!("{}", serde_json::json!({ "machine": machine, "relays": report::json(&reports) }));
    }
    reports.iter().skip(1).flat_map(Report::faults).for_each(|fault| eprintln!("{fault}"));
    // A failing peer is reported as a note; a failure of the relay under test is a failure of the command.
    let faults = reports.first().map(Report::faults).unwrap_or_default();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

fn started(
    name: &str,
    running: Running,
    options: &Options,
    events: &Events,
    verification: Verification,
) -> Report {
    let server = Watched { pids: running.pids() };
    let report = relay(name, &running.url(), &server, Some(running.data()), options, events, verification);
    drop(running);
    report
}

/// Measures one relay. An error that ends the measurement is in its report.
fn relay(
    name: &str,
    url: &str,
    server: &Watched,
    data: Option<&Path>,
    options: &Options,
    events: &Events,
    verification: Verification,
) -> Report {
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(error) => return Report { relay: name.to_owned(), figures: Vec::new(), error: Some(error) },
    };
    let target = &target;
    let mut measurement =
        Measurement { name, target, server, data, options, verification, figures: Vec::new() };
    let outcome = if options.sizes.is_empty() {
        measurement.all(events)
    } else {
        growth::measure(&mut measurement, events, &options.sizes)
    };
    Report { relay: name.to_owned(), figures: measurement.figures, error: outcome.err() }
}

/// How close the relay comes to an echo that also verifies.
fn beside_echo(url: &str, events: &Events, micros: f64, figures: &[Figure]) -> Result<Vec<Figure>, String> {
    let mut more = Vec::new();
    for (depth, key) in [(ONE, "1x1"), (MANY, "8x16")] {
        let count = if depth.connections == 1 { ECHOED / 6 } else { ECHOED };
        let echoed = ceiling::echo(url, events, count, depth)?;
        let per_second = echoed.count as f64 / echoed.cost.elapsed;
        let ceiling = ceiling::beside_echo(per_second, micros);
        let figure = |name: &str, what: String, value, unit| {
            Figure::new(&format!("{name}_{key}"), &what, value, unit, Better::Neither)
        };
        more.push(
            figure("echo", format!("echo, {depth} in flight"), per_second, "/s").latencies(echoed.latencies),
        );
        let what = format!("– what it and {micros:.0} µs of verification leave");
        more.push(figure("echo_ceiling", what, ceiling, "/s"));
        if let Some(reached) = figures.iter().find(|figure| figure.key == format!("ingest_{key}")) {
            let what = "– the relay's share of that".to_owned();
            more.push(figure("echo_share", what, reached.value * 100.0 / ceiling, "%"));
        }
    }
    Ok(more)
}

fn machine(verification: Verification, sync: f64) -> String {
    format!(
        "{} cores. An event (SHA-256, key, Schnorr with libsecp256k1) is verified in {:.1} µs: the ceiling is {:.0} \
         events/s;\nwith all cores at it, {:.1} µs and {:.0} events/s. The disk makes 4 KB durable in {sync:.2} ms.",
        cores(),
        verification.micros,
        verification.ceiling(),
        verification.micros_all_cores,
        verification.ceiling_all_cores()
    )
}
