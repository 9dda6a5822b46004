//! The Durable Object of the relay: HTTP requests, WebSocket messages and alarms.

mod requests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::worker::wasm_bindgen::JsValue;
use ::worker::wasm_bindgen_futures::future_to_promise;
use ::worker::{
    Delay, Env, Error, Request, Response, State, WebSocket, WebSocketIncomingMessage, WebSocketPair,
    console_error, console_warn,
};
use openagents_host::http::{Method, Parts, StatusCode, header, header_text, is_websocket_upgrade, response};
use openagents_host::port::alarm::AlarmCause;
use openagents_host::port::call_batch::take_batch;
use openagents_host::sql::SchemaError;
use openagents_host::worker::{DurableSql, ObjectHost, http as worker_http, now, rpc};
use openagents_host::{Engine, PublicKey, Timestamp, VerifiedEvent};

use super::batching::{LastBatch, MAX_BATCH_LONGEST_MESSAGES, MAX_BATCH_MESSAGES};
use super::handover::HandoverSink;
use super::rpc::{AUTHENTICATED_PATH, BILLED_ROWS_PATH, RelayCall};
use super::session;
use super::sockets::MessageSender;
use crate::admission::{AdmittedMessage, ClientMemoryUsage};
use crate::engine::{Effect, Input, Relay, RelayConfig, TurnQueue};
use crate::information::{RelayInformation, asks_for_document};
use crate::management::{ManagementReply, UsedToken};
use crate::reason::{Outcome, Reason};
use crate::session::{ConnectionId, Origin};

/// The implementation of the relay's Durable Object. Each method implements the handler of the same name.
pub struct RelayHost(AssertUnwindSafe<Rc<ObjectInner>>);

/// If subscriptions take more bytes than this, [connections are closed](crate::admission::memory::sort_by_memory). An
/// object has 128 MB in all.
const MAX_CLIENT_MEMORY: usize = 32 * 1024 * 1024;

/// The parts of the object that outlive an event, for deliveries that continue after it.
struct ObjectInner {
    host: ObjectHost<OpenRelay>,
    env: Env,
    config: RelayConfig,
    information: RelayInformation,
    /// The messages of the next turn.
    batch: RefCell<TurnQueue>,
    last: Cell<LastBatch>,
    /// Whether turns follow one another because messages were left over.
    takes_turns: Cell<bool>,
    handover: Box<dyn HandoverSink>,
}

/// The relay and its sockets, in memory while the object is awake.
struct OpenRelay {
    relay: Relay<DurableSql>,
    sockets: BTreeMap<ConnectionId, ClientSocket>,
}

/// Why the relay could not be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Runtime(#[from] Error),
}

impl OpenError {
    /// What strangers may be told.
    fn public_message(&self) -> String {
        match self {
            Self::Schema(error) => error.public_message(),
            Self::Runtime(_) => "the runtime failed; the log has the reason".to_owned(),
        }
    }
}

struct ClientSocket {
    socket: WebSocket,
    /// Whether the session is stored in the database because it is too long for an attachment.
    is_stored: bool,
}

impl RelayHost {
    /// Creates the object without doing anything yet, so that errors can be reported to the first caller.
    #[must_use]
    pub fn new(
        state: State,
        env: Env,
        config: RelayConfig,
        information: RelayInformation,
        handover: Box<dyn HandoverSink>,
    ) -> Self {
        let object = ObjectInner {
            host: ObjectHost::new(state),
            env,
            config,
            information,
            batch: RefCell::default(),
            last: Cell::new(LastBatch { at: Timestamp::EPOCH, count: 0 }),
            takes_turns: Cell::new(false),
            handover,
        };
        Self(AssertUnwindSafe(Rc::new(object)))
    }

