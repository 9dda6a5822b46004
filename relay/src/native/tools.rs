//! Offline tools for a relay's database: [`import`], [`export`], [`sync`], [`statistics`], [`maintenance`].

pub mod bulk_insert;
pub mod database;
pub mod export;
pub mod import;
pub mod maintenance;
pub mod statistics;
pub mod sync;
