//! What all Durable Objects have in common: opening once, keeping the alarm, forgetting.

use std::cell::RefCell;
use std::time::Duration;

use ::worker::{Error, Result, State, console_warn};

use super::{DurableSql, now, set_alarm};
use crate::port::alarm::{AlarmCause, AlarmGuard, MAX_IDLE_ALARMS};
use crate::port::runtime_alarm::{AlarmRequest, RuntimeAlarm};
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
    alarm: RefCell<RuntimeAlarm>,
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
            alarm: RefCell::new(RuntimeAlarm::unknown()),
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
        wanted.is_some_and(|wanted| !self.alarm.borrow().is_set_by(wanted))
    }

    /// Sets the alarm if `wanted` is earlier than the current one.
    ///
    /// # Errors
    /// When the runtime refuses; the alarm then counts as not set.
    pub async fn keep_alarm(&self, wanted: Option<Timestamp>, cause: AlarmCause) -> Result<()> {
        let Some(wanted) = wanted.filter(|_| self.needs_alarm(wanted)) else { return Ok(()) };
        let at = self.guard.borrow_mut().schedule(now(), wanted, cause);
        let request = self.alarm.borrow_mut().request_by(at);
        self.send(request).await
    }

    /// Sets the alarm, regardless of the current one.
    ///
    /// # Errors
    /// When the runtime refuses; the alarm then counts as not set.
    pub async fn set_alarm(&self, wanted: Timestamp, cause: AlarmCause) -> Result<()> {
        let at = self.guard.borrow_mut().schedule(now(), wanted, cause);
        let request = self.alarm.borrow_mut().request_at(at);
        self.send(request).await
    }

    async fn send(&self, request: AlarmRequest) -> Result<()> {
        let set = set_alarm(&self.state.storage(), Some(request.at)).await;
        self.alarm.borrow_mut().answered(request, set.is_ok());
        set
    }

    /// Queries which alarm was set before the object woke up.
    ///
    /// # Errors
    /// When the runtime refuses.
    pub async fn load_alarm(&self) -> Result<()> {
        let is_known = self.alarm.borrow().may_be_set();
        if !is_known {
            let set = self.state.storage().get_alarm().await?;
            let set = set.and_then(|at| u64::try_from(at).ok()).map(Timestamp::from_millis);
            self.alarm.borrow_mut().found(set);
        }
        Ok(())
    }

    /// Starts handling the alarm, which then is no longer set.
    pub fn ring(&self) -> RingingAlarm {
        self.alarm.borrow_mut().clear();
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
        if let Some(next) = next {
            return self.set_alarm(next, AlarmCause::Alarm).await;
        }
        let may_be_set = self.alarm.borrow().may_be_set();
        if may_be_set {
            self.alarm.borrow_mut().clear();
            set_alarm(&self.state.storage(), None).await?;
        }
        Ok(())
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
