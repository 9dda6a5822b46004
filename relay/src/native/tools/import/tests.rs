//! Tests of import: bad lines, interruption and resumption.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::VerifiedEvent;
use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use proptest::prelude::*;

use super::lines::MAX_LINE_BYTES;
use super::{Defect, Import, ImportError, Source, import};
use crate::admission::access::Access;
use crate::fixtures;
use crate::management::List;
use crate::native::tools::bulk_insert::Refusal;
use crate::store::Store;

fn store() -> Store<Sqlite> {
    Store::open(Sqlite::in_memory().unwrap()).unwrap()
}

fn stored(store: &Store<Sqlite>) -> u64 {
    store.sql().first::<(u64,)>("SELECT count(*) FROM event", &[]).unwrap().unwrap().0
}

fn notes(count: u64) -> Vec<VerifiedEvent> {
    (0..count).map(|at| fixtures::signed(1, at, &[&["t", "a"]])).collect()
}

/// More events than one transaction has.
static MANY: LazyLock<Vec<VerifiedEvent>> = LazyLock::new(|| notes(6_000));

fn lines(events: &[VerifiedEvent]) -> String {
    events.iter().map(|event| format!("{}\n", event.json())).collect()
}

fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

fn import_text(store: &Store<Sqlite>, text: impl Into<Vec<u8>>) -> Import {
    let source = Source::stream(io::Cursor::new(text.into()));
    import(store, &Access::default(), source, &AtomicBool::new(false), &mut |_| ()).unwrap()
}

/// Stops after this many events.
fn import_until(store: &Store<Sqlite>, path: &Path, enough: u64) -> Import {
    let stop = AtomicBool::new(false);
    import(store, &Access::default(), Source::file(path).unwrap(), &stop, &mut |import| {
        stop.store(import.counts.total() >= enough, Ordering::Relaxed);
    })
    .unwrap()
}

#[test]
fn stores_each_event_once_and_keeps_the_rules() {
    let store = store();
    let mut events = notes(3);
    events.push(fixtures::signed(0, 20, &[]));
    events.push(fixtures::signed(0, 10, &[]));
    events.push(fixtures::signed(20_000, 5, &[]));
    events.push(events[0].clone());
    let import = import_text(&store, lines(&events));
    assert_eq!((import.counts.accepted, import.counts.duplicates, import.bad_lines), (4, 1, 0));
    assert_eq!(import.counts.refused[&Refusal::Superseded], 1);
    assert_eq!(import.counts.refused[&Refusal::Ephemeral], 1);
    assert_eq!((import.lines, import.is_complete), (7, true));
    assert_eq!(stored(&store), 4);
    assert_eq!(import_text(&store, lines(&events)).counts.accepted, 0);
}

#[test]
fn keeps_what_is_kept_for_a_while_from_when_it_came() {
    let store = store().with_retention("7=0,1=1h,20000=1d".parse().unwrap());
    let [passed_on, kept, lasting, ephemeral] = [7, 1, 2, 20_000].map(|kind| fixtures::signed(kind, 1, &[]));
    let import = import_text(&store, lines(&[passed_on, kept, lasting, ephemeral]));
    assert_eq!((import.counts.accepted, import.counts.refused[&Refusal::Ephemeral]), (3, 1));
    let ends = "SELECT kind, expires_at FROM event ORDER BY kind";
    let ends: Vec<(u16, Option<u64>)> = store.sql().rows(ends, &[]).unwrap();
    let now = openagents_host::native::now().as_seconds();
    let lasts = |kind, time: u64| {
        let end = ends.iter().find(|(of, _)| *of == kind).and_then(|(_, end)| *end);
        end.is_some_and(|end| (time - 60..=time + 1).contains(&(end - now)))
    };
    assert!(lasts(1, 3_600) && lasts(20_000, 86_400), "{ends:?}");
    assert_eq!(ends[1], (2, None));
}

