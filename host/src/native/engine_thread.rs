//! The engine thread: owns an engine and its database, and commits the inputs that have arrived in one transaction.

mod commit_watch;
mod effect_sender;
mod input_queue;

use std::convert::Infallible;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use self::commit_watch::CommitWatch;
use self::effect_sender::{EffectSender, WaitForDisk};
use self::input_queue::InputQueue;
pub use self::input_queue::{EngineStopped, InputBatch, Inputs};
use super::{Sqlite, now};
use crate::port::engine::Engine;
use crate::port::sql::{Sql, SqlError};

/// Batches of at most this many inputs count as small.
const SMALL_BATCH: usize = 4;

/// A running engine thread.
#[must_use = "an engine that is dropped stops"]
pub struct EngineThread {
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread has ended for any reason.
    running: mpsc::Receiver<Infallible>,
}

impl EngineThread {
    /// Starts a thread for the engine that `build` creates on it. The effects of a commit are passed to `apply`
    /// together, in the order of the commits, on this thread or on the one that waits for the disk. With
    /// `forget_memory`, the engine [forgets](Engine::forget) after every batch.
    ///
    /// # Errors
    /// When the thread cannot be started, or `build` fails.
    pub async fn start<E, F>(
        name: &str,
        forget_memory: bool,
        build: impl FnOnce() -> Result<E, F> + Send + 'static,
        apply: impl FnMut(&mut Vec<E::Effect>) + Send + 'static,
    ) -> Result<(Inputs<E::Input>, Self), F>
    where
        E: Engine<Sql = Sqlite> + 'static,
        E::Input: Send + 'static,
        E::Effect: Send + 'static,
        F: From<std::io::Error> + Send + 'static,
    {
        Self::start_watched(name, forget_memory, CommitWatch::default(), build, apply).await
    }

    /// Like [`start`](Self::start), for an engine whose database is also read by other threads, which watch its
    /// commits.
    ///
    /// # Errors
    /// When the thread cannot be started, or `build` fails.
    pub async fn start_watched<E, F>(
        name: &str,
        forget_memory: bool,
        commits: CommitWatch,
        build: impl FnOnce() -> Result<E, F> + Send + 'static,
        apply: impl FnMut(&mut Vec<E::Effect>) + Send + 'static,
    ) -> Result<(Inputs<E::Input>, Self), F>
    where
        E: Engine<Sql = Sqlite> + 'static,
        E::Input: Send + 'static,
        E::Effect: Send + 'static,
        F: From<std::io::Error> + Send + 'static,
    {
        let (inputs, queue) = input_queue::channel();
        let (stop, stopped) = oneshot::channel();
        let (built, build_result) = oneshot::channel();
        let (alive, running) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let disk_name = name.to_owned();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _alive = alive;
            let started = build().and_then(|engine| {
                let sync =
                    engine.sql().commit_ahead()?.map(|log| -> WaitForDisk { Arc::new(move || log.sync()) });
                Ok((engine, EffectSender::start(&disk_name, sync, commits, Box::new(apply))?))
            });
            match started {
                Err(error) => drop(built.send(Err(error))),
                Ok((engine, mut sender)) => {
                    if built.send(Ok(())).is_ok() {
                        runtime.block_on(run(engine, queue, stopped, forget_memory, &mut sender));
                    }
                    sender.finish();
                }
            }
        })?;
        match build_result.await {
            Ok(Ok(())) => Ok((inputs, Self { stop: Some(stop), thread: Some(thread), running })),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                Err(std::io::Error::other("the engine's thread ended before the engine had started").into())
            }
        }
    }

    /// Completes when the thread has ended without having been stopped: the engine panicked or the disk failed.
    /// Effects that were sent are durable; no more will follow.
    pub async fn ended(&mut self) {
        while self.running.recv().await.is_some() {}
    }

    /// Handles the queued inputs, then ends the thread.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Joining blocks, so it is done where blocking is allowed. A panic was reported when it happened.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

