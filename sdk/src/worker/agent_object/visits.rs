//! Visits of the agent's object to outside relays.

use std::cell::RefCell;
use std::collections::VecDeque;

use openagents_host::outgoing::Reach;
use openagents_host::worker::now;
use openagents_host::{PublicKey, Timestamp};

use crate::agent::Jobs;
use crate::engine::{Input, Visit};
use crate::outside::{Concern, look};

/// How many relays are visited at once. A Worker may have six connections open, and has to answer over some of them.
const AT_ONCE: usize = 2;

/// Visits that are due.
pub(super) struct Visits {
    concern: Concern,
    reach: Reach,
    due: RefCell<VecDeque<Due>>,
}

pub(super) struct Due {
    relay: String,
    since: Timestamp,
}

impl Visits {
    pub(super) fn of<A: Jobs>(me: PublicKey, reach: Reach) -> Self {
        Self { concern: Concern::of::<A>(me), reach, due: RefCell::default() }
    }

    pub(super) fn push(&self, relay: String, since: Timestamp) {
        self.due.borrow_mut().push_back(Due { relay, since });
    }

    /// The next visit.
    pub(super) fn next(&self, under_way: usize) -> Option<Due> {
        if under_way < AT_ONCE { self.due.borrow_mut().pop_front() } else { None }
    }

    /// Looks what a relay has, and says what to tell the engine.
    pub(super) async fn visit(&self, Due { relay, since }: Due) -> Input {
        let until = now();
        let visit = match look(&relay, self.reach, &self.concern, since).await {
            Ok(events) => Ok(Visit { until, events }),
            Err(error) => Err(error.to_string()),
        };
        Input::Visited { relay, visit }
    }
}
