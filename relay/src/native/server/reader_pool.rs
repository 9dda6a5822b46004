//! The reader threads, which answer reads from the store next to the engine thread, each with a database connection of
//! its own: a long read delays no events, and other networks' reads only while all threads are busy.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use openagents_host::native::{CommitWatch, Inputs, OpenError, Sqlite};
use openagents_host::sql::Sql;

use super::connections::ConnectionTable;
use super::gate::Gate;
use super::read_queue::{QueuedRead, ReadQueue};
use crate::engine::{Input, RelayConfig};
use crate::store::Store;

/// A read is interrupted after this many thousand SQLite steps, about a second.
const MAX_READ_KILOSTEPS: u32 = 10_000;

/// A `COUNT` or a reconciliation after this many, which are enough for all look-ups that it may make.
const MAX_SCAN_KILOSTEPS: u32 = 30_000;

/// What a reader thread needs besides its database connection.
#[derive(Clone)]
pub(super) struct ReaderContext {
    pub(super) read_queue: Arc<ReadQueue>,
    pub(super) connections: Arc<ConnectionTable>,
    pub(super) commits: CommitWatch,
    pub(super) gate: Arc<Gate>,
    pub(super) inputs: Inputs<Input>,
    pub(super) config: RelayConfig,
}

/// The reader threads. Dropping this stops them; [`finish`](Self::finish) also waits for them.
pub(super) struct ReaderPool {
    read_queue: Arc<ReadQueue>,
    threads: Vec<JoinHandle<()>>,
}

impl ReaderPool {
    /// Starts one reader per core, but at least two: one network must not occupy all.
    pub(super) fn start(path: &Path, context: &ReaderContext) -> Result<Self, super::StartError> {
        let mut readers = Self { read_queue: Arc::clone(&context.read_queue), threads: Vec::new() };
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).max(2) {
            let (path, context) = (path.to_owned(), context.clone());
            let (opened, result) = std::sync::mpsc::channel::<Result<(), OpenError>>();
            let thread = std::thread::Builder::new().name("relay-reader".to_owned()).spawn(move || {
                match Sqlite::open_read_only(&path) {
                    Err(error) => drop(opened.send(Err(error))),
                    Ok(sql) => {
                        let _ = opened.send(Ok(()));
                        context.serve(&Store::for_reading(sql));
                    }
                }
            })?;
            readers.threads.push(thread);
            result.recv().unwrap_or(Ok(()))?;
        }
        Ok(readers)
    }

    /// Answers the queued reads and stops.
    pub(super) async fn finish(mut self) {
        self.read_queue.close();
        let threads = std::mem::take(&mut self.threads);
        // A panic was reported when it happened.
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        let _ = tokio::task::spawn_blocking(join).await;
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.read_queue.close();
    }
}

impl ReaderContext {
    fn serve(&self, store: &Store<Sqlite>) {
        self.read_queue.run(|queued| self.answer(store, queued));
    }

    fn answer(&self, store: &Store<Sqlite>, queued: QueuedRead) {
        let mut messages = Vec::new();
        let kilosteps = if queued.scans() { MAX_SCAN_KILOSTEPS } else { MAX_READ_KILOSTEPS };
        let (read, look_ups) = store.sql().metered(|| {
            store.sql().transaction(|| {
                let mut push_shared = |message| messages.push(message);
                store.sql().limited(kilosteps, || queued.read.answer(store, &self.config, &mut push_shared))
            })
        });
        if let Some(network) = queued.network() {
            self.gate.charge(network, look_ups);
        }
        let report = match read {
            Ok(reconciled) => reconciled.map(Input::Reconciled),
            Err(error) => {
                messages.clear();
                messages.push(queued.read.refused(&error));
                Some(Input::ReadFailed { read: queued.read.clone(), error })
            }
        };
        // Reported before the answer is sent, since the client's next message may depend on it. If the engine has
        // stopped, the connection is about to be closed.
        if let Some(report) = report {
            let _ = self.inputs.send_blocking(report);
        }
        messages.iter().for_each(|message| self.connections.count(message));
        // Sent only when what was read is committed as durably as acknowledged events, and after the new events queued
        // behind it.
        let connections = Arc::clone(&self.connections);
        self.commits.after(move || {
            queued.answer(messages);
            connections.close_largest();
        });
    }
}
