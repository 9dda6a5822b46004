//! Import of events from a file or a pipe: JSON lines, as `strfry` and others write them.
//!
//! One thread reads, all cores verify, and the caller's thread stores what they give it in the order of the file, a
//! thousand events and more in a transaction. With each goes a note of how far the file is read, so that an import that
//! was interrupted, however it was, goes on where it stood.

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

/// How many events share a transaction, about.
const EVENTS_PER_TRANSACTION: usize = 1_000;

/// How many bad lines are kept to be shown.
const MAX_BAD_LINES: usize = 10;

/// Where events come from.
pub struct Source {
    reader: Box<dyn Read + Send>,
    /// `None` where nothing can be found again: a pipe.
    file: Option<KnownFile>,
}

struct KnownFile {
    name: String,
    length: u64,
    file: File,
}

impl Source {
    /// A file. An import of it that is interrupted goes on where it stood when it is begun again.
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

    /// Whatever can be read once.
    pub fn stream(reader: impl Read + Send + 'static) -> Self {
        Self { reader: Box::new(reader), file: None }
    }

    /// How many bytes it has, if that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.file.as_ref().map(|file| file.length)
    }
}

/// How far an import is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The line after which this run went on, if an earlier one had come so far.
    pub resumed_after: Option<u64>,
    /// How many bytes are done, with those of the earlier run.
    pub bytes: u64,
    /// How many lines are done, with those of the earlier run.
    pub lines: u64,
    /// What became of the events of this run.
    pub counts: ImportCounts,
    /// How many lines of this run hold no event that can be taken.
    pub bad_lines: u64,
    /// The first of them.
    pub first_bad: Vec<BadLine>,
    /// Whether the end was reached.
    pub is_complete: bool,
}

/// Why an import ended early. What was imported before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The source cannot be read.
    #[error("cannot read the events: {0}")]
    Read(#[from] io::Error),
    /// The database does not take them.
    #[error("the relay database failed: {0}")]
    Sql(#[from] SqlError),
    /// The note of how far the import is cannot be kept.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The relay that they are sent to is lost.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// Stores the events of a source. `access` says under which hosts the store's relay is known: a request to vanish may
/// name one of them (NIP-62). `stop` ends it after the transaction that is under way; `progress` is told after each.
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
            // The clone that is sought is the same open file as the reader.
            if note.is_of(&mut file.file)? {
                import.go_on_after(&note);
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
                import.enter(&block);
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
/// for its agent are handed over. It begins at the beginning; what the relay has it says it has.
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
        import.enter(&block);
        let events: Vec<VerifiedEvent> = block.events;
        relay.publish(&events, stop, &mut import.counts).await?;
        progress(&import);
    }
    import.is_complete = !stop.load(Ordering::Relaxed);
    Ok(import)
}

impl Import {
    fn go_on_after(&mut self, note: &ImportProgress) {
        (self.bytes, self.lines) = (note.bytes, note.lines);
        self.resumed_after = Some(note.lines);
    }

    fn enter(&mut self, block: &Block) {
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
