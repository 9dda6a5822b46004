//! Uploads and downloads of a Blossom server, over kept connections: throughput, latency, and the disk's own speed beside it.
//!
//! Works with every server that lets this key upload. `bench blobs null` is a server that reads and writes as much and does
//! nothing: what the client, the network and this machine allow.

mod connection;
mod null_server;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use nostr_sdk::nostr::Keys;
use openagents_tests::blobs::{authorization, sha256};

use crate::figures::Figures;
use crate::memory::Watched;
use connection::Connection;

const USAGE: &str = "\
usage: bench blobs --url http://127.0.0.1:PORT [--sizes 65536,1048576,67108864] [--concurrency 1,8,32]
                   [--megabytes NUMBER] [--pid PID] [--disk FOLDER] [--json]
       bench blobs null [--port PORT]     a server that does nothing, to be measured in the same way";

/// What is measured.
struct Options {
    address: String,
    sizes: Vec<usize>,
    concurrency: Vec<usize>,
    /// How much is uploaded for each size and concurrency, in MB.
    megabytes: usize,
    pids: Vec<u32>,
    disk: Option<String>,
    json: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            address: String::new(),
            sizes: vec![65_536, 1_048_576, 67_108_864],
            concurrency: vec![1, 8, 32],
            megabytes: 256,
            pids: Vec::new(),
            disk: None,
            json: false,
        };
        while let Some(name) = arguments.next() {
            if name == "--json" {
                options.json = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let numbers = |text: &str| -> Result<Vec<usize>, String> {
                text.split(',')
                    .map(|part| part.parse().map_err(|_| format!("{name} {text}: not a number")))
                    .collect()
            };
            match name.as_str() {
                "--url" => {
                    options.address = value.trim_start_matches("http://").trim_end_matches('/').to_owned()
                }
                "--sizes" => options.sizes = numbers(&value)?,
                "--concurrency" => options.concurrency = numbers(&value)?,
                "--megabytes" => options.megabytes = numbers(&value)?.first().copied().unwrap_or(256),
                "--pid" => {
                    options.pids =
                        numbers(&value)?.into_iter().filter_map(|pid| pid.try_into().ok()).collect()
                }
                "--disk" => options.disk = Some(value),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        if options.address.starts_with("127.0.0.1:") || options.address.starts_with("localhost:") {
            Ok(options)
        } else {
            Err("only servers on this machine can be measured: --url http://127.0.0.1:PORT".to_owned())
        }
    }
}

/// Runs `bench blobs`.
pub(crate) fn run(mut arguments: std::iter::Peekable<impl Iterator<Item = String>>) -> Result<(), String> {
    match arguments.peek().map(String::as_str) {
        Some("--help") => {
            println!("{USAGE}");
            return Ok(());
        }
        Some("null") => return null_server::run(arguments.skip(1)),
        _ => {}
    }
    let options = Options::parse(arguments).map_err(|error| format!("{error}\n{USAGE}"))?;
    let mut figures = Vec::new();
    if let Some(folder) = &options.disk {
        figures.push(synchronized_files(Path::new(folder))?);
    }
    for &size in &options.sizes {
        for &concurrency in &options.concurrency {
            figures.extend(measure(&options, size, concurrency)?);
        }
    }
    println!("{}", crate::figures::table(&figures));
    if options.json {
        println!("{}", crate::figures::json(&figures));
    }
    Ok(())
}

/// A blob of this size that no other has: a number in front of bytes that all share.
struct Blob {
    head: Vec<u8>,
    hash: String,
}

fn measure(options: &Options, size: usize, concurrency: usize) -> Result<Vec<Figures>, String> {
    let keys = Keys::generate();
    let count = (options.megabytes * 1_000_000 / size).clamp(concurrency.max(4), 4_000);
    let tail: Vec<u8> =
        (0..size).map(|index| (index as u32).wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let blobs: Vec<Blob> = (0..count)
        .map(|number| {
            let mut blob = tail.clone();
            let head = format!("{number:>12} {}", keys.public_key().to_hex()).into_bytes();
            let length = head.len().min(size);
            blob[..length].copy_from_slice(&head[..length]);
            Blob { hash: sha256(&blob), head: head[..length].to_vec() }
        })
        .collect();
    let uploads: Vec<String> = blobs
        .iter()
        .map(|blob| {
            format!(
                "PUT /upload HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\nx-sha-256: {}\r\ncontent-type: application/octet-stream\r\ncontent-length: {size}\r\n\r\n",
                options.address,
                authorization(&keys, "upload", &[&blob.hash]),
                blob.hash
            )
        })
        .collect();
    let owner = keys.public_key().to_hex();
    let get =
        |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n\r\n", options.address);
    let name = |what: &str| {
        let unit =
            if size >= 1 << 20 { format!("{} MiB", size >> 20) } else { format!("{} KiB", size >> 10) };
        format!("{what}, {unit}, {concurrency} at once")
    };
    let upload = |connection: &mut Connection, number: usize| {
        connection
            .send(uploads[number].as_bytes(), &[&blobs[number].head, &tail[blobs[number].head.len()..]])?;
        connection.receive(false).map(|response| response.status)
    };
    let mut figures = vec![
        during(options, &name("upload"), count, concurrency, 201, upload)?,
        during(options, &name("upload again"), count, concurrency, 200, upload)?,
    ];
    let read = |method: &'static str| {
        let blobs = &blobs;
        move |connection: &mut Connection, number: usize| {
            connection.send(get(method, &format!("/{}", blobs[number].hash)).as_bytes(), &[])?;
            let response = connection.receive(method == "HEAD")?;
            if method == "GET" && response.length != size {
                return Err(format!("{} of {size} bytes", response.length));
            }
            Ok(response.status)
        }
    };
    figures.push(during(options, &name("download"), count, concurrency, 200, read("GET"))?);
    if size == options.sizes[0] {
        figures.push(during(options, &name("HEAD"), count, concurrency, 200, read("HEAD"))?);
        let list = |connection: &mut Connection, _: usize| {
            connection.send(get("GET", &format!("/list/{owner}?limit=100")).as_bytes(), &[])?;
            connection.receive(false).map(|response| response.status)
        };
        figures.push(during(options, &name("list of 100"), count.min(500), concurrency, 200, list)?);
    }
    Ok(figures)
}

/// Sends `count` requests over this many connections, and measures each.
fn during(
    options: &Options,
    what: &str,
    count: usize,
    concurrency: usize,
    expected: u16,
    request: impl Fn(&mut Connection, usize) -> Result<u16, String> + Sync,
) -> Result<Figures, String> {
    let (next, latencies, failure) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(None));
    let barrier = Barrier::new(concurrency + 1);
    let watched = Watched::start(options.pids.clone());
    let elapsed = std::thread::scope(|scope| {
        for _ in 0..concurrency {
            scope.spawn(|| {
                let connection = Connection::open(&options.address);
                barrier.wait();
                let work = || -> Result<(), String> {
                    let mut connection = connection?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok(());
                        }
                        let begun = Instant::now();
                        let status = request(&mut connection, number)?;
                        if status != expected {
                            return Err(format!("{what}: status {status}, expected {expected}"));
                        }
                        latencies.lock().expect("unpoisoned").push(begun.elapsed());
                    }
                };
                if let Err(error) = work() {
                    *failure.lock().expect("unpoisoned") = Some(error);
                }
            });
        }
        barrier.wait();
        Instant::now()
    })
    .elapsed();
    let memory = watched.stop();
    if let Some(error) = failure.into_inner().expect("unpoisoned") {
        return Err(error);
    }
    let latencies = latencies.into_inner().expect("unpoisoned");
    let memory = (!options.pids.is_empty()).then_some(memory);
    Ok(Figures { what: what.to_owned(), count, elapsed, latencies, memory })
}

/// How often a file of 64 KiB can be written and synchronized here, as eight at once: what the disk allows.
fn synchronized_files(folder: &Path) -> Result<Figures, String> {
    const COUNT: usize = 1_000;
    let bytes = vec![7; 65_536];
    let (next, latencies) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let begun = Instant::now();
    let write = |number: usize| -> std::io::Result<Duration> {
        let path = folder.join(format!("bench-{number}"));
        let begun = Instant::now();
        let mut file = File::create(&path)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        let elapsed = begun.elapsed();
        drop(file);
        std::fs::remove_file(path)?;
        Ok(elapsed)
    };
    std::thread::scope(|scope| -> Result<(), String> {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| -> std::io::Result<()> {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= COUNT {
                            return Ok(());
                        }
                        latencies.lock().expect("unpoisoned").push(write(number)?);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("it does not panic").map_err(|error| error.to_string())?;
        }
        Ok(())
    })?;
    let latencies = latencies.into_inner().expect("unpoisoned");
    let what = "files of 64 KiB written and synchronized, 8 at once".to_owned();
    Ok(Figures { what, count: COUNT, elapsed: begun.elapsed(), latencies, memory: None })
}