    /// Accepts WebSockets, serves the relay information document (NIP-11), and answers calls of other objects
    /// ([`publish`](super::publish), [`query`](super::query), [`manage`](super::manage)).
    ///
    /// # Errors
    /// When the runtime refuses to build a response.
    pub async fn fetch(&self, mut request: Request) -> ::worker::Result<Response> {
        if let Err(public) = self.0.with_open(|_| ()) {
            return Response::error(format!("the relay cannot start: {public}\n"), 500);
        }
        if let Some(call) = rpc::receive::<RelayCall<'_>>(&mut request).await? {
            return self.0.answer(call).await;
        }
        let parts = worker_http::parts(&request)?;
        let wants_document = || asks_for_document(header_text(&parts.headers, &header::ACCEPT));
        let response = match (&parts.method, parts.uri.path()) {
            (&Method::GET, BILLED_ROWS_PATH) => {
                let rows = self.0.with_open(|open| open.relay.store().sql().billed_rows())?;
                return Response::from_json(&rows);
            }
            (&Method::GET, _) if is_websocket_upgrade(&parts.headers) => {
                return self.0.accept(origin(&parts)).await;
            }
            (&Method::GET | &Method::HEAD, _) if wants_document() => {
                self.0.with_open(|open| self.0.information.under(open.relay.rules()))?.to_response()
            }
            (&Method::OPTIONS, _) => response::preflight(),
            _ => {
                let reason = "This is a Nostr relay: connect to it with a WebSocket.";
                response::error(StatusCode::UPGRADE_REQUIRED, reason)
            }
        };
        worker_http::response(response, &parts.method)
    }

    /// Handles a message. One that arrives alone is handled at once. Messages that arrive within one turn of the event
    /// loop are handled as a batch and share a commit, because a commit costs more than everything else about an
    /// event. The returned future must be awaited. One promise per message would cost as much as answering it.
    ///
    /// # Errors
    /// When the database cannot be opened; the client has been told.
    pub fn websocket_message(
        &self,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> ::worker::Result<Option<impl Future<Output = ::worker::Result<()>> + use<>>> {
        let Some(connection) = session::connection(self.0.host.state(), socket) else { return Ok(None) };
        let taken = self.0.with_open(|open| {
            let (message, length) = match message {
                WebSocketIncomingMessage::String(text) => {
                    (open.relay.admit(now(), connection, &text), text.len())
                }
                WebSocketIncomingMessage::Binary(_) => (AdmittedMessage::binary(), 0),
            };
            open.enqueue(&mut self.0.batch.borrow_mut(), connection, message, length);
        });
        if let Err(public) = taken {
            // The text may have been an event or a request, but a notice is all that can be sent without a database.
            let notice =
                crate::RelayMessage::Notice(format!("error: the relay cannot start: {public}").into());
            socket.send_with_str(notice.to_json())?;
            return Ok(None);
        }
        // While turns follow one another, messages only wait: otherwise whoever sends many would have a turn for each.
        let (count, is_full) = self.0.gathered();
        if count == 0 || self.0.takes_turns.get() {
            return Ok(None);
        }
        let pending = if count == 1 && self.0.last.get().is_recent() && !is_full {
            None
        } else if count == 1 || is_full {
            let pending = self.0.handle_batch()?;
            if !pending.takes_time() && self.0.batch.borrow().inputs.is_empty() {
                return Ok(None);
            }
            Some(pending)
        } else {
            return Ok(None);
        };
        let object = Rc::clone(&self.0);
        Ok(Some(async move {
            let mut pending = match pending {
                Some(pending) => pending,
                None => {
                    Delay::from(Duration::ZERO).await;
                    object.handle_batch()?
                }
            };
            let is_first = !object.batch.borrow().inputs.is_empty() && !object.takes_turns.replace(true);
            let _turns = is_first.then(|| Turns(Rc::clone(&object)));
            let mut finished = Ok(());
            loop {
                // What is left over is handled all the same.
                finished = finished.and(object.finish(pending).await);
                if !is_first || object.batch.borrow().inputs.is_empty() {
                    return finished;
                }
                // Other events of the object are handled before the next turn.
                Delay::from(Duration::ZERO).await;
                pending = object.handle_batch()?;
            }
        }))
    }

    /// Ends a connection that the client closed.
    ///
    /// # Errors
    /// When the database cannot be opened or the runtime refuses to set an alarm.
    pub async fn websocket_close(
        &self,
        socket: WebSocket,
        code: usize,
        _: String,
        _: bool,
    ) -> ::worker::Result<()> {
        // Messages received before the close are handled first.
        let pending = self.0.handle_batch_of(&socket)?;
        self.0.close(&socket);
        // Codes that only describe the absence of a code must not be sent.
        let code =
            u16::try_from(code).ok().filter(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999));
        // The client may have disconnected already.
        let _ = socket.close(Some(code.unwrap_or(1000)), Some(""));
        self.0.finish(pending).await
    }

    /// Ends a connection that failed.
    ///
    /// # Errors
    /// When the database cannot be opened or the runtime refuses to set an alarm.
    pub async fn websocket_error(&self, socket: WebSocket, _: Error) -> ::worker::Result<()> {
        let pending = self.0.handle_batch_of(&socket)?;
        self.0.close(&socket);
        self.0.finish(pending).await
    }

    /// Handles the alarm: does what is due.
    ///
    /// # Errors
    /// When the runtime refuses to set the next alarm. The runtime then repeats the alarm.
    pub async fn alarm(&self) -> ::worker::Result<Response> {
        let ringing = self.0.host.ring();
        let done = self.0.with_open(|open| {
            let mut effects = Vec::new();
            open.relay.alarm(now(), &mut effects);
            let had_effects = !effects.is_empty();
            let mut pending = PendingEffects::default();
            open.apply(&mut effects, &mut MessageSender::default(), &mut pending);
            pending.alarm = open.relay.next_alarm();
            (had_effects, pending)
        });
        let Ok((had_effects, pending)) = done else {
            self.0.host.finish_alarm_unopened(ringing).await?;
            return Response::empty();
        };
        self.0.start_deliveries(pending.deliveries)?;
        self.0.host.finish_alarm(ringing, had_effects, pending.alarm).await?;
        Response::empty()
    }
}

