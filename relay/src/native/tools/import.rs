//! Import of events from a file or a pipe, as JSON lines like those of `strfry`.
//!
//! One thread reads, all cores verify, and the calling thread stores the events in the order of the file, at least a
//! thousand per transaction. Each transaction also notes how far the file has been read, so an interrupted import can
//! be resumed in any case.

mod defect;
mod lines;
mod progress;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::native::{Sqlite, now};
use openagents_host::sql::{SchemaError, Sql};
use openagents_host::{SqlError, VerifiedEvent};

pub use defect::{BadLine, Defect};

use self::lines::{Block, Blocks};
use self::progress::ImportProgress;
use super::bulk_insert::{BulkInsert, ImportCounts, Refusal};
use super::sync::{Remote, RemoteError};
use crate::admission::access::Access;
use crate::store::Store;

/// Approximately how many events share a transaction.
const EVENTS_PER_TRANSACTION: usize = 1_000;

/// How many bad lines are kept for display.
const MAX_BAD_LINES: usize = 10;

/// The source of the events.
pub struct Source {
    reader: Box<dyn Read + Send>,
    /// `None` for a pipe, which cannot be resumed.
    file: Option<KnownFile>,
}

struct KnownFile {
    name: String,
    length: u64,
    file: File,
}

impl Source {
    /// A file. An interrupted import is resumed when it is started again.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let known = metadata.is_file().then(|| -> io::Result<_> {
            let name = path.canonicalize()?.to_string_lossy().into_owned();
            Ok(KnownFile { name, length: metadata.len(), file: file.try_clone()? })
        });
        Ok(Self { reader: Box::new(file), file: known.transpose()? })
    }

    /// Any reader. The import cannot be resumed.
    pub fn stream(reader: impl Read + Send + 'static) -> Self {
        Self { reader: Box::new(reader), file: None }
    }

    /// How many bytes it has, if known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.file.as_ref().map(|file| file.length)
    }
}

/// The progress of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The line after which this run resumed an interrupted one, if so.
    pub resumed_after: Option<u64>,
    /// How many bytes were processed, including those of the interrupted run.
    pub bytes: u64,
    /// How many lines were processed, including those of the interrupted run.
    pub lines: u64,
    /// What happened to the events of this run.
    pub counts: ImportCounts,
    /// How many lines of this run contain no valid event.
    pub bad_lines: u64,
    /// The first of these lines.
    pub first_bad: Vec<BadLine>,
    /// Whether the import is complete.
    pub is_complete: bool,
}

/// Why an import failed. What was imported before is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The source cannot be read.
    #[error("cannot read the events: {0}")]
    Read(#[from] io::Error),
    /// The database cannot store the events.
    #[error("the relay database failed: {0}")]
    Sql(#[from] SqlError),
    /// The table for the progress note cannot be created.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The connection to the relay that receives the events failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// Stores the events of a source. `access` has the host names of the store's relay, which a request to vanish may name
/// (NIP-62). Setting `stop` ends it after the current transaction; `progress` is called after each.
///
/// # Errors
/// When the source or the database fails.
pub fn import(
    store: &Store<Sqlite>,
    access: &Access,
    source: Source,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Import),
) -> Result<Import, ImportError> {
    let mut import = Import::default();
    let Source { reader, mut file } = source;
    if let Some(file) = &mut file {
        progress::prepare(store.sql())?;
        if let Some(note) = ImportProgress::read(store.sql(), &file.name)? {
            // The clone shares the file position with the reader.
            if note.matches(&mut file.file)? {
                import.resume_after(&note);
            }
        }
        file.file.seek_to(import.bytes)?;
    }
    progress(&import);
    let bulk_insert = BulkInsert::new(store, access)?;
    let mut blocks = Blocks::read(reader)?;
    while let Some(block) = blocks.next(stop)? {
        let mut batch = vec![block];
        let mut events = batch.iter().map(Block::len).sum::<usize>();
        while events < EVENTS_PER_TRANSACTION
            && let Some(more) = blocks.next_if_ready()?
        {
            events = events.saturating_add(more.len());
            batch.push(more);
        }
        store.sql().transaction(|| -> Result<(), ImportError> {
            let mut tail = Vec::new();
            for block in batch {
                import.count_block(&block);
                for event in block.events {
                    bulk_insert.insert(now(), &event, &mut import.counts)?;
                }
                tail = block.tail;
            }
            if let Some(file) = &file {
                ImportProgress::new(&import, tail).write(store.sql(), &file.name)?;
            }
            Ok(())
        })?;
        progress(&import);
    }
    import.is_complete = !stop.load(Ordering::Relaxed);
    if let Some(file) = &file
        && import.is_complete
    {
        ImportProgress::forget(store.sql(), &file.name)?;
    }
    Ok(import)
}

/// Sends the events of a source to a running relay, which treats them like any others: its limits apply, and requests
/// for its agent are handed over. Always starts at the beginning, because the relay reports duplicates.
///
/// # Errors
/// When the source or the connection fails.
pub async fn import_over(
    relay: &mut Remote,
    source: Source,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Import),
) -> Result<Import, ImportError> {
    let mut import = Import::default();
    progress(&import);
    let mut blocks = Blocks::read(source.reader)?;
    while let Some(block) = blocks.next(stop)? {
        import.count_block(&block);
        let events: Vec<VerifiedEvent> = block.events;
        relay.publish(&events, stop, &mut import.counts).await?;
        progress(&import);
    }
    import.is_complete = !stop.load(Ordering::Relaxed);
    Ok(import)
}

impl Import {
    fn resume_after(&mut self, note: &ImportProgress) {
        (self.bytes, self.lines) = (note.bytes, note.lines);
        self.resumed_after = Some(note.lines);
    }

    fn count_block(&mut self, block: &Block) {
        for (line, defect) in &block.defects {
            self.bad_lines = self.bad_lines.saturating_add(1);
            self.counts.refuse(match defect {
                Defect::TooLong => Refusal::TooLong,
                _ => Refusal::Invalid,
            });
            if self.first_bad.len() < MAX_BAD_LINES {
                let line = self.lines.saturating_add(*line);
                self.first_bad.push(BadLine { line, defect: defect.clone() });
            }
        }
        self.bytes = self.bytes.saturating_add(block.bytes);
        self.lines = self.lines.saturating_add(block.lines);
    }
}

trait SeekTo {
    fn seek_to(&mut self, offset: u64) -> io::Result<()>;
}

impl SeekTo for File {
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        io::Seek::seek(self, io::SeekFrom::Start(offset)).map(drop)
    }
}
