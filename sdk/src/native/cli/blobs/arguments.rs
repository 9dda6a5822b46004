//! The command line arguments of the `blobs` commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use openagents_host::PublicKey;
use openagents_host::nostr::keys::parse_public_key;

#[derive(Debug, Args)]
pub(in crate::native) struct BlobsArguments {
    #[command(subcommand)]
    pub(super) command: BlobsCommand,
    /// The folder with the blobs, and with the agent's key [default: ./data/<agent name>]
    #[arg(long, global = true, env = "OPENAGENTS_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum BlobsCommand {
    /// List all blobs; also while the agent runs
    #[command(after_help = "Examples:\n  blobs list\n  blobs list --json | jq -r .sha256")]
    List(ListBlobs),
    /// Store files as blobs
    #[command(
        after_help = "The agent must be stopped, unless --url names it: then the files are uploaded, signed with the agent's \
            key. A folder stands for the files in it; from a folder that `blobs export` has written, the blobs come with the \
            owners that they had, but with --url as the agent's.\n\n\
            Examples:\n  \
            blobs import picture.png manual.pdf\n  \
            blobs import backup --data /srv/agent\n  \
            blobs import backup --url https://my-agent.example.workers.dev"
    )]
    Import(ImportBlobs),
    /// Copy all blobs to a folder; also while the agent runs
    #[command(
        after_help = "Each blob becomes a file <sha256>.<extension>, and blobs.jsonl has a line for each with its type, time \
            and owners. Files that are in the folder already are not copied again, so the same command continues after an \
            interruption, and later adds what is new.\n\n\
            Example:\n  blobs export backup"
    )]
    Export(ExportBlobs),
    /// Check every blob's bytes, and the index against the files; also while the agent runs
    #[command(after_help = "The exit code is 0 if no defects were found or all were repaired, else 1.\n\n\
            --repair needs the agent to be stopped. Blobs that are not in the index become the agent's, or --owner's: so \
            the index can be rebuilt if it was lost, though without its owners, types and times. Entries without a file are \
            deleted. Files whose bytes have another SHA-256 are moved to the folder blobs/damaged.")]
    Check(CheckBlobs),
    /// Show how many blobs there are and how much space they take; also while the agent runs
    Stats(CountBlobs),
}

#[derive(Debug, Args)]
pub(super) struct ListBlobs {
    /// Only those of this key: npub1… or hex
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub(super) owner: Option<PublicKey>,
    /// Print each blob as a line of JSON, with its owners
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ImportBlobs {
    /// Files and folders
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,
    /// Whose the blobs are: npub1… or hex [default: the agent's]
    #[arg(long, value_name = "KEY", value_parser = key, conflicts_with = "url")]
    pub(super) owner: Option<PublicKey>,
    /// Upload the files to this server instead of storing them
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ExportBlobs {
    /// The folder; it is created if it is missing
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Only blobs of this key: npub1… or hex
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub(super) owner: Option<PublicKey>,
}

#[derive(Debug, Args)]
pub(super) struct CheckBlobs {
    /// Repair what can be repaired
    #[arg(long)]
    pub(super) repair: bool,
    /// Who gets blobs that are not in the index: npub1… or hex [default: the agent]
    #[arg(long, value_name = "KEY", value_parser = key, requires = "repair")]
    pub(super) owner: Option<PublicKey>,
}

#[derive(Debug, Args)]
pub(super) struct CountBlobs {
    /// Print the numbers as JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn key(text: &str) -> Result<PublicKey, String> {
    parse_public_key(text).map_err(|error| error.to_string())
}