/// The origin of a connection. Cloudflare routes by host name, so the `Host` header can be trusted.
fn origin(parts: &Parts) -> ::worker::Result<Origin> {
    let address =
        parts.headers.get("cf-connecting-ip").and_then(|address| address.to_str().ok()?.parse().ok());
    let host = parts.uri.host().map(str::to_ascii_lowercase);
    let key = parts.uri.path().strip_prefix(AUTHENTICATED_PATH);
    let authenticated = key.and_then(|key| PublicKey::from_hex(key).ok());
    let origin = Origin::new(address, host).map_err(|error| Error::RustError(error.to_string()))?;
    Ok(Origin { authenticated, ..origin })
}

/// Effects that are still to be carried out asynchronously.
#[derive(Default)]
#[must_use]
struct PendingEffects {
    deliveries: Vec<VerifiedEvent>,
    /// The outcomes of publications, in order.
    outcomes: Vec<Outcome>,
    found: Option<Result<Vec<Arc<str>>, Reason>>,
    answer: Option<Result<ManagementReply, UsedToken>>,
    /// Whose read is unfinished.
    continued: Option<ConnectionId>,
    /// When the relay needs an alarm, if that is earlier than the current one.
    alarm: Option<Timestamp>,
}

impl PendingEffects {
    const fn takes_time(&self) -> bool {
        self.alarm.is_some() || !self.deliveries.is_empty()
    }
}

impl ObjectInner {
    /// Runs `body` with the open relay, opening it after hibernation. If that fails, the error is what strangers may
    /// be told, and the next event tries again.
    fn with_open<T>(&self, body: impl FnOnce(&mut OpenRelay) -> T) -> ::worker::Result<T> {
        let open = || {
            self.open_relay().map_err(|error| {
                console_error!("the relay cannot start: {}", error);
                Error::RustError(error.public_message())
            })
        };
        self.host.with(open, body)
    }

