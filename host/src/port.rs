//! The ports between an engine and its host: how it is driven, and where its data is kept.

pub mod engine;
pub mod sql;
