//! The Durable Object of the index: calls from the Worker, alarms, and the removal of bytes from R2.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use ::worker::{Delay, Env, Error, Request, Response, Result, State, console_error};
use openagents_host::port::alarm::AlarmCause;
use openagents_host::worker::{DurableSql, ObjectHost, now, rpc};
use openagents_host::{BlobHash, Engine as _};

use super::bucket::BlobBucket;
use crate::index::{IndexCall, IndexEffect, IndexEngine, IndexInput, IndexReply, IndexWrite};

/// How long an upload waits for the removal of the same blob, in steps.
const REMOVAL_WAIT_STEP: Duration = Duration::from_millis(20);
const MAX_REMOVAL_WAIT_STEPS: u32 = 500;

/// The implementation of the index's Durable Object. Each method implements the handler of the same name.
pub struct BlobIndexHost {
    host: ObjectHost<IndexEngine<DurableSql>>,
    env: Env,
    time_to_live: Option<Duration>,
    /// The blobs that R2 is removing at this moment. While it does, no upload of them begins.
    in_removal: RefCell<BTreeSet<BlobHash>>,
}

impl BlobIndexHost {
    /// Creates the object without doing anything yet, so that errors can be reported to the first caller. Uploads are kept
    /// for `time_to_live`, or for as long as nobody deletes them.
    #[must_use]
    pub fn new(state: State, env: Env, time_to_live: Option<Duration>) -> Self {
        Self { host: ObjectHost::new(state), env, time_to_live, in_removal: RefCell::default() }
    }

    /// Answers a call of the Worker.
    ///
    /// # Errors
    /// When the index cannot be opened, or the runtime fails.
    pub async fn fetch(&self, mut request: Request) -> Result<Response> {
        let Some(call) = rpc::receive::<IndexCall>(&mut request).await? else {
            return Response::error("this object answers calls of its Worker only\n", 404);
        };
        self.host.load_alarm().await?;
        if let IndexCall::Write(IndexWrite::Reserve(upload) | IndexWrite::Claim(upload)) = &call {
            self.wait_for_removal(&upload.hash).await;
        }
        let effects = self.tell(&IndexInput::Call { ticket: 0, call })?;
        self.keep_alarm().await?;
        match self.carry_out(effects).await? {
            Some(reply) => rpc::reply(&reply),
            None => Err(Error::RustError("the index did not reply".to_owned())),
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the runtime fails; it then calls the alarm again.
    pub async fn alarm(&self) -> Result<Response> {
        let ringing = self.host.ring();
        let mut effects = Vec::new();
        if self.with_engine(|engine| engine.alarm(now(), &mut effects)).is_err() {
            self.host.finish_alarm_unopened(ringing).await?;
            return Response::empty();
        }
        let had_effects = !effects.is_empty();
        if let Err(error) = self.carry_out(effects).await {
            // The index asks again.
            console_error!("R2 does not remove blobs: {error}");
        }
        let next = self.with_engine(|engine| engine.next_alarm())?;
        self.host.finish_alarm(ringing, had_effects, next).await?;
        Response::empty()
    }

    fn with_engine<T>(&self, body: impl FnOnce(&mut IndexEngine<DurableSql>) -> T) -> Result<T> {
        let open = || {
            IndexEngine::open(self.host.sql(), self.time_to_live).map_err(|error| {
                console_error!("the index of blobs cannot be opened: {error}");
                Error::RustError(error.public_message())
            })
        };
        self.host.with(open, body)
    }

    async fn keep_alarm(&self) -> Result<()> {
        let next = self.with_engine(|engine| engine.next_alarm())?;
        self.host.keep_alarm(next, AlarmCause::Request).await
    }

    /// Waits until R2 has removed a blob, if it is about to.
    async fn wait_for_removal(&self, hash: &BlobHash) {
        for _ in 0..MAX_REMOVAL_WAIT_STEPS {
            let is_in_removal = self.in_removal.borrow().contains(hash);
            if !is_in_removal {
                return;
            }
            Delay::from(REMOVAL_WAIT_STEP).await;
        }
    }

    /// Removes bytes and looks for those of uploads that were never committed. Returns the reply to a call.
    async fn carry_out(&self, effects: Vec<IndexEffect>) -> Result<Option<IndexReply>> {
        let (mut to_remove, mut to_check, mut replied) = (Vec::new(), Vec::new(), None);
        for effect in effects {
            match effect {
                IndexEffect::Remove(hash) => to_remove.push(hash),
                IndexEffect::Check(hash) => to_check.push(hash),
                IndexEffect::Reply { reply, .. } => replied = Some(reply),
            }
        }
        let reply = replied.transpose().map_err(|error| Error::RustError(error.to_string()))?;
        if to_remove.is_empty() && to_check.is_empty() {
            return Ok(reply);
        }
        let bucket = BlobBucket::of(&self.env)?;
        if !to_remove.is_empty() {
            // Now, in the turn in which the index has decided it: no upload may have begun since.
            self.in_removal.borrow_mut().extend(to_remove.iter().copied());
            let removed = bucket.remove(&to_remove).await;
            for hash in &to_remove {
                self.in_removal.borrow_mut().remove(hash);
                if removed.is_ok() {
                    self.tell(&IndexInput::Removed(*hash))?;
                }
            }
            removed?;
        }
        for hash in to_check {
            let is_stored = bucket.head(&hash).await?.is_some();
            let effects = self.tell(&IndexInput::Checked { hash, is_stored })?;
            // An upload that left nothing has nothing to remove, but the index cannot know.
            Box::pin(self.carry_out(effects)).await?;
        }
        self.keep_alarm().await?;
        Ok(reply)
    }

    fn tell(&self, input: &IndexInput) -> Result<Vec<IndexEffect>> {
        let mut effects = Vec::new();
        self.with_engine(|engine| engine.handle(now(), input, &mut effects))?;
        Ok(effects)
    }
}
