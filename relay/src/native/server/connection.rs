//! The task of a connection that reads, checks and verifies messages.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::upgrade::OnUpgrade;
use openagents_host::native::InputBatch;
use tokio::time::{Instant, timeout};

use super::decoder::{ClientFrame, Decoder};
use super::gate::ConnectionPermit;
use super::outbox::{CloseReason, MemoryPart, Outbox};
use super::socket::{self, SocketReader, SocketWriter};
use super::state::ServerState;
use crate::admission::{AdmittedMessage, Network};
use crate::engine::Input;
use crate::reason::Reason;
use crate::session::ConnectionId;
use crate::session::Origin;
use crate::validate;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::{ClientMessage, ReconcileStep, RelayMessage};

/// How long to wait for the client's close frame after sending ours.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Smaller changes of the memory that an unfinished message takes are not counted, in bytes. This is what most
/// messages need.
const UNFINISHED_MESSAGE_STEP: usize = 8 * 1024;

/// How many messages are checked before they are passed to the engine.
const MAX_MESSAGES_PER_BATCH: usize = 16;

/// Serves a connection after its handshake, until it ends.
pub(super) async fn serve_upgraded(
    shared: Arc<ServerState>,
    upgrade: OnUpgrade,
    permit: ConnectionPermit,
    origin: Origin,
) {
    // A client that disconnects during the handshake is not worth a log line.
    let Ok(socket) = upgrade.await else { return };
    serve(shared, socket::split(socket), permit, origin).await;
}

/// Serves a connection until it ends: the halves of its socket, and what was received already.
pub(super) async fn serve(
    shared: Arc<ServerState>,
    (mut read, write, early): (SocketReader, SocketWriter, Bytes),
    permit: ConnectionPermit,
    origin: Origin,
) {
    let address = origin.address;
    let memory = Arc::clone(&shared.connections.memory);
    let outbox = Arc::new(Outbox::new(write, memory, address.map(Network::of)));
    let Ok(connection) = shared.open(&outbox, origin).await else { return };
    let last_received = Arc::new(LastReceived::now());
    let mut writer = {
        let (outbox, last_received) = (Arc::clone(&outbox), Arc::clone(&last_received));
        tokio::spawn(async move { outbox.write(|| last_received.at()).await })
    };
    let mut decoder = Decoder::new(validate::max_readable_bytes(&shared.limits));
    decoder.buffer().extend_from_slice(&early);
    let close_reason = tokio::select! {
        close_reason = receive(&shared, (connection, address), &outbox, &last_received, &mut decoder, &mut read) => Some(close_reason),
        () = outbox.closing() => None,
    };
    // If the connection is being closed already, the earlier reason stands.
    outbox.close(close_reason.unwrap_or(CloseReason::NORMAL));
    // The engine may have stopped; then nobody needs the notification.
    let _ = shared.mailbox.inputs().send(Input::Close(connection)).await;
    let end = async {
        // Closing a socket with unread bytes makes TCP send a reset, and the client never sees the close reason. So
        // remaining bytes are read and dropped, unless the client itself started to close.
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

/// Receives and checks messages until the client closes the connection or violates the WebSocket protocol.
///
/// Messages that arrived together are checked together and passed to the engine as one batch, so they share a
/// transaction.
async fn receive(
    shared: &ServerState,
    (connection, address): (ConnectionId, Option<IpAddr>),
    outbox: &Outbox,
    last_received: &LastReceived,
    decoder: &mut Decoder,
    socket: &mut SocketReader,
) -> CloseReason {
    let mut told = 0;
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
        let unfinished = decoder.memory_bytes() / UNFINISHED_MESSAGE_STEP;
        if std::mem::replace(&mut told, unfinished) != unfinished {
            let bytes = unfinished.saturating_mul(UNFINISHED_MESSAGE_STEP);
            outbox.set_memory(MemoryPart::UnfinishedMessage, bytes);
            shared.connections.close_largest();
        }
        outbox.ready().await;
        if next == Next::Gather {
            // Checking takes long, so other tasks get a turn.
            tokio::task::yield_now().await;
        } else {
            match socket.read(decoder.buffer()).await {
                Ok(0) | Err(_) => return CloseReason::NORMAL,
                Ok(_) => last_received.update(),
            }
        }
    }
}

/// What to do after messages were gathered.
#[derive(PartialEq, Eq)]
enum Next {
    /// More bytes are needed.
    Read,
    /// There may be more messages in the buffer.
    Gather,
    End(CloseReason),
}

/// Checks messages in the buffer: up to a maximum, and none after a request whose answer may be long. Their events are
/// verified together.
fn gather(
    shared: &ServerState,
    (connection, address): (ConnectionId, Option<IpAddr>),
    outbox: &Outbox,
    decoder: &mut Decoder,
    inputs: &mut InputBatch<Input>,
) -> Next {
    let mut messages: Vec<(AdmittedMessage, usize)> = Vec::new();
    let next = admit(shared, (connection, address), outbox, decoder, &mut messages);
    shared.gate.verify(connection, address, messages.iter_mut().map(|(message, _)| message));
    for (message, text) in messages {
        let bytes = memory_bytes(&message, text);
        inputs.push(Input::Message { connection, message }, bytes);
    }
    next
}

/// Reads messages and passes them through the gate; each is added with the length of its text.
fn admit(
    shared: &ServerState,
    (connection, address): (ConnectionId, Option<IpAddr>),
    outbox: &Outbox,
    decoder: &mut Decoder,
    messages: &mut Vec<(AdmittedMessage, usize)>,
) -> Next {
    while messages.len() < MAX_MESSAGES_PER_BATCH {
        let mut length = 0;
        let message = match decoder.next() {
            Ok(None) => return Next::Read,
            Ok(Some(ClientFrame::Text(text))) => {
                length = text.len();
                shared.gate.admit(connection, address, &text)
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
        let expects_answer = match &message {
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
            AdmittedMessage::Unverified { .. } | AdmittedMessage::Prepared { .. } => false,
        };
        if expects_answer {
            outbox.expect_answer();
        }
        messages.push((message, length));
        if expects_answer {
            break;
        }
    }
    Next::Gather
}

/// How many bytes of memory a message takes until the engine has handled it.
fn memory_bytes(message: &AdmittedMessage, text: usize) -> usize {
    let filters = match message {
        AdmittedMessage::Verified(message) => match &**message {
            ClientMessage::Request { filters, .. } | ClientMessage::Count { filters, .. } => filters,
            // An event is held twice: as text and in parsed form.
            _ => return text.saturating_mul(2),
        },
        _ => return text,
    };
    // What is subscribed to and what is read are copies.
    filters.iter().map(Filter::memory_bytes).fold(0, usize::saturating_add).saturating_mul(2)
}

async fn discard(socket: &mut SocketReader) {
    let mut bytes = BytesMut::new();
    while matches!(socket.read(&mut bytes).await, Ok(1..)) {
        bytes.clear();
    }
}

/// When the client was last last_received from.
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
