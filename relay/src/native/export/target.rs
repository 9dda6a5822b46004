//! Where exported events go, and how far the ones in a file are.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Export;
use crate::filter::Filter;

/// After how many bytes it is noted how far a file is.
const BETWEEN_NOTES: u64 = 16 * 1024 * 1024;

/// How many bytes are written at once.
const BUFFER: usize = 1 << 16;

/// Where events go.
pub struct Target<'a>(Kind<'a>);

enum Kind<'a> {
    Stream(Box<dyn Write + 'a>),
    File(UnfinishedFile),
}

/// A file that has another name until it is complete. Beside it lies a note of how far it is.
struct UnfinishedFile {
    path: PathBuf,
    partial: PathBuf,
    note: PathBuf,
    writer: BufWriter<File>,
    database: PathBuf,
    filters: String,
    /// How many bytes were noted.
    noted: u64,
}

/// How far an export into a file is.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Of which database.
    database: PathBuf,
    /// Of which events, as JSON.
    filters: String,
    /// The place of the last event that was looked at.
    after: u64,
    looked_at: u64,
    written: u64,
    bytes: u64,
}

impl<'a> Target<'a> {
    /// A file. An export into it that is interrupted goes on where it stood when it is begun again, for the same
    /// `database` and filters. It appears under its name when it is complete.
    ///
    /// # Errors
    /// When it cannot be written, or another export is writing it.
    pub fn file(path: &Path, database: &Path) -> io::Result<Self> {
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
        Ok(Self(Kind::File(UnfinishedFile {
            path: path.to_owned(),
            partial,
            note,
            writer: BufWriter::with_capacity(BUFFER, file),
            database: database.canonicalize()?,
            filters: String::new(),
            noted: 0,
        })))
    }

    /// Whatever can be written to once.
    pub fn stream(writer: impl Write + 'a) -> Self {
        Self(Kind::Stream(Box::new(BufWriter::with_capacity(BUFFER, writer))))
    }

    /// Takes up what an interrupted export of the same events has left, and gives the place after which it goes on.
    pub(super) fn begin(&mut self, filters: &[Filter], export: &mut Export) -> io::Result<u64> {
        let Kind::File(file) = &mut self.0 else { return Ok(0) };
        file.filters = serde_json::to_string(filters)?;
        let note = file.left_behind();
        let bytes = note.as_ref().map_or(0, |note| note.bytes);
        // What was written after the note may be half a line, or nothing but zeros after a loss of power.
        file.writer.get_ref().set_len(bytes)?;
        file.writer.seek(SeekFrom::Start(bytes))?;
        file.noted = bytes;
        let Some(note) = note else { return Ok(0) };
        (export.looked_at, export.written, export.bytes) = (note.looked_at, note.written, note.bytes);
        export.resumed_after = Some(note.written);
        Ok(note.after)
    }

    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let writer: &mut dyn Write = match &mut self.0 {
            Kind::Stream(writer) => writer,
            Kind::File(file) => &mut file.writer,
        };
        writer.write_all(line.as_bytes())?;
        writer.write_all(b"\n")
    }

    /// Notes how far it is, if much was written since that was noted last.
    pub(super) fn note_now_and_then(&mut self, after: u64, export: &Export) -> io::Result<()> {
        match &mut self.0 {
            Kind::File(file) if export.bytes.saturating_sub(file.noted) >= BETWEEN_NOTES => {
                file.note(after, export)
            }
            _ => Ok(()),
        }
    }

    /// Leaves things so that the next export goes on after this place.
    pub(super) fn interrupt(&mut self, after: u64, export: &Export) -> io::Result<()> {
        match &mut self.0 {
            Kind::Stream(writer) => writer.flush(),
            Kind::File(file) => file.note(after, export),
        }
    }

    /// Gives a file its name, once it is on the disk.
    pub(super) fn complete(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Stream(writer) => writer.flush(),
            Kind::File(file) => file.complete(),
        }
    }
}

impl UnfinishedFile {
    /// The note of an earlier export of the same events, whose bytes are still there.
    fn left_behind(&self) -> Option<Note> {
        let note: Note = serde_json::from_slice(&fs::read(&self.note).ok()?).ok()?;
        let length = self.writer.get_ref().metadata().ok()?.len();
        let is_same = note.database == self.database && note.filters == self.filters;
        (is_same && note.bytes <= length).then_some(note)
    }

    /// Notes how far the file is, once it is on the disk so far. The note is there whole or not at all.
    fn note(&mut self, after: u64, export: &Export) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_data()?;
        let note = Note {
            database: self.database.clone(),
            filters: self.filters.clone(),
            after,
            looked_at: export.looked_at,
            written: export.written,
            bytes: export.bytes,
        };
        let unfinished = self.note.with_extension("new");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(&note)?)?;
        file.sync_data()?;
        fs::rename(&unfinished, &self.note)?;
        self.noted = export.bytes;
        Ok(())
    }

    fn complete(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        // First the note: one that is left over would have the next export begin where this one had been.
        match fs::remove_file(&self.note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&self.partial, &self.path)
    }
}
