//! Decoder of a client's WebSocket frames (RFC 6455, section 5), however TCP splits them.
//!
//! Libraries leave some behaviour open that is decided here: the total length of a fragmented message is limited; a
//! message that is too long is skipped without being buffered; and neither a binary message nor text that is not UTF-8
//! ends the connection.

use bytes::{Buf, BytesMut};

/// A frame or message sent by a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientFrame {
    Text(String),
    /// A text message that is not UTF-8.
    NotUtf8,
    Binary,
    /// A message that is too long. Reported as soon as that is known; the rest of it is skipped.
    TooLong,
    Ping(Vec<u8>),
    Pong,
    /// The client closes the connection, perhaps with a code.
    Close(Option<u16>),
}

/// How the client violates the WebSocket protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("reserved bits are set")]
    ReservedBits,
    #[error("unknown opcode")]
    Opcode,
    #[error("a client's frames must be masked")]
    Unmasked,
    #[error("a control frame must not be fragmented and has at most 125 bytes")]
    Control,
    #[error("the fragments of a message are out of order")]
    Fragments,
    #[error("a close frame has an incomplete code, one that must not be sent, or a reason that is not UTF-8")]
    Close,
}

/// Assembles messages from bytes.
#[derive(Debug)]
pub(super) struct Decoder {
    bytes: BytesMut,
    /// The message whose last fragment has not arrived yet.
    message: Option<PartialMessage>,
    /// How many more bytes of a frame to skip.
    skip: u64,
    longest: usize,
}

#[derive(Debug)]
struct PartialMessage {
    is_text: bool,
    /// `None` once the message is too long.
    payload: Option<Vec<u8>>,
}

struct FrameHeader {
    last: bool,
    opcode: u8,
    length: u64,
    mask: [u8; 4],
    size: usize,
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

impl Decoder {
    /// A decoder that accepts messages of at most `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self { bytes: BytesMut::new(), message: None, skip: 0, longest }
    }

    /// The buffer to which received bytes are appended.
    pub(super) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// How many bytes of memory is taken by what has arrived of messages that are not complete.
    pub(super) fn memory_bytes(&self) -> usize {
        let message = self.message.as_ref().and_then(|message| message.payload.as_ref());
        // An empty buffer is dropped before the next read.
        let buffer = if self.bytes.is_empty() { 0 } else { self.bytes.capacity() };
        message.map_or(0, Vec::capacity).saturating_add(buffer)
    }

    /// The next message; `None` until more bytes have arrived.
    pub(super) fn next(&mut self) -> Result<Option<ClientFrame>, Violation> {
        loop {
            if !self.skipped() {
                return Ok(None);
            }
            let Some(header) = FrameHeader::read(&self.bytes)? else {
                return Ok(None);
            };
            let received = if header.is_control() { self.control(&header)? } else { self.data(&header)? };
            match received {
                Frame::Incomplete => return Ok(None),
                Frame::Nothing => {}
                Frame::ClientFrame(received) => return Ok(Some(received)),
            }
        }
    }

    /// Skips received bytes that are to be skipped; returns whether all of them were.
    fn skipped(&mut self) -> bool {
        let here = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.advance(here);
        self.skip = self.skip.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
        self.skip == 0
    }

    fn control(&mut self, header: &FrameHeader) -> Result<Frame, Violation> {
        if !header.last || header.length > 125 {
            return Err(Violation::Control);
        }
        let Some(payload) = self.payload(header) else {
            return Ok(Frame::Incomplete);
        };
        Ok(Frame::ClientFrame(match (header.opcode, payload.as_slice()) {
            (PING, _) => ClientFrame::Ping(payload),
            (PONG, _) => ClientFrame::Pong,
            (_, []) => ClientFrame::Close(None),
            (_, [high, low, reason @ ..]) => {
                let code = u16::from_be_bytes([*high, *low]);
                if !may_be_sent(code) || std::str::from_utf8(reason).is_err() {
                    return Err(Violation::Close);
                }
                ClientFrame::Close(Some(code))
            }
            (_, [_]) => return Err(Violation::Close),
        }))
    }

