//! The inputs and effects of the job engine.

use std::time::Duration;

use openagents_host::net::{Reach, RelayError};
use openagents_host::{Event, EventId, SqlError, Timestamp, VerifiedEvent};

use super::query::{StateQuery, StateReply};
use super::vocabulary::{
    Changes, Delivery, Hook, Lease, QuoteError, Report, RequestAdmission, RunOutcome, StateSnapshot,
    WantedOutput,
};
use super::{Destination, JobFailure, JobOutput, RelayPoll};
use crate::announcement::Announcement;
use crate::nip90::JobRequest;
use crate::payment::wallet::{Invoice, InvoiceRequest, Settlement, WalletError};
use crate::price::Price;

/// What a deployment decides about its agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Whether the shell has a wallet.
    pub(crate) wallet: bool,
    /// The public address of the agent's own relay, for relay hints.
    pub(crate) relay_url: Option<String>,
    /// To which addresses answers may go.
    pub(crate) reach: Reach,
    /// The external relays that are polled for requests. None where the shell listens to them all the time.
    pub(crate) polled_relays: Vec<String>,
    /// How often they are polled while requests come from there, if not every minute.
    pub(crate) poll_every: Option<Duration>,
    /// The external relays that the agent is announced on.
    pub(crate) relays: Vec<String>,
    /// What it announces about itself; what it announced before and is not here is taken back.
    pub(crate) announcements: Vec<Announcement>,
}

/// What happens to an agent.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A job request or a cancellation came in; `ticket` comes back when it is on record. `source` is the external relay
    /// that it came from.
    Request { event: VerifiedEvent, source: Option<String>, ticket: u64 },
    /// A run ended.
    Finished { lease: Lease, outcome: RunOutcome, changes: Changes },
    /// A handler says something while it works.
    Reported { lease: Lease, report: Report },
    /// What a request would cost was found out, or why not.
    Quoted { job: EventId, price: Result<Price, QuoteError> },
    /// The relays were asked for outputs that a job waits for: all events that may be them.
    Resolved { job: EventId, events: Vec<Event> },
    /// The wallet made an invoice, or said why not.
    Invoiced { job: EventId, invoice: Result<Invoice, WalletError> },
    /// The wallet said how an invoice stands, or why it does not.
    Settled { job: EventId, settlement: Result<Settlement, WalletError> },
    /// An external relay was polled, or why not.
    Polled { relay: String, poll: Result<RelayPoll, RelayError> },
    /// An event of the outbox was delivered, or not.
    Delivered { entry: u64, delivery: Delivery },
    /// A handler or an HTTP route asks something; `ticket` comes back with the answer.
    Query { query: StateQuery, ticket: u64 },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// The event with this ticket is on record (or none of ours), or could not be recorded.
    Taken { ticket: u64, result: Result<RequestAdmission, SqlError> },
    /// Run something and report with [`Input::Finished`].
    Run { lease: Lease, task: Task, state: StateSnapshot },
    /// End a run whose outcome is no longer wanted; nothing is to be reported.
    Abort { lease: Lease },
    /// Ask a handler (an index) what a request would cost, and report with [`Input::Quoted`].
    Quote { job: EventId, handler: usize, request: Box<JobRequest>, state: StateSnapshot },
    /// Look on relays (and the agent's own) for outputs, and report with [`Input::Resolved`].
    Resolve { job: EventId, wanted: Vec<WantedOutput> },
    /// Make an invoice and report with [`Input::Invoiced`].
    Invoice { job: EventId, request: InvoiceRequest },
    /// See how an invoice stands and report with [`Input::Settled`].
    Settlement { job: EventId, invoice: Invoice },
    /// Deliver an event and report with [`Input::Delivered`]. Events to one relay come in the order they must arrive in.
    Publish { entry: u64, event: VerifiedEvent, to: Destination },
    /// Look for requests on an external relay, those made from `since` on, and report with [`Input::Polled`].
    Poll { relay: String, since: Timestamp },
    /// The answer to what was asked with this ticket.
    QueryReply { ticket: u64, answer: Result<StateReply, SqlError> },
    /// Something for the operator to know.
    Warn(String),
}

/// What a run does.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// The handler with this index works on a request.
    Job { handler: usize, request: Box<JobRequest>, outputs: Vec<JobOutput> },
    /// The schedule with this index.
    Schedule(usize),
    /// A turn of the agent's life.
    Hook(Hook, Option<JobFailure>),
}
