//! The command line: its arguments, and the commands `ask`, `audit`, `blobs`, `doctor`, `inspect`, `new`, `relay`, `schedules`, `state`
//! and `variables`.

pub(super) mod arguments;
pub(super) mod ask;
pub(super) mod audit;
pub(super) mod blobs;
pub(super) mod doctor;
pub(super) mod inspect;
pub(super) mod new;
mod progress;
pub(super) mod relay;
pub(super) mod schedules;
pub(super) mod state;
pub(super) mod terminal;
pub(super) mod variables;
