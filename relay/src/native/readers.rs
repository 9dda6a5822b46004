//! Threads that answer from the store beside the engine, each with a connection of its own to the database: a long
//! search holds up neither events nor the searches of others.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use openagents_host::native::{Commits, Inputs, OpenError, Sqlite};
use openagents_host::sql::Sql;

use super::outbox::{Farewell, Outbox, Place};
use super::shared::Connections;
use crate::message::RelayMessage;
use crate::relay::{Input, Inquiry, Reading, RelayConfig};
use crate::store::Store;

/// After so many thousand steps of the database, about a second, an answer is given up.
const PATIENCE: u32 = 10_000;

/// What is to be read, in the order in which it was asked for.
#[derive(Default)]
pub(super) struct Questions {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// A connection has few of them waiting: it is not read from while it has.
    queue: VecDeque<Question>,
    /// Nothing more will come.
    closed: bool,
}

/// An answer that is to be read, and its place among what goes to its connection.
pub(super) struct Question {
    reading: Reading,
    outbox: Option<(Arc<Outbox>, Place)>,
}

impl Question {
    /// Keeps the place of the answer free: what is queued from here on comes after it.
    pub(super) fn new(reading: Reading, outbox: &Arc<Outbox>) -> Self {
        let subscribes = matches!(reading.inquiry, Inquiry::Request(_));
        let place = outbox.reserve(subscribes.then_some(&reading.subscription));
        Self { reading, outbox: Some((Arc::clone(outbox), place)) }
    }

    fn answer(mut self, messages: Vec<RelayMessage>) {
        if let Some((outbox, place)) = self.outbox.take() {
            outbox.answer(place, messages);
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // The relay is ending, or a reader has panicked. A client that waits for ever is worse than one that
        // connects again.
        if let Some((outbox, _)) = &self.outbox {
            outbox.close(Farewell::UNANSWERED);
        }
    }
}

impl Questions {
    pub(super) fn ask(&self, question: Question) {
        self.state().queue.push_back(question);
        self.changed.notify_one();
    }

    /// The next one; waits for it. `None` when there will be no more.
    fn next(&self) -> Option<Question> {
        let mut state = self.state();
        loop {
            if let Some(question) = state.queue.pop_front() {
                return Some(question);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives each to `answer`, until there will be no more. A panic ends its question and no other.
    fn each(&self, mut answer: impl FnMut(Question)) {
        while let Some(question) = self.next() {
            // What a panic leaves behind in the store is an open transaction, which is undone.
            let answered = panic::catch_unwind(AssertUnwindSafe(|| answer(question)));
            if answered.is_err() {
                tracing::error!("a reader panicked; its question is not answered");
            }
        }
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reader needs besides the database.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) questions: Arc<Questions>,
    pub(super) connections: Arc<Connections>,
    pub(super) commits: Commits,
    pub(super) inputs: Inputs<Input>,
    pub(super) config: RelayConfig,
}

/// The threads. They end when this is dropped; [`finish`](Self::finish) waits for that.
pub(super) struct Readers {
    questions: Arc<Questions>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// One reader for each core.
    pub(super) fn start(path: &Path, desk: &Desk) -> Result<Self, super::StartError> {
        let mut readers = Self { questions: Arc::clone(&desk.questions), threads: Vec::new() };
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let (path, desk) = (path.to_owned(), desk.clone());
            let (opened, result) = std::sync::mpsc::channel::<Result<(), OpenError>>();
            let thread = std::thread::Builder::new().name("relay-reader".to_owned()).spawn(move || {
                match Sqlite::open_read_only(&path) {
                    Err(error) => drop(opened.send(Err(error))),
                    Ok(sql) => {
                        let _ = opened.send(Ok(()));
                        desk.serve(&Store::beside(sql));
                    }
                }
            })?;
            readers.threads.push(thread);
            result.recv().unwrap_or(Ok(()))?;
        }
        Ok(readers)
    }

    /// Answers what was asked, and ends.
    pub(super) async fn finish(mut self) {
        self.questions.close();
        let threads = std::mem::take(&mut self.threads);
        // A panic was reported when it happened.
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions.close();
    }
}

impl Desk {
    fn serve(&self, store: &Store<Sqlite>) {
        self.questions.each(|question| self.answer(store, question));
    }

    fn answer(&self, store: &Store<Sqlite>, question: Question) {
        let mut messages = Vec::new();
        let read = store.sql().transaction(|| {
            let mut tell = |message| messages.push(message);
            store.sql().limited(PATIENCE, || question.reading.answer(store, &self.config, &mut tell))
        });
        let report = match read {
            Ok(reconciled) => reconciled.map(Input::Reconciled),
            Err(error) => {
                messages.clear();
                messages.push(question.reading.refused(&error));
                Some(Input::Unreadable { reading: question.reading.clone(), error })
            }
        };
        // Before the answer, which the client's next message may build upon. If the engine has stopped, the connection is
        // about to be closed.
        if let Some(report) = report {
            let _ = self.inputs.send_blocking(report);
        }
        messages.iter().for_each(|message| self.connections.count(message));
        // Not before what was read is as safe as what is acknowledged, and what is told as new stands behind it.
        let connections = Arc::clone(&self.connections);
        self.commits.after(move || {
            question.answer(messages);
            connections.close_the_fullest();
        });
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::Timestamp;

    use super::{Question, Questions};
    use crate::message::{RelayMessage, SubscriptionId};
    use crate::native::outbox::tests::{held, stuck};
    use crate::relay::{ConnectionId, Inquiry, Reading};

    #[test]
    fn a_count_under_a_subscription_s_name_lets_no_event_be_told_twice() {
        let outbox = stuck(&held(10_000));
        let subscription = || SubscriptionId::new("a").unwrap();
        let reading = |inquiry| Reading {
            connection: ConnectionId::new(1),
            subscription: subscription(),
            inquiry,
            now: Timestamp::EPOCH,
            pubkeys: std::collections::BTreeSet::new(),
        };
        let event = || RelayMessage::Event { subscription: subscription(), event: "1".into() };
        let request = Question::new(reading(Inquiry::Request(Vec::new())), &outbox);
        let count = Question::new(reading(Inquiry::Count(Vec::new())), &outbox);
        let _ = outbox.push(event());
        request.answer(vec![event()]);
        count.answer(vec![RelayMessage::Notice("a count".into())]);
        assert_eq!(outbox.taken(), [r#"["EVENT","a",1]"#, r#"["NOTICE","a count"]"#]);
    }

    #[test]
    fn a_panic_ends_no_other_question() {
        let questions = Questions::default();
        for number in 0..3 {
            let reading = Reading {
                connection: ConnectionId::new(number),
                subscription: SubscriptionId::new("a").unwrap(),
                inquiry: Inquiry::Request(Vec::new()),
                now: Timestamp::EPOCH,
                pubkeys: std::collections::BTreeSet::new(),
            };
            questions.ask(Question { reading, outbox: None });
        }
        questions.close();
        let mut answered = Vec::new();
        questions.each(|question| {
            assert_ne!(question.reading.connection, ConnectionId::new(1), "a bug");
            answered.push(question.reading.connection);
        });
        assert_eq!(answered, [ConnectionId::new(0), ConnectionId::new(2)]);
    }
}