    fn open_relay(&self) -> Result<OpenRelay, OpenError> {
        let mut relay = Relay::open(self.host.sql(), self.config.clone())?;
        let mut sockets = BTreeMap::new();
        let raw = self.host.state().as_raw().get_websockets().map_err(Error::from)?;
        for socket in raw.into_iter().map(WebSocket::from) {
            let Some(connection) = session::connection(self.host.state(), &socket) else { continue };
            let (state, is_stored) = session::restore(relay.store(), connection, &socket)?;
            relay.restore(connection, &state);
            sockets.insert(connection, ClientSocket { socket, is_stored });
        }
        let open: Vec<ConnectionId> = sockets.keys().copied().collect();
        relay.store().retain_sessions(&open).map_err(SchemaError::from)?;
        Ok(OpenRelay { relay, sockets })
    }

    fn handle(&self, input: Input) -> ::worker::Result<PendingEffects> {
        self.handle_turn(&mut VecDeque::from([input]))
    }

    /// Handles inputs until the turn is over; the others are left.
    fn handle_turn(&self, inputs: &mut VecDeque<Input>) -> ::worker::Result<PendingEffects> {
        let mut pending = self.with_open(|open| open.handle(inputs))?;
        pending.alarm = pending.alarm.filter(|_| self.host.needs_alarm(pending.alarm));
        Ok(pending)
    }

    /// Handles all inputs, in as many turns as that takes.
    fn handle_all(&self, inputs: &mut VecDeque<Input>) -> ::worker::Result<PendingEffects> {
        let mut all = self.handle_turn(inputs)?;
        while !inputs.is_empty() {
            let PendingEffects { deliveries, outcomes, alarm, .. } = self.handle_turn(inputs)?;
            all.deliveries.extend(deliveries);
            all.outcomes.extend(outcomes);
            all.alarm = alarm;
        }
        Ok(all)
    }

    /// How many messages the batch has, and whether it is full.
    fn gathered(&self) -> (usize, bool) {
        let batch = self.batch.borrow();
        let longest = self.config.limits.max_message_length.saturating_mul(MAX_BATCH_LONGEST_MESSAGES);
        let count = batch.inputs.len();
        (count, count >= MAX_BATCH_MESSAGES || batch.bytes() > longest)
    }

    /// Handles the messages of the batch in order, until the turn is over. The others are left for the next turn.
    fn handle_batch(&self) -> ::worker::Result<PendingEffects> {
        let mut batch = self.batch.take();
        let count = batch.inputs.len();
        let pending = self.handle_turn(&mut batch.inputs)?;
        self.last.set(LastBatch { at: now(), count });
        if !batch.inputs.is_empty() {
            self.with_open(|open| open.relay.take_turns(&mut batch))?;
            self.batch.replace(batch);
        }
        Ok(pending)
    }

    /// Handles a client's messages of the batch, because it has left. Those that only request an answer are dropped.
    fn handle_batch_of(&self, socket: &WebSocket) -> ::worker::Result<PendingEffects> {
        let connection = session::connection(self.host.state(), socket);
        let (mut own, others) = {
            let mut batch = self.batch.borrow_mut();
            let inputs = std::mem::take(&mut batch.inputs);
            inputs.into_iter().partition::<VecDeque<_>, _>(|input| input.sender() == connection)
        };
        self.batch.borrow_mut().inputs = others;
        own.retain(|input| !input.only_requests());
        self.handle_turn(&mut own)
    }

    /// Carries out asynchronous effects: sets the alarm in the same turn as the writes, so that both persist or
    /// neither, and leaves deliveries running beyond this event. If they fail, the alarm repeats them.
    async fn finish(self: &Rc<Self>, pending: PendingEffects) -> ::worker::Result<()> {
        self.start_deliveries(pending.deliveries)?;
        self.host.keep_alarm(pending.alarm, AlarmCause::Request).await
    }

