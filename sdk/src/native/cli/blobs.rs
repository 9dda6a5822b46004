//! The `blobs` commands: list, import, export, check and repair the blobs of a data folder, and import over HTTP.

pub(in crate::native) mod arguments;
mod upload;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openagents_blossom::native::tools::{
    BlobDefect, BlobFolder, BlobFolderError, CheckedBlobs, ExportedBlobs, OwnedBlob,
};
use openagents_host::Keys;
use openagents_host::nostr::keys::npub;

use super::progress::{Progress, bytes, number};
use super::terminal::{foreign_output, say, tell};
use crate::native::data_folder::{BLOBS_FOLDER, BLOSSOM_DATABASE, DataFolder, DataFolderError};
use crate::native::environment::{EnvironmentError, EnvironmentVariables};
use crate::settings::{self, SettingError};
use arguments::{BlobsArguments, BlobsCommand};
use upload::UploadError;

/// Why a `blobs` command failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum BlobsCommandError {
    #[error("{0}. Name its folder with --data DIR")]
    Missing(BlobFolderError),
    #[error(transparent)]
    Folder(BlobFolderError),
    #[error("the agent of {} is running and has its data folder locked: stop it first{hint}", path.display())]
    Running { path: PathBuf, hint: &'static str },
    #[error("who owns the blobs? The data folder has no key: name the owner with --owner npub1…")]
    NoOwner,
    #[error(
        "uploads are signed, and there is no key: set NOSTR_PRIVATE_KEY, or name the agent's folder with --data DIR"
    )]
    NoKey,
    #[error("cannot read {}: {error}", path.display())]
    Source { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    DataFolder(DataFolderError),
    #[error("the working directory cannot be found: {0}")]
    WorkingDirectory(io::Error),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Setting(#[from] SettingError),
}

impl From<BlobFolderError> for BlobsCommandError {
    fn from(error: BlobFolderError) -> Self {
        match error {
            error @ BlobFolderError::Missing { .. } => Self::Missing(error),
            error => Self::Folder(error),
        }
    }
}

pub(in crate::native) async fn run(
    blobs: &BlobsArguments,
    name: &str,
) -> Result<ExitCode, BlobsCommandError> {
    let data = blobs.data.clone().unwrap_or_else(|| DataFolder::default_path(name));
    match &blobs.command {
        BlobsCommand::List(list) => show(list, &data),
        BlobsCommand::Import(import) => match &import.url {
            Some(url) => upload_all(import, url, &data).await,
            None => store_all(import, &data),
        },
        BlobsCommand::Export(export) => copy_all(export, &data),
        BlobsCommand::Check(check) => look_at_all(check, &data),
        BlobsCommand::Stats(stats) => count(stats, &data),
    }
}

fn open_to_read(data: &Path) -> Result<BlobFolder, BlobsCommandError> {
    Ok(BlobFolder::open_to_read(&data.join(BLOSSOM_DATABASE), &data.join(BLOBS_FOLDER))?)
}

/// Locks the data folder, so that no agent can use it meanwhile, and opens its blobs.
fn open_to_write(data: &Path, hint: &'static str) -> Result<(DataFolder, BlobFolder), BlobsCommandError> {
    let folder = DataFolder::take(data).map_err(|error| match error {
        DataFolderError::InUse { path } => BlobsCommandError::Running { path, hint },
        error => BlobsCommandError::DataFolder(error),
    })?;
    let (database, files) = (folder.path().join(BLOSSOM_DATABASE), folder.path().join(BLOBS_FOLDER));
    let blobs = BlobFolder::open_to_write(&database, &files)?;
    Ok((folder, blobs))
}

/// The agent's key; `None` if it has none yet.
fn own_key(data: &Path) -> Result<Option<Keys>, BlobsCommandError> {
    let folder = std::env::current_dir().map_err(BlobsCommandError::WorkingDirectory)?;
    let variables = EnvironmentVariables::read(&folder)?;
    if let Some(keys) = settings::agent_keys(|name| variables.variable(name))? {
        return Ok(Some(keys));
    }
    match DataFolder::kept_key(data) {
        Ok(keys) => Ok(Some(keys)),
        Err(DataFolderError::KeyFile(error)) if error.is_missing() => Ok(None),
        Err(error) => Err(BlobsCommandError::DataFolder(error)),
    }
}

fn show(arguments: &arguments::ListBlobs, data: &Path) -> Result<ExitCode, BlobsCommandError> {
    let blobs = open_to_read(data)?;
    blobs.list(arguments.owner.as_ref(), &mut |blob| {
        let line = match arguments.json {
            // Numbers and names always serialize.
            true => serde_json::to_string(blob).unwrap_or_default(),
            false => line(blob),
        };
        say(format_args!("{}", foreign_output(&line)));
        ControlFlow::Continue(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn line(blob: &OwnedBlob) -> String {
    let owners = match blob.owners.len() {
        1 => "1 owner".to_owned(),
        count => format!("{count} owners"),
    };
    format!("{}  {:>9}  {owners}  {}", blob.hash, bytes(blob.size), blob.media_type)
}

fn store_all(arguments: &arguments::ImportBlobs, data: &Path) -> Result<ExitCode, BlobsCommandError> {
    let files = files(&arguments.paths)?;
    let owner = match arguments.owner {
        Some(owner) => Some(owner),
        None => own_key(data)?.map(|keys| keys.public_key()),
    };
    let (_lock, blobs) = open_to_write(data, ", or upload the files to it with --url http://127.0.0.1:8787")?;
    let (mut progress, mut stored, mut size) = (Progress::begin(), 0_u64, 0_u64);
    let mut count = |added: u64| {
        (stored, size) = (stored.saturating_add(1), size.saturating_add(added));
        progress.show(|_| format!("{} blobs  {}", number(stored), bytes(size)));
    };
    for file in files {
        match file {
            Source::Exported(folder) => blobs.import_exported(&folder, &mut |blob| count(blob.size))?,
            Source::File(path) => {
                let owner = owner.ok_or(BlobsCommandError::NoOwner)?;
                count(blobs.import_file(&path, owner)?.size);
            }
        }
    }
    progress.end();
    say(format_args!("imported {} blobs, {}", number(stored), bytes(size)));
    Ok(ExitCode::SUCCESS)
}

async fn upload_all(
    arguments: &arguments::ImportBlobs,
    url: &str,
    data: &Path,
) -> Result<ExitCode, BlobsCommandError> {
    let keys = own_key(data)?.ok_or(BlobsCommandError::NoKey)?;
    let (mut stored, mut size) = (0_u64, 0_u64);
    for file in files(&arguments.paths)? {
        let paths = match file {
            Source::File(path) => vec![path],
            // Their owners sign for themselves: they become this key's.
            Source::Exported(folder) => upload::exported_files(&folder)
                .map_err(|error| BlobsCommandError::Source { path: folder, error })?,
        };
        for path in paths {
            let uploaded = upload::upload(url, &keys, &path).await?;
            (stored, size) = (stored.saturating_add(1), size.saturating_add(uploaded.size));
            say(format_args!("{}", foreign_output(&uploaded.url)));
        }
    }
    tell(format_args!("uploaded {} blobs, {}", number(stored), bytes(size)));
    Ok(ExitCode::SUCCESS)
}

/// Something to import.
enum Source {
    File(PathBuf),
    /// A folder that an export has written.
    Exported(PathBuf),
}

/// The files of these paths: folders stand for the files in them.
fn files(paths: &[PathBuf]) -> Result<Vec<Source>, BlobsCommandError> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |error| BlobsCommandError::Source { path: path.clone(), error };
        if BlobFolder::is_exported(path) {
            files.push(Source::Exported(path.clone()));
        } else if path.metadata().map_err(failed)?.is_dir() {
            let entries = std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let mut found: Vec<_> = entries.map_err(failed)?.iter().map(std::fs::DirEntry::path).collect();
            found.retain(|path| path.is_file());
            found.sort();
            files.extend(found.into_iter().map(Source::File));
        } else {
            files.push(Source::File(path.clone()));
        }
    }
    Ok(files)
}

fn copy_all(arguments: &arguments::ExportBlobs, data: &Path) -> Result<ExitCode, BlobsCommandError> {
    let blobs = open_to_read(data)?;
    let mut progress = Progress::begin();
    let exported = blobs.export(&arguments.folder, arguments.owner.as_ref(), &mut |exported| {
        progress.show(|_| told(exported));
    })?;
    progress.end();
    say(format_args!("exported {}", told(&exported)));
    if exported.lost == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    tell(format_args!("{} blobs are missing or damaged: see `blobs check`", number(exported.lost)));
    Ok(ExitCode::FAILURE)
}

fn told(exported: &ExportedBlobs) -> String {
    let mut text = format!("{} blobs, {}", number(exported.blobs), bytes(exported.bytes));
    if exported.already_there > 0 {
        text.push_str(&format!(", {} of them before", number(exported.already_there)));
    }
    text
}

fn look_at_all(arguments: &arguments::CheckBlobs, data: &Path) -> Result<ExitCode, BlobsCommandError> {
    let mut progress = Progress::begin();
    let mut each = |defect: &BlobDefect| say(format_args!("{}", foreign_output(&sentence(defect))));
    let mut show = |checked: &CheckedBlobs| {
        progress.show(|_| format!("{} files  {}", number(checked.files), bytes(checked.bytes)));
    };
    let checked = if arguments.repair {
        let owner = match arguments.owner {
            Some(owner) => owner,
            None => own_key(data)?.ok_or(BlobsCommandError::NoOwner)?.public_key(),
        };
        // Must not create a missing folder.
        let files = data.join(BLOBS_FOLDER);
        files.metadata().map_err(|error| BlobsCommandError::Source { path: files.clone(), error })?;
        let (_lock, blobs) = open_to_write(data, "")?;
        blobs.repair(owner, &mut each, &mut show)?
    } else {
        open_to_read(data)?.check(&mut each, &mut show)?
    };
    progress.end();
    let (files, size) = (number(checked.files), bytes(checked.bytes));
    match (checked.defects, arguments.repair) {
        (0, _) => say(format_args!("ok: {files} blobs, {size}")),
        (defects, true) => say(format_args!("repaired: {files} blobs, {size}, {} defects", number(defects))),
        (defects, false) => {
            say(format_args!("{files} blobs, {size}, {} defects", number(defects)));
            tell(format_args!("`blobs check --repair` repairs them"));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn sentence(defect: &BlobDefect) -> String {
    match defect {
        BlobDefect::Missing(hash) => format!("{hash}: the file is missing"),
        BlobDefect::Damaged(hash) => format!("{hash}: the bytes of the file have another SHA-256"),
        BlobDefect::Size { hash, indexed, stored } => {
            format!("{hash}: the file has {stored} bytes, and the index says {indexed}")
        }
        BlobDefect::Unindexed(hash) => format!("{hash}: the blob is not in the index"),
        BlobDefect::Unknown(path) => format!("{}: not the file of a blob; left alone", path.display()),
        BlobDefect::Total(owner) => format!("{}: the index has another total than its blobs", npub(owner)),
        other => format!("{other:?}"),
    }
}

fn count(arguments: &arguments::CountBlobs, data: &Path) -> Result<ExitCode, BlobsCommandError> {
    let statistics = open_to_read(data)?.statistics()?;
    if arguments.json {
        // Numbers and names always serialize.
        say(format_args!("{}", serde_json::to_string_pretty(&statistics).unwrap_or_default()));
        return Ok(ExitCode::SUCCESS);
    }
    for (name, text) in [
        ("blobs", number(statistics.blobs)),
        ("their size", bytes(statistics.bytes)),
        ("owners", number(statistics.owners)),
        ("still to be removed", number(statistics.removals)),
        ("reports", number(statistics.reports)),
    ] {
        say(format_args!("{name:<24}{text:>14}"));
    }
    Ok(ExitCode::SUCCESS)
}
