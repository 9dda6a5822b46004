//! Turns of a host with one thread: how much one may read, whose messages come next, and how many may wait.

use std::collections::{BTreeMap, VecDeque};

use openagents_host::sql::Sql;

use super::{Effect, Input, Relay};
use crate::admission::{AdmittedMessage, WorkOwner};
use crate::reason::{Prefix, Reason};
use crate::session::ConnectionId;

/// A turn in which this much has been read handles no further message: about 12 ms in a Durable Object. A single `REQ`
/// has limits of its own.
const MAX_TURN_LOOK_UPS: u64 = 4_000;

/// About how many look-ups a `COUNT` or a reconciliation makes in a turn. Each reads two or three rows.
const SLICE_LOOK_UPS: u64 = 2_000;

/// How many messages of one network may wait.
const MAX_WAITING_MESSAGES: usize = 1_024;

/// How many bytes of text they may have.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// How many networks' worth of messages may wait in all.
const NETWORKS: usize = 4;

/// What was read in the current turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct TurnReads {
    pub(super) look_ups: u64,
    /// For whom it was read last.
    pub(super) owner: Option<WorkOwner>,
    /// How many look-ups a scan makes before it is continued in a later turn. Unlimited on hosts without turns.
    pub(super) slice: u64,
}

impl Default for TurnReads {
    fn default() -> Self {
        Self { look_ups: 0, owner: None, slice: u64::MAX }
    }
}

/// The messages that wait for a turn, in order.
#[derive(Debug, Default)]
pub struct TurnQueue {
    /// The messages.
    pub inputs: VecDeque<Input>,
    /// How much of each owner waits.
    owners: BTreeMap<Option<WorkOwner>, Waiting>,
    all: Waiting,
}

/// Messages that wait, and the bytes of their texts.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    messages: usize,
    /// Also of those that were handled, until none is left.
    bytes: usize,
    /// The place of their owner among all.
    place: usize,
}

impl Waiting {
    const fn add(&mut self, messages: usize, bytes: usize) {
        self.messages = self.messages.saturating_add(messages);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether this is more than so many networks may have. A single message always has room.
    const fn exceeds(self, networks: usize) -> bool {
        self.messages > MAX_WAITING_MESSAGES.saturating_mul(networks)
            || self.messages > 1 && self.bytes > MAX_WAITING_BYTES.saturating_mul(networks)
    }
}

impl TurnQueue {
    /// The bytes of the texts that wait; more if some of them were handled in an earlier turn.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.all.bytes
    }
}

impl<S: Sql> Relay<S> {
    /// Begins a turn. A host with one thread ends it when [so much has been read](Self::is_turn_over), so that other
    /// clients are heard in between.
    pub const fn begin_turn(&mut self) {
        self.sessions.turn.look_ups = 0;
        self.sessions.turn.slice = SLICE_LOOK_UPS;
    }

    /// Whether so much was read in this turn that the remaining messages must wait for the next.
    #[must_use]
    pub const fn is_turn_over(&self) -> bool {
        self.sessions.turn.look_ups >= MAX_TURN_LOOK_UPS
    }

    /// Lets a message wait whose text has this many bytes. If too much waits of its network or in all, it is refused at
    /// once.
    pub fn enqueue(
        &mut self,
        queue: &mut TurnQueue,
        connection: ConnectionId,
        message: AdmittedMessage,
        bytes: usize,
        effects: &mut Vec<Effect>,
    ) {
        let owner = Some(self.sessions.work_owner(connection));
        let mut own = queue.owners.get(&owner).copied().unwrap_or_default();
        let mut all = queue.all;
        own.add(1, bytes);
        all.add(1, bytes);
        if own.exceeds(1) || all.exceeds(NETWORKS) {
            let reason =
                Reason::new(Prefix::RateLimited, "too many messages wait here; try again in a second");
            self.refused(connection, message.into_refusal(reason), effects);
            return;
        }
        queue.owners.insert(owner, own);
        queue.all = all;
        queue.inputs.push_back(Input::Message { connection, message });
    }

    /// Orders the messages that were left over for the next turn. Those of one connection stay in order. Networks take
    /// turns, and the one for which was just read comes last.
    pub fn take_turns(&self, queue: &mut TurnQueue) {
        let before = std::mem::take(&mut queue.owners);
        let mut lanes: Vec<(Option<WorkOwner>, VecDeque<Input>)> = Vec::new();
        queue.all = Waiting::default();
        for input in queue.inputs.drain(..) {
            let owner = input.sender().map(|connection| self.sessions.work_owner(connection));
            let own = queue.owners.entry(owner).or_insert_with(|| {
                let bytes = before.get(&owner).map_or(0, |before| before.bytes);
                queue.all.add(0, bytes);
                lanes.push((owner, VecDeque::new()));
                Waiting { messages: 0, bytes, place: lanes.len().saturating_sub(1) }
            });
            own.add(1, 0);
            queue.all.add(1, 0);
            if let Some((_, lane)) = lanes.get_mut(own.place) {
                lane.push_back(input);
            }
        }
        let last = self.sessions.turn.owner;
        if let Some(place) = lanes.iter().position(|(owner, _)| owner.is_some() && *owner == last) {
            let lane = lanes.remove(place);
            lanes.push(lane);
        }
        loop {
            let before = queue.inputs.len();
            queue.inputs.extend(lanes.iter_mut().filter_map(|(_, lane)| lane.pop_front()));
            if queue.inputs.len() == before {
                return;
            }
        }
    }
}
