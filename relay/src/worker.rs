//! The relay in a Durable Object.
//!
//! The object sleeps while nothing is said and forgets everything but its database, its sockets and what is attached to
//! them. So nothing is kept in memory that could not be read again: the first event after waking up
//! opens the [`Relay`] and takes up every connection in the state that was kept with its socket.

mod manage;
mod publish;
mod query;
mod session;
mod written;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::worker::wasm_bindgen::JsValue;
use ::worker::wasm_bindgen_futures::future_to_promise;
use ::worker::{
    Delay, Env, Error, Method, Request, Response, State, WebSocket, WebSocketIncomingMessage, WebSocketPair,
    console_error, console_warn,
};
use openagents_host::worker::{DurableSql, now, set_alarm};
use openagents_host::{Engine, Event, Timestamp, VerifiedEvent};

pub use manage::{MANAGE_PATH, manage};
pub use publish::{PUBLISH_PATH, publish};
pub use query::{QUERY_PATH, query};

use self::written::Written;
use crate::check::Checked;
use crate::information::{CONTENT_TYPE, CORS_HEADERS, RelayInformation, asks_for_document};
use crate::limits::Limits;
use crate::management::{Answer, UsedToken};
use crate::reason::{Outcome, Reason};
use crate::relay::{ConnectionId, Effect, Input, Relay, RelayConfig, Ticket};
use crate::session::Origin;

/// Where the relay object tells how many rows Cloudflare bills, as [`DurableSql::billed_rows`] counts them. The Worker's own
/// routes must never lead here.
pub const BILLED_ROWS_PATH: &str = "/internal/billed-rows";

/// The limits of a relay in an object, which has 128 MB of memory.
#[must_use]
pub fn limits() -> Limits {
    Limits { max_reconciled_events: 100_000, max_look_ups: 100_000, ..Limits::default() }
}

/// Who gets the events that [`RelayConfig::handover`] wants.
pub trait HandOver: 'static {
    /// Takes an event. It must be safe before this returns `Ok`: then the relay forgets that it was to be delivered. The
    /// same event can come more than once. It should give up after some seconds: it is tried again.
    ///
    /// # Errors
    /// What goes to the log.
    fn deliver(env: &Env, event: &VerifiedEvent) -> impl Future<Output = Result<(), String>>;
}

/// The body of the relay's Durable Object. Each method is the handler of the same name.
pub struct RelayHost<H>(AssertUnwindSafe<Rc<Object<H>>>);

/// All of the object that has to outlive an event, for deliveries that go on after it.
struct Object<H> {
    state: State,
    env: Env,
    config: RelayConfig,
    information: RelayInformation,
    /// `None` until the first event, and while the database cannot be opened. Never borrowed across an `await`.
    awake: RefCell<Option<Awake>>,
    gathered: RefCell<Gathered>,
    last: Cell<Handled>,
    handover: PhantomData<fn() -> H>,
}

/// The messages that were handled last.
#[derive(Clone, Copy)]
struct Handled {
    at: Timestamp,
    /// How many they were.
    count: usize,
}

/// A message that comes so soon after others were handled waits for those that come with it…
const SOON: Duration = Duration::from_millis(1);

/// … and so soon after a crowd: those whom it answered may send their next messages together as well. That takes as long
/// as their answers are under way.
const SOON_AFTER_CROWD: Duration = Duration::from_millis(50);

impl Handled {
    /// Whether what comes now comes soon after.
    fn is_soon(self) -> bool {
        self.at.until(now()) <= if self.count > 1 { SOON_AFTER_CROWD } else { SOON }
    }
}

/// How many messages wait for each other at most.
const MOST_GATHERED: usize = 256;

/// How many of the longest messages have as much text together as may wait: they are all in memory.
const LONGEST_GATHERED: usize = 4;

/// The messages that wait for each other.
#[derive(Default)]
struct Gathered {
    inputs: Vec<Input>,
    /// How long their texts are together, in bytes.
    length: usize,
}

/// What is in memory while the object is awake.
struct Awake {
    relay: Relay<DurableSql>,
    sockets: BTreeMap<ConnectionId, Socket>,
    /// The alarm that was set since waking up.
    alarm: Option<Timestamp>,
}

