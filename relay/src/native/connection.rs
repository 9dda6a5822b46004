//! A connection: the task that reads it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastwebsockets::upgrade::UpgradeFut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout};

use super::decoder::{Decoder, Received};
use super::entrance::Place;
use super::outbox::{Farewell, Outbox};
use super::shared::Shared;
use crate::check::{self, Checked};
use crate::message::RelayMessage;
use crate::reason::Reason;
use crate::relay::{ConnectionId, Input};
use crate::session::Origin;

/// How long the other side has to take note of the end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, upgrade: UpgradeFut, place: Place, origin: Origin) {
    // A client that goes away during the handshake is nothing to report.
    let Ok(socket) = upgrade.await else { return };
    let (mut read, write) = tokio::io::split(socket.into_inner());
    let outbox = Arc::new(Outbox::default());
    let address = origin.address;
    let Ok(connection) = shared.open(&outbox, origin).await else { return };
    let heard = Arc::new(Heard::now());
    let mut writer = {
        let (outbox, heard) = (Arc::clone(&outbox), Arc::clone(&heard));
        tokio::spawn(async move { outbox.write_to(write, || heard.at()).await })
    };
    let mut decoder = Decoder::new(check::longest_read(&shared.limits));
    let farewell = tokio::select! {
        farewell = receive(&shared, (connection, address), &outbox, &heard, &mut decoder, &mut read) => Some(farewell),
        () = outbox.closing() => None,
    };
    // If it is being closed for another reason already, that one stands.
    outbox.close(farewell.unwrap_or(Farewell::NORMAL));
    // The engine may have stopped; then there is nothing left to tell it.
    let _ = shared.inputs.send(Input::Close(connection)).await;
    let end = async {
        // Ended with unread bytes, TCP would tell the client "reset" instead of why. So they are read and dropped,
        // unless it was the client who said goodbye.
        if farewell == Some(Farewell::NORMAL) {
            let _ = (&mut writer).await;
        } else {
            let _ = tokio::join!(&mut writer, discard(&mut read));
        }
    };
    if timeout(FAREWELL_TIMEOUT, end).await.is_err() {
        writer.abort();
    }
    shared.connections.outboxes().remove(&connection);
    shared.entrance.forget(connection);
    drop(place);
}

/// Reads and checks messages until the client ends the connection or breaks the protocol.
async fn receive<R: AsyncRead + Unpin>(
    shared: &Shared,
    (connection, address): (ConnectionId, Option<IpAddr>),
    outbox: &Outbox,
    heard: &Heard,
    decoder: &mut Decoder,
    socket: &mut R,
) -> Farewell {
    loop {
        let received = match decoder.next() {
            Ok(Some(received)) => received,
            Ok(None) => {
                decoder.buffer().reserve(4_096);
                match socket.read_buf(decoder.buffer()).await {
                    Ok(0) | Err(_) => return Farewell::NORMAL,
                    Ok(_) => heard.update(),
                }
                continue;
            }
            Err(violation) => {
                tracing::debug!(%connection, %violation, "a client broke the WebSocket protocol");
                return Farewell::PROTOCOL_ERROR;
            }
        };
        let message = match received {
            Received::Text(text) => shared.entrance.check(connection, address, &text),
            Received::NotUtf8 => Checked::notice(&Reason::invalid("text must be UTF-8")),
            Received::Binary => Checked::binary(),
            Received::TooLong => Checked::notice(&check::too_long(&shared.limits)),
            Received::Ping(payload) => {
                outbox.pong(payload);
                continue;
            }
            Received::Pong => continue,
            Received::Close(_) => return Farewell::NORMAL,
        };
        if matches!(
            message,
            Checked::Request { .. } | Checked::Count { .. } | Checked::Refused(RelayMessage::Closed { .. })
        ) {
            outbox.expect_answer();
        }
        if shared.inputs.send(Input::Message { connection, message }).await.is_err() {
            return Farewell::GOING_AWAY;
        }
        outbox.ready().await;
    }
}

async fn discard<R: AsyncRead + Unpin>(socket: &mut R) {
    let mut bytes = [0; 4_096];
    while matches!(socket.read(&mut bytes).await, Ok(1..)) {}
}

/// When something last came from a client.
struct Heard {
    connected: Instant,
    millis_after: AtomicU64,
}

impl Heard {
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
