//! What goes into the job engine, and what it wants done.

use std::time::Duration;

use openagents_host::outgoing::Reach;
use openagents_host::{Event, EventId, SqlError, Timestamp, VerifiedEvent};

use super::Visit;
use super::facts::Hook;
use super::inquiry::Inquiry;
use super::keeping::Changes;
use super::outbox::Destination;
use super::state::StateSnapshot;
use crate::context::JobFailure;
use crate::discovery::Announcement;
use crate::job::{JobOutput, JobRequest};
use crate::output::Output;
use crate::price::Price;
use crate::wallet::{Invoice, InvoiceRequest, Settlement};

/// What a deployment decides about its agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Whether the shell has a wallet.
    pub(crate) wallet: bool,
    /// The public address of the agent's own relay, for relay hints.
    pub(crate) relay_url: Option<String>,
    /// To which addresses answers may go.
    pub(crate) reach: Reach,
    /// The outside relays that are visited for requests. None where the shell listens to them all the time.
    pub(crate) visits: Vec<String>,
    /// How often they are visited while requests come from there, if not every minute.
    pub(crate) visit_every: Option<Duration>,
    /// The outside relays that the agent is announced on.
    pub(crate) relays: Vec<String>,
    /// What it announces about itself; what it announced before and is not here is taken back.
    pub(crate) announcements: Vec<Announcement>,
}

/// One run. A later attempt has another lease, so an outcome that comes too late finds its lease gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunId {
    /// The job of this request.
    Job(EventId),
    /// The schedule with this index.
    Schedule(usize),
    /// A turn of the agent's life.
    Hook(Hook),
}

/// What happens to an agent.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A job request or a cancellation came in; `ticket` comes back when it is on record. `source` is the outside relay
    /// that it came from.
    Request { event: VerifiedEvent, source: Option<String>, ticket: u64 },
    /// A run ended.
    Finished { lease: Lease, outcome: Outcome, changes: Changes },
    /// A handler says something while it works.
    Reported { lease: Lease, report: Report },
    /// What a request would cost was found out, or why not.
    Quoted { job: EventId, price: Result<Price, String> },
    /// The relays were asked for outputs that a job waits for: all events that may be them.
    Resolved { job: EventId, events: Vec<Event> },
    /// The wallet made an invoice, or said why not.
    Invoiced { job: EventId, invoice: Result<Invoice, String> },
    /// The wallet said how an invoice stands.
    Settled { job: EventId, settlement: Settlement },
    /// An outside relay was visited, or why not.
    Visited { relay: String, visit: Result<Visit, String> },
    /// An event of the outbox was delivered, or not.
    Delivered { entry: u64, delivery: Delivery },
    /// A handler or a door asks something; `ticket` comes back with the answer.
    Asked { inquiry: Inquiry, ticket: u64 },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Output),
    /// The customer is told the message, unless another attempt follows.
    Failed {
        message: String,
        retryable: bool,
    },
}

/// What a handler says while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// How far it is.
    Progress(String),
    /// The output so far.
    Partial(String),
}

/// What became of an event on its way to a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The relay has it.
    Accepted,
    /// The relay will never take it.
    Refused(String),
    /// The relay could not be asked.
    Unreachable(String),
    /// The customer reads from these relays: it goes there.
    ReadFrom(Vec<String>),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// The event with this ticket is on record (or none of ours), or could not be recorded.
    Taken { ticket: u64, result: Result<Admission, SqlError> },
    /// Run something and report with [`Input::Finished`].
    Run { lease: Lease, task: Task, state: StateSnapshot },
    /// End a run whose outcome is no longer wanted; nothing is to be reported.
    Abort { lease: Lease },
    /// Ask a handler (an index) what a request would cost, and report with [`Input::Quoted`].
    Quote { job: EventId, handler: usize, request: Box<JobRequest>, state: StateSnapshot },
    /// Look on relays (and the agent's own) for outputs, and report with [`Input::Resolved`].
    Resolve { job: EventId, wanted: Vec<Wanted> },
    /// Make an invoice and report with [`Input::Invoiced`].
    Invoice { job: EventId, request: InvoiceRequest },
    /// See how an invoice stands and report with [`Input::Settled`].
    Settlement { job: EventId, invoice: Invoice },
    /// Deliver an event and report with [`Input::Delivered`]. Events to one relay come in the order they must arrive in.
    Publish { entry: u64, event: VerifiedEvent, to: Destination },
    /// Look for requests on an outside relay, those made from `since` on, and report with [`Input::Visited`].
    Visit { relay: String, since: Timestamp },
    /// The answer to what was asked with this ticket.
    Answered { ticket: u64, answer: Result<serde_json::Value, String> },
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

/// An output of another job that a job waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// That job's request, or its result.
    pub(crate) event: EventId,
    /// Where it may be found.
    pub(crate) relays: Vec<String>,
}

/// What was made of an event that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The job is on record and goes on.
    Queued,
    /// It is on record already.
    Duplicate,
    /// It is on record, and was refused with a reason.
    Rejected,
    /// It was a cancellation.
    Cancellation,
    /// It names other providers, has no handler here, or cannot be read.
    NotOurs,
}