struct Socket {
    socket: WebSocket,
    /// Whether the state is in the database, since it is too long to be attached.
    is_stored: bool,
}

impl<H: HandOver> RelayHost<H> {
    /// The object's body. Nothing is done yet: what fails is to be told to whoever asks.
    #[must_use]
    pub fn new(state: State, env: Env, config: RelayConfig, information: RelayInformation) -> Self {
        let object = Object {
            state,
            env,
            config,
            information,
            awake: RefCell::new(None),
            gathered: RefCell::default(),
            last: Cell::new(Handled { at: Timestamp::EPOCH, count: 0 }),
            handover: PhantomData,
        };
        Self(AssertUnwindSafe(Rc::new(object)))
    }

    /// Makes WebSockets, answers with the relay information document (NIP-11), takes what agents [`publish`] and
    /// answers what they [`query`].
    ///
    /// # Errors
    /// When the runtime refuses to build a response.
    pub async fn fetch(&self, mut request: Request) -> ::worker::Result<Response> {
        let header = |name| request.headers().get(name).map(Option::unwrap_or_default);
        let wants_upgrade = header("upgrade")?.eq_ignore_ascii_case("websocket");
        let wants_document = asks_for_document(&header("accept")?);
        match (request.method(), request.path().as_str()) {
            (Method::Post, PUBLISH_PATH) => {
                let text = request.text().await?;
                self.0.published(&text).await
            }
            (Method::Post, QUERY_PATH) => {
                let filters = request.text().await?;
                self.0.queried(&filters).await
            }
            (Method::Get, BILLED_ROWS_PATH) => {
                let rows = self.0.awake(|awake| awake.relay.store().sql().billed_rows())?;
                Response::ok(format!(r#"{{"read":{},"written":{}}}"#, rows.read, rows.written))
            }
            (Method::Post, MANAGE_PATH) => {
                let call = request.text().await?;
                self.0.managed(&call).await
            }
            (Method::Get, _) if wants_upgrade => self.0.accept(origin(&request)).await,
            (Method::Get | Method::Head, _) if wants_document => {
                let document =
                    self.0.awake(|awake| self.0.information.under(awake.relay.rules()).to_json())?;
                with_cors(Response::ok(document)?, CONTENT_TYPE)
            }
            (Method::Options, _) => with_cors(Response::empty()?.with_status(204), CONTENT_TYPE),
            _ => Response::error("This is a Nostr relay: connect to it with a WebSocket.\n", 426),
        }
    }

    /// Takes a message. One that comes alone is done with at once; those that come in a crowd are gathered for a turn
    /// of the runtime, handled together and so committed together: a commit costs more than all else about an event.
    /// What is returned is to be awaited. A promise for each message would cost as much as its answer.
    ///
    /// # Errors
    /// When the database cannot be opened; then whoever sent it has been told.
    pub fn websocket_message(
        &self,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> ::worker::Result<Option<impl Future<Output = ::worker::Result<()>> + use<H>>> {
        let Some(connection) = session::connection(&self.0.state, socket) else { return Ok(None) };
        let input = match message {
            WebSocketIncomingMessage::String(text) => Input::Text { connection, text },
            WebSocketIncomingMessage::Binary(_) => Input::Message { connection, message: Checked::binary() },
        };
        if let Err(error) = self.0.awake(|_| ()) {
            console_error!("the relay could not be opened: {}", error);
            // The text may have been an event or a request. It is not worth more than this: nothing can be done.
            let notice = crate::RelayMessage::Notice(crate::reason::storage_failed().to_string().into());
            socket.send_with_str(notice.to_json())?;
            return Ok(None);
        }
        let (count, is_full) = self.0.gather(input);
        let pending = if count == 1 && self.0.last.get().is_soon() && !is_full {
            None
        } else if count == 1 || is_full {
            let pending = self.0.handle_gathered()?;
            if !pending.takes_time() {
                return Ok(None);
            }
            Some(pending)
        } else {
            return Ok(None);
        };
        let object = Rc::clone(&self.0);
        Ok(Some(async move {
            let pending = match pending {
                Some(pending) => pending,
                None => {
                    Delay::from(Duration::ZERO).await;
                    object.handle_gathered()?
                }
            };
            object.go_on(pending).await
        }))
    }

    /// Ends a connection that the client ended.
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
        // What it said before is heard.
        let pending = self.0.handle_gathered()?;
        self.0.close(&socket);
        // A code that only describes an end without a code must not be sent.
        let code =
            u16::try_from(code).ok().filter(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999));
        // The client may be gone already.
        let _ = socket.close(Some(code.unwrap_or(1000)), Some(""));
        self.0.go_on(pending).await
    }

    /// Ends a connection that broke.
    ///
    /// # Errors
    /// When the database cannot be opened or the runtime refuses to set an alarm.
    pub async fn websocket_error(&self, socket: WebSocket, _: Error) -> ::worker::Result<()> {
        let pending = self.0.handle_gathered()?;
        self.0.close(&socket);
        self.0.go_on(pending).await
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the database cannot be opened or the runtime refuses to set the next alarm. Then the runtime repeats the alarm.
    pub async fn alarm(&self) -> ::worker::Result<Response> {
        let pending = self.0.awake(|awake| {
            awake.alarm = None;
            let mut effects = Vec::new();
            awake.relay.alarm(now(), &mut effects);
            let mut pending = Pending::default();
            awake.apply(&mut effects, &mut Written::default(), &mut pending);
            awake.expect_alarm(&mut pending);
            pending
        });
        self.0.go_on(pending?).await?;
        Response::empty()
    }
}

/// Where a connection comes from. Cloudflare routes by the host name, so that it vouches for it.
fn origin(request: &Request) -> ::worker::Result<Origin> {
    let address = request.headers().get("cf-connecting-ip")?.and_then(|address| address.parse().ok());
    let host = request.url()?.host_str().map(str::to_ascii_lowercase);
    Origin::new(address, host).map_err(|error| Error::RustError(error.to_string()))
}

/// What is left to be done of some effects once all that is synchronous is done. An alarm in it counts as set: it must not
/// be dropped.
#[derive(Default)]
#[must_use]
struct Pending {
    deliveries: Vec<VerifiedEvent>,
    outcome: Option<Outcome>,
    found: Option<Result<Vec<Arc<str>>, Reason>>,
    answer: Option<Result<Answer, UsedToken>>,
    alarm: Option<Timestamp>,
}

impl Pending {
    const fn takes_time(&self) -> bool {
        self.alarm.is_some() || !self.deliveries.is_empty()
    }
}

impl<H: HandOver> Object<H> {
    /// Runs `body` with what is in memory, after waking up if it must.
    fn awake<T>(&self, body: impl FnOnce(&mut Awake) -> T) -> ::worker::Result<T> {
        // Nothing here runs inside of itself: it cannot be borrowed already.
        let mut awake = self.awake.try_borrow_mut().map_err(|error| Error::RustError(error.to_string()))?;
        let awake = match &mut *awake {
            Some(awake) => awake,
            asleep => asleep.insert(self.wake()?),
        };
        Ok(body(awake))
    }

    fn wake(&self) -> ::worker::Result<Awake> {
        let failed = |error: &dyn std::fmt::Display| Error::RustError(error.to_string());
        let sql = DurableSql::new(&self.state.storage());
        let mut relay = Relay::open(sql, self.config.clone()).map_err(|error| failed(&error))?;
        let mut sockets = BTreeMap::new();
        for socket in self.state.as_raw().get_websockets()?.into_iter().map(WebSocket::from) {
            let Some(connection) = session::connection(&self.state, &socket) else { continue };
            let (state, is_stored) =
                session::restore(relay.store(), connection, &socket).map_err(|error| failed(&error))?;
            relay.restore(connection, &state);
            sockets.insert(connection, Socket { socket, is_stored });
        }
        let open: Vec<ConnectionId> = sockets.keys().copied().collect();
        relay.store().retain_sessions(&open).map_err(|error| failed(&error))?;
        Ok(Awake { relay, sockets, alarm: None })
    }

    fn handle(&self, input: Input) -> ::worker::Result<Pending> {
        self.awake(|awake| awake.handle(vec![input]))
    }

    /// Puts a message to those that wait, and says how many they are now and whether they must not wait any longer.
    fn gather(&self, input: Input) -> (usize, bool) {
        let mut gathered = self.gathered.borrow_mut();
        if let Input::Text { text, .. } = &input {
            gathered.length = gathered.length.saturating_add(text.len());
        }
        gathered.inputs.push(input);
        let longest = self.config.limits.max_message_length.saturating_mul(LONGEST_GATHERED);
        let count = gathered.inputs.len();
        (count, count >= MOST_GATHERED || gathered.length > longest)
    }

    /// Handles the messages that wait, in their order.
    fn handle_gathered(&self) -> ::worker::Result<Pending> {
        let gathered = self.gathered.take();
        let count = gathered.inputs.len();
        self.awake(|awake| {
            let pending = awake.handle(gathered.inputs);
            self.last.set(Handled { at: now(), count });
            pending
        })
    }

    /// Does what takes time: sets the alarm, in the same turn as the writes so that both are kept or neither, and
    /// leaves the deliveries to go on when this event is over. If they do not, the alarm repeats them.
    async fn go_on(self: &Rc<Self>, pending: Pending) -> ::worker::Result<()> {
        if !pending.deliveries.is_empty() {
            let object = Rc::clone(self);
            let deliveries = pending.deliveries;
            let promise = future_to_promise(AssertUnwindSafe(async move {
                for event in deliveries {
                    object.deliver(&event).await;
                }
                Ok(JsValue::UNDEFINED)
            }));
            self.state.as_raw().wait_until(&promise)?;
        }
        self.set_alarm(pending.alarm).await
    }

    async fn set_alarm(&self, at: Option<Timestamp>) -> ::worker::Result<()> {
        match at {
            Some(at) => set_alarm(&self.state.storage(), Some(at)).await,
            None => Ok(()),
        }
    }

    async fn deliver(&self, event: &VerifiedEvent) {
        match H::deliver(&self.env, event).await {
            Ok(()) => {
                // If the database cannot be reached now, it is delivered again.
                let Ok(pending) = self.handle(Input::Delivered(event.id)) else { return };
                if let Err(error) = self.set_alarm(pending.alarm).await {
                    console_error!("the alarm could not be set: {}", error);
                }
            }
            Err(error) => {
                console_warn!("event {} could not be delivered; it is tried again: {}", event.id, error);
            }
        }
    }

    async fn accept(self: &Rc<Self>, origin: ::worker::Result<Origin>) -> ::worker::Result<Response> {
        let origin = origin?;
        let pair = WebSocketPair::new()?;
        let accepted = self.awake(|awake| {
            if let Err(no_entry) = awake.relay.may_connect(origin.address) {
                return Ok(Err(no_entry));
            }
            let connection = session::accept(&self.state, &pair.server)?;
            awake.sockets.insert(connection, Socket { socket: pair.server.clone(), is_stored: false });
            Ok::<_, Error>(Ok(awake.handle(vec![Input::Open { connection, origin }])))
        });
        match accepted {
            Ok(Ok(Ok(pending))) => {
                self.go_on(pending).await?;
                Response::from_websocket(pair.client)
            }
            Ok(Ok(Err(no_entry))) => Response::error(format!("{no_entry}\n"), no_entry.status()),
            Ok(Err(error)) | Err(error) => {
                console_error!("a connection could not be made: {}", error);
                Response::error("The relay could not be opened; see its log.\n", 500)
            }
        }
    }

    fn close(&self, socket: &WebSocket) {
        let Some(connection) = session::connection(&self.state, socket) else { return };
        let closed = self.awake(|awake| {
            awake.relay.handle(now(), &Input::Close(connection), &mut Vec::new());
            let stored = awake.sockets.remove(&connection).is_some_and(|socket| socket.is_stored);
            if stored { awake.relay.store().forget_session(connection) } else { Ok(()) }
        });
        // What is left over goes when the object wakes up next.
        if let Ok(Err(error)) = closed {
            console_error!("the state of a connection could not be deleted: {}", error);
        }
    }

    /// Publishes an agent's event and answers with the [`Outcome`].
    async fn published(self: &Rc<Self>, json: &str) -> ::worker::Result<Response> {
        let event = match Event::from_json(json).map_err(|error| error.to_string()) {
            Ok(event) => event.verify().map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        let event = match event {
            Ok(event) => event,
            Err(error) => return Response::from_json(&Outcome::Refused(Reason::invalid(error))),
        };
        let mut pending = self.handle(Input::Publish { ticket: Ticket(0), event })?;
        let outcome = pending.outcome.take();
        self.go_on(pending).await?;
        match outcome {
            Some(outcome) => Response::from_json(&outcome),
            None => Response::error("the relay did not decide\n", 500),
        }
    }
}

impl Awake {
    /// Handles inputs in their order. What comes of one is sent before the next is handled: the answers to many requests
    /// would not fit into memory together.
    fn handle(&mut self, inputs: Vec<Input>) -> Pending {
        let (mut effects, mut written, mut pending) = (Vec::new(), Written::default(), Pending::default());
        for ahead in self.relay.read_ahead(now(), inputs) {
            self.relay.handle_ahead(now(), ahead, &mut effects);
            self.apply(&mut effects, &mut written, &mut pending);
        }
        self.expect_alarm(&mut pending);
        pending
    }

    /// Carries out the effects that are synchronous, and leaves the others pending.
    fn apply(&mut self, effects: &mut Vec<Effect>, written: &mut Written, pending: &mut Pending) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { connection, message } => {
                    if let Some(Socket { socket, .. }) = self.sockets.get(&connection) {
                        written.send(socket, &message);
                    }
                }
                Effect::SessionChanged(connection) => self.save(connection),
                Effect::HandOver(event) => pending.deliveries.push(event),
                Effect::Published { outcome, .. } => pending.outcome = Some(outcome),
                Effect::Found { events, .. } => pending.found = Some(events),
                Effect::Managed { answer, .. } => pending.answer = Some(answer),
                // The rules are read where they are needed.
                Effect::RulesChanged(_) => {}
                Effect::Disconnect(connection) => self.disconnect(connection),
                Effect::Failed(error) => console_error!("the relay's database failed: {}", error),
                // The relay reads by itself here: there is one thread.
                Effect::Read(_) | Effect::Answering { .. } => {}
            }
        }
    }

