//! WebSocket frames (RFC 6455) at minimal cost for the client: messages are masked before the measurement, and
//! received frames are parsed in place.

/// The masking key of all frames. A relay has to unmask with any key.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const FINAL: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// A masked frame with a text message.
pub(crate) fn text(message: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + 14);
    push(&mut frame, TEXT, message.as_bytes());
    frame
}

/// An empty close frame, and a pong.
pub(crate) fn close(frames: &mut Vec<u8>) {
    push(frames, CLOSE, &[]);
}
pub(crate) fn pong(frames: &mut Vec<u8>, payload: &[u8]) {
    push(frames, PONG, payload);
}

fn push(frames: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    frames.push(FINAL | opcode);
    let length = payload.len();
    match length {
        0..126 => frames.push(0x80 | length as u8),
        126..0x1_0000 => {
            frames.push(0x80 | 126);
            frames.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frames.push(0x80 | 127);
            frames.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frames.extend_from_slice(&MASK);
    frames.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// The length of the frame at the beginning of these bytes, masked or not.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let (start, payload) = header(bytes)?;
    Some(start + payload)
}

/// The lengths of the header and of the payload.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = *bytes.get(1)?;
    let (start, payload) = match second & 0x7f {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?) as usize),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        length => (2, length as usize),
    };
    Some((start + if second & 0x80 == 0 { 0 } else { 4 }, payload))
}

/// A frame from a relay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A complete text message.
    Text(&'a [u8]),
    /// A fragment; whether it is the last one.
    Part(&'a [u8], bool),
    Ping(&'a [u8]),
    /// A close frame with its reason.
    Close(&'a [u8]),
    /// A frame without meaning for a client.
    Other,
}

/// The first frame and its length, if it is complete.
pub(crate) fn read(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (start, length) = header(bytes)?;
    let end = start.checked_add(length)?;
    let payload = bytes.get(start..end)?;
    let last = bytes[0] & FINAL != 0;
    let frame = match bytes[0] & 0x0f {
        TEXT if last => Frame::Text(payload),
        TEXT | CONTINUATION => Frame::Part(payload, last),
        PING => Frame::Ping(payload),
        CLOSE => Frame::Close(payload.get(2..).unwrap_or_default()),
        _ => Frame::Other,
    };
    Some((frame, end))
}

#[cfg(test)]
mod tests {
    use super::{Frame, length, read, text};

    #[test]
    fn a_message_is_masked_and_has_its_length() {
        // RFC 6455, section 5.7: "Hello" with this key.
        assert_eq!(text("Hello"), [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        for size in [0, 125, 126, 65_535, 65_536] {
            let frame = text(&"x".repeat(size));
            assert_eq!(length(&frame), Some(frame.len()));
        }
    }

    #[test]
    fn a_frame_is_read_when_all_of_it_is_there() {
        let frame = [0x81, 0x05, b'H', b'e', b'l', b'l', b'o', 0x89];
        assert_eq!(read(&frame), Some((Frame::Text(b"Hello"), 7)));
        assert_eq!(read(&frame[..6]), None);
        assert_eq!(read(&[0x89, 0x01, b'?']), Some((Frame::Ping(b"?"), 3)));
        assert_eq!(read(&[0x01, 0x01, b'a']), Some((Frame::Part(b"a", false), 3)));
        assert_eq!(read(&[0x88, 0x04, 0x03, 0xe8, b'n', b'o']), Some((Frame::Close(b"no"), 6)));
    }
}
