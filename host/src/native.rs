//! The native host: SQLite files, engine threads, the system clock.

mod engine_thread;
pub mod http;
mod mailbox;
mod maintenance;
pub mod open_files;
pub mod owner_only;
mod sqlite;
mod tickets;
mod write_timeout;

use std::future::Future;
use std::time::{Duration, SystemTime};

pub use engine_thread::{CommitWatch, EngineStopped, EngineThread, InputBatch, Inputs};
pub use mailbox::Mailbox;
pub use maintenance::{FileSizes, Maintenance, PartSize};
pub use sqlite::{Durability, OpenError, Sqlite};
pub use tickets::Tickets;
pub use write_timeout::WriteTimeout;

use crate::time::Timestamp;

/// The system's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH + since_epoch
}

/// The output of `future`, or `None` if it takes longer than `limit`.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}
