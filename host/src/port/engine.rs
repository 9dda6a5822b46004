//! The engine trait: decisions without I/O.
//!
//! An engine is plain synchronous code. It receives the time and an input, stores durable state through its [`Sql`]
//! port, and returns a list of effects. Its host (a Durable Object, or the native
//! [`EngineThread`](crate::native::EngineThread)) passes it inputs, and carries out the effects before the event ends,
//! because a Durable Object may lose its memory between any two events.

use crate::port::sql::Sql;
use crate::time::Timestamp;

/// A component that makes decisions and never waits.
pub trait Engine {
    /// The database. Clones share one connection.
    type Sql: Sql;
    /// The inputs: things that have happened.
    type Input;
    /// The effects: what the host must do.
    type Effect;

    /// The database, so that the host can handle several inputs in one transaction.
    fn sql(&self) -> &Self::Sql;

    /// Tells the engine how many inputs are in the next batch: if there are few, it has time for work that would delay
    /// many.
    fn batch_size_hint(&mut self, inputs: usize) {
        let _ = inputs;
    }

    /// Called with all inputs of a batch before the first is handled, so that the engine can query the database for
    /// all of them at once. The results must be the same without this call.
    fn prepare(&mut self, now: Timestamp, inputs: &mut [Self::Input]) {
        let _ = (now, inputs);
    }

    /// Handles one input. Failures are effects, so an engine survives every input.
    ///
    /// The input is borrowed because it may have to be handled again: when the transaction of a batch cannot be
    /// committed, each input is handled alone.
    fn handle(&mut self, now: Timestamp, input: &Self::Input, effects: &mut Vec<Self::Effect>);

    /// Handles one input that will not be repeated, so that the engine can move data out of it.
    fn handle_once(&mut self, now: Timestamp, input: Self::Input, effects: &mut Vec<Self::Effect>) {
        self.handle(now, &input, effects);
    }

    /// Handles the inputs of a batch in order, which an engine can do with less work than one by one. The results must
    /// be the same.
    fn handle_all(&mut self, now: Timestamp, inputs: &[Self::Input], effects: &mut Vec<Self::Effect>) {
        for input in inputs {
            self.handle(now, input, effects);
        }
    }

    /// Does everything that is due at `now`.
    fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Self::Effect>);

    /// When [`alarm`](Self::alarm) must be called next. Evaluated after every batch.
    fn next_alarm(&self) -> Option<Timestamp>;

    /// Drops everything in memory that can be read from the database again, as hibernation does between two inputs.
    /// The observable behaviour must not change; a host that calls this after every batch tests that.
    fn forget(&mut self, now: Timestamp);

    /// The transaction of a batch was rolled back, so state in memory that was derived from it must be discarded.
    fn rolled_back(&mut self) {}
}