    /// Has the alarm set, if it is earlier than the one that is.
    fn expect_alarm(&mut self, pending: &mut Pending) {
        let next = self.relay.next_alarm();
        if next.is_some_and(|next| self.alarm.is_none_or(|set| next < set)) {
            self.alarm = next;
            pending.alarm = next;
        }
    }

    /// Ends a connection. The rest is done when its end is reported, which a client can put off for long; so it is out of the
    /// relay's sight at once.
    fn disconnect(&mut self, connection: ConnectionId) {
        if let Some(Socket { socket, .. }) = self.sockets.get(&connection) {
            let _ = socket.close(Some(1008), Some("you may not connect here"));
        }
        self.relay.handle(now(), &Input::Close(connection), &mut Vec::new());
    }

    /// Keeps the state of a connection for the time after the next sleep.
    fn save(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&connection) else { return };
        let state = self.relay.saved(connection);
        match session::save(self.relay.store(), connection, &socket.socket, &state, socket.is_stored) {
            Ok(is_stored) => socket.is_stored = is_stored,
            Err(error) => {
                console_error!("the state of a connection could not be kept: {}", error);
                // Its subscriptions would end unseen. A client that is closed connects and subscribes again.
                let _ = socket.socket.close(Some(1011), Some("the relay could not keep your subscriptions"));
            }
        }
    }
}

fn with_cors(mut response: Response, content_type: &str) -> ::worker::Result<Response> {
    let headers = response.headers_mut();
    headers.set("content-type", content_type)?;
    for (name, value) in CORS_HEADERS {
        headers.set(name, value)?;
    }
    Ok(response)
}
