//! Environment variables, and those in a `.dev.vars` file, which `wrangler dev` reads too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use openagents_host::native::owner_only;

use crate::settings::{NameSource, SettingError, check_names};

const FILE: &str = ".dev.vars";

/// The variables of this process.
pub(super) struct EnvironmentVariables {
    /// Those of the file.
    file: BTreeMap<String, String>,
    /// Whether other users of this machine can read the file.
    is_open_to_others: bool,
}

/// The `.dev.vars` file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    #[error("cannot read {FILE}: {0}")]
    File(io::Error),
    /// The line is not shown, since it may hold a secret.
    #[error(
        "cannot read {FILE}: the line after the first {read} variables is not of the form NAME=\"value\""
    )]
    Line { read: usize },
}

impl EnvironmentVariables {
    /// Reads the `.dev.vars` file in this folder, if there is one.
    pub(super) fn read(folder: &Path) -> Result<Self, EnvironmentError> {
        let path = folder.join(FILE);
        let lines = match dotenvy::from_path_iter(&path) {
            Ok(lines) => lines,
            Err(dotenvy::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { file: BTreeMap::new(), is_open_to_others: false });
            }
            Err(dotenvy::Error::Io(error)) => return Err(EnvironmentError::File(error)),
            Err(_) => return Err(EnvironmentError::Line { read: 0 }),
        };
        let mut variables = BTreeMap::new();
        for line in lines {
            let (name, value) = line.map_err(|_| EnvironmentError::Line { read: variables.len() })?;
            variables.insert(name, value);
        }
        let is_open_to_others = File::open(&path).and_then(|file| owner_only::is_open_to_others(&file));
        Ok(Self { file: variables, is_open_to_others: is_open_to_others.unwrap_or(false) })
    }

    /// Logs a warning if the file has one of these secrets and other users of this machine can read it.
    pub(super) fn warn_of_readable_secrets(&self, names: &[&str]) {
        if !self.is_open_to_others {
            return;
        }
        if let Some(name) = names.iter().find(|name| self.file.contains_key(**name)) {
            // Not refused: it is a file of the developer, who may have it in a folder that nobody else can enter.
            tracing::warn!(
                "other users of this machine can read {name} in {FILE}; `chmod 600 {FILE}` prevents it"
            );
        }
    }

    /// Fails if a name is meant for this deployment and nobody reads it. `declared` are those that its agent declares.
    pub(super) fn check_names(&self, declared: &[&'static str]) -> Result<(), SettingError> {
        check_names(self.file.keys().cloned(), NameSource::File, declared)?;
        // A name that is not UTF-8 is none of ours.
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        check_names(names, NameSource::Environment, declared)
    }

    /// The value of a variable. The environment takes precedence.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().or_else(|| self.file.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::EnvironmentVariables;

    #[test]
    fn reads_the_file_that_wrangler_reads() {
        let folder = tempfile::tempdir().unwrap();
        assert!(EnvironmentVariables::read(folder.path()).unwrap().variable("RELAY_TEST_NAME").is_none());
        std::fs::write(folder.path().join(".dev.vars"), "# mine\nRELAY_TEST_NAME=\"a b\"\n").unwrap();
        assert_eq!(
            EnvironmentVariables::read(folder.path()).unwrap().variable("RELAY_TEST_NAME").unwrap(),
            "a b"
        );
        let checked = EnvironmentVariables::read(folder.path()).unwrap().check_names(&[]);
        assert!(checked.unwrap_err().to_string().contains("`RELAY_TEST_NAME`"));
        EnvironmentVariables::read(folder.path()).unwrap().check_names(&["RELAY_TEST_NAME"]).unwrap();
        std::fs::write(folder.path().join(".dev.vars"), "A=1\nNOSTR_PRIVATE_KEY nsec1secret\n").unwrap();
        let error = EnvironmentVariables::read(folder.path()).err().unwrap().to_string();
        assert!(error.contains("after the first 1 variables") && !error.contains("secret"), "{error}");
    }
}
