//! Tests of export: contents, interruption and resumption.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::Timestamp;
use openagents_host::native::{Durability, Sqlite};
use openagents_host::sql::Sql;

use super::{Export, ExportError, NotResumable, Target, export};
use crate::fixtures;
use crate::store::Store;
use openagents_host::nostr::filter::Filter;

const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn store() -> Store<Sqlite> {
    let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
    for (kind, at, tags) in [
        (1, 10, &[&["t", "a"][..]][..]),
        (1, 20, &[&["expiration", "1000"][..]][..]),
        (1, 30, &[&["expiration", "1001"][..]][..]),
        (7, 40, &[][..]),
    ] {
        store.insert(Timestamp::EPOCH, &fixtures::signed(kind, at, tags)).unwrap();
    }
    store
}

fn times(filters: &[Filter]) -> Vec<u64> {
    let mut output = Vec::new();
    let stop = AtomicBool::new(false);
    let mut target = Target::stream(&mut output);
    let export = export(&store(), filters, NOW, &mut target, &stop, &mut |_| ()).unwrap();
    drop(target);
    let lines = String::from_utf8(output).unwrap();
    assert_eq!(export.written, u64::try_from(lines.lines().count()).unwrap());
    assert_eq!(export.bytes, u64::try_from(lines.len()).unwrap());
    assert!(export.is_complete && export.stored == 4);
    lines.lines().map(|line| openagents_host::Event::from_json(line).unwrap().created_at).collect()
}

#[test]
fn writes_what_is_asked_for_but_nothing_expired() {
    assert_eq!(times(&[]), [10, 30, 40]);
    assert_eq!(times(&[Filter::new().kinds([7])]), [40]);
    assert_eq!(times(&[Filter::new().kinds([7]), Filter::new().tag('t', ["a"]).unwrap()]), [10, 40]);
    assert_eq!(times(&[Filter::new().since(11).until(39)]), [30]);
    assert_eq!(times(&[Filter::new().since(40), Filter::new().until(10)]), [10, 40]);
    assert_eq!(times(&[Filter::new().limit(0)]), [10, 30, 40]);
}

