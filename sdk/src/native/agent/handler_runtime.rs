//! The Tokio runtime of handlers, schedules, hooks and price functions: one that computes for long without an `.await`
//! holds up others of its kind, but not the relay and HTTP, whose threads are those of the main runtime.

use tokio::runtime::{Builder, Handle, Runtime};

/// How many threads handlers have at least, so that one that computes does not hold up all others.
const MIN_THREADS: usize = 2;

/// A runtime with threads of its own: one per core.
pub(super) struct HandlerRuntime(Option<Runtime>);

impl HandlerRuntime {
    pub(super) fn start() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(MIN_THREADS, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.max(MIN_THREADS))
            .thread_name("handlers")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

/// Does not wait for handlers: one that blocks its thread must not keep the process alive.
impl Drop for HandlerRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
