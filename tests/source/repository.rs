//! The repository under test: its crates and its tracked files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::crate_source::Crate;

/// The crates whose layers and names are tested, by folder.
const CRATES: [&str; 5] = ["host", "relay", "macros", "sdk", "blossom"];

/// The existing ones among these crates, parsed once for all tests.
pub(crate) fn crates() -> &'static [Crate] {
    static READ: LazyLock<Vec<Crate>> = LazyLock::new(|| {
        CRATES
            .into_iter()
            .filter(|name| repository().join(name).is_dir())
            .map(|name| Crate::read(&repository(), name))
            .collect()
    });
    &READ
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every existing file that git tracks, as a path from the root.
pub(crate) fn tracked_files() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output();
    let listed = listed.unwrap_or_else(|error| panic!("git cannot be run: {error}"));
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let files = String::from_utf8(listed.stdout).unwrap_or_else(|error| panic!("{error}"));
    files.split_terminator('\0').filter(|file| repository().join(file).exists()).map(str::to_owned).collect()
}
