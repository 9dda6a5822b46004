//! The blobs that are on their way over one connection, which stays open for them.

use futures_util::StreamExt as _;
use openagents_host::http::{Body, ByteStream, Response};
use tokio::sync::watch;

/// Counts the transfers of a connection. Clones count together.
#[derive(Clone)]
pub(super) struct Transfers(watch::Sender<usize>);

impl Default for Transfers {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Transfers {
    /// Counts a transfer until the value is dropped.
    pub(super) fn begin(&self) -> Transfer {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        Transfer(self.0.clone())
    }

    /// Whether there is one.
    pub(super) fn are_open(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Completes when there is none.
    pub(super) async fn ended(&self) {
        // It fails only without a sender, and this is one.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// A transfer that goes on.
pub(super) struct Transfer(watch::Sender<usize>);

impl Transfer {
    /// The response, whose body counts as a transfer until it is sent.
    pub(super) fn hold(self, response: Response) -> Response {
        response.map(|body| match body {
            Body::Stream(stream) => {
                let length = stream.length();
                let held = stream.inspect(move |_| {
                    let _ = &self;
                });
                let held = ByteStream::new(Box::pin(held));
                match length {
                    Some(length) => held.with_length(length).into(),
                    None => held.into(),
                }
            }
            body => body,
        })
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
