//! Encoder of the server's WebSocket frames (RFC 6455, section 5): unfragmented and unmasked.

use openagents_host::nostr::message::RelayMessage;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Text = 0x1,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

const WHOLE: u8 = 0x80;

/// Appends a message. The JSON of an event, which many connections share, is copied only once, into this buffer.
pub(super) fn message(message: &RelayMessage, bytes: &mut Vec<u8>) {
    if let RelayMessage::Event { subscription, event } = message {
        header(Opcode::Text, message.size(), bytes);
        for part in ["[\"EVENT\",", subscription.as_json(), ",", event, "]"] {
            bytes.extend_from_slice(part.as_bytes());
        }
    } else {
        frame(Opcode::Text, message.to_json().as_bytes(), bytes);
    }
}

/// Appends a frame.
pub(super) fn frame(opcode: Opcode, payload: &[u8], bytes: &mut Vec<u8>) {
    header(opcode, payload.len(), bytes);
    bytes.extend_from_slice(payload);
}

fn header(opcode: Opcode, length: usize, bytes: &mut Vec<u8>) {
    bytes.reserve(length.saturating_add(10));
    bytes.push(WHOLE | opcode as u8);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => bytes.push(length),
        (_, Ok(length)) => {
            bytes.push(126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            // A length in memory fits into 64 bits.
            bytes.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
}

/// Appends a close frame. A reason that is too long for a control frame is left out.
pub(super) fn close(code: u16, reason: &str, bytes: &mut Vec<u8>) {
    let mut payload = code.to_be_bytes().to_vec();
    if reason.len() <= 123 {
        payload.extend_from_slice(reason.as_bytes());
    }
    frame(Opcode::Close, &payload, bytes);
}

#[cfg(test)]
mod tests {
    use super::{Opcode, frame, message};
    use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

    #[test]
    fn frames_an_event_as_the_json_of_its_message() {
        for length in [0, 100, 110, 111, 1_000, 65_530, 70_000] {
            let subscription = SubscriptionId::new("a\"é").unwrap();
            let event = RelayMessage::Event { subscription, event: "x".repeat(length).into() };
            let (mut direct, mut framed) = (Vec::new(), Vec::new());
            message(&event, &mut direct);
            frame(Opcode::Text, event.to_json().as_bytes(), &mut framed);
            assert_eq!(direct, framed, "{length}");
        }
    }
}
