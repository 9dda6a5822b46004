//! A connection's session while the object hibernates: its id as a tag of the socket, the rest as its attachment.

use ::worker::wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use ::worker::{Error, State, WebSocket};
use openagents_host::sql::Sql;

use crate::session::ConnectionId;
use crate::store::Store;

/// The platform stores 16,384 bytes per socket, some of which it uses itself.
const MAX_ATTACHMENT_BYTES: usize = 15 * 1024;

/// The attachment of a connection whose session is too long and is stored in the database instead.
const STORED: &str = "stored";

/// The session of a connection without subscriptions.
const EMPTY: &str = "{}";

#[wasm_bindgen(wasm_bindgen = ::worker::wasm_bindgen)]
extern "C" {
    /// A socket with its connection id in a property. The property lasts as long as the object is awake, and is faster
    /// to read than the tags, which would have to be read for every message.
    type SocketWithId;

    #[wasm_bindgen(method, getter, structural, js_name = openagentsConnection)]
    fn connection_id(this: &SocketWithId) -> Option<f64>;

    #[wasm_bindgen(method, setter, structural, js_name = openagentsConnection)]
    fn set_connection_id(this: &SocketWithId, connection: f64);
}

/// Accepts a socket that survives hibernation.
pub(super) fn accept(state: &State, socket: &WebSocket) -> Result<ConnectionId, Error> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|error| Error::RustError(error.to_string()))?;
    // 53 bits, because the id must be exact as a JavaScript number.
    let connection = ConnectionId::new(u64::from_le_bytes(number) >> 11);
    let tag = JsValue::from_str(&connection.to_string());
    state.as_raw().accept_websocket_with_tags(socket.as_ref(), vec![tag])?;
    socket.serialize_attachment(EMPTY)?;
    Ok(connection)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a connection's number has 53 bits"
)]
/// The connection id of a socket that was [`accept`]ed.
pub(super) fn connection(state: &State, socket: &WebSocket) -> Option<ConnectionId> {
    let raw: &JsValue = socket.as_ref();
    let socket_with_id: &SocketWithId = raw.unchecked_ref();
    if let Some(number) = socket_with_id.connection_id() {
        return Some(ConnectionId::new(number as u64));
    }
    let tags = state.as_raw().get_tags(socket.as_ref()).ok()?;
    let connection = ConnectionId::parse(tags.first()?)?;
    socket_with_id.set_connection_id(connection.number() as f64);
    Some(connection)
}

/// The session of a connection, and whether it is stored in the database.
pub(super) fn restore<S: Sql>(
    store: &Store<S>,
    connection: ConnectionId,
    socket: &WebSocket,
) -> Result<(String, bool), Error> {
    let attached: Option<String> = socket.deserialize_attachment()?;
    match attached.as_deref() {
        Some(STORED) => {
            let stored =
                store.saved_session(connection).map_err(|error| Error::RustError(error.to_string()))?;
            Ok((stored.unwrap_or_else(|| EMPTY.to_owned()), true))
        }
        Some(state) => Ok((state.to_owned(), false)),
        None => Ok((EMPTY.to_owned(), false)),
    }
}

/// Saves the session of a connection; returns whether it is stored in the database now.
pub(super) fn save<S: Sql>(
    store: &Store<S>,
    connection: ConnectionId,
    socket: &WebSocket,
    state: &str,
    was_stored: bool,
) -> Result<bool, Error> {
    let failed = |error: openagents_host::SqlError| Error::RustError(error.to_string());
    if size(state) <= MAX_ATTACHMENT_BYTES {
        socket.serialize_attachment(state)?;
        if was_stored {
            store.forget_session(connection).map_err(failed)?;
        }
        return Ok(false);
    }
    store.save_session(connection, state).map_err(failed)?;
    if !was_stored {
        socket.serialize_attachment(STORED)?;
    }
    Ok(true)
}

/// How many bytes the platform needs for a text: two per UTF-16 unit if any of them is beyond Latin-1.
fn size(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count().saturating_mul(2) }
}
