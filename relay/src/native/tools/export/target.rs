//! The file or stream that an export writes, and the note with which it can be resumed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use openagents_host::native::{Sqlite, owner_only};
use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{EventId, Timestamp};

use super::{Export, ExportError};
use crate::store::Store;
use openagents_host::nostr::filter::Filter;

/// How long an interrupted export can be resumed. Its file may contain events that were deleted since it started.
const MAX_RESUME_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// After how many bytes the progress note is updated.
const PROGRESS_INTERVAL_BYTES: u64 = 16 * 1024 * 1024;

/// How many bytes are buffered before they are written.
const BUFFER_BYTES: usize = 1 << 16;

/// Where an export is written.
pub struct Target<'a>(TargetKind<'a>);

enum TargetKind<'a> {
    Stream(Box<dyn Write + 'a>),
    File(UnfinishedFile),
}

/// A file with a temporary name until it is complete. Its progress is noted in a second file next to it.
struct UnfinishedFile {
    path: PathBuf,
    partial: PathBuf,
    note: PathBuf,
    writer: BufWriter<File>,
    database: DatabaseIdentity,
    request: ExportRequest,
    /// How many bytes were written at the last note.
    noted: u64,
}

/// Identifies a database file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DatabaseIdentity {
    path: PathBuf,
    /// Detects that the file was replaced by another one.
    #[serde(default)]
    inode: Option<u64>,
}

/// Which events an export covers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct ExportRequest {
    /// When it was first started, in Unix seconds.
    begun: u64,
    /// A description by the caller. It stays the same where filters change: "of the last hour" has a different `since`
    /// in each run.
    #[serde(rename = "words")]
    description: String,
    filters: Vec<Filter>,
}

/// The progress note of an export to a file.
#[derive(Debug, Serialize, Deserialize)]
struct ExportProgress {
    database: DatabaseIdentity,
    request: ExportRequest,
    /// The row key of the last event that was examined.
    after: u64,
    /// The id of that event. A different database has a different event there.
    event: Option<EventId>,
    looked_at: u64,
    written: u64,
    bytes: u64,
}

/// Why an interrupted export cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotResumable {
    /// Its progress note is missing or unreadable.
    #[error("its progress note is missing or unreadable")]
    Unknown,
    /// It covers other events.
    #[error("it covers other events")]
    OtherEvents,
    /// It is from another database, or from one that no longer has the event where it stopped.
    #[error("it is from another database, or the event where it stopped is no longer stored")]
    OtherStore,
    /// It may contain events that have been deleted since.
    #[error("it was started more than a day ago")]
    Old,
}

impl<'a> Target<'a> {
    /// A file. An interrupted export is resumed if it is started again within a day with the same `database` and the
    /// same `description`. It describes the requested events, and stays the same where filters change: "of the last hour"
    /// has a different `since` in each run. The file gets its name when it is complete. Only its owner can read it, as
    /// the database: it may contain private events.
    ///
    /// # Errors
    /// When it cannot be written, or another export is writing it.
    pub fn file(path: &Path, database: &Path, description: &str) -> io::Result<Self> {
        let named = |suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let (partial, note) = (named(".partial"), named(".partial.json"));
        // Not truncated, because the export may be resumed.
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = owner_only::open_file(&mut options, &partial)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self(TargetKind::File(UnfinishedFile {
            path: path.to_owned(),
            partial,
            note,
            writer: BufWriter::with_capacity(BUFFER_BYTES, file),
            database: DatabaseIdentity::at(database)?,
            request: ExportRequest { description: description.to_owned(), ..ExportRequest::default() },
            noted: 0,
        })))
    }

    /// Any writer. The export cannot be resumed.
    pub fn stream(writer: impl Write + 'a) -> Self {
        Self(TargetKind::Stream(Box::new(BufWriter::with_capacity(BUFFER_BYTES, writer))))
    }

    /// Resumes an interrupted export of the same events, if there is one. Returns the filters that it started with and
    /// the row key after which it continues.
    pub(super) fn begin(
        &mut self,
        store: &Store<Sqlite>,
        filters: &[Filter],
        now: Timestamp,
        export: &mut Export,
    ) -> Result<(Vec<Filter>, u64), ExportError> {
        let TargetKind::File(file) = &mut self.0 else { return Ok((filters.to_vec(), 0)) };
        let (bytes, after) = match file.interrupted_note(store, now)? {
            Some(Ok(note)) => {
                (export.looked_at, export.written, export.bytes) = (note.looked_at, note.written, note.bytes);
                export.resumed_after = Some(note.written);
                file.request = note.request;
                (note.bytes, note.after)
            }
            other => {
                export.not_resumed_because = other.and_then(Result::err);
                file.request.filters = filters.to_vec();
                file.request.begun = now.as_seconds();
                // Otherwise the old note would be taken for one of the new export.
                remove(&file.note)?;
                (0, 0)
            }
        };
        // The bytes after those noted may end within a line, or be zeros after a power failure.
        file.writer.get_ref().set_len(bytes)?;
        file.writer.seek(SeekFrom::Start(bytes))?;
        file.noted = bytes;
        Ok((file.request.filters.clone(), after))
    }

    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let writer: &mut dyn Write = match &mut self.0 {
            TargetKind::Stream(writer) => writer,
            TargetKind::File(file) => &mut file.writer,
        };
        writer.write_all(line.as_bytes())?;
        writer.write_all(b"\n")
    }

    /// Updates the progress note if much was written since the last one.
    pub(super) fn update_note(
        &mut self,
        store: &Store<Sqlite>,
        after: u64,
        export: &Export,
    ) -> Result<(), ExportError> {
        match &mut self.0 {
            TargetKind::File(file) if export.bytes.saturating_sub(file.noted) >= PROGRESS_INTERVAL_BYTES => {
                file.note(store, after, export)
            }
            _ => Ok(()),
        }
    }

    /// Prepares for a resumption after this row key.
    pub(super) fn interrupt(
        &mut self,
        store: &Store<Sqlite>,
        after: u64,
        export: &Export,
    ) -> Result<(), ExportError> {
        match &mut self.0 {
            TargetKind::Stream(writer) => Ok(writer.flush()?),
            // Nothing was examined.
            TargetKind::File(_) if after == 0 => Ok(()),
            TargetKind::File(file) => file.note(store, after, export),
        }
    }

    /// Syncs the file to disk and gives it its name.
    pub(super) fn complete(&mut self) -> io::Result<()> {
        match &mut self.0 {
            TargetKind::Stream(writer) => writer.flush(),
            TargetKind::File(file) => file.complete(),
        }
    }
}

