//! Measures a running server from outside: how fast events go in, how fast jobs come out.
//!
//! ```text
//! cargo run --release -p openagents-tests --bin bench -- --url ws://127.0.0.1:4848 [--events 4000] [--jobs 200]
//! ```
//!
//! It sends a bounded number of events, to an address on this machine only.

mod figures;
mod ingest;
mod jobs;

use std::process::ExitCode;

use figures::Figures;

struct Options {
    url: String,
    events: usize,
    jobs: usize,
}

const USAGE: &str = "usage: bench --url ws://127.0.0.1:PORT [--events NUMBER] [--jobs NUMBER]";

fn options() -> Result<Options, String> {
    let mut options = Options { url: String::new(), events: 4000, jobs: 200 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        let number = || value.parse::<usize>().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--url" => options.url = value,
            "--events" => options.events = number()?.clamp(16, 100_000),
            "--jobs" => options.jobs = number()?.min(10_000),
            _ => return Err(format!("{name} is unknown\n{USAGE}")),
        }
    }
    let local = ["ws://127.0.0.1:", "ws://localhost:", "ws://[::1]:"];
    if !local.iter().any(|start| options.url.starts_with(start)) {
        return Err(format!("only servers on this machine are measured\n{USAGE}"));
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let figures: Vec<Figures> = runtime.block_on(async {
        let mut figures = Vec::new();
        // One event at a time shows latency, many connections with many in flight show throughput.
        for (connections, in_flight) in [(1, 1), (1, 16), (8, 16)] {
            let events = if in_flight == 1 { options.events / 8 } else { options.events };
            figures.push(ingest::measure(&options.url, events, connections, in_flight).await);
        }
        if options.jobs > 0 {
            figures.push(jobs::measure(&options.url, options.jobs).await);
        }
        figures
    });
    println!("{}", figures::table(&figures));
    println!("{}", figures::json(&figures));
    ExitCode::SUCCESS
}
