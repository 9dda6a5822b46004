//! Reading lines on one thread and verifying their events on all cores.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use openagents_host::{Event, VerifiedEvent};

use super::defect::Defect;
use crate::limits::MAX_EVENT_BYTES;

/// The longest line that is read, in bytes. An event may have more white space than the stored form.
pub(super) const MAX_LINE_BYTES: usize = 2 * MAX_EVENT_BYTES;

/// How many bytes are read at once.
const READ_BYTES: usize = 256 * 1024;

/// How many bytes of the end of a block are kept, to recognize the position when resuming.
const TAIL_BYTES: usize = 256;

/// How often to check whether to stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A block of consecutive lines.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The events of the good lines.
    pub(super) events: Vec<VerifiedEvent>,
    /// The bad lines, with numbers within the block that start at 1.
    pub(super) defects: Vec<(u64, Defect)>,
    /// How many bytes it has.
    pub(super) bytes: u64,
    /// How many lines it has.
    pub(super) lines: u64,
    /// Its last bytes.
    pub(super) tail: Vec<u8>,
}

impl Block {
    /// How many lines are not empty.
    pub(super) fn len(&self) -> usize {
        self.events.len().saturating_add(self.defects.len())
    }
}

/// A block before verification.
enum SourceBlock {
    /// Complete lines.
    Lines(Vec<u8>),
    /// A line that is too long to be buffered: its length, and its last bytes.
    TooLong(u64, Vec<u8>),
}

type Numbered<T> = (u64, io::Result<T>);

/// The blocks of a source in order.
pub(super) struct Blocks {
    verified: Receiver<Numbered<Block>>,
    /// Blocks whose verification finished before that of an earlier block.
    early: BTreeMap<u64, io::Result<Block>>,
    next: u64,
    /// How many blocks there are, or [`UNKNOWN`] until everything is read.
    number: Arc<AtomicU64>,
}

/// The number of blocks is not known yet.
const UNKNOWN: u64 = u64::MAX;

impl Blocks {
    /// Starts to read and verify.
    pub(super) fn read(reader: Box<dyn Read + Send>) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let (to_verify, texts) = sync_channel(cores.saturating_mul(2));
        let (to_caller, verified) = sync_channel(cores.saturating_mul(2));
        let texts = Arc::new(Mutex::new(texts));
        let number = Arc::new(AtomicU64::new(UNKNOWN));
        let counted = Arc::clone(&number);
        // The threads are not joined, because the reader may be blocked on a terminal.
        thread::Builder::new().name("import-read".to_owned()).spawn(move || {
            let mut read = 0;
            read_texts(reader, &to_verify, &mut read);
            // The verifying threads learn of the end when this channel is dropped, that is, after the count is set.
            counted.store(read, Ordering::Release);
        })?;
        for _ in 0..cores {
            let (texts, to_caller) = (Arc::clone(&texts), to_caller.clone());
            let work = move || verify_texts(&texts, &to_caller);
            thread::Builder::new().name("import-verify".to_owned()).spawn(work)?;
        }
        Ok(Self { verified, early: BTreeMap::new(), next: 0, number })
    }

    /// The next block; `None` at the end, or when `stop` is set.
    pub(super) fn next(&mut self, stop: &AtomicBool) -> io::Result<Option<Block>> {
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if let Some(block) = self.early.remove(&self.next) {
                return self.pass(block);
            }
            match self.verified.recv_timeout(STOP_CHECK_INTERVAL) {
                Ok((number, block)) => drop(self.early.insert(number, block)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return match self.next == self.number.load(Ordering::Acquire) {
                        true => Ok(None),
                        // The thread that had it has panicked.
                        false => Err(io::Error::other("some of the events were lost during verification")),
                    };
                }
            }
        }
    }

    /// The next block if it is available now.
    pub(super) fn next_if_ready(&mut self) -> io::Result<Option<Block>> {
        loop {
            if let Some(block) = self.early.remove(&self.next) {
                return self.pass(block);
            }
            match self.verified.try_recv() {
                Ok((number, block)) => drop(self.early.insert(number, block)),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(None),
            }
        }
    }

    fn pass(&mut self, block: io::Result<Block>) -> io::Result<Option<Block>> {
        self.next = self.next.saturating_add(1);
        block.map(Some)
    }
}