#[test]
fn carries_out_requests_to_vanish() {
    let vanish = |relay| fixtures::signed(62, 100, &[&["relay", relay]]);
    for (relay, is_meant) in [
        ("ALL_RELAYS", true),
        ("wss://relay.example", true),
        ("WSS://Relay.example:443/", true),
        ("wss://relay.example.com", false),
        ("relay.example", false),
    ] {
        let (store, access) =
            (store(), Access { hosts: ["relay.example".to_owned()].into(), ..Access::default() });
        let text = lines(&[notes(3), vec![vanish(relay)], notes(4)].concat());
        let source = Source::stream(io::Cursor::new(text));
        let import = import(&store, &access, source, &AtomicBool::new(false), &mut |_| ()).unwrap();
        let vanished = import.counts.refused.get(&Refusal::Vanished).copied().unwrap_or_default();
        assert_eq!(vanished, if is_meant { 4 } else { 0 }, "{relay}");
        let visible = store.export(0, 100).unwrap().len();
        assert_eq!(visible, if is_meant { 1 } else { 5 }, "{relay}");
    }
}

#[test]
fn does_not_bring_back_what_operators_have_banned() {
    let store = store();
    let mut events = notes(2);
    events.push(fixtures::signed(7, 5, &[]));
    store.list(List::BannedEvents, &events[0].id.to_hex(), None).unwrap();
    store.list(List::DisallowedKinds, "7", None).unwrap();
    store.list(List::AllowedKinds, "4", None).unwrap();
    let import = import_text(&store, lines(&events));
    assert_eq!((import.counts.accepted, import.counts.refused[&Refusal::Banned]), (1, 2));
    store.list(List::BannedPubkeys, &events[0].pubkey.to_hex(), None).unwrap();
    let import = import_text(&store, lines(&notes(9)));
    assert_eq!((import.counts.accepted, import.counts.refused[&Refusal::Banned]), (0, 9));
}

#[test]
fn says_which_lines_are_bad_and_takes_the_others() {
    let store = store();
    let events = notes(3);
    let forged = events[1].json().replace("\"content\":\"\"", "\"content\":\"forged\"");
    let wrong_key =
        events[1].json().replace(&events[1].pubkey.to_hex(), &fixtures::keys(1).public_key().to_hex());
    let text = format!(
        "\u{feff}{}\r\n\n  {}  \n{{\"id\":\n{forged}\n{wrong_key}\nnonsense \u{1b}[2J\n{}",
        events[0].json(),
        events[1].json(),
        events[2].json(),
    );
    let import = import_text(&store, text);
    assert_eq!((import.counts.accepted, import.lines, import.bad_lines), (3, 8, 4));
    assert_eq!(import.counts.refused[&Refusal::Invalid], 4);
    let numbers: Vec<u64> = import.first_bad.iter().map(|bad| bad.line).collect();
    assert_eq!(numbers, [4, 5, 6, 7]);
    assert!(
        import.first_bad[0].to_string().starts_with("line 4: not an event: EOF"),
        "{}",
        import.first_bad[0]
    );
    assert!(import.first_bad[1].to_string().contains("the id is not the SHA-256"));
    assert!(matches!(import.first_bad[3].defect, Defect::Form(_)));
    let import = import_text(&store, b"\xff\xfe\n".repeat(50));
    assert_eq!((import.bad_lines, import.first_bad.len()), (50, 10));
}

#[test]
fn passes_over_a_line_without_end() {
    let store = store();
    let events = notes(3);
    let text = format!("{}{}\n{}", lines(&events[..1]), "x".repeat(MAX_LINE_BYTES * 3), lines(&events[1..]));
    let import = import_text(&store, text.clone());
    assert_eq!(
        (import.counts.accepted, import.lines, import.bytes),
        (3, 4, u64::try_from(text.len()).unwrap())
    );
    assert_eq!(import.counts.refused[&Refusal::TooLong], 1);
    assert_eq!((import.first_bad[0].line, &import.first_bad[0].defect), (2, &Defect::TooLong));
    let import = import_text(&store, "x".repeat(MAX_LINE_BYTES + 1_000_000));
    assert_eq!((import.lines, import.bad_lines), (1, 1));
}

#[test]
fn goes_on_where_it_was_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let store = store();
    let path = file(&folder, &lines(&MANY));
    let first = import_until(&store, &path, 1);
    assert!(!first.is_complete && first.counts.accepted < 6_000, "{first:?}");
    assert_eq!(stored(&store), first.counts.accepted);
    let second = import_until(&store, &path, u64::MAX);
    assert_eq!(second.resumed_after, Some(first.lines));
    assert_eq!(second.counts.duplicates, 0);
    assert_eq!(first.counts.accepted + second.counts.accepted, 6_000);
    assert_eq!((second.lines, stored(&store)), (6_000, 6_000));
    // That import is complete, so the next run starts over.
    let third = import_until(&store, &path, u64::MAX);
    assert_eq!((third.resumed_after, third.counts.duplicates), (None, 6_000));
}

