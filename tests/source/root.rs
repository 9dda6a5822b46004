//! Tests the entries at the root of the repository, and the first lines and lengths of files.

use std::collections::BTreeSet;

use crate::repository::{crates, repository, tracked_files};

/// What git tracks at the root.
const AT_THE_ROOT: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
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

/// Entries that may be added.
const PLANNED: &[&str] = &["blossom", "template"];

/// Source files that do not start with their subject yet. This list may only shrink.
const STILL_WITHOUT_SUBJECT: &[&str] = &[];

/// A longer file should be split by subject.
const MAX_LINES: usize = 600;

/// Files that may be longer, and why.
const MAY_BE_LONGER: &[(&str, &str)] = &[];

#[test]
fn root_has_only_known_entries() {
    let found: BTreeSet<_> = tracked_files()
        .iter()
        .map(|file| file.split('/').next().unwrap_or(file).to_owned())
        .filter(|entry| !PLANNED.contains(&entry.as_str()))
        .collect();
    let expected: BTreeSet<_> = AT_THE_ROOT.iter().map(|entry| (*entry).to_owned()).collect();
    assert_eq!(found, expected, "entries at the root; see AT_THE_ROOT in root.rs");
}

#[test]
fn every_source_file_starts_with_its_subject() {
    let mut without: BTreeSet<_> =
        tracked_files().into_iter().filter(|file| is_source(file) && !says_its_subject(file)).collect();
    let stale: Vec<_> = STILL_WITHOUT_SUBJECT.iter().filter(|file| !without.remove(**file)).collect();
    assert!(without.is_empty(), "the first line is not a `//!` line: {without:#?}");
    assert!(stale.is_empty(), "take them off STILL_WITHOUT_SUBJECT: {stale:#?}");
}

/// A Rust file of a published crate. The subject of unit tests is in their path.
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
fn no_file_exceeds_the_line_limit() {
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
    assert!(stale.is_empty(), "no longer that long, take them off MAY_BE_LONGER: {stale:#?}");
}

fn text(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}
