//! Engines decide, hosts move bytes.
//!
//! An engine is plain synchronous code. It takes the time and an input, keeps what matters through its
//! [`Sql`] port, and says what is to be done as a list of effects. A shell (a Durable Object, or
//! the native [`EngineThread`](crate::native::EngineThread)) feeds it and carries the effects out before
//! the event ends, since a Durable Object may lose its memory between any two events.

use crate::port::sql::Sql;
use crate::time::Timestamp;

/// A component that decides and never waits.
pub trait Engine {
    /// What it keeps its data in. A handle: clones share one database.
    type Sql: Sql;
    /// What happens to it.
    type Input;
    /// What it wants done.
    type Effect;

    /// The database, so that a shell can put several inputs into one transaction.
    fn sql(&self) -> &Self::Sql;

    /// Says how many inputs are handled next: with few of them there is time for work that would hold up many.
    fn batch_size_hint(&mut self, inputs: usize) {
        let _ = inputs;
    }

    /// Looks at the inputs that are handled next, before the first of them: what has to be asked of the database can be
    /// asked for all of them at once. What comes of each input is the same without this.
    fn prepare(&mut self, now: Timestamp, inputs: &mut [Self::Input]) {
        let _ = (now, inputs);
    }

    /// Takes one input. Failures are answered as effects: an engine outlives every input.
    ///
    /// The input is borrowed because a shell may have to feed it again: when a transaction around
    /// several inputs cannot be committed, each is repeated alone.
    fn handle(&mut self, now: Timestamp, input: &Self::Input, effects: &mut Vec<Self::Effect>);

    /// Takes one input that is not going to be fed again, so that the engine need not copy what it keeps of it.
    fn handle_once(&mut self, now: Timestamp, input: Self::Input, effects: &mut Vec<Self::Effect>) {
        self.handle(now, &input, effects);
    }

    /// Does what has become due by `now`.
    fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Self::Effect>);

    /// When [`alarm`](Self::alarm) must be called next. Asked again after every input.
    fn next_alarm(&self) -> Option<Timestamp>;

    /// Drops what is only in memory and can be had from the database again, as a host does that hibernates between two
    /// inputs. Nothing that can be seen from outside may change by it: that is what a shell that calls this after every
    /// batch proves.
    fn forget(&mut self, now: Timestamp);

    /// A transaction around inputs was undone: what memory derived from them no longer holds.
    fn rolled_back(&mut self) {}
}
