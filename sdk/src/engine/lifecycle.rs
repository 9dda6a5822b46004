//! The agent's lifecycle: created, awake, asleep.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

use super::backoff;
use super::spec::HookSpec;
use super::vocabulary::Hook;

/// How long an agent must be idle before `on_sleep` runs. A Durable Object hibernates after about 10 s.
const SLEEP_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Lifecycle<S> {
    sql: S,
    is_created: bool,
    /// How often `on_create` has failed; the field below says when it may be tried again.
    failed_creations: u32,
    try_again: Timestamp,
    is_awake: bool,
    last_work: Timestamp,
    /// Numbers the runs of schedules and hooks.
    runs: u32,
}

impl<S: Sql> Lifecycle<S> {
    pub(super) fn open(sql: S) -> Result<Self, SqlError> {
        Ok(Self {
            is_created: is_created(&sql)?,
            sql,
            failed_creations: 0,
            try_again: Timestamp::EPOCH,
            is_awake: false,
            last_work: Timestamp::EPOCH,
            runs: 0,
        })
    }

    /// The hook that must run before any job.
    pub(super) fn turn_before_work(&self, hooks: &HookSpec) -> Option<Hook> {
        if !self.is_created && hooks.on_create.is_some() {
            Some(Hook::Create)
        } else if !self.is_awake && hooks.on_wake.is_some() {
            Some(Hook::Wake)
        } else {
            None
        }
    }

    /// Whether a failed hook may be tried again now.
    pub(super) fn may_try(&self, now: Timestamp) -> bool {
        self.is_created || self.try_again <= now
    }

    /// When the failed hook may be tried again.
    pub(super) fn next_try(&self, now: Timestamp) -> Option<Timestamp> {
        (!self.is_created && self.try_again > now).then_some(self.try_again)
    }

    pub(super) fn created(&mut self, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO life (one, created_at) VALUES (1, ?) ON CONFLICT DO NOTHING",
            values![now],
        )?;
        self.is_created = true;
        Ok(())
    }

    pub(super) fn not_created(&mut self, now: Timestamp) {
        self.failed_creations = self.failed_creations.saturating_add(1);
        self.try_again = now + backoff(self.failed_creations);
    }

    pub(super) fn note_awake(&mut self) {
        self.is_awake = true;
    }

    pub(super) fn note_asleep(&mut self) {
        self.is_awake = false;
    }

    pub(super) fn is_awake(&self) -> bool {
        self.is_awake
    }

    /// A job or schedule ran, so the agent is awake, with or without an `on_wake` hook.
    pub(super) fn note_work(&mut self) {
        self.is_awake = true;
    }

    /// Records the end of a run.
    pub(super) fn note_run_end(&mut self, now: Timestamp) {
        self.last_work = now;
    }

    pub(super) fn sleep_due(&self) -> Option<Timestamp> {
        self.is_awake.then(|| self.last_work + SLEEP_AFTER)
    }

    pub(super) fn next_run(&mut self) -> u32 {
        self.runs = self.runs.wrapping_add(1);
        self.runs
    }

    pub(super) fn rolled_back(&mut self) -> Result<(), SqlError> {
        self.is_created = is_created(&self.sql)?;
        Ok(())
    }
}

fn is_created<S: Sql>(sql: &S) -> Result<bool, SqlError> {
    Ok(sql.first::<(Timestamp,)>("SELECT created_at FROM life", &[])?.is_some())
}
