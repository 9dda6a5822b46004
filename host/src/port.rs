//! The ports between an engine and its host: how it is driven, when its alarm rings, and where its data is kept.

pub mod alarm;
pub mod call_batch;
pub mod engine;
pub mod runtime_alarm;
pub mod sql;