/// Reads to the end and counts the blocks. If the source is slow, data is passed on as it arrives.
fn read_texts(
    mut reader: Box<dyn Read + Send>,
    to_verify: &SyncSender<Numbered<SourceBlock>>,
    read: &mut u64,
) {
    let mut pass = |text| {
        let number = *read;
        *read = number.saturating_add(1);
        to_verify.send((number, text)).is_ok()
    };
    let mut buffer = Vec::new();
    // The length so far of a line that is too long.
    let mut skipped: Option<u64> = None;
    loop {
        let known = buffer.len();
        match read_more(&mut reader, &mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                pass(Err(error));
                return;
            }
        }
        let new = buffer.get(known..).unwrap_or_default();
        if let Some(length) = skipped {
            let Some(end) = new.iter().position(|byte| *byte == b'\n') else {
                skipped = Some(length.saturating_add(length_of(new)));
                keep_tail(&mut buffer);
                continue;
            };
            let rest = buffer.split_off(known.saturating_add(end).saturating_add(1));
            let length =
                length.saturating_add(length_of(&buffer)).saturating_sub(u64::try_from(known).unwrap_or(0));
            keep_tail(&mut buffer);
            if !pass(Ok(SourceBlock::TooLong(length, std::mem::replace(&mut buffer, rest)))) {
                return;
            }
            skipped = None;
        }
        if let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') {
            let rest = buffer.split_off(end.saturating_add(1));
            if !pass(Ok(SourceBlock::Lines(std::mem::replace(&mut buffer, rest)))) {
                return;
            }
        }
        if buffer.len() > MAX_LINE_BYTES {
            skipped = Some(length_of(&buffer));
            keep_tail(&mut buffer);
        }
    }
    match skipped {
        Some(length) => drop(pass(Ok(SourceBlock::TooLong(length, buffer)))),
        None if !buffer.is_empty() => drop(pass(Ok(SourceBlock::Lines(buffer)))),
        None => {}
    }
}

fn read_more(reader: &mut Box<dyn Read + Send>, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let known = buffer.len();
    buffer.resize(known.saturating_add(READ_BYTES), 0);
    let read = loop {
        match reader.read(buffer.get_mut(known..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    buffer.truncate(known.saturating_add(*read.as_ref().unwrap_or(&0)));
    read
}

fn keep_tail(buffer: &mut Vec<u8>) {
    let before = buffer.len().saturating_sub(TAIL_BYTES);
    buffer.drain(..before);
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn verify_texts(texts: &Mutex<Receiver<Numbered<SourceBlock>>>, to_caller: &SyncSender<Numbered<Block>>) {
    loop {
        let received = texts.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, text)) = received else { return };
        if to_caller.send((number, text.map(|text| verify(text, number == 0)))).is_err() {
            return;
        }
    }
}

fn verify(text: SourceBlock, is_beginning: bool) -> Block {
    let bytes = match text {
        SourceBlock::Lines(bytes) => bytes,
        SourceBlock::TooLong(bytes, tail) => {
            let defects = vec![(1, Defect::TooLong)];
            return Block { defects, bytes, lines: 1, tail, ..Block::default() };
        }
    };
    let mut block = Block { bytes: length_of(&bytes), ..Block::default() };
    let rest = match is_beginning {
        // Some editors write a byte order mark.
        true => bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes),
        false => &bytes,
    };
    let (mut events, mut numbers) = (Vec::new(), Vec::new());
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        block.lines = block.lines.saturating_add(1);
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match parsed(line) {
            Ok(event) => {
                events.push(event);
                numbers.push(block.lines);
            }
            Err(defect) => block.defects.push((block.lines, defect)),
        }
    }
    for (number, outcome) in numbers.into_iter().zip(Event::verify_all(events)) {
        match outcome {
            Ok(event) => block.events.push(event),
            Err(error) => block.defects.push((number, error.into())),
        }
    }
    block.defects.sort_by_key(|(number, _)| *number);
    block.tail = bytes;
    keep_tail(&mut block.tail);
    block
}

fn parsed(line: &[u8]) -> Result<Event, Defect> {
    if line.len() > MAX_LINE_BYTES {
        return Err(Defect::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|error| Defect::Form(error.to_string()))?;
    Ok(Event::from_json(line)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use std::sync::mpsc::sync_channel;

    use super::{Block, Blocks, UNKNOWN};

    #[test]
    fn a_block_that_was_lost_is_not_the_end() {
        let blocks = |given: &[u64], number| {
            let (sender, verified) = sync_channel(9);
            given.iter().for_each(|at| sender.send((*at, Ok(Block::default()))).unwrap());
            let early = std::collections::BTreeMap::new();
            let mut blocks = Blocks { verified, early, next: 0, number: Arc::new(AtomicU64::new(number)) };
            drop(sender);
            let go_on = AtomicBool::new(false);
            loop {
                match blocks.next(&go_on) {
                    Ok(Some(_)) => {}
                    end => return end.is_ok(),
                }
            }
        };
        assert!(blocks(&[1, 0, 2], 3));
        assert!(!blocks(&[0, 2], 3), "one in between");
        assert!(!blocks(&[0, 1], 3), "the last");
        assert!(!blocks(&[0, 1], UNKNOWN), "the reader itself died");
    }
}
