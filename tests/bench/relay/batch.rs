//! Signed events in files next to this program, ready to be written to a socket; a hundred thousand events take 70
//! MB.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use openagents_tests::server::binary;
use serde_json::json;

use super::dataset::{Dataset, Description, Id};
use super::frames;

/// The number of events in one file: ten blocks.
const FILE: u64 = 12_000;

/// The version of the events, to be increased when they change, so that old files are not used.
const FORMAT: u32 = 1;

/// Frames one after another, each preceded by its event's id.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    records: Vec<Range<usize>>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The id and the frame of an event.
    pub(crate) fn get(&self, index: usize) -> Option<(&Id, &[u8])> {
        self.bytes[self.records.get(index)?.clone()].split_first_chunk()
    }

    fn push(&mut self, record: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.records.push(start..self.bytes.len());
    }
}

/// The folder for the events of a seed.
#[derive(Debug)]
pub(crate) struct Events {
    seed: u64,
    folder: PathBuf,
}

impl Events {
    pub(crate) fn of(seed: u64) -> Result<Self, String> {
        let folder = binary("bench-events");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { seed, folder })
    }

    fn path(&self, file: u64) -> PathBuf {
        self.folder.join(format!("{FORMAT}-{}-{file:04}.frames", self.seed))
    }

    /// Signs those of the first `count` events that are missing, on all cores.
    pub(crate) fn prepare(&self, count: u64) -> Result<(), String> {
        let missing: Vec<u64> = (0..count.div_ceil(FILE)).filter(|file| !self.path(*file).exists()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let done = AtomicU64::new(0);
        let sign = |of: usize| {
            missing.iter().skip(of).step_by(cores).try_for_each(|file| {
                self.write(*file)?;
                let done = done.fetch_add(FILE, Ordering::Relaxed) + FILE;
                eprintln!("signed {done} of {} events", missing.len() as u64 * FILE);
                Ok(())
            })
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|of| scope.spawn(move || sign(of))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "signing panicked")?)
        })
    }

    fn write(&self, file: u64) -> Result<(), String> {
        let mut dataset = Dataset::new(self.seed);
        let mut bytes = Vec::new();
        for number in file * FILE..(file + 1) * FILE {
            let (id, event) = dataset.sign(&Description::of(number));
            bytes.extend_from_slice(&id);
            bytes.extend(frame(&event));
        }
        let (path, unfinished) = (self.path(file), self.folder.join(format!("{file}.unfinished")));
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        fs::write(&unfinished, bytes).map_err(failed)?;
        fs::rename(&unfinished, &path).map_err(failed)
    }

    /// The events with these numbers.
    pub(crate) fn load(&self, numbers: Range<u64>) -> Result<Batch, String> {
        self.prepare(numbers.end)?;
        let mut batch = Batch::default();
        for file in numbers.start / FILE..numbers.end.div_ceil(FILE) {
            let path = self.path(file);
            let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let mut rest = bytes.as_slice();
            for number in file * FILE..(file + 1) * FILE {
                let broken = || format!("{} is broken: delete it", path.display());
                let length = rest.get(64..).and_then(frames::length).ok_or_else(broken)? + 64;
                let (record, others) = rest.split_at_checked(length).ok_or_else(broken)?;
                rest = others;
                if numbers.contains(&number) {
                    batch.push(record);
                }
            }
        }
        Ok(batch)
    }
}

/// The frame that publishes an event.
fn frame(event: &str) -> Vec<u8> {
    frames::text(&format!(r#"["EVENT",{event}]"#))
}

/// Events that are signed on the spot.
pub(crate) fn now(events: impl Iterator<Item = nostr_sdk::nostr::Event>) -> Batch {
    let mut batch = Batch::default();
    for event in events {
        let mut record = event.id.to_hex().into_bytes();
        record.extend(frame(&json!(event).to_string()));
        batch.push(&record);
    }
    batch
}
