//! A WebSocket connection in a Worker. It listens to the socket's events itself, because the event stream of the
//! `worker` crate borrows the socket and could not be stored next to it.

use std::cell::Cell;
use std::rc::Rc;

use ::worker::wasm_bindgen::convert::FromWasmAbi;
use ::worker::wasm_bindgen::prelude::Closure;
use ::worker::wasm_bindgen::{JsCast, JsValue};
use ::worker::web_sys::{CloseEvent, Event, MessageEvent};
use ::worker::{Error, Method, Request, RequestInit, RequestRedirect, Url, WebSocket};
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;

use super::AbortOnDrop;
use crate::net::address::Reach;
use crate::net::error::{MAX_MESSAGE_BYTES, SocketError};

/// How many bytes may wait to be read. The runtime cannot be made to pause receiving.
const MAX_WAITING_BYTES: usize = 4 * MAX_MESSAGE_BYTES;

/// The code of a connection that ended without a close frame (RFC 6455).
const ABNORMAL: u16 = 1006;

pub(crate) struct Socket {
    socket: WebSocket,
    arrivals: UnboundedReceiver<Arrival>,
    waiting_bytes: Rc<Cell<usize>>,
    ended: bool,
    /// Must live as long as the runtime may call the functions.
    _listeners: (Listener<MessageEvent>, Listener<CloseEvent>, Listener<Event>),
}

enum Arrival {
    Text(String),
    End(Option<SocketError>),
}

impl Socket {
    pub(crate) async fn connect(url: &Url, _reach: Reach) -> Result<Self, SocketError> {
        let request = upgrade(url).map_err(failure)?;
        let (response, abort) = AbortOnDrop::send(request).await.map_err(failure)?;
        let status = response.status_code();
        let Some(socket) = response.websocket() else { return Err(SocketError::Refused { status }) };
        abort.disarm();
        Self::accept(socket)
    }

    pub(crate) fn accept(socket: WebSocket) -> Result<Self, SocketError> {
        let (sender, arrivals) = unbounded();
        let waiting_bytes = Rc::new(Cell::new(0));
        // Registered before accepting, so that no event is missed.
        let listeners = (
            Listener::add(&socket, "message", on_message(sender.clone(), waiting_bytes.clone()))?,
            Listener::add(&socket, "close", on_close(sender.clone()))?,
            Listener::add(&socket, "error", on_error(sender))?,
        );
        socket.accept().map_err(failure)?;
        Ok(Self { socket, arrivals, waiting_bytes, ended: false, _listeners: listeners })
    }

    pub(crate) async fn send(&mut self, text: String) -> Result<(), SocketError> {
        if self.ended {
            return Err(SocketError::Closed);
        }
        self.socket.send_with_str(text).map_err(failure)
    }

    pub(crate) async fn next(&mut self) -> Option<Result<String, SocketError>> {
        if self.ended {
            return None;
        }
        match self.arrivals.next().await {
            Some(Arrival::Text(text)) => {
                self.waiting_bytes.set(self.waiting_bytes.get().saturating_sub(text.len()));
                Some(Ok(text))
            }
            Some(Arrival::End(error)) => {
                self.abandon();
                error.map(Err)
            }
            None => None,
        }
    }

    /// Sends a close frame and waits for the peer's.
    pub(crate) async fn close(&mut self) {
        self.send_close();
        while let Some(Ok(_)) = self.next().await {}
    }

    /// Ends the connection without waiting.
    pub(crate) fn abandon(&mut self) {
        if !self.ended {
            self.ended = true;
            self.send_close();
        }
    }

    fn send_close(&self) {
        // This fails if the socket is already closed, which is fine.
        let _ = self.socket.close(Some(1000), Some(""));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A function that the runtime calls for each event of a type, until it is dropped.
struct Listener<E> {
    socket: WebSocket,
    event: &'static str,
    function: Closure<dyn FnMut(E)>,
}

impl<E: FromWasmAbi + 'static> Listener<E> {
    fn add(
        socket: &WebSocket,
        event: &'static str,
        function: impl FnMut(E) + 'static,
    ) -> Result<Self, SocketError> {
        // Unwind-safe: the functions below only send into a channel and set a cell.
        let function = Closure::wrap_assert_unwind_safe(Box::new(function) as Box<dyn FnMut(E)>);
        socket
            .as_ref()
            .add_event_listener_with_callback(event, function.as_ref().unchecked_ref())
            .map_err(thrown)?;
        Ok(Self { socket: socket.clone(), event, function })
    }
}

impl<E> Drop for Listener<E> {
    fn drop(&mut self) {
        let function = self.function.as_ref().unchecked_ref();
        let _ = self.socket.as_ref().remove_event_listener_with_callback(self.event, function);
    }
}

// In all three functions, sending fails only if there is no reader any more.

fn on_message(sender: UnboundedSender<Arrival>, waiting: Rc<Cell<usize>>) -> impl FnMut(MessageEvent) {
    let mut overrun = false;
    move |event| {
        // Anything other than text is binary and ignored.
        let Some(text) = event.data().as_string().filter(|_| !overrun) else { return };
        let bytes = waiting.get().saturating_add(text.len());
        let limit = if text.len() > MAX_MESSAGE_BYTES { MAX_MESSAGE_BYTES } else { MAX_WAITING_BYTES };
        if text.len() > limit || bytes > MAX_WAITING_BYTES {
            overrun = true;
            let _ = sender.unbounded_send(Arrival::End(Some(SocketError::TooLarge { limit })));
        } else {
            waiting.set(bytes);
            let _ = sender.unbounded_send(Arrival::Text(text));
        }
    }
}

fn on_close(sender: UnboundedSender<Arrival>) -> impl FnMut(CloseEvent) {
    move |event| {
        let error = (event.code() == ABNORMAL)
            .then(|| SocketError::Network("the connection ended without a close frame".to_owned()));
        let _ = sender.unbounded_send(Arrival::End(error));
    }
}

fn on_error(sender: UnboundedSender<Arrival>) -> impl FnMut(Event) {
    move |_| {
        let error = SocketError::Network("the runtime reports an error of the connection".to_owned());
        let _ = sender.unbounded_send(Arrival::End(Some(error)));
    }
}

/// The upgrade request. `WebSocket::connect` is not used because it follows redirects.
fn upgrade(url: &Url) -> Result<Request, Error> {
    let mut init = RequestInit::new();
    init.with_method(Method::Get).with_redirect(RequestRedirect::Manual);
    init.headers.set("upgrade", "websocket")?;
    // The runtime's `fetch` knows only HTTP schemes.
    let url = url.as_str();
    let url = match url.strip_prefix("ws") {
        Some(rest) => format!("http{rest}"),
        None => url.to_owned(),
    };
    Request::new_with_init(&url, &init)
}

#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
fn failure(error: Error) -> SocketError {
    SocketError::Network(error.to_string())
}

fn thrown(error: JsValue) -> SocketError {
    failure(error.into())
}