    fn start_deliveries(self: &Rc<Self>, deliveries: Vec<VerifiedEvent>) -> ::worker::Result<()> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let object = Rc::clone(self);
        let mut waiting = VecDeque::from(deliveries);
        let promise = future_to_promise(AssertUnwindSafe(async move {
            while !waiting.is_empty() {
                object.deliver(&take_batch(&mut waiting, |event| event.json().len())).await;
            }
            Ok(JsValue::UNDEFINED)
        }));
        self.host.state().as_raw().wait_until(&promise)?;
        Ok(())
    }

    async fn deliver(&self, events: &[VerifiedEvent]) {
        let outcomes = match self.handover.deliver(&self.env, events).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                console_warn!(
                    "{} events could not be delivered and will be retried: {}",
                    events.len(),
                    error
                );
                return;
            }
        };
        let mut delivered = VecDeque::new();
        for (event, outcome) in events.iter().zip(outcomes) {
            match outcome {
                Ok(()) => delivered.push_back(Input::Delivered(event.id)),
                Err(error) => {
                    console_warn!("event {} could not be delivered and will be retried: {}", event.id, error);
                }
            }
        }
        // If the database is unavailable now, the events are delivered again.
        let Ok(pending) = self.handle_all(&mut delivered) else { return };
        if let Err(error) = self.host.keep_alarm(pending.alarm, AlarmCause::Request).await {
            console_error!("the alarm could not be set: {}", error);
        }
    }

    async fn accept(self: &Rc<Self>, origin: ::worker::Result<Origin>) -> ::worker::Result<Response> {
        let origin = origin?;
        let pair = WebSocketPair::new()?;
        let accepted = self.with_open(|open| {
            if let Err(refusal) = open.relay.may_connect(origin.address) {
                return Ok(Err(refusal));
            }
            let connection = session::accept(self.host.state(), &pair.server)?;
            open.sockets.insert(connection, ClientSocket { socket: pair.server.clone(), is_stored: false });
            let mut inputs = VecDeque::from([Input::Open { connection, origin }]);
            Ok::<_, Error>(Ok(open.handle(&mut inputs)))
        });
        match accepted {
            Ok(Ok(Ok(pending))) => {
                self.finish(pending).await?;
                Response::from_websocket(pair.client)
            }
            Ok(Ok(Err(refusal))) => Response::error(format!("{refusal}\n"), refusal.status()),
            Ok(Err(error)) | Err(error) => {
                console_error!("a connection could not be made: {}", error);
                Response::error("The relay could not be opened; see its log.\n", 500)
            }
        }
    }

    fn close(&self, socket: &WebSocket) {
        let Some(connection) = session::connection(self.host.state(), socket) else { return };
        let closed = self.with_open(|open| {
            open.relay.handle(now(), &Input::Close(connection), &mut Vec::new());
            let stored = open.sockets.remove(&connection).is_some_and(|socket| socket.is_stored);
            if stored { open.relay.store().forget_session(connection) } else { Ok(()) }
        });
        // Anything left over is removed when the object wakes up next.
        if let Ok(Err(error)) = closed {
            console_error!("the state of a connection could not be deleted: {}", error);
        }
    }
}

/// Ends the sequence of turns when dropped, also if one of them fails: the next message then begins another.
struct Turns(Rc<ObjectInner>);

impl Drop for Turns {
    fn drop(&mut self) {
        self.0.takes_turns.set(false);
    }
}

impl OpenRelay {
    /// Adds a message, whose text has `length` bytes, to those that wait, or refuses it at once.
    fn enqueue(
        &mut self,
        queue: &mut TurnQueue,
        connection: ConnectionId,
        message: AdmittedMessage,
        length: usize,
    ) {
        let mut effects = Vec::new();
        self.relay.enqueue(queue, connection, message, length, &mut effects);
        self.apply(&mut effects, &mut MessageSender::default(), &mut PendingEffects::default());
    }

