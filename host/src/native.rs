//! The native host: SQLite files, the system clock, and a thread for each engine.

mod engine_thread;
pub mod http;
mod maintenance;
pub(crate) mod outgoing;
mod sqlite;

use std::time::SystemTime;

pub use engine_thread::{Commits, EngineThread, Inputs, Made, Stopped};
pub use maintenance::{FileSizes, Maintenance, PartSize};
pub use sqlite::{Durability, OpenError, Sqlite};

use crate::time::Timestamp;

/// The system's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH + since_epoch
}
