//! Frames of a server (RFC 6455, section 5): whole and unmasked.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Text = 0x1,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

const WHOLE: u8 = 0x80;

/// Appends a frame.
pub(super) fn frame(opcode: Opcode, payload: &[u8], bytes: &mut Vec<u8>) {
    bytes.reserve(payload.len().saturating_add(10));
    bytes.push(WHOLE | opcode as u8);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => bytes.push(length),
        (_, Ok(length)) => {
            bytes.push(126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            // A length in memory fits into 64 bits.
            bytes.extend_from_slice(&u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
}

/// Appends a close frame. A reason beyond what a control frame can hold is left out.
pub(super) fn close(code: u16, reason: &str, bytes: &mut Vec<u8>) {
    let mut payload = code.to_be_bytes().to_vec();
    if reason.len() <= 123 {
        payload.extend_from_slice(reason.as_bytes());
    }
    frame(Opcode::Close, &payload, bytes);
}
