//! Tools for the blobs in a data folder, for the command line: [`BlobFolder`] lists, exports, imports, checks and repairs.

mod check;
mod export;
mod folder;
mod import;
mod inventory;

pub use check::{BlobDefect, CheckedBlobs};
pub use export::{EXPORTED_INDEX, ExportedBlobs};
pub use folder::{BlobFolder, BlobFolderError};
pub use import::ImportedBlob;
pub use inventory::{BlobOwner, OwnedBlob};

#[cfg(test)]
mod tests;
