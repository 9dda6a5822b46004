//! What all Durable Objects have in common: opening once, keeping the alarm, forgetting.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use ::worker::{Error, Result, State, console_warn};

use super::{DurableSql, now, set_alarm};
use crate::port::alarm::{AlarmCause, AlarmGuard, MAX_IDLE_ALARMS};
use crate::port::sql::Sql;
use crate::time::Timestamp;

/// The time between alarms of an object that cannot be opened.
const REOPEN_INTERVAL: Duration = Duration::from_secs(60);

/// A Durable Object and its state in memory while it is awake. All of `T` can be restored from storage.
pub struct ObjectHost<T> {
    state: State,
    /// `None` until the first event, and if it cannot be opened. Never borrowed across an `await`.
    opened: RefCell<Option<T>>,
    guard: RefCell<AlarmGuard>,
    /// When the alarm fires, if known: it was set or queried since the object woke up.
    alarm: Cell<Option<Timestamp>>,
}

/// An alarm that is being handled.
#[must_use]
pub struct RingingAlarm {
    cause: AlarmCause,
    changes: Option<i64>,
}

impl<T> ObjectHost<T> {
    /// Does not open anything yet, so that errors can be reported to the first caller.
    #[must_use]
    pub const fn new(state: State) -> Self {
        Self {
            state,
            opened: RefCell::new(None),
            guard: RefCell::new(AlarmGuard::new()),
            alarm: Cell::new(None),
        }
    }

    /// The runtime's handle of the object.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The object's database.
    #[must_use]
    pub fn sql(&self) -> DurableSql {
        DurableSql::new(&self.state.storage())
    }

    /// Runs `body` with the state in memory, opening it first if necessary.
    ///
    /// # Errors
    /// When it cannot be opened; the next event will try again.
    pub fn with<R>(&self, open: impl FnOnce() -> Result<T>, body: impl FnOnce(&mut T) -> R) -> Result<R> {
        // `body` cannot call this method again, so the state is never borrowed already.
        let mut opened = self.opened.try_borrow_mut().map_err(|error| Error::RustError(error.to_string()))?;
        let opened = match &mut *opened {
            Some(opened) => opened,
            closed => closed.insert(open()?),
        };
        Ok(body(opened))
    }

    /// Drops the state in memory. The next event opens it again.
    pub fn forget(&self) {
        self.opened.take();
    }

    /// Whether an alarm must be set for `wanted`: there is none that is as early.
    #[must_use]
    pub fn needs_alarm(&self, wanted: Option<Timestamp>) -> bool {
        wanted.is_some_and(|wanted| self.alarm.get().is_none_or(|set| wanted < set))
    }

    /// Sets the alarm if `wanted` is earlier than the current one.
    ///
    /// # Errors
    /// When the runtime refuses; the alarm then counts as not set.
    pub async fn keep_alarm(&self, wanted: Option<Timestamp>, cause: AlarmCause) -> Result<()> {
        match wanted.filter(|_| self.needs_alarm(wanted)) {
            Some(wanted) => self.set_alarm(wanted, cause).await,
            None => Ok(()),
        }
    }

    /// Sets the alarm, regardless of the current one.
    ///
    /// # Errors
    /// When the runtime refuses; the alarm then counts as not set.
    pub async fn set_alarm(&self, wanted: Timestamp, cause: AlarmCause) -> Result<()> {
        let at = self.guard.borrow_mut().schedule(now(), wanted, cause);
        // Recorded before the runtime has answered, so that an event in between does not replace it by a later one.
        self.alarm.set(Some(at));
        let set = set_alarm(&self.state.storage(), Some(at)).await;
        if set.is_err() {
            self.alarm.set(None);
        }
        set
    }

    /// Queries which alarm was set before the object woke up.
    ///
    /// # Errors
    /// When the runtime refuses.
    pub async fn load_alarm(&self) -> Result<()> {
        if self.alarm.get().is_none() {
            let set = self.state.storage().get_alarm().await?;
            // Unless one was set meanwhile.
            let known =
                self.alarm.get().or(set.and_then(|at| u64::try_from(at).ok()).map(Timestamp::from_millis));
            self.alarm.set(known);
        }
        Ok(())
    }

    /// Starts handling the alarm, which then is no longer set.
    pub fn ring(&self) -> RingingAlarm {
        self.alarm.set(None);
        RingingAlarm { cause: self.guard.borrow_mut().ring(), changes: self.changes() }
    }

    /// Finishes handling an alarm, which did something if it had effects or wrote to the database. Sets the next
    /// alarm, replacing one that was set meanwhile.
    ///
    /// # Errors
    /// When the runtime refuses to set it. The runtime then repeats the alarm.
    pub async fn finish_alarm(
        &self,
        ringing: RingingAlarm,
        had_effects: bool,
        next: Option<Timestamp>,
    ) -> Result<()> {
        let did_work = had_effects || ringing.changes.is_none() || self.changes() != ringing.changes;
        if self.guard.borrow_mut().done(now(), ringing.cause, did_work) {
            console_warn!(
                "{MAX_IDLE_ALARMS} alarms within a minute had nothing to do; until one has, they fire once a minute"
            );
        }
        match next {
            Some(next) => self.set_alarm(next, AlarmCause::Alarm).await,
            None if self.alarm.take().is_some() => set_alarm(&self.state.storage(), None).await,
            None => Ok(()),
        }
    }

    /// Finishes an alarm of an object that cannot be opened, and sets another: nothing else would wake the object once a
    /// release is deployed that can open it.
    ///
    /// # Errors
    /// When the runtime refuses to set the next alarm. The runtime then repeats this one.
    pub async fn finish_alarm_unopened(&self, ringing: RingingAlarm) -> Result<()> {
        self.finish_alarm(ringing, true, Some(now() + REOPEN_INTERVAL)).await
    }

    /// How many rows were changed since the database was opened.
    fn changes(&self) -> Option<i64> {
        let changes: Option<(i64,)> = self.sql().first("SELECT total_changes()", &[]).ok()?;
        changes.map(|(changes,)| changes)
    }
}
