//! The key that `ask` signs with: kept, so that an agent recognises its customer and continues the conversation.

use std::path::PathBuf;

use openagents_host::Keys;
use openagents_host::native::owner_only;
use openagents_host::nostr::keys::KeyError;

use super::arguments::Ask;
use crate::native::cli::terminal::tell;
use crate::native::key_file::{self, KeyFileError};

/// There is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum CustomerKeyError {
    #[error("{0}. --key FILE uses another file, --new-key a key that is not kept")]
    File(#[from] KeyFileError),
    #[error("there is no folder to keep your key in: name a file with --key FILE, or use --new-key")]
    NoFolder,
    #[error("a key could not be generated: {0}")]
    New(#[from] KeyError),
}

pub(super) fn of(ask: &Ask) -> Result<Keys, CustomerKeyError> {
    if ask.new_key {
        return Ok(Keys::generate()?);
    }
    let path = ask.key.clone().or_else(default_path).ok_or(CustomerKeyError::NoFolder)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        owner_only::create_folder(folder)
            .map_err(|error| KeyFileError::File { path: path.clone(), error })?;
    }
    let kept = key_file::read_or_make(path)?;
    if kept.is_new {
        tell(format_args!("Your key as a customer is new, and kept in {}.", kept.path.display()));
    }
    Ok(kept.keys)
}

/// In the user's configuration folder.
pub(super) fn default_path() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let configuration = if cfg!(windows) {
        folder("APPDATA")
    } else {
        folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))
    };
    Some(configuration?.join("openagents").join("customer.nsec"))
}