    fn data(&mut self, header: &FrameHeader) -> Result<Frame, Violation> {
        let is_text = match (header.opcode, &self.message) {
            (CONTINUATION, Some(message)) => message.is_text,
            (TEXT | BINARY, None) => header.opcode == TEXT,
            _ => return Err(Violation::Fragments),
        };
        let kept = match &self.message {
            Some(message) => message.payload.as_ref().map(Vec::len),
            None => Some(0),
        };
        let room = kept.and_then(|kept| self.longest.checked_sub(kept));
        let fits = room.is_some_and(|room| usize::try_from(header.length).is_ok_and(|length| length <= room));
        if !fits {
            self.bytes.advance(header.size);
            self.skip = header.length;
            self.message = (!header.last).then_some(PartialMessage { is_text, payload: None });
            // Already reported when the message became too long.
            return Ok(if kept.is_some() {
                Frame::ClientFrame(ClientFrame::TooLong)
            } else {
                Frame::Nothing
            });
        }
        let Some(fragment) = self.payload(header) else {
            return Ok(Frame::Incomplete);
        };
        let payload = match self.message.take().and_then(|message| message.payload) {
            Some(mut payload) => {
                payload.extend_from_slice(&fragment);
                payload
            }
            None => fragment,
        };
        if !header.last {
            self.message = Some(PartialMessage { is_text, payload: Some(payload) });
            return Ok(Frame::Nothing);
        }
        Ok(Frame::ClientFrame(match (is_text, String::from_utf8(payload)) {
            (false, _) => ClientFrame::Binary,
            (true, Ok(text)) => ClientFrame::Text(text),
            (true, Err(_)) => ClientFrame::NotUtf8,
        }))
    }

    /// Takes a frame off the buffer if all of it has arrived.
    fn payload(&mut self, header: &FrameHeader) -> Option<Vec<u8>> {
        let length = usize::try_from(header.length).ok()?;
        let whole = header.size.checked_add(length)?;
        if self.bytes.len() < whole {
            self.bytes.reserve(whole.saturating_sub(self.bytes.len()));
            return None;
        }
        let mut payload = self.bytes.get(header.size..whole)?.to_vec();
        self.bytes.advance(whole);
        unmask(&mut payload, header.mask);
        Some(payload)
    }
}

/// Whether a close frame may have this code: those of the registry (RFC 6455, section 11.7) except the ones that only
/// describe a connection without a close frame, and those for libraries and applications (section 7.4.2).
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Unmasks a payload, eight bytes at a time (which the compiler vectorizes further).
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= mask;
    }
}

/// What a frame contained.
enum Frame {
    Incomplete,
    Nothing,
    ClientFrame(ClientFrame),
}

