//! The engine trait: decisions without I/O.
//!
//! An engine is plain synchronous code. It takes the time and an input, stores what must last
//! through its [`Sql`] port, and returns what is to be done as a list of effects. Its host (a Durable Object, or the native
//! [`EngineThread`](crate::native::EngineThread)) gives it inputs and carries the effects out before the event ends, since a
//! Durable Object may lose its memory between any two events.

use crate::port::sql::Sql;
use crate::time::Timestamp;

/// A component that decides and never waits.
pub trait Engine {
    /// The database. A handle: clones share one.
    type Sql: Sql;
    /// What it is told.
    type Input;
    /// What it wants done.
    type Effect;

    /// The database, so that the host can put several inputs into one transaction.
    fn sql(&self) -> &Self::Sql;

    /// Says how many inputs are handled next: with few of them there is time for work that would hold up many.
    fn batch_size_hint(&mut self, inputs: usize) {
        let _ = inputs;
    }

    /// Looks at all inputs that are handled next, before the first of them, so that the database can be asked about them
    /// at once. What comes of each input is the same without this.
    fn prepare(&mut self, now: Timestamp, inputs: &mut [Self::Input]) {
        let _ = (now, inputs);
    }

    /// Handles one input. Failures are effects: an engine survives every input.
    ///
    /// The input is borrowed because it may have to be repeated: when a transaction around several inputs cannot be
    /// committed, each is handled alone.
    fn handle(&mut self, now: Timestamp, input: &Self::Input, effects: &mut Vec<Self::Effect>);

    /// Handles one input that is never repeated, so that the engine need not copy what it keeps of it.
    fn handle_once(&mut self, now: Timestamp, input: Self::Input, effects: &mut Vec<Self::Effect>) {
        self.handle(now, &input, effects);
    }

    /// Does what is due at `now`.
    fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Self::Effect>);

    /// When [`alarm`](Self::alarm) must be called next. Asked again after every input.
    fn next_alarm(&self) -> Option<Timestamp>;

    /// Drops what is only in memory and can be read from the database again, as hibernation does between two inputs.
    /// Nothing visible from outside may change: a host that calls this after every batch proves that.
    fn forget(&mut self, now: Timestamp);

    /// A transaction around inputs was rolled back: what was derived from them in memory is wrong.
    fn rolled_back(&mut self) {}
}
