//! HTTP requests that wait for their `#[route]`, or are being answered. They are in memory only: a lost process loses its
//! connections as well.

use std::collections::BTreeMap;
use std::time::Duration;

use openagents_host::{Sql, SqlError, Timestamp};

use super::message::Effect;
use super::run::runs::Running;
use super::vocabulary::{RunId, RunOutcome};
use super::{Changes, JobEngine};
use crate::route::{RouteRequest, RouteResponse};

/// How long a request waits for the end of the runs before it.
pub(crate) const MAX_ROUTE_WAIT: Duration = Duration::from_secs(10);

/// The requests without a response, by their tickets.
#[derive(Debug, Default)]
pub(super) struct RouteRequests {
    open: BTreeMap<u64, OpenRequest>,
}

#[derive(Debug)]
struct OpenRequest {
    /// The index of the route.
    route: usize,
    request: RouteRequest,
    /// When it is refused if it could not start.
    deadline: Timestamp,
}

impl RouteRequests {
    /// Adds a request. It may have been added before, in a transaction that was rolled back.
    pub(super) fn add(&mut self, now: Timestamp, ticket: u64, route: usize, request: RouteRequest) {
        let deadline = now + MAX_ROUTE_WAIT;
        self.open.entry(ticket).or_insert(OpenRequest { route, request, deadline });
    }

    /// The request that has waited longest: its ticket, and the index of its route.
    pub(super) fn next(&self, running: &BTreeMap<RunId, Running>) -> Option<(u64, usize)> {
        self.waiting(running).map(|(ticket, open)| (ticket, open.route)).next()
    }

    /// When a request that waits must be refused.
    pub(super) fn next_deadline(&self, running: &BTreeMap<RunId, Running>) -> Option<Timestamp> {
        self.waiting(running).map(|(_, open)| open.deadline).min()
    }

    pub(super) fn route_of(&self, ticket: u64) -> Option<usize> {
        self.open.get(&ticket).map(|open| open.route)
    }

    pub(super) fn request_of(&self, ticket: u64) -> Option<RouteRequest> {
        self.open.get(&ticket).map(|open| open.request.clone())
    }

    /// The request has its response.
    pub(super) fn ended(&mut self, ticket: u64) {
        self.open.remove(&ticket);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn waiting<'a>(
        &'a self,
        running: &'a BTreeMap<RunId, Running>,
    ) -> impl Iterator<Item = (u64, &'a OpenRequest)> + 'a {
        let open = self.open.iter().map(|(ticket, open)| (*ticket, open));
        open.filter(|(ticket, _)| !running.contains_key(&RunId::Route(*ticket)))
    }
}

impl<S: Sql> JobEngine<S> {
    /// Refuses the requests that have waited for too long.
    pub(super) fn refuse_late_requests(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_late = |(_, open): &(u64, &OpenRequest)| open.deadline <= now;
        let late: Vec<u64> =
            self.routes.waiting(&self.running).filter(is_late).map(|(ticket, _)| ticket).collect();
        for ticket in late {
            self.routes.ended(ticket);
            effects.push(Effect::Respond { ticket, response: None });
        }
    }

    /// Ends the run of a request: its changes are stored, and then its response is sent.
    pub(super) fn finish_route(
        &mut self,
        now: Timestamp,
        ticket: u64,
        outcome: &RunOutcome,
        changes: &Changes,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SqlError> {
        let response = match outcome {
            RunOutcome::Done(_) => {
                self.store_changes(now, changes)?;
                changes.response.as_deref().cloned()
            }
            RunOutcome::Failed { message, .. } => Some(RouteResponse::failure(message)),
        };
        effects.push(Effect::Respond { ticket, response });
        Ok(())
    }
}
