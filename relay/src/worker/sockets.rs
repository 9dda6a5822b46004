//! Sending messages over the sockets of the object.

use std::sync::Arc;

use ::worker::WebSocket;
use ::worker::js_sys::JsString;
use ::worker::wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};

use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

#[wasm_bindgen(wasm_bindgen = ::worker::wasm_bindgen, js_sys = ::worker::js_sys)]
extern "C" {
    type RawSocket;

    /// `WebSocket.send` with a string that is a JavaScript string already.
    #[wasm_bindgen(method, catch)]
    fn send(this: &RawSocket, text: &JsString) -> Result<(), JsValue>;
}

/// The last JavaScript string that was sent. An event is converted once for all subscriptions with the same name,
/// which clients of the same make have.
#[derive(Default)]
pub(super) struct MessageSender {
    /// Filled anew for each message.
    json: String,
    last: Option<(Arc<str>, SubscriptionId, JsString)>,
}

impl MessageSender {
    /// Sends a message. A socket that is closing takes nothing; its end is reported separately.
    pub(super) fn send(&mut self, socket: &WebSocket, message: &RelayMessage) {
        let text = self.text(message);
        let raw: &JsValue = socket.as_ref();
        let _ = raw.unchecked_ref::<RawSocket>().send(&text);
    }

    fn text(&mut self, message: &RelayMessage) -> JsString {
        if let (RelayMessage::Event { subscription, event }, Some((last, name, text))) = (message, &self.last)
            && Arc::ptr_eq(event, last)
            && subscription == name
        {
            return text.clone();
        }
        self.json.clear();
        message.write_json(&mut self.json);
        let text = JsString::from(self.json.as_str());
        if let RelayMessage::Event { subscription, event } = message {
            self.last = Some((Arc::clone(event), subscription.clone(), text.clone()));
        }
        text
    }
}
