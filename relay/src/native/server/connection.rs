//! The task that reads a connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use hyper::upgrade::OnUpgrade;
use openagents_host::native::InputBatch;
use tokio::time::{Instant, timeout};

use super::decoder::{ClientFrame, Decoder};
use super::gate::ConnectionPermit;
use super::outbox::{CloseReason, Outbox};
use super::socket::{self, SocketReader};
use super::state::ServerState;
use crate::admission::AdmittedMessage;
use crate::engine::Input;
use crate::reason::Reason;
use crate::session::ConnectionId;
use crate::session::Origin;
use crate::validate;
use openagents_host::nostr::message::{ClientMessage, ReconcileStep, RelayMessage};

/// How long the client has to answer the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The most messages that are checked before the engine gets them.
const MAX_MESSAGES_PER_BATCH: usize = 16;

/// Serves a connection until it ends.
pub(super) async fn serve(
    shared: Arc<ServerState>,
    upgrade: OnUpgrade,
    permit: ConnectionPermit,
    origin: Origin,
) {
    // A client that goes away during the handshake is nothing to report.
    let Ok(socket) = upgrade.await else { return };
    let (mut read, write, early) = socket::split(socket);
    let outbox = Arc::new(Outbox::new(write, Arc::clone(&shared.connections.held)));
    let address = origin.address;
    let Ok(connection) = shared.open(&outbox, origin).await else { return };
    let heard = Arc::new(LastReceived::now());
    let mut writer = {
        let (outbox, heard) = (Arc::clone(&outbox), Arc::clone(&heard));
        tokio::spawn(async move { outbox.write(|| heard.at()).await })
    };
    let mut decoder = Decoder::new(validate::max_readable_bytes(&shared.limits));
    decoder.buffer().extend_from_slice(&early);
    let close_reason = tokio::select! {
        close_reason = receive(&shared, (connection, address), &outbox, &heard, &mut decoder, &mut read) => Some(close_reason),
        () = outbox.closing() => None,
    };
    // If it is being closed for another reason already, that one stands.
    outbox.close(close_reason.unwrap_or(CloseReason::NORMAL));
    // The engine may have stopped; then there is nothing left to tell it.
    let _ = shared.mailbox.inputs().send(Input::Close(connection)).await;
    let end = async {
        // Ended with unread bytes, TCP would tell the client "reset" instead of why. So they are read and dropped,
        // unless it was the client who said goodbye.
        if close_reason == Some(CloseReason::NORMAL) {
            let _ = (&mut writer).await;
        } else {
            let _ = tokio::join!(&mut writer, discard(&mut read));
        }
    };
    if timeout(CLOSE_TIMEOUT, end).await.is_err() {
        writer.abort();
    }
    shared.connections.outboxes().remove(&connection);
    shared.gate.forget(connection);
    drop(permit);
}

/// Reads and checks messages until the client ends the connection or breaks the protocol.
///
/// What has come in together is checked together and then given to the engine, so that it shares a transaction.
async fn receive(
    shared: &ServerState,
    (connection, address): (ConnectionId, Option<IpAddr>),
    outbox: &Outbox,
    heard: &LastReceived,
    decoder: &mut Decoder,
    socket: &mut SocketReader,
) -> CloseReason {
    loop {
        let mut next = Next::Read;
        if !decoder.buffer().is_empty() {
            let gather = |inputs: &mut _| gather(shared, (connection, address), outbox, decoder, inputs);
            match shared.mailbox.inputs().submit_batch(gather).await {
                Ok(then) => next = then,
                Err(_) => return CloseReason::GOING_AWAY,
            }
        }
        if let Next::End(close_reason) = next {
            return close_reason;
        }
        outbox.ready().await;
        if next == Next::Gather {
            // Checking takes long. Other connections have their turn.
            tokio::task::yield_now().await;
        } else {
            match socket.read(decoder.buffer()).await {
                Ok(0) | Err(_) => return CloseReason::NORMAL,
                Ok(_) => heard.update(),
            }
        }
    }
}

/// What follows when messages were gathered.
#[derive(PartialEq, Eq)]
enum Next {
    /// More bytes are needed.
    Read,
    /// There may be more messages in what has come.
    Gather,
    End(CloseReason),
}

/// Checks messages that have come: some at most, and none behind one that is answered at length.
fn gather(
    shared: &ServerState,
    (connection, address): (ConnectionId, Option<IpAddr>),
    outbox: &Outbox,
    decoder: &mut Decoder,
    inputs: &mut InputBatch<Input>,
) -> Next {
    while inputs.len() < MAX_MESSAGES_PER_BATCH {
        let mut bytes = 0;
        let message = match decoder.next() {
            Ok(None) => return Next::Read,
            Ok(Some(ClientFrame::Text(text))) => {
                // An event is there as its text and as what was read from it.
                bytes = text.len().saturating_mul(2);
                shared.gate.check(connection, address, &text)
            }
            Ok(Some(ClientFrame::NotUtf8)) => AdmittedMessage::notice(&Reason::invalid("text must be UTF-8")),
            Ok(Some(ClientFrame::Binary)) => AdmittedMessage::binary(),
            Ok(Some(ClientFrame::TooLong)) => AdmittedMessage::notice(&validate::too_long(&shared.limits)),
            Ok(Some(ClientFrame::Ping(payload))) => {
                outbox.pong(payload);
                return Next::Gather;
            }
            Ok(Some(ClientFrame::Pong)) => continue,
            Ok(Some(ClientFrame::Close(_))) => return Next::End(CloseReason::NORMAL),
            Err(violation) => {
                tracing::debug!(%connection, %violation, "a client broke the WebSocket protocol");
                return Next::End(CloseReason::PROTOCOL_ERROR);
            }
        };
        let asks = match &message {
            AdmittedMessage::Verified(message) => matches!(
                **message,
                ClientMessage::Request { .. }
                    | ClientMessage::Count { .. }
                    | ClientMessage::Reconcile {
                        step: ReconcileStep::Open { .. } | ReconcileStep::Continue(_),
                        ..
                    }
            ),
            AdmittedMessage::Refused(answer) => {
                matches!(answer, RelayMessage::Closed { .. } | RelayMessage::ReconcileRefused { .. })
            }
            AdmittedMessage::Unverified { .. } => false,
        };
        if asks {
            outbox.expect_answer();
        }
        inputs.push(Input::Message { connection, message }, bytes);
        if asks {
            break;
        }
    }
    Next::Gather
}

async fn discard(socket: &mut SocketReader) {
    let mut bytes = BytesMut::new();
    while matches!(socket.read(&mut bytes).await, Ok(1..)) {
        bytes.clear();
    }
}

/// When something last came from a client.
struct LastReceived {
    connected: Instant,
    millis_after: AtomicU64,
}

impl LastReceived {
    fn now() -> Self {
        Self { connected: Instant::now(), millis_after: AtomicU64::new(0) }
    }

    fn update(&self) {
        let millis = u64::try_from(self.connected.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis_after.store(millis, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        let after = Duration::from_millis(self.millis_after.load(Ordering::Relaxed));
        self.connected.checked_add(after).unwrap_or(self.connected)
    }
}
