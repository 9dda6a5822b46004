//! The index: which blobs there are, who owns them, and which bytes are due to be removed.
//!
//! A blob exists while somebody owns it. The engine never sees bytes: its host stores them before it commits an upload, and
//! removes them when the engine says so, again and again until that is done.

mod call;
mod due;
mod engine;
mod read;
mod record;
mod write;

pub(crate) use call::{
    Deletion, ExpectedUpload, IndexCall, IndexRead, IndexReply, IndexWrite, ListQuery, Upload, UploadAnswer,
};
pub(crate) use engine::{IndexEffect, IndexEngine, IndexInput};
pub(crate) use read::answer as read;
pub use record::{BlobRecord, IndexStatistics};

#[cfg(test)]
mod tests;
