//! Progress and partial output of running jobs, published at most once a second.

use std::collections::BTreeMap;
use std::time::Duration;

use openagents_host::{Sql, SqlError, Timestamp};

use crate::engine::intake::requests::UnreadableRequest;
use crate::engine::{JobEngine, Lease, Report, RunId};

/// The shortest time between two feedback events for a job.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest partial output that is published, in bytes.
const MAX_PARTIAL: usize = 500_000;

/// Progress and partial output that has not been published yet.
#[derive(Debug, Default)]
pub(in crate::engine) struct Reports(BTreeMap<RunId, PendingReport>);

#[derive(Debug, Default)]
struct PendingReport {
    last: Option<Timestamp>,
    progress: Option<Report>,
    partial: Option<Report>,
}

impl PendingReport {
    fn due(&self) -> Option<Timestamp> {
        (self.progress.is_some() || self.partial.is_some())
            .then(|| self.last.map_or(Timestamp::EPOCH, |last| last + PAUSE))
    }
}

impl Reports {
    pub(in crate::engine) fn next_due(&self) -> Option<Timestamp> {
        self.0.values().filter_map(PendingReport::due).min()
    }

    /// Drops what is left when a run ends: its outcome replaces it.
    pub(in crate::engine) fn end(&mut self, run: &RunId) {
        self.0.remove(run);
    }

    fn note(&mut self, run: RunId, report: &Report) {
        let said = self.0.entry(run).or_default();
        match report {
            Report::Progress(_) => said.progress = Some(report.clone()),
            Report::Partial(_) => said.partial = Some(report.clone()),
        }
    }

    /// Removes and returns what may be published now.
    fn take_due(&mut self, now: Timestamp) -> Vec<(RunId, Report)> {
        let mut due = Vec::new();
        for (run, said) in &mut self.0 {
            if said.due().is_some_and(|due| due <= now) {
                said.last = Some(now);
                let both = [said.progress.take(), said.partial.take()];
                due.extend(both.into_iter().flatten().map(|report| (*run, report)));
            }
        }
        due
    }
}

impl<S: Sql> JobEngine<S> {
    /// Records a report; the alarm publishes it.
    pub(in crate::engine) fn report(&mut self, lease: Lease, report: &Report) {
        let is_its = self.running.get(&lease.run).is_some_and(|running| running.attempt == lease.attempt);
        let is_short = !matches!(report, Report::Partial(output) if output.len() > MAX_PARTIAL);
        if is_its && is_short {
            self.reports.note(lease.run, report);
        }
    }

    /// Publishes the reports that are due.
    pub(in crate::engine) fn publish_reports(&mut self, now: Timestamp) -> Result<(), SqlError> {
        for (run, report) in self.reports.take_due(now) {
            let RunId::Job(id) = run else { continue };
            self.tell_processing(now, run)?;
            let Some(job) = self.jobs.find(&id)? else { continue };
            match self.requests.on_record(&id) {
                Ok(readable) => self.send_report(now, &job, &readable, &report)?,
                Err(UnreadableRequest::Sql(error)) => return Err(error),
                Err(UnreadableRequest::Damaged(_)) => {}
            }
        }
        Ok(())
    }
}