#[test]
fn begins_anew_when_the_file_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = store();
    let events = &*MANY;
    let path = file(&folder, &lines(events));
    assert!(!import_until(&store, &path, 1).is_complete);
    for other in [&events[1..], &events[..5]] {
        file(&folder, &lines(other));
        let import = import_until(&store, &path, u64::MAX);
        assert_eq!(import.resumed_after, None);
        assert!(import.is_complete);
    }
    assert_eq!(stored(&store), 6_000);
}

#[test]
fn takes_what_was_appended_since_the_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let store = store();
    let events = &*MANY;
    let path = file(&folder, &lines(&events[..5_000]));
    let first = import_until(&store, &path, 1);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(lines(&events[5_000..]).as_bytes()).unwrap();
    let second = import_until(&store, &path, u64::MAX);
    assert_eq!(first.counts.accepted + second.counts.accepted, 6_000);
}

#[test]
fn stores_what_comes_slowly_as_it_comes() {
    /// Returns one event, and the rest once that is stored.
    struct Slow(Vec<String>, std::sync::mpsc::Receiver<()>);
    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(line) = self.0.pop() else { return Ok(0) };
            self.1.recv().unwrap();
            buffer[..line.len()].copy_from_slice(line.as_bytes());
            Ok(line.len())
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let slow = Slow(notes(3).iter().map(|event| format!("{}\n", event.json())).collect(), receiver);
    let mut seen = Vec::new();
    let import =
        import(&store(), &Access::default(), Source::stream(slow), &AtomicBool::new(false), &mut |import| {
            seen.push(import.counts.accepted);
            let _ = sender.send(());
        });
    assert_eq!((import.unwrap().counts.accepted, seen), (3, vec![0, 1, 2, 3]));
}

#[test]
fn stops_although_nothing_comes() {
    struct Never;
    impl Read for Never {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            std::thread::sleep(std::time::Duration::from_secs(60));
            Ok(0)
        }
    }
    let stop = AtomicBool::new(false);
    let import = import(&store(), &Access::default(), Source::stream(Never), &stop, &mut |_| {
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!import.unwrap().is_complete);
}

#[test]
fn says_that_the_source_failed_and_keeps_what_came() {
    struct Broken(usize, String);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => {
                    buffer[..self.1.len()].copy_from_slice(self.1.as_bytes());
                    Ok(self.1.len())
                }
                2 => Err(io::ErrorKind::Interrupted.into()),
                _ => Err(io::Error::other("the disk is gone")),
            }
        }
    }
    let store = store();
    let source = Source::stream(Broken(0, lines(&notes(2))));
    let error = import(&store, &Access::default(), source, &AtomicBool::new(false), &mut |_| ()).unwrap_err();
    assert!(matches!(&error, ImportError::Read(error) if error.to_string() == "the disk is gone"), "{error}");
}

proptest! {
    #![proptest_config(fixtures::random_cases(32))]

    /// The result does not depend on how reads split the source.
    #[test]
    fn the_size_of_reads_plays_no_part(
        events in fixtures::events(0..12), sizes in prop::collection::vec(1_usize..700, 1..8), last in any::<bool>(),
    ) {
        struct Cut(Vec<u8>, Vec<usize>);
        impl Read for Cut {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1.rotate_left(1);
                let length = self.1[0].min(self.0.len());
                buffer[..length].copy_from_slice(&self.0[..length]);
                self.0.drain(..length);
                Ok(length)
            }
        }
        let mut text = lines(&events);
        if last {
            text.truncate(text.trim_end().len());
        }
        let (whole, cut) = (store(), store());
        let expected = import_text(&whole, text.clone());
        let source = Source::stream(Cut(text.into_bytes(), sizes));
        let import = import(&cut, &Access::default(), source, &AtomicBool::new(false), &mut |_| ()).unwrap();
        prop_assert_eq!(&import, &expected);
        prop_assert_eq!(import.counts.total(), u64::try_from(events.len()).unwrap());
        prop_assert_eq!(stored(&whole), stored(&cut));
    }
}
