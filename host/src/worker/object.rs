//! What every Durable Object of ours does: it opens once, keeps its alarm, and forgets.

use std::cell::{Cell, RefCell};

use ::worker::{Error, Result, State, console_warn};

use super::{DurableSql, now, set_alarm};
use crate::port::alarm::{AlarmCause, AlarmGuard, MAX_IDLE_ALARMS};
use crate::port::sql::Sql;
use crate::time::Timestamp;

/// An object of the runtime with what it has in memory while it is awake: everything of `T` can be read again.
pub struct ObjectHost<T> {
    state: State,
    /// `None` until the first event, and while it cannot be opened. Never borrowed across an `await`.
    opened: RefCell<Option<T>>,
    guard: RefCell<AlarmGuard>,
    /// When the alarm rings, as far as that is known: it was set, or asked for, since the object woke up.
    alarm: Cell<Option<Timestamp>>,
}

/// An alarm that is being handled.
#[must_use]
pub struct RingingAlarm {
    cause: AlarmCause,
    changes: Option<i64>,
}

impl<T> ObjectHost<T> {
    /// Nothing is opened yet: what fails is to be told to whoever asks.
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

    /// Runs `body` with what is in memory, after opening it if that was not done yet or failed.
    ///
    /// # Errors
    /// When it cannot be opened; the next event tries again.
    pub fn with<R>(&self, open: impl FnOnce() -> Result<T>, body: impl FnOnce(&mut T) -> R) -> Result<R> {
        // Nothing here runs inside of itself: it cannot be borrowed already.
        let mut opened = self.opened.try_borrow_mut().map_err(|error| Error::RustError(error.to_string()))?;
        let opened = match &mut *opened {
            Some(opened) => opened,
            closed => closed.insert(open()?),
        };
        Ok(body(opened))
    }

    /// Drops what is in memory. The next event opens it again.
    pub fn forget(&self) {
        self.opened.take();
    }

    /// Whether the alarm has to be set for `wanted`: it is earlier than the one that is.
    #[must_use]
    pub fn needs_alarm(&self, wanted: Option<Timestamp>) -> bool {
        wanted.is_some_and(|wanted| self.alarm.get().is_none_or(|set| wanted < set))
    }

    /// Sets the alarm if `wanted` is earlier than the one that is set.
    ///
    /// # Errors
    /// When the runtime refuses; then the alarm does not count as set.
    pub async fn keep_alarm(&self, wanted: Option<Timestamp>, cause: AlarmCause) -> Result<()> {
        match wanted.filter(|_| self.needs_alarm(wanted)) {
            Some(wanted) => self.set_alarm(wanted, cause).await,
            None => Ok(()),
        }
    }

    /// Sets the alarm whatever was set before.
    ///
    /// # Errors
    /// When the runtime refuses; then the alarm does not count as set.
    pub async fn set_alarm(&self, wanted: Timestamp, cause: AlarmCause) -> Result<()> {
        let at = self.guard.borrow_mut().schedule(now(), wanted, cause);
        // Before the runtime has answered: an event that comes meanwhile must not put a later alarm in its place.
        self.alarm.set(Some(at));
        let set = set_alarm(&self.state.storage(), Some(at)).await;
        if set.is_err() {
            self.alarm.set(None);
        }
        set
    }

    /// Learns which alarm was set before the object woke up.
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

    /// Begins to handle the alarm, which is no longer set.
    pub fn ring(&self) -> RingingAlarm {
        self.alarm.set(None);
        RingingAlarm { cause: self.guard.borrow_mut().ring(), changes: self.changes() }
    }

    /// Ends the handling of an alarm, which did something if it had effects or wrote to the database, and sets the next one,
    /// also in the place of one that was set meanwhile.
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
                "{MAX_IDLE_ALARMS} alarms within a minute found nothing to do; until one does, they ring once a minute"
            );
        }
        match next {
            Some(next) => self.set_alarm(next, AlarmCause::Alarm).await,
            None if self.alarm.take().is_some() => set_alarm(&self.state.storage(), None).await,
            None => Ok(()),
        }
    }

    /// How many rows statements have changed since the database was opened.
    fn changes(&self) -> Option<i64> {
        let changes: Option<(i64,)> = self.sql().first("SELECT total_changes()", &[]).ok()?;
        changes.map(|(changes,)| changes)
    }
}
