//! The file or stream that an export writes, and how far it has come.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use openagents_host::native::Sqlite;
use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{EventId, Timestamp};

use super::{Export, ExportError};
use crate::store::Store;
use openagents_host::nostr::filter::Filter;

/// For how long what was broken off is gone on with. What was deleted since it was begun may be in it.
const MAX_RESUME_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// After how many bytes it is noted how far a file is.
const PROGRESS_INTERVAL_BYTES: u64 = 16 * 1024 * 1024;

/// How many bytes are written at once.
const BUFFER_BYTES: usize = 1 << 16;

/// Where events go.
pub struct Target<'a>(TargetKind<'a>);

enum TargetKind<'a> {
    Stream(Box<dyn Write + 'a>),
    File(UnfinishedFile),
}

/// A file that has another name until it is complete. Beside it lies a note of how far it is.
struct UnfinishedFile {
    path: PathBuf,
    partial: PathBuf,
    note: PathBuf,
    writer: BufWriter<File>,
    database: DatabaseIdentity,
    request: ExportRequest,
    /// How many bytes were noted.
    noted: u64,
}

/// Which file a database is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DatabaseIdentity {
    path: PathBuf,
    /// Another one may have been put in its place.
    #[serde(default)]
    inode: Option<u64>,
}

/// Which events an export is of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct ExportRequest {
    /// When it was first made, in seconds.
    begun: u64,
    /// In the words of whoever made it: a time before now is another one each time, and the words are the same.
    words: String,
    filters: Vec<Filter>,
}

/// How far an export into a file is.
#[derive(Debug, Serialize, Deserialize)]
struct ExportProgress {
    database: DatabaseIdentity,
    request: ExportRequest,
    /// The row key of the last event that was looked at.
    after: u64,
    /// Which event that was. Another database has another one there.
    event: Option<EventId>,
    looked_at: u64,
    written: u64,
    bytes: u64,
}

/// Why what is left of an interrupted export is not gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotResumable {
    /// It is not known how far it is.
    #[error("it was not noted how far it is")]
    Unknown,
    /// It was asked for other events.
    #[error("it is of other events")]
    OtherEvents,
    /// It is of another store, or of one that has changed where it stood.
    #[error("it is of another database, or the event it stood at is not stored any more")]
    OtherStore,
    /// What was deleted since may be in it.
    #[error("it was begun more than a day ago")]
    Old,
}

impl<'a> Target<'a> {
    /// A file. An export into it that is interrupted goes on where it stood when it is begun again within a day, for
    /// the same `database` and the same `words`: what the events are called that are asked for. They are the same each
    /// time the same is meant, even where a filter is not, as for the events of the last hour. It appears under its
    /// name when it is complete.
    ///
    /// # Errors
    /// When it cannot be written, or another export is writing it.
    pub fn file(path: &Path, database: &Path, words: &str) -> io::Result<Self> {
        let named = |suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let (partial, note) = (named(".partial"), named(".partial.json"));
        // What is in it may be gone on with.
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&partial)?;
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
            request: ExportRequest { words: words.to_owned(), ..ExportRequest::default() },
            noted: 0,
        })))
    }

    /// Whatever can be written to once.
    pub fn stream(writer: impl Write + 'a) -> Self {
        Self(TargetKind::Stream(Box::new(BufWriter::with_capacity(BUFFER_BYTES, writer))))
    }

    /// Takes up what an interrupted export of the same events has left. Gives the filters that it was begun with, and
    /// the row key after which it goes on.
    pub(super) fn begin(
        &mut self,
        store: &Store<Sqlite>,
        filters: &[Filter],
        now: Timestamp,
        export: &mut Export,
    ) -> Result<(Vec<Filter>, u64), ExportError> {
        let TargetKind::File(file) = &mut self.0 else { return Ok((filters.to_vec(), 0)) };
        let (bytes, after) = match file.left_behind(store, now)? {
            Some(Ok(note)) => {
                (export.looked_at, export.written, export.bytes) = (note.looked_at, note.written, note.bytes);
                export.resumed_after = Some(note.written);
                file.request = note.request;
                (note.bytes, note.after)
            }
            other => {
                export.begun_anew = other.and_then(Result::err);
                file.request.filters = filters.to_vec();
                file.request.begun = now.as_seconds();
                // It would be taken for one of what is written from now on.
                remove(&file.note)?;
                (0, 0)
            }
        };
        // What was written after the note may be half a line, or nothing but zeros after a loss of power.
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

    /// Notes how far it is, if much was written since that was noted last.
    pub(super) fn note_now_and_then(
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

    /// Leaves things so that the next export goes on after this row key.
    pub(super) fn interrupt(
        &mut self,
        store: &Store<Sqlite>,
        after: u64,
        export: &Export,
    ) -> Result<(), ExportError> {
        match &mut self.0 {
            TargetKind::Stream(writer) => Ok(writer.flush()?),
            // Nothing was looked at.
            TargetKind::File(_) if after == 0 => Ok(()),
            TargetKind::File(file) => file.note(store, after, export),
        }
    }

    /// Gives a file its name, once it is on the disk.
    pub(super) fn complete(&mut self) -> io::Result<()> {
        match &mut self.0 {
            TargetKind::Stream(writer) => writer.flush(),
            TargetKind::File(file) => file.complete(),
        }
    }
}

impl UnfinishedFile {
    /// The note of an earlier export, or why that is not gone on with; nothing if nothing is left of one.
    fn left_behind(
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
        Ok(Some(if note.request.words != self.request.words {
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

    /// Notes how far the file is, once it is on the disk so far. The note is there whole or not at all.
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
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(&note).map_err(io::Error::from)?)?;
        file.sync_data()?;
        fs::rename(&unfinished, &self.note)?;
        self.noted = export.bytes;
        Ok(())
    }

    fn complete(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        // First the note: one that is left over would have the next export begin where this one had been.
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

/// Which event is stored at a row key.
fn event_at(store: &Store<Sqlite>, row_key: u64) -> Result<Option<EventId>, SqlError> {
    let event: Option<(EventId,)> =
        store.sql().first("SELECT id FROM event WHERE seq = ?", values![row_key])?;
    Ok(event.map(|(id,)| id))
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
