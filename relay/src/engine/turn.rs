//! Turns of a host with one thread: how much one may read, and whose messages come next.

use std::collections::{BTreeMap, VecDeque};

use openagents_host::sql::Sql;

use super::{Input, Relay};
use crate::admission::WorkOwner;

/// A turn in which this much has been read handles no further message: about 30 ms in a Durable Object. A single read
/// has limits of its own ([`max_look_ups`](crate::Limits::max_look_ups)).
const MAX_TURN_LOOK_UPS: u64 = 10_000;

/// What was read in the current turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TurnReads {
    pub(super) look_ups: u64,
    /// For whom it was read last.
    pub(super) owner: Option<WorkOwner>,
}

impl<S: Sql> Relay<S> {
    /// Begins a turn. A host with one thread ends it when [so much has been read](Self::is_turn_over), so that other
    /// clients are heard in between.
    pub const fn begin_turn(&mut self) {
        self.sessions.turn.look_ups = 0;
    }

    /// Whether so much was read in this turn that the remaining messages must wait for the next.
    #[must_use]
    pub const fn is_turn_over(&self) -> bool {
        self.sessions.turn.look_ups >= MAX_TURN_LOOK_UPS
    }

    /// Orders the messages that were left over for the next turn. Those of one connection stay in order. Networks take
    /// turns, and the one for which was just read comes last.
    pub fn take_turns(&self, inputs: &mut VecDeque<Input>) {
        let mut positions = BTreeMap::new();
        let mut owners: Vec<(Option<WorkOwner>, VecDeque<Input>)> = Vec::new();
        for input in inputs.drain(..) {
            let owner = input.sender().map(|connection| self.sessions.work_owner(connection));
            let position = *positions.entry(owner).or_insert_with(|| {
                owners.push((owner, VecDeque::new()));
                owners.len().saturating_sub(1)
            });
            if let Some((_, own)) = owners.get_mut(position) {
                own.push_back(input);
            }
        }
        // The sort is stable: the others stay in the order in which they came.
        owners.sort_by_key(|(owner, _)| owner.is_some() && *owner == self.sessions.turn.owner);
        loop {
            let before = inputs.len();
            inputs.extend(owners.iter_mut().filter_map(|(_, own)| own.pop_front()));
            if inputs.len() == before {
                return;
            }
        }
    }
}
