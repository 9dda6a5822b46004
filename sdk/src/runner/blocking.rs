//! Warns about handlers that hold their thread: natively, others wait for it meanwhile.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Span, warn};

/// How long a handler may compute without an `.await` before it is named.
const LONGEST: Duration = Duration::from_millis(100);

/// The handlers that have been named, with their agents. Each is named once in the life of the process.
static NAMED: Mutex<BTreeSet<(&str, &str)>> = Mutex::new(BTreeSet::new());

/// Drives a run of this agent's handler to its end.
pub(super) async fn watch<T>(
    agent: &'static str,
    handler: &'static str,
    span: Span,
    run: impl Future<Output = T>,
) -> T {
    let mut run = pin!(run);
    std::future::poll_fn(|context| {
        let began = Instant::now();
        let polled = run.as_mut().poll(context);
        let took = began.elapsed();
        if took >= LONGEST && NAMED.lock().unwrap_or_else(PoisonError::into_inner).insert((agent, handler)) {
            span.in_scope(|| {
                warn!(
                    "`{handler}` held its thread for {} ms without an `.await`, and other handlers had to wait: move what \
                     blocks or computes to `tokio::task::spawn_blocking`",
                    took.as_millis()
                );
            });
        }
        polled
    })
    .await
}
