//! A blob server that speaks Blossom (BUD-01 to BUD-12): files known by the SHA-256 of their bytes, uploaded and deleted
//! with signed Nostr events.
//!
//! * [`BlossomConfig`]: who may upload what, and how long it is kept.
//! * [`ExpectedUploads`]: what others may upload because the deployment waits for it.
//! * [`BlobRoute`]: which requests are for the blob server.
//! * [`Authorization`]: the signed event of a request (BUD-11).
//! * [`BlobDescriptor`], [`BlobUri`]: how blobs are described and named.
//! * [`BlobClient`]: uploads to a server and downloads from it.
//! * `index`: which blobs there are and who owns them, as an engine on the SQL port.
//! * `service`: what happens for each route; the same on both hosts. Everything is decided before a byte of a body is read.
//! * `native`: blobs as files. `worker`: blobs in R2, and the index in a Durable Object.
//!
//! Bytes of blobs never pass through the engine.

pub mod authorization;
mod client;
mod config;
mod descriptor;
mod download;
mod expected;
mod index;
mod media_type;
mod refusal;
mod report;
mod response;
mod route;
mod service;
mod upload;
mod uri;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod worker;

pub use authorization::{Authorization, AuthorizationError, Verb};
pub use client::{BlobClient, BlobClientError};
pub use config::{BlossomConfig, OwnHosts, Uploaders};
pub use descriptor::BlobDescriptor;
pub use expected::{ExpectedUploadLimits, ExpectedUploads, NothingExpected};
pub use index::{BlobRecord, IndexStatistics};
pub use media_type::{AllowedTypes, MediaType, MediaTypeError};
pub use refusal::rate_limited;
pub use route::BlobRoute;
pub use service::own::{BlobError, OwnerBan};
pub use uri::{BlobUri, BlobUriError, named_hash};
