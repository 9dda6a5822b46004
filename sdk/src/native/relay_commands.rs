//! The commands that work on a relay's database, or between it and another relay.

pub(super) mod arguments;
mod export;
mod import;
mod progress;
mod stats;
mod sync;
mod upkeep;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_relay::native::database::DatabaseError;
use openagents_relay::native::export::ExportError;
use openagents_relay::native::import::ImportError;
use openagents_relay::native::sync::{RemoteError, SyncError};

use self::arguments::{Relay, RelayCommand};
use super::data_folder::{DataFolder, DataFolderError};
use super::serve::interruption;
use super::terminal::tell;
use crate::agent::Jobs;

/// The relay's database within the data folder.
pub(super) const DATABASE: &str = "relay.sqlite";

/// What a shell expects of a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayCommandError {
    #[error("{0}. Name its folder with --data DIR")]
    Missing(DatabaseError),
    #[error(transparent)]
    Database(DatabaseError),
    #[error(
        "the agent of {} is running, and its database is its own: stop it first{hint}",
        path.display()
    )]
    Running { path: PathBuf, hint: &'static str },
    #[error(transparent)]
    DataFolder(DataFolderError),
    #[error("cannot read {}: {error}", path.display())]
    Source { path: PathBuf, error: std::io::Error },
    #[error("cannot write {}: {error}", path.display())]
    Target { path: PathBuf, error: std::io::Error },
    #[error("{0}. What was imported before stays; the same command goes on from there")]
    Import(#[from] ImportError),
    #[error(transparent)]
    Export(ExportError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("{0}. What was done before stays; the same command goes on from there")]
    Sync(#[from] SyncError),
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

pub(super) async fn run<A: Jobs>(relay: &Relay) -> Result<ExitCode, RelayCommandError> {
    let data = relay.data.clone().unwrap_or_else(|| PathBuf::from("data").join(A::DECLARATION.name));
    match &relay.command {
        RelayCommand::Import(import) => import::run(import, &data).await,
        RelayCommand::Export(export) => export::run(export, &data),
        RelayCommand::Sync(sync) => sync::run(sync, &data).await,
        RelayCommand::Stats(stats) => stats::run(stats, &data),
        RelayCommand::Compact => upkeep::compact(&data),
        RelayCommand::Check => upkeep::check(&data),
    }
}

/// Takes the data folder, so that no agent can be served from it meanwhile.
fn take(data: &Path, hint: &'static str) -> Result<DataFolder, RelayCommandError> {
    DataFolder::take(data).map_err(|error| match error {
        DataFolderError::InUse { path } => RelayCommandError::Running { path, hint },
        error => RelayCommandError::DataFolder(error),
    })
}

/// Set at the first interruption. The second one ends the process, whatever it is doing.
fn stop_when_interrupted() -> Result<Arc<AtomicBool>, RelayCommandError> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    let first = interruption().map_err(RelayCommandError::Signals)?;
    tokio::spawn(async move {
        first.await;
        set.store(true, Ordering::Relaxed);
        tell(format_args!("\nstopping; interrupt again to end at once"));
        if let Ok(again) = interruption() {
            again.await;
            std::process::exit(INTERRUPTED.into());
        }
    });
    Ok(stop)
}
