//! How many jobs are unfinished, in all and of each customer. Admission compares this with the agent's `queue`.

use std::collections::BTreeMap;

use openagents_host::{PublicKey, Sql, SqlError};

use super::job_state::JobState;

/// One customer may have this part of the queue, so that others find room.
const CUSTOMER_SHARE: u64 = 4;

/// How many jobs a customer may have in any case, where a quarter of the queue is less.
const MIN_CUSTOMER_JOBS: u64 = 16;

/// The numbers of unfinished jobs. Jobs that wait for their inputs, price or payment are counted apart: what they wait
/// for may never come, and they must not take the room of jobs that can run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UnfinishedJobs {
    all: JobCount,
    of_customers: BTreeMap<PublicKey, JobCount>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct JobCount {
    /// Queued or running.
    ready: u64,
    /// Waiting for inputs, a price or a payment.
    waiting: u64,
}

/// Why there is no room for another job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The agent has as many jobs as it takes.
    Queue,
    /// This customer has as many jobs as one customer may have.
    Customer,
}

impl UnfinishedJobs {
    pub(super) fn read<S: Sql>(sql: &S) -> Result<Self, SqlError> {
        let mut jobs = Self::default();
        for (condition, state) in [
            ("state = 'queued'", JobState::Queued),
            ("state = 'running'", JobState::Running),
            ("state IN ('received', 'awaiting_input', 'awaiting_payment')", JobState::Received),
        ] {
            let statement = format!("SELECT customer FROM job WHERE {condition}");
            for (customer,) in sql.rows::<(PublicKey,)>(&statement, &[])? {
                jobs.begin(&customer, state);
            }
        }
        Ok(jobs)
    }

    /// The number of unfinished jobs.
    pub(super) fn total(&self) -> u64 {
        self.all.ready.saturating_add(self.all.waiting)
    }

    /// The numbers of jobs that wait for their inputs, price or payment: those of this customer, and all.
    pub(super) fn waiting(&self, customer: &PublicKey) -> (u64, u64) {
        (self.of_customers.get(customer).map_or(0, |jobs| jobs.waiting), self.all.waiting)
    }

    /// Whether there is room for one more job of this customer, which must wait before it is ready or not. At most
    /// `queue` jobs may be ready, and as many may wait.
    pub(super) fn check_room(&self, customer: &PublicKey, waits: bool, queue: u32) -> Result<(), NoRoom> {
        let queue = u64::from(queue);
        let count = |jobs: &JobCount| if waits { jobs.waiting } else { jobs.ready };
        if count(&self.all) >= queue {
            return Err(NoRoom::Queue);
        }
        let most = queue.div_euclid(CUSTOMER_SHARE).max(MIN_CUSTOMER_JOBS);
        if self.of_customers.get(customer).is_some_and(|jobs| count(jobs) >= most) {
            return Err(NoRoom::Customer);
        }
        Ok(())
    }

    /// Counts a job that has just been stored in this state.
    pub(super) fn begin(&mut self, customer: &PublicKey, state: JobState) {
        self.change(customer, state, |jobs| jobs.saturating_add(1));
    }

    /// Counts a job that has gone from one state to another. Final states do not count.
    pub(super) fn advance(&mut self, customer: &PublicKey, from: JobState, to: JobState) {
        self.change(customer, from, |jobs| jobs.saturating_sub(1));
        self.change(customer, to, |jobs| jobs.saturating_add(1));
    }

    fn change(&mut self, customer: &PublicKey, state: JobState, change: impl Fn(u64) -> u64) {
        let of_customer = self.of_customers.entry(*customer).or_default();
        for jobs in [&mut self.all, &mut *of_customer] {
            match state {
                JobState::Queued | JobState::Running => jobs.ready = change(jobs.ready),
                JobState::Received | JobState::AwaitingInput | JobState::AwaitingPayment => {
                    jobs.waiting = change(jobs.waiting);
                }
                JobState::Done | JobState::Failed | JobState::Rejected | JobState::Cancelled => {}
            }
        }
        if *of_customer == JobCount::default() {
            self.of_customers.remove(customer);
        }
    }
}
