//! Blobs in a native process: files, and the index in an SQLite database with a thread of its own.

mod files;
mod host;
mod in_flight;
mod locks;
mod readers;
mod server;
mod shared;
mod store;
pub mod tools;

pub use server::{BlobServer, BlobServerConfig, BlobServerError, BlobServerThread};

#[cfg(test)]
mod tests;
