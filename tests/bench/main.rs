//! Measures a server from outside: what a relay can do, how fast jobs are answered, and what many stored jobs cost.
//!
//! ```text
//! alias bench='cargo run --release -p openagents-tests --bin bench --'
//! bench relay --suite                                             our relay and others, side by side
//! bench --url ws://127.0.0.1:4848 --jobs 200                      jobs of hello-world, one after another
//! bench jobs --url ws://127.0.0.1:4848 --count 10000 --kind 5900 --pid 1234    many jobs at once
//! bench blobs --url http://127.0.0.1:4848 --disk /tmp/x --pid 1234             uploads and downloads of a blob server
//! bench history --data agent.sqlite --rows 100000                 finished jobs for a stopped server
//! bench fairness --url ws://127.0.0.1:4848 --count 95000          another client's latencies while one address asks for much
//! bench growth --sizes 10,1000,100000 --count 2000                both, with the release build of tests/probe
//! ```
//!
//! Only servers on this machine can be measured. `--json` adds a line of JSON to the table.

mod blobs;
mod fairness;
mod figures;
mod flood;
mod growth;
mod history;
mod jobs;
mod memory;
mod relay;

use std::process::ExitCode;

use openagents_tests::server::Host;

const USAGE: &str = "\
usage: bench --url ws://127.0.0.1:PORT [--jobs NUMBER] [--json]
       bench relay --help
       bench blobs --help
       bench jobs --url ws://127.0.0.1:PORT [--count NUMBER] [--kind KIND] [--pid PID] [--json]
       bench fairness --url ws://127.0.0.1:PORT [--count EVENTS] [--seconds NUMBER] [--json]
       bench history --data FILE_OR_FOLDER --rows NUMBER
       bench growth [--host native|workerd] [--sizes NUMBER,NUMBER…] [--count NUMBER] [--json]";

/// The command-line options.
struct Options {
    url: String,
    jobs: usize,
    count: usize,
    kind: u16,
    seconds: u64,
    pids: Vec<u32>,
    data: String,
    rows: u64,
    host: Host,
    sizes: Vec<u64>,
    json: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            url: String::new(),
            jobs: 200,
            count: 2000,
            kind: 5900,
            seconds: 10,
            pids: Vec::new(),
            data: String::new(),
            rows: 1000,
            host: Host::Native,
            sizes: vec![10, 1_000, 100_000],
            json: false,
        };
        while let Some(name) = arguments.next() {
            if name == "--json" {
                options.json = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = |text: &str| text.parse::<u32>().map_err(|error| format!("{name} {text}: {error}"));
            match name.as_str() {
                "--url" => options.url = value,
                "--jobs" => options.jobs = (number(&value)? as usize).min(10_000),
                "--count" => options.count = (number(&value)? as usize).clamp(1, 100_000),
                "--kind" => {
                    options.kind = value.parse().map_err(|error| format!("--kind {value}: {error}"))?
                }
                "--seconds" => options.seconds = number(&value)?.clamp(1, 600).into(),
                "--pid" => options.pids.push(number(&value)?),
                "--data" => options.data = value,
                "--rows" => options.rows = number(&value)?.into(),
                "--host" => {
                    let host = Host::ALL.into_iter().find(|host| host.name() == value);
                    options.host = host.ok_or_else(|| format!("--host {value}: unknown host"))?;
                }
                "--sizes" => {
                    let sizes = value.split(',').map(|size| number(size).map(u64::from));
                    options.sizes = sizes.collect::<Result<_, _>>()?;
                }
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(options)
    }

    fn local_url(&self) -> Result<&str, String> {
        let local = ["ws://127.0.0.1:", "ws://localhost:", "ws://[::1]:"];
        if local.iter().any(|start| self.url.starts_with(start)) {
            Ok(&self.url)
        } else {
            Err("only servers on this machine can be measured: --url ws://127.0.0.1:PORT".to_owned())
        }
    }
}

fn run() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1).peekable();
    let command = arguments.next_if(|argument| !argument.starts_with('-'));
    if command.is_none() && arguments.peek().is_some_and(|argument| argument == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    if command.as_deref() == Some("relay") {
        return relay::run(arguments);
    }
    if command.as_deref() == Some("blobs") {
        return blobs::run(arguments);
    }
    let options = Options::parse(arguments).map_err(|error| format!("{error}\n{USAGE}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let figures = match command.as_deref() {
        None => vec![runtime.block_on(jobs::measure(options.local_url()?, 5050, options.jobs))],
        Some("jobs") => {
            let (url, pids) = (options.local_url()?, options.pids.clone());
            vec![runtime.block_on(flood::measure(url, None, options.kind, options.count, pids))?]
        }
        Some("fairness") => {
            let measured = fairness::measure(options.local_url()?, options.count, options.seconds);
            runtime.block_on(measured)?
        }
        Some("history") => {
            let path = std::path::Path::new(&options.data);
            let files = if path.is_dir() { history::databases(path) } else { vec![path.to_owned()] };
            files.iter().try_for_each(|file| history::fill(file, options.rows))?;
            return Ok(());
        }
        Some("growth") => runtime.block_on(growth::measure(options.host, &options.sizes, options.count))?,
        Some(other) => return Err(format!("unknown command {other}\n{USAGE}")),
    };
    println!("{}", figures::table(&figures));
    if options.json {
        println!("{}", figures::json(&figures));
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
