//! Outside relays, natively: standing connections for requests, and pooled ones for answers.

mod lanes;
mod listeners;

pub(super) use lanes::{Lanes, OutsideAnswer};
pub(super) use listeners::{Listeners, Listening};
