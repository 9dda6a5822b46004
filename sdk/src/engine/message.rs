//! The inputs and effects of the job engine.

use std::time::Duration;

use openagents_host::net::{Reach, RelayError};
use openagents_host::{BlobHash, Event, EventId, Rumor, SqlError, Timestamp, VerifiedEvent};

use super::query::{StateQuery, StateReply};
use super::vocabulary::{
    Changes, Delivery, Hook, Lease, QuoteError, Report, RequestAdmission, RunOutcome, StateSnapshot,
};
use super::{DeliveryLimits, Destination, JobFailure, JobOutput, RelayPoll, WantedBlob};
use crate::announcement::Announcement;
use crate::audit::{AuditError, AuditRecord};
use crate::nip90::JobRequest;
use crate::payment::wallet::{Invoice, InvoiceRequest, Preimage, Settlement, WalletError, WalletFeatures};
use crate::price::Price;
use crate::route::{RouteRequest, RouteResponse};

/// The deployment's options for the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// What the host's wallet can do, if it has one.
    pub(crate) wallet: Option<WalletFeatures>,
    /// The public URL of the agent's own relay, for relay hints.
    pub(crate) relay_url: Option<String>,
    /// Whether answers may be sent to private addresses.
    pub(crate) reach: Reach,
    /// The external relays to poll for requests. Empty if the host keeps connections to them instead.
    pub(crate) polled_relays: Vec<String>,
    /// The most bytes of requests and answers of finished jobs, if it is not the default.
    pub(crate) max_record_bytes: Option<u64>,
    /// How often relays that requests come from are polled; the default is once a minute.
    pub(crate) poll_every: Option<Duration>,
    /// How many events may be in flight.
    pub(crate) deliveries: DeliveryLimits,
    /// The external relays on which the agent is announced.
    pub(crate) relays: Vec<String>,
    /// The agent's announcements. Earlier announcements that are not in this list are deleted.
    pub(crate) announcements: Vec<Announcement>,
}

/// An input of the job engine.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A job request or a cancellation has arrived. [`Effect::Taken`] returns `ticket`. `source` is the external
    /// relay from which it came.
    Request { event: VerifiedEvent, source: Option<String>, ticket: u64 },
    /// A run has ended.
    Finished { lease: Lease, outcome: RunOutcome, changes: Changes },
    /// A running handler reports progress or partial output.
    Reported { lease: Lease, report: Report },
    /// The price of a request, or why it has none.
    Quoted { job: EventId, price: Result<Price, QuoteError> },
    /// Events from relays that may hold the outputs that a job waits for, and which of its blobs were found.
    Resolved { job: EventId, events: Vec<Event>, blobs: Vec<BlobHash> },
    /// An invoice from the wallet, or an error.
    Invoiced { job: EventId, invoice: Result<Invoice, WalletError> },
    /// The payment state of an invoice, or an error.
    Settled { job: EventId, settlement: Result<Settlement, WalletError> },
    /// Whether the wallet has taken or returned a held payment.
    HoldEnded { job: EventId, end: HoldEnd, result: Result<(), WalletError> },
    /// The result of polling an external relay.
    Polled { relay: String, poll: Result<RelayPoll, RelayError> },
    /// A record of the gateway's audit was stored, or could not be.
    AuditRecordStored { number: u64, stored: Result<(), AuditError> },
    /// The result of delivering an event of the outbox.
    Delivered { entry: u64, delivery: Delivery },
    /// A request to the route with this index. [`Effect::Respond`] returns `ticket`.
    RouteRequest { route: usize, request: RouteRequest, ticket: u64 },
    /// A handler or an HTTP route queries the database. [`Effect::QueryReply`] returns `ticket`.
    Query { query: StateQuery, ticket: u64 },
}

impl Input {
    /// Whether a relay has accepted an event of the outbox.
    pub(super) fn is_acceptance(&self) -> bool {
        matches!(self, Self::Delivered { delivery: Delivery::Accepted, .. })
    }

    /// The entry of the outbox whose delivery has ended.
    pub(super) fn delivered_entry(&self) -> Option<u64> {
        if let Self::Delivered { entry, .. } = self { Some(*entry) } else { None }
    }
}

/// An effect of the job engine, for the host to carry out.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// The event with this ticket was stored, ignored, or could not be stored.
    Taken { ticket: u64, result: Result<RequestAdmission, SqlError> },
    /// Run a handler, schedule or hook; [`Input::Finished`] returns the outcome.
    Run { lease: Lease, task: Task, state: StateSnapshot },
    /// Abort a run whose outcome is no longer wanted. Nothing is returned.
    Abort { lease: Lease },
    /// Call the price function of the handler with this index; [`Input::Quoted`] returns the price.
    Quote { job: EventId, handler: usize, request: Box<JobRequest>, state: StateSnapshot },
    /// Look for the outputs of other jobs, named by their requests or results, on the agent's own relay and on these
    /// external ones, and for blobs; [`Input::Resolved`] returns what was found.
    Resolve { job: EventId, wanted: Vec<EventId>, relays: Vec<String>, blobs: Vec<WantedBlob> },
    /// Create an invoice; [`Input::Invoiced`] returns it.
    Invoice { job: EventId, request: InvoiceRequest },
    /// Look up whether an invoice is paid; [`Input::Settled`] returns the answer.
    Settlement { job: EventId, invoice: Invoice },
    /// Take or return the held payment of an invoice; [`Input::HoldEnded`] says whether that was done.
    EndHold { job: EventId, invoice: Invoice, end: HoldEnd },
    /// Deliver an event; [`Input::Delivered`] returns the result. Events for one relay are in the order in which they
    /// must arrive.
    Publish { entry: u64, event: VerifiedEvent, to: Destination },
    /// Read requests since `since` from an external relay, up to a second if there is one; [`Input::Polled`] returns
    /// them.
    Poll { relay: String, since: Timestamp, until: Option<u64> },
    /// The response to the request with this ticket; `None` if it had to wait for too long.
    Respond { ticket: u64, response: Option<RouteResponse> },
    /// Store a record of the gateway's audit; [`Input::AuditRecordStored`] returns the result.
    StoreAuditRecord { number: u64, record: AuditRecord },
    /// The reply to the query with this ticket.
    QueryReply { ticket: u64, answer: Result<StateReply, SqlError> },
    /// A warning for the operator.
    Warn(String),
}

/// What becomes of a held payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HoldEnd {
    /// The agent takes it.
    Take(Preimage),
    /// The payer gets it back.
    Return,
}

/// What a run executes.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// The handler with this index, for a request.
    Job { handler: usize, request: Box<JobRequest>, outputs: Vec<JobOutput> },
    /// The schedule with this index.
    Schedule(usize),
    /// The `#[schedule(once)]` function with this index, with its payload as JSON.
    Scheduled { schedule: usize, payload: String },
    /// The `#[event]` function with this index, for an event.
    Event { handler: usize, event: VerifiedEvent },
    /// The `#[direct_message]` function, for a message.
    DirectMessage(Rumor),
    /// The route with this index, for a request.
    Route { route: usize, request: RouteRequest },
    /// A lifecycle hook; for `on_error` with the failure.
    Hook(Hook, Option<JobFailure>),
}
