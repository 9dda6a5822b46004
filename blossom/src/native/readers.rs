//! The threads that read: each has its own connection to the index, and opens the files that it finds there.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use openagents_host::native::{OpenError, Sqlite};
use tokio::sync::oneshot;

/// How many threads read.
const READERS: usize = 4;

type ReadJob = Box<dyn FnOnce(&Sqlite) + Send>;

/// Hands work to the reading threads, which end with it.
#[derive(Clone)]
pub(super) struct IndexReaders {
    jobs: Sender<ReadJob>,
}

/// The reading threads have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the blob server has stopped")]
pub(super) struct ReadersStopped;

impl IndexReaders {
    /// Starts the threads on an index that exists.
    pub(super) fn start(database: &Path) -> Result<Self, OpenError> {
        let (jobs, queue) = channel::<ReadJob>();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..READERS {
            let queue = Arc::clone(&queue);
            let database = database.to_owned();
            // A connection stays on its thread. That it can be opened is known by now.
            drop(Sqlite::open_read_only(&database)?);
            let reader = std::thread::Builder::new().name(format!("blob-reader-{number}"));
            if let Err(error) = reader.spawn(move || read(&database, &queue)) {
                tracing::error!(%error, "a thread that reads blobs could not be started");
            }
        }
        Ok(Self { jobs })
    }

    /// Runs `job` on one of the threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Sqlite) -> T + Send + 'static,
    ) -> Result<T, ReadersStopped> {
        let (sender, done) = oneshot::channel();
        let job = Box::new(move |sql: &Sqlite| drop(sender.send(job(sql))));
        self.jobs.send(job).map_err(|_| ReadersStopped)?;
        done.await.map_err(|_| ReadersStopped)
    }
}

fn read(database: &Path, queue: &Mutex<Receiver<ReadJob>>) {
    let sql = match Sqlite::open_read_only(database) {
        Ok(sql) => sql,
        Err(error) => return tracing::error!(%error, "a thread that reads blobs has no database"),
    };
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(&sql),
            Err(_) => return,
        }
    }
}
