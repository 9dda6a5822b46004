//! The `relay` commands: import, export, sync and other offline tools for a relay's database.

pub(in crate::native) mod arguments;
mod export;
mod import;
mod maintenance;
mod stats;
mod sync;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::Keys;
use openagents_host::native::{Durability, Sqlite};
use openagents_relay::Access;
use openagents_relay::admission::access::host_of;
use openagents_relay::native::tools::database::{self, DatabaseError};
use openagents_relay::native::tools::export::ExportError;
use openagents_relay::native::tools::import::ImportError;
use openagents_relay::native::tools::sync::{Remote, RemoteError, SyncError};
use openagents_relay::store::Store;

use super::progress;
use super::terminal::tell;
use crate::native::data_folder::{DataFolder, DataFolderError};
use crate::native::environment::{EnvironmentError, EnvironmentVariables};
use crate::native::signals::interruption;
use crate::settings::{self, SettingError};
use arguments::{Relay, RelayCommand};

/// The relay's database, relative to the data folder.
pub(in crate::native) const DATABASE: &str = "relay.sqlite";

/// The conventional exit code after an interruption.
const INTERRUPTED: u8 = 130;

/// Why a `relay` command failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum RelayCommandError {
    #[error("{0}. Name its folder with --data DIR")]
    Missing(DatabaseError),
    #[error(transparent)]
    Database(DatabaseError),
    #[error(
        "the agent of {} is running and has its database locked: stop it first{hint}",
        path.display()
    )]
    Running { path: PathBuf, hint: &'static str },
    #[error(transparent)]
    DataFolder(DataFolderError),
    #[error("cannot read {}: {error}", path.display())]
    Source { path: PathBuf, error: std::io::Error },
    #[error("cannot write {}: {error}", path.display())]
    Target { path: PathBuf, error: std::io::Error },
    #[error("{0}. What was imported is kept; the same command continues from there")]
    Import(#[from] ImportError),
    #[error(transparent)]
    Export(ExportError),
    #[error("{0}. Set NOSTR_PRIVATE_KEY, or pass the agent's data folder with --data DIR")]
    NoKey(RemoteError),
    #[error(transparent)]
    Remote(RemoteError),
    #[error("{0}. What was done is kept; the same command continues from there")]
    Sync(SyncError),
    #[error("the working directory cannot be found: {0}")]
    WorkingDirectory(std::io::Error),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
}

impl From<DatabaseError> for RelayCommandError {
    fn from(error: DatabaseError) -> Self {
        match error {
            error @ DatabaseError::Missing { .. } => Self::Missing(error),
            error => Self::Database(error),
        }
    }
}

impl From<RemoteError> for RelayCommandError {
    fn from(error: RemoteError) -> Self {
        match error {
            error @ RemoteError::NoKey(_) => Self::NoKey(error),
            error => Self::Remote(error),
        }
    }
}

impl From<SyncError> for RelayCommandError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Remote(error @ RemoteError::NoKey(_)) => Self::NoKey(error),
            error => Self::Sync(error),
        }
    }
}

pub(in crate::native) async fn run(relay: &Relay, name: &str) -> Result<ExitCode, RelayCommandError> {
    let data = relay.data.clone().unwrap_or_else(|| DataFolder::default_path(name));
    match &relay.command {
        RelayCommand::Import(import) => import::run(import, &data).await,
        RelayCommand::Export(export) => export::run(export, &data),
        RelayCommand::Sync(sync) => sync::run(sync, &data).await,
        RelayCommand::Stats(stats) => stats::run(stats, &data),
        RelayCommand::Compact => maintenance::compact(&data),
        RelayCommand::Check => maintenance::check(&data),
    }
}

/// Locks the data folder, so that no agent can use it meanwhile.
fn take(data: &Path, hint: &'static str) -> Result<DataFolder, RelayCommandError> {
    DataFolder::take(data).map_err(|error| match error {
        DataFolderError::InUse { path } => RelayCommandError::Running { path, hint },
        error => RelayCommandError::DataFolder(error),
    })
}

/// Opens the database for writing, with the retention rules of the relay.
fn open_to_write(path: &Path, variables: &EnvironmentVariables) -> Result<Store<Sqlite>, RelayCommandError> {
    let rules = settings::retention_rules(|name| variables.variable(name))?;
    // After a power failure, the progress note of an import is as old as the events, so a weaker durability suffices.
    Ok(database::open_to_write(path, Durability::Process)?.with_retention(rules))
}

/// The variables of this process.
fn variables() -> Result<EnvironmentVariables, RelayCommandError> {
    let folder = std::env::current_dir().map_err(RelayCommandError::WorkingDirectory)?;
    Ok(EnvironmentVariables::read(&folder)?)
}

/// The agent's key, used to authenticate with other relays; `None` if it has none yet.
fn own_key(data: &Path, variables: &EnvironmentVariables) -> Result<Option<Keys>, RelayCommandError> {
    if let Some(keys) = settings::agent_keys(|name| variables.variable(name))? {
        return Ok(Some(keys));
    }
    match DataFolder::kept_key(data) {
        Ok(keys) => Ok(Some(keys)),
        Err(DataFolderError::KeyFile(error)) if error.is_missing() => Ok(None),
        Err(error) => Err(RelayCommandError::DataFolder(error)),
    }
}

/// Access rules with the host name of the agent's own relay, as far as the variables say.
fn own_access(variables: &EnvironmentVariables) -> Access {
    let host = variables.variable(settings::names::RELAY_URL).as_deref().and_then(host_of);
    Access { hosts: host.into_iter().collect(), ..Access::default() }
}

/// Connects to a relay, and authenticates as the agent if the relay requires it (NIP-42).
async fn connect(url: &str, own_key: Option<&Keys>) -> Result<Remote, RelayCommandError> {
    let remote = Remote::connect(url).await?;
    Ok(match own_key {
        Some(keys) => remote.authenticating_as(keys.clone(), url),
        None => remote,
    })
}

/// Set by the first interruption. The second one exits the process immediately.
fn stop_when_interrupted() -> Result<Arc<AtomicBool>, RelayCommandError> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    let first = interruption().map_err(RelayCommandError::Signals)?;
    tokio::spawn(async move {
        first.await;
        set.store(true, Ordering::Relaxed);
        tell(format_args!("\nstopping; interrupt again to exit immediately"));
        if let Ok(again) = interruption() {
            again.await;
            std::process::exit(INTERRUPTED.into());
        }
    });
    Ok(stop)
}
