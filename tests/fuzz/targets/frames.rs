//! Fuzzes the bytes of a native connection: they give the same messages however they are split, and no more bytes are
//! buffered than one message may have.

#![no_main]

#[path = "../../../relay/src/native/server/decoder.rs"]
#[allow(dead_code, unreachable_pub)]
mod decoder;

use decoder::{Decoder, ClientFrame, Violation};
use libfuzzer_sys::fuzz_target;

/// The longest message, short enough for short inputs to exceed it.
const LONGEST: usize = 300;

/// The longest header of a frame.
const HEADER: usize = 14;

fn decode(bytes: &[u8], piece: usize) -> (Vec<ClientFrame>, Option<Violation>) {
    let mut decoder = Decoder::new(LONGEST);
    let mut received = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => received.push(message),
                Ok(None) => break,
                Err(violation) => return (received, Some(violation)),
            }
        }
        assert!(decoder.buffer().len() <= LONGEST + HEADER, "more is kept than a message may have");
    }
    (received, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, piece), whole);
    for message in &whole.0 {
        if let ClientFrame::Text(text) = message {
            assert!(text.len() <= LONGEST);
        }
    }
});