async fn run<E: Engine<Sql = Sqlite>>(
    mut engine: E,
    mut queue: InputQueue<E::Input>,
    mut stopped: oneshot::Receiver<Infallible>,
    forget_memory: bool,
    sender: &mut EffectSender<E::Effect>,
) where
    E::Effect: Send + 'static,
{
    let mut inputs = Vec::new();
    let mut effects = Vec::new();
    let mut stopping = false;
    loop {
        let alarm = engine.next_alarm();
        let alarm = async {
            match alarm.map(|at| now().until(at)) {
                // A timer would round zero up to a millisecond.
                Some(Duration::ZERO) => {}
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            received = queue.recv(&mut inputs) => {
                if !received {
                    return engine.sql().empty_log();
                }
                queue.gather(&mut inputs).await;
            }
            _ = &mut stopped, if !stopping => {
                // Queued inputs are still handled, but no new ones are accepted.
                stopping = true;
                queue.close();
                continue;
            }
            () = alarm => {}
            () = sender.ended() => return,
        }
        let commit = handle_batch(&mut engine, &inputs, sender.commits(), &mut effects);
        let (is_small, alone) = (inputs.len() <= SMALL_BATCH, queue.is_empty());
        inputs.clear();
        queue.release_memory();
        let written = engine.sql().take_written();
        if sender.send(commit, &mut effects, written, alone).is_err() {
            return;
        }
        engine.sql().checkpoint_if_due(is_small && alone);
        if forget_memory {
            engine.forget(now());
        }
    }
}

/// Handles the inputs, and the alarm if it is due, in one transaction. If that cannot be committed, each input is
/// handled alone, so that each gets its own answer. Returns the number of the commit.
fn handle_batch<E: Engine<Sql = Sqlite>>(
    engine: &mut E,
    inputs: &[E::Input],
    commits: &CommitWatch,
    effects: &mut Vec<E::Effect>,
) -> u64 {
    engine.batch_size_hint(inputs.len());
    let sql = engine.sql().clone();
    let committed: Result<u64, SqlError> = sql.transaction(|| {
        engine.handle_all(now(), inputs, effects);
        call_due_alarm(engine, effects);
        Ok(commits.begin())
    });
    committed.unwrap_or_else(|error| {
        tracing::warn!(%error, inputs = inputs.len(), "a batch could not be committed; each input is now handled alone");
        effects.clear();
        engine.rolled_back();
        let commit = commits.begin();
        for input in inputs {
            handle_alone(engine, &sql, input, effects);
        }
        call_due_alarm(engine, effects);
        commit
    })
}

/// Handles an input in its own transaction, so that it takes effect completely or not at all. If even that cannot be
/// committed, the effects of the failed attempt are the answer.
fn handle_alone<E: Engine<Sql = Sqlite>>(
    engine: &mut E,
    sql: &Sqlite,
    input: &E::Input,
    effects: &mut Vec<E::Effect>,
) {
    let sent_before = effects.len();
    let committed: Result<(), SqlError> = sql.transaction(|| {
        engine.handle(now(), input, effects);
        Ok(())
    });
    if committed.is_err() {
        effects.truncate(sent_before);
        engine.rolled_back();
        engine.handle(now(), input, effects);
    }
}

fn call_due_alarm<E: Engine>(engine: &mut E, effects: &mut Vec<E::Effect>) {
    let now = now();
    if engine.next_alarm().is_some_and(|at| at <= now) {
        engine.alarm(now, effects);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;
    use std::time::Duration;

    use super::{EngineThread, InputBatch, Inputs};
    use crate::native::Sqlite;
    use crate::port::engine::Engine;
    use crate::port::sql::{Sql, SqlError, values};
    use crate::time::Timestamp;

    struct Counter {
        sql: Sqlite,
        due: Option<Timestamp>,
    }

    impl Counter {
        fn open() -> Self {
            let sql = Sqlite::in_memory().unwrap();
            sql.batch(
                "CREATE TABLE t (i INTEGER PRIMARY KEY) STRICT;
                 CREATE TABLE child (i INTEGER REFERENCES t (i) DEFERRABLE INITIALLY DEFERRED) STRICT",
            )
            .unwrap();
            Self { sql, due: None }
        }
    }

    impl Engine for Counter {
        type Sql = Sqlite;
        type Input = i64;
        type Effect = String;

        fn sql(&self) -> &Sqlite {
            &self.sql
        }

        fn handle(&mut self, now: Timestamp, input: &i64, effects: &mut Vec<String>) {
            // A foreign key violation is detected only at the commit.
            let table = if *input < 0 { "child" } else { "t" };
            let stored: Result<(), SqlError> =
                self.sql.execute(&format!("INSERT INTO {table} VALUES (?)"), values![*input]);
            effects.push(format!("{input} {}", stored.is_ok()));
            self.due = Some(now + Duration::from_millis(20));
        }

        fn alarm(&mut self, _: Timestamp, effects: &mut Vec<String>) {
            self.due = None;
            effects.push("alarm".into());
        }

        fn next_alarm(&self) -> Option<Timestamp> {
            self.due
        }

        fn forget(&mut self, _: Timestamp) {}
    }

    /// A running counter and its effects.
    async fn counting() -> (Inputs<i64>, EngineThread, std_mpsc::Receiver<String>) {
        let (sender, effects) = std_mpsc::channel();
        let apply =
            move |batch: &mut Vec<String>| batch.drain(..).for_each(|effect| sender.send(effect).unwrap());
        let (inputs, thread) =
            EngineThread::start("test", false, || Ok::<_, std::io::Error>(Counter::open()), apply)
                .await
                .unwrap();
        (inputs, thread, effects)
    }

    #[tokio::test]
    async fn answers_every_input_rings_alarms_and_finishes_the_queue_when_stopped() {
        let (inputs, thread, effects) = counting().await;
        for input in [1, 2, 2, 3] {
            inputs.send(input).await.unwrap();
        }
        let answers: Vec<String> = effects.iter().take(5).collect();
        assert_eq!(answers, ["1 true", "2 true", "2 false", "3 true", "alarm"]);
        inputs.submit_batch(|batch| [4, 5].map(|input| batch.push(input, 8))).await.unwrap();
        thread.stop().await;
        assert_eq!(effects.iter().collect::<Vec<_>>(), ["4 true", "5 true"]);
        assert!(inputs.send(6).await.is_err());
        assert!(inputs.submit_batch(|batch| batch.push(6, 8)).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_commit_waits_for_what_is_being_made_and_not_for_ever() {
        for (pause, together) in [(Duration::from_micros(500), true), (Duration::from_millis(300), false)] {
            let (sender, batches) = std_mpsc::channel();
            let apply = move |batch: &mut Vec<String>| {
                batch.retain(|effect| effect != "alarm");
                if !batch.is_empty() {
                    sender.send(batch.join(", ")).unwrap();
                }
            };
            let (inputs, thread) =
                EngineThread::start("test", false, || Ok::<_, std::io::Error>(Counter::open()), apply)
                    .await
                    .unwrap();
            let (begun, began) = std_mpsc::channel();
            let preparing = {
                let inputs = inputs.clone();
                tokio::spawn(async move {
                    let prepare = |batch: &mut InputBatch<i64>| {
                        begun.send(()).unwrap();
                        std::thread::sleep(pause);
                        batch.push(2, 8);
                    };
                    inputs.submit_batch(prepare).await.unwrap();
                })
            };
            began.recv().unwrap();
            inputs.send(1).await.unwrap();
            preparing.await.unwrap();
            thread.stop().await;
            let batches: Vec<_> = batches.iter().collect();
            if !together {
                assert_eq!(batches, ["1 true", "2 true"]);
            }
            assert_eq!(batches.join(", "), "1 true, 2 true");
        }
    }

    #[tokio::test]
    async fn an_input_that_cannot_be_committed_is_answered_once_and_takes_no_other_along() {
        let (inputs, thread, effects) = counting().await;
        inputs.submit_batch(|batch| [1, -5, 2].map(|input| batch.push(input, 8))).await.unwrap();
        inputs.submit_batch(|batch| batch.push(1, 8)).await.unwrap();
        thread.stop().await;
        let answers: Vec<String> = effects.iter().filter(|effect| effect != "alarm").collect();
        assert_eq!(answers, ["1 true", "-5 false", "2 true", "1 false"]);
    }

    #[tokio::test]
    async fn tells_that_an_engine_ended_by_itself() {
        let apply = |_: &mut Vec<String>| panic!("a bug");
        let (inputs, mut thread) =
            EngineThread::start("test", false, || Ok::<_, std::io::Error>(Counter::open()), apply)
                .await
                .unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), thread.ended()).await.is_err());
        inputs.send(1).await.unwrap();
        thread.ended().await;
        thread.ended().await;
    }

    #[tokio::test]
    async fn reports_why_the_engine_could_not_be_built() {
        let build = || Err::<Counter, _>(std::io::Error::other("no disk"));
        let error = EngineThread::start("test", false, build, |_| ()).await.err().unwrap();
        assert_eq!(error.to_string(), "no disk");
    }
}