#[test]
fn says_that_the_output_failed() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut target = Target::stream(Closed);
    let error = export(&store(), &[], NOW, &mut target, &AtomicBool::new(false), &mut |_| ()).unwrap_err();
    assert!(matches!(error, ExportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn stops_when_told() {
    let mut target = Target::stream(Vec::new());
    let export = export(&store(), &[], NOW, &mut target, &AtomicBool::new(true), &mut |_| ()).unwrap();
    assert!(!export.is_complete && export.written == 0);
}

/// A folder with a database of 2,500 events, which are more than two pages.
struct ExportFixture {
    folder: tempfile::TempDir,
    store: Store<Sqlite>,
}

impl ExportFixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Self::open(&folder.path().join("relay.sqlite"));
        store
            .sql()
            .transaction(|| {
                (0..2_500).try_for_each(|at| {
                    store
                        .insert(Timestamp::EPOCH, &fixtures::signed(if at % 5 == 0 { 2 } else { 1 }, at, &[]))
                        .map(drop)
                })
            })
            .unwrap();
        Self { folder, store }
    }

    fn open(database: &Path) -> Store<Sqlite> {
        Store::open(Sqlite::open(database, Durability::Process).unwrap()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exports to `out.jsonl` until this many events were examined in this run.
    fn export(&self, filters: &[Filter], at_most: u64) -> Export {
        self.export_of("relay.sqlite", filters, at_most)
    }

    fn export_of(&self, database: &str, filters: &[Filter], at_most: u64) -> Export {
        let words = serde_json::to_string(filters).unwrap();
        self.export_as(database, &words, filters, NOW, at_most)
    }

    fn export_as(
        &self,
        database: &str,
        words: &str,
        filters: &[Filter],
        now: Timestamp,
        at_most: u64,
    ) -> Export {
        let mut target = Target::file(&self.path("out.jsonl"), &self.path(database), words).unwrap();
        let (stop, mut first) = (AtomicBool::new(false), None);
        export(&self.store, filters, now, &mut target, &stop, &mut |export| {
            let first = *first.get_or_insert(export.looked_at);
            stop.store(export.looked_at.saturating_sub(first) >= at_most, Ordering::Relaxed);
        })
        .unwrap()
    }

    /// The creation times of the events in a file.
    fn times(&self, name: &str) -> Vec<u64> {
        let lines = fs::read_to_string(self.path(name)).unwrap();
        assert!(lines.is_empty() || lines.ends_with('\n'));
        lines.lines().map(|line| openagents_host::Event::from_json(line).unwrap().created_at).collect()
    }

    fn files(&self) -> usize {
        fs::read_dir(self.folder.path())
            .unwrap()
            .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("out.jsonl"))
            .count()
    }
}

const ALL: u64 = u64::MAX;

#[test]
fn goes_on_where_it_was_broken_off() {
    let fixture = ExportFixture::new();
    let first = fixture.export(&[], 1_000);
    assert_eq!((first.written, first.is_complete, first.resumed_after), (1_000, false, None));
    assert!(!fixture.path("out.jsonl").exists());
    assert_eq!(fixture.times("out.jsonl.partial"), (0..1_000).collect::<Vec<_>>());
    let second = fixture.export(&[], 1_000);
    assert_eq!((second.written, second.resumed_after, second.is_complete), (2_000, Some(1_000), false));
    let third = fixture.export(&[], ALL);
    assert_eq!((third.written, third.looked_at, third.resumed_after), (2_500, 2_500, Some(2_000)));
    assert!(third.is_complete);
    assert_eq!(fixture.times("out.jsonl"), (0..2_500).collect::<Vec<_>>());
    assert_eq!(third.bytes, fs::metadata(fixture.path("out.jsonl")).unwrap().len());
    assert_eq!(fixture.files(), 1, "neither the unfinished file nor its note");
    // That one is complete, so the next one starts over.
    assert_eq!(fixture.export(&[], ALL).resumed_after, None);
}

#[test]
fn writes_anew_what_came_after_the_note() {
    for torn in ["{\"id\":\"half a li", "\0\0\0\0\0\0", "{}\n{}\n"] {
        let fixture = ExportFixture::new();
        fixture.export(&[], 1_000);
        let partial = fixture.path("out.jsonl.partial");
        let text = fs::read_to_string(&partial).unwrap() + torn;
        fs::write(&partial, text).unwrap();
        assert_eq!(fixture.export(&[], ALL).resumed_after, Some(1_000));
        assert_eq!(fixture.times("out.jsonl"), (0..2_500).collect::<Vec<_>>(), "{torn}");
    }
}

#[test]
fn begins_anew_when_it_is_another_export() {
    let (even, odd) = ([Filter::new().kinds([2])], [Filter::new().kinds([1])]);
    let fifths: Vec<u64> = (0..2_500).filter(|at| at % 5 == 0).collect();
    let fixture = ExportFixture::new();
    drop(ExportFixture::open(&fixture.path("other.sqlite")));
    let anew = |why, break_off: &dyn Fn()| {
        fixture.export(&even, 1_000);
        break_off();
        let done = fixture.export(&even, ALL);
        assert_eq!((done.resumed_after, done.not_resumed_because, done.written), (None, Some(why), 500));
        assert_eq!(fixture.times("out.jsonl"), fifths);
    };
    anew(NotResumable::OtherEvents, &|| {
        fixture.export(&odd, 1_000);
    });
    anew(NotResumable::OtherStore, &|| {
        fixture.export_of("other.sqlite", &even, 1_000);
    });
    anew(NotResumable::Unknown, &|| fs::write(fixture.path("out.jsonl.partial"), "").unwrap());
    anew(NotResumable::Unknown, &|| fs::write(fixture.path("out.jsonl.partial.json"), "{").unwrap());
    // And it is resumed if nothing has changed.
    fixture.export(&even, 1_000);
    assert_eq!(fixture.export(&even, ALL).resumed_after, Some(200));
    assert_eq!(fixture.times("out.jsonl"), fifths);
}

#[test]
fn begins_anew_after_a_day() {
    const DAY: u64 = 24 * 60 * 60;
    let fixture = ExportFixture::new();
    let at = |seconds, at_most| {
        let now = Timestamp::from_seconds(seconds);
        fixture.export_as("relay.sqlite", "all", &[], now, at_most)
    };
    at(1_000, 1_000);
    // It is as old as its oldest part.
    let second = at(1_000 + DAY, 1_000);
    assert_eq!((second.resumed_after, second.not_resumed_because), (Some(1_000), None));
    let third = at(1_000 + DAY + 1, 1_000);
    assert_eq!(
        (third.resumed_after, third.not_resumed_because, third.written),
        (None, Some(NotResumable::Old), 1_000)
    );
    // If the clock was set back, the age is unknown.
    assert_eq!(at(1_000, ALL).not_resumed_because, Some(NotResumable::Old));
    assert_eq!(fixture.times("out.jsonl"), (0..2_500).collect::<Vec<_>>());
}

#[test]
fn begins_anew_when_another_database_is_in_its_place() {
    let fixture = ExportFixture::new();
    let anew = || {
        let done = fixture.export(&[], 1_000);
        assert_eq!((done.not_resumed_because, done.resumed_after), (Some(NotResumable::OtherStore), None));
    };
    fixture.export(&[], 1_000);
    let last = "DELETE FROM event WHERE created_at = 999";
    fixture.store.sql().execute(last, &[]).unwrap();
    anew();
    if cfg!(unix) {
        // The same events in another file.
        fs::copy(fixture.path("relay.sqlite"), fixture.path("copy.sqlite")).unwrap();
        fs::rename(fixture.path("copy.sqlite"), fixture.path("relay.sqlite")).unwrap();
        anew();
    }
    assert_eq!(fixture.export(&[], ALL).resumed_after, Some(1_000));
}

#[test]
fn goes_on_with_the_times_it_was_begun_with() {
    let fixture = ExportFixture::new();
    let since = |since| [Filter::new().since(since)];
    let ask =
        |words, filters: &[Filter], at_most| fixture.export_as("relay.sqlite", words, filters, NOW, at_most);
    ask("of the last hour", &since(500), 1_000);
    ask("of the last hour", &since(1_700), 1_000);
    assert_eq!(ask("of the last hour", &since(2_400), ALL).resumed_after, Some(1_500));
    assert_eq!(fixture.times("out.jsonl"), (500..2_500).collect::<Vec<_>>());
    // The next one is a different export.
    assert_eq!(ask("of the last hour", &since(2_400), ALL).written, 100);
}

#[test]
fn no_note_is_left_of_what_is_begun_anew() {
    let fixture = ExportFixture::new();
    fixture.export(&[Filter::new().kinds([1])], 1_000);
    fixture.export(&[], 0);
    assert!(!fixture.path("out.jsonl.partial.json").exists());
    let done = fixture.export(&[Filter::new().kinds([1])], ALL);
    assert_eq!((done.resumed_after, done.not_resumed_because), (None, None));
}

#[test]
fn one_file_is_written_by_one_export() {
    let fixture = ExportFixture::new();
    let (path, database) = (fixture.path("out.jsonl"), fixture.path("relay.sqlite"));
    let _first = Target::file(&path, &database, "").unwrap();
    let error = Target::file(&path, &database, "").err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
}
