//! Polls external relays for requests, since a standing connection would keep the object awake.

use std::cell::RefCell;
use std::collections::VecDeque;

use openagents_host::outgoing::Reach;
use openagents_host::worker::now;
use openagents_host::{PublicKey, Timestamp};

use crate::author::agent::Jobs;
use crate::engine::{Input, RelayPoll};
use crate::relays::{RequestFilter, poll};

/// How many relays are polled at once. A Worker may have six connections open, and has to answer over some of them.
const MAX_POLLS: usize = 2;

/// The polls of external relays that are due.
pub(super) struct DuePolls {
    filter: RequestFilter,
    reach: Reach,
    due: RefCell<VecDeque<DuePoll>>,
}

pub(super) struct DuePoll {
    relay: String,
    since: Timestamp,
}

impl DuePolls {
    pub(super) fn of<A: Jobs>(me: PublicKey, reach: Reach) -> Self {
        Self { filter: RequestFilter::of::<A>(me), reach, due: RefCell::default() }
    }

    pub(super) fn push(&self, relay: String, since: Timestamp) {
        self.due.borrow_mut().push_back(DuePoll { relay, since });
    }

    /// The next poll.
    pub(super) fn next(&self, under_way: usize) -> Option<DuePoll> {
        if under_way < MAX_POLLS { self.due.borrow_mut().pop_front() } else { None }
    }

    /// Looks what a relay has, and says what to tell the engine.
    pub(super) async fn poll(&self, DuePoll { relay, since }: DuePoll) -> Input {
        let until = now();
        let poll = match poll(&relay, self.reach, &self.filter, since).await {
            Ok(events) => Ok(RelayPoll { until, events }),
            Err(error) => Err(error.to_string()),
        };
        Input::Polled { relay, poll }
    }
}