impl UnfinishedFile {
    /// The note of an interrupted export, or why it cannot be resumed; `Ok(None)` if there is none.
    fn interrupted_note(
        &self,
        store: &Store<Sqlite>,
        now: Timestamp,
    ) -> Result<Option<Result<ExportProgress, NotResumable>>, ExportError> {
        let length = self.writer.get_ref().metadata()?.len();
        let note = fs::read(&self.note).ok();
        if length == 0 && note.is_none() {
            return Ok(None);
        }
        let note: Option<ExportProgress> = note.and_then(|note| serde_json::from_slice(&note).ok());
        let Some(note) = note.filter(|note| note.bytes <= length) else {
            return Ok(Some(Err(NotResumable::Unknown)));
        };
        let begun = Timestamp::from_seconds(note.request.begun);
        Ok(Some(if note.request.description != self.request.description {
            Err(NotResumable::OtherEvents)
        } else if note.database != self.database
            || note.event.is_none()
            || note.event != event_at(store, note.after)?
        {
            Err(NotResumable::OtherStore)
        } else if begun > now || begun.until(now) > MAX_RESUME_AGE {
            Err(NotResumable::Old)
        } else {
            Ok(note)
        }))
    }

    /// Syncs the file and writes a progress note, atomically.
    fn note(&mut self, store: &Store<Sqlite>, after: u64, export: &Export) -> Result<(), ExportError> {
        self.writer.flush()?;
        self.writer.get_ref().sync_data()?;
        let note = ExportProgress {
            database: self.database.clone(),
            request: self.request.clone(),
            after,
            event: event_at(store, after)?,
            looked_at: export.looked_at,
            written: export.written,
            bytes: export.bytes,
        };
        let unfinished = self.note.with_extension("new");
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        let mut file = owner_only::open_file(&mut options, &unfinished)?;
        file.write_all(&serde_json::to_vec(&note).map_err(io::Error::from)?)?;
        file.sync_data()?;
        fs::rename(&unfinished, &self.note)?;
        self.noted = export.bytes;
        Ok(())
    }

    fn complete(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        // The note goes first. If it stayed behind, the next export would resume from it.
        remove(&self.note)?;
        fs::rename(&self.partial, &self.path)
    }
}

impl DatabaseIdentity {
    fn at(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        let inode = Some(std::os::unix::fs::MetadataExt::ino(&fs::metadata(path)?));
        #[cfg(not(unix))]
        let inode = None;
        Ok(Self { path: path.canonicalize()?, inode })
    }
}

/// The id of the event with a row key.
fn event_at(store: &Store<Sqlite>, row_key: u64) -> Result<Option<EventId>, SqlError> {
    let event: Option<(EventId,)> =
        store.sql().first("SELECT id FROM event WHERE seq = ?", values![row_key])?;
    Ok(event.map(|(id,)| id))
}

/// Removes a file if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
