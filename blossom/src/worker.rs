//! Blobs in a Worker: bytes in R2, and the index in a Durable Object.
//!
//! Uploads and downloads pass between the client and R2 within the runtime; no byte of them enters this program's memory,
//! as long as an upload's hash is known in advance. Since an object in R2 is visible before its upload is committed to the
//! index, every upload is reserved there first.

mod bucket;
mod host;
mod object;

pub use host::{answer, apply_ban, delete, find, is_bound, read, remove_owner, statistics, store};
pub use object::BlobIndexHost;

/// The binding of the R2 bucket with the blobs.
pub const BUCKET_BINDING: &str = "BLOBS";
