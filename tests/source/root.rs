//! What lies at the root of the repository, how files begin, and how long they are.

use std::collections::BTreeSet;

use crate::repository::{crates, repository, tracked_files};

/// What git has at the root.
const AT_THE_ROOT: &[&str] = &[
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "docs",
    "examples",
    "host",
    "macros",
    "relay",
    "rustfmt.toml",
    "sdk",
    "tests",
];

/// What may be at the root besides.
const PLANNED: &[&str] = &["blossom", "template"];

/// Source files that do not begin with their subject. This list may only shrink.
const STILL_WITHOUT_SUBJECT: &[&str] = &[
    "host/src/nostr/filter/build.rs",
    "host/src/nostr/filter/one_of.rs",
    "host/src/nostr/filter/parse.rs",
    "host/src/nostr/message/client.rs",
    "host/src/nostr/message/relay.rs",
    "host/src/nostr/message/subscription.rs",
    "host/src/nostr/search/query.rs",
    "host/src/nostr/search/text.rs",
    "host/src/nostr/search/words.rs",
    "sdk/src/native/cli/relay/export.rs",
    "sdk/src/native/cli/relay/import.rs",
    "sdk/src/native/cli/relay/maintenance.rs",
    "sdk/src/native/cli/relay/stats.rs",
    "sdk/src/native/cli/relay/sync.rs",
];

/// A longer file has more than one subject.
const MAX_LINES: usize = 600;

/// Files that are longer, and why.
const MAY_BE_LONGER: &[(&str, &str)] = &[];

#[test]
fn the_root_holds_what_is_known_to_belong_there() {
    let found: BTreeSet<_> = tracked_files()
        .iter()
        .map(|file| file.split('/').next().unwrap_or(file).to_owned())
        .filter(|entry| !PLANNED.contains(&entry.as_str()))
        .collect();
    let expected: BTreeSet<_> = AT_THE_ROOT.iter().map(|entry| (*entry).to_owned()).collect();
    assert_eq!(found, expected, "entries at the root; see AT_THE_ROOT in root.rs");
}

#[test]
fn every_source_file_begins_with_its_subject() {
    let mut without: BTreeSet<_> =
        tracked_files().into_iter().filter(|file| is_source(file) && !says_its_subject(file)).collect();
    let stale: Vec<_> = STILL_WITHOUT_SUBJECT.iter().filter(|file| !without.remove(**file)).collect();
    assert!(without.is_empty(), "the first line is no `//!` line: {without:#?}");
    assert!(stale.is_empty(), "take them off STILL_WITHOUT_SUBJECT: {stale:#?}");
}

/// A Rust file of a crate that is published. Unit tests have their subject in their path.
fn is_source(file: &str) -> bool {
    file.ends_with(".rs")
        && !file.ends_with("/tests.rs")
        && !file.contains("/tests/")
        && crates().iter().any(|source| file.starts_with(&format!("{}/src/", source.name)))
}

fn says_its_subject(file: &str) -> bool {
    let text = text(file);
    let first = text.lines().next().unwrap_or_default();
    first.starts_with("//! ") || first.starts_with("#![doc = include_str!")
}

#[test]
fn no_file_is_longer_than_one_subject_needs() {
    let mut too_long: Vec<_> = tracked_files()
        .into_iter()
        .filter(|file| file.ends_with(".rs"))
        .map(|file| (text(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .collect();
    let mut stale = Vec::new();
    for (name, _) in MAY_BE_LONGER {
        match too_long.iter().position(|(_, file)| file == name) {
            Some(index) => drop(too_long.remove(index)),
            None => stale.push(*name),
        }
    }
    assert!(too_long.is_empty(), "more than {MAX_LINES} lines: {too_long:#?}");
    assert!(stale.is_empty(), "not that long any more, take them off MAY_BE_LONGER: {stale:#?}");
}

fn text(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}