    /// Handles inputs in order until the turn is over. The effects of one are carried out before the next is handled:
    /// the answers to many requests would not fit into memory together.
    fn handle(&mut self, inputs: &mut VecDeque<Input>) -> PendingEffects {
        let (mut effects, mut sender, mut pending) =
            (Vec::new(), MessageSender::default(), PendingEffects::default());
        // Of many that wait, the first: a turn rarely handles more.
        let prepared = inputs.len().min(MAX_BATCH_MESSAGES);
        self.relay.prepare(now(), inputs.make_contiguous().get_mut(..prepared).unwrap_or_default());
        self.relay.begin_turn();
        while !self.relay.is_turn_over()
            && let Some(input) = inputs.pop_front()
        {
            self.relay.handle_once(now(), input, &mut effects);
            self.apply(&mut effects, &mut sender, &mut pending);
            if let Some(connection) = pending.continued.take() {
                inputs.push_front(Input::Continue(connection));
            }
        }
        pending.alarm = self.relay.next_alarm();
        pending
    }

    /// Carries out synchronous effects and leaves the others pending.
    fn apply(&mut self, effects: &mut Vec<Effect>, sender: &mut MessageSender, pending: &mut PendingEffects) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { connection, message } => {
                    if let Some(ClientSocket { socket, .. }) = self.sockets.get(&connection) {
                        sender.send(socket, &message);
                    }
                }
                Effect::SessionChanged(connection) => self.save(connection),
                Effect::MemoryChanged { .. } => self.free_memory(),
                Effect::HandOver(event) => pending.deliveries.push(event),
                Effect::Continue(connection) => pending.continued = Some(connection),
                Effect::Published { outcome, .. } => pending.outcomes.push(outcome),
                Effect::Found { events, .. } => pending.found = Some(events),
                Effect::Managed { answer, .. } => pending.answer = Some(answer),
                // Rules are read where they are needed.
                Effect::RulesChanged(_) => {}
                Effect::Disconnect(connection) => {
                    self.disconnect(connection, "you are not allowed to connect");
                }
                Effect::Failed(error) => console_error!("the relay's database failed: {}", error),
                // The engine does its own reads here, because there is only one thread.
                Effect::Read(_) | Effect::Answering { .. } => {}
            }
        }
    }

    /// Ends a connection. The runtime reports the end only after the client's close frame, which may take long, so the
    /// relay forgets the connection immediately.
    fn disconnect(&mut self, connection: ConnectionId, reason: &str) {
        if let Some(ClientSocket { socket, .. }) = self.sockets.get(&connection) {
            let _ = socket.close(Some(1008), Some(reason));
        }
        self.relay.handle(now(), &Input::Close(connection), &mut Vec::new());
    }

    /// While the subscriptions of all connections take too much memory, closes some.
    fn free_memory(&mut self) {
        let holders = self.relay.connections_by_memory();
        let mut total = holders.iter().map(|(_, bytes)| *bytes).fold(0, usize::saturating_add);
        for (connection, bytes) in holders {
            if total <= MAX_CLIENT_MEMORY {
                return;
            }
            total = total.saturating_sub(bytes);
            self.disconnect(connection, "the relay's memory for its clients is full, and you take the most");
        }
    }

    /// How much memory clients make the relay keep.
    fn memory_usage(&self) -> ClientMemoryUsage {
        let holders = self.relay.connections_by_memory();
        let bytes = holders.iter().map(|(_, bytes)| *bytes).fold(0, usize::saturating_add);
        let [subscriptions, limit] =
            [bytes, MAX_CLIENT_MEMORY].map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
        ClientMemoryUsage { subscriptions, limit, ..ClientMemoryUsage::default() }
    }

    /// Saves the session of a connection for after hibernation.
    fn save(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&connection) else { return };
        let state = self.relay.saved(connection);
        match session::save(self.relay.store(), connection, &socket.socket, &state, socket.is_stored) {
            Ok(is_stored) => socket.is_stored = is_stored,
            Err(error) => {
                console_error!("the state of a connection could not be saved: {}", error);
                // Otherwise its subscriptions would end silently. A client that is disconnected reconnects and
                // subscribes again.
                let _ = socket.socket.close(Some(1011), Some("the relay could not save your subscriptions"));
            }
        }
    }
}