impl FrameHeader {
    /// Parses the header at the beginning of the bytes; `None` if it is incomplete.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let opcode = first & 0x0F;
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Violation::Opcode);
        }
        if second & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        let (length, mask, size) = match (second & 0x7F, rest) {
            (126, [a, b, mask @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), mask, 8),
            (127, [a, b, c, d, e, f, g, h, mask @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), mask, 14)
            }
            (126 | 127, _) => return Ok(None),
            (length, mask) => (u64::from(length), mask, 6),
        };
        Ok(mask.first_chunk().map(|mask| Self { last: first & 0x80 != 0, opcode, length, mask: *mask, size }))
    }

    const fn is_control(&self) -> bool {
        self.opcode & 0x08 != 0
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::{BINARY, CLOSE, CONTINUATION, ClientFrame, Decoder, PING, PONG, TEXT, Violation};

    const MAX_BYTES: usize = 70_000;

    fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![opcode | if last { 0x80 } else { 0 }];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..=0xFFFF => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn decode(bytes: &[u8], pieces: usize) -> (Vec<ClientFrame>, Option<Violation>) {
        let mut decoder = Decoder::new(MAX_BYTES);
        let mut received = Vec::new();
        for piece in bytes.chunks(pieces) {
            decoder.buffer().extend_from_slice(piece);
            loop {
                match decoder.next() {
                    Ok(Some(message)) => received.push(message),
                    Ok(None) => break,
                    Err(violation) => return (received, Some(violation)),
                }
            }
            assert!(decoder.buffer().len() <= MAX_BYTES + 14, "keeps no more than a message");
        }
        (received, None)
    }

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => ".{0,60}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..200),
            1 => (60_000..80_000_usize).prop_map(|length| vec![b'x'; length]),
        ]
    }

    proptest! {
        #![proptest_config(crate::fixtures::random_cases(64))]

        #[test]
        fn puts_messages_together_however_they_are_cut(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(payload(), 1..4)), 1..5),
            pieces in prop_oneof![1..20_usize, 1_000..100_000_usize],
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (is_text, fragments) in &messages {
                let last = fragments.len() - 1;
                for (number, fragment) in fragments.iter().enumerate() {
                    let opcode = match number { 0 if *is_text => TEXT, 0 => BINARY, _ => CONTINUATION };
                    bytes.extend(frame(number == last, opcode, fragment));
                    bytes.extend(frame(true, PONG, b""));
                }
                let whole = fragments.concat();
                expected.push(match (is_text, String::from_utf8(whole)) {
                    (_, result) if result.as_ref().map_or_else(|error| error.as_bytes().len(), String::len) > MAX_BYTES => ClientFrame::TooLong,
                    (false, _) => ClientFrame::Binary,
                    (true, Ok(text)) => ClientFrame::Text(text),
                    (true, Err(_)) => ClientFrame::NotUtf8,
                });
            }
            let (mut received, violation) = decode(&bytes, pieces);
            received.retain(|message| *message != ClientFrame::Pong);
            prop_assert_eq!(received, expected);
            prop_assert_eq!(violation, None);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), pieces in 1..20_usize) {
            decode(&bytes, pieces);
        }
    }

    #[test]
    fn names_protocol_violations() {
        for (bytes, violation) in [
            (vec![0x81, 0x01, b'x'], Violation::Unmasked),
            (vec![0xC1, 0x80], Violation::ReservedBits),
            (vec![0x83, 0x80], Violation::Opcode),
            (frame(false, PING, b""), Violation::Control),
            (frame(true, PING, &[0; 126]), Violation::Control),
            (frame(true, CONTINUATION, b"x"), Violation::Fragments),
            ([frame(false, TEXT, b"x"), frame(true, TEXT, b"y")].concat(), Violation::Fragments),
            (frame(true, CLOSE, b"x"), Violation::Close),
            (frame(true, CLOSE, &[3, 232, 0xFF]), Violation::Close),
        ] {
            assert_eq!(decode(&bytes, 3).1, Some(violation));
        }
    }

    #[test]
    fn a_close_code_must_be_one_that_may_be_sent() {
        let decoded = |code: u16| decode(&frame(true, CLOSE, &code.to_be_bytes()), 9);
        for code in [1_000, 1_003, 1_007, 1_014, 3_000, 4_999] {
            assert_eq!(decoded(code), (vec![ClientFrame::Close(Some(code))], None));
        }
        for code in [0, 999, 1_004, 1_005, 1_006, 1_015, 1_016, 2_999, 5_000, u16::MAX] {
            assert_eq!(decoded(code), (vec![], Some(Violation::Close)), "{code}");
        }
    }

    #[test]
    fn reads_close_and_ping() {
        let bytes = [
            frame(true, PING, b"are you there"),
            frame(true, CLOSE, b""),
            frame(true, CLOSE, &[3, 232, b'x']),
        ]
        .concat();
        let expected = vec![
            ClientFrame::Ping(b"are you there".to_vec()),
            ClientFrame::Close(None),
            ClientFrame::Close(Some(1_000)),
        ];
        assert_eq!(decode(&bytes, 5), (expected, None));
    }
}
