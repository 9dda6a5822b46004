//! WebSocket frames (RFC 6455) that no client library sends.

use openagents_tests::events::{as_json, fresh_author, note};
use openagents_tests::raw::{RawSocket, frame, opcode};
use openagents_tests::server::Host;
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::relay::malformed_messages::{Answer, expect_unharmed};
use crate::servers::{Servers, scenarios};

scenarios![
    a_binary_message,
    text_that_is_not_utf8,
    a_message_in_many_fragments_with_pings_between,
    an_empty_fragment,
    a_frame_that_breaks_the_protocol_ends_the_connection,
    a_frame_that_is_never_finished_disturbs_nobody,
    a_frame_of_an_absurd_length,
    a_ping_with_every_payload_it_can_have,
];

async fn a_binary_message(servers: &Servers) {
    let mut client = servers.client().await;
    let event = note(&fresh_author(), "in bytes");
    let whole = json!(["EVENT", as_json(&event)]).to_string().into_bytes();
    for bytes in [vec![], vec![0, 159, 146, 150], vec![0; 100_000], whole] {
        client.send_message(Message::binary(bytes)).await;
        let received = client.receive_text_within(PATIENCE).await.expect("an answer");
        Answer::Notice.assert("invalid", &received, "a binary frame");
    }
    assert_eq!(client.query(&[json!({"ids": [event.id]})]).await, []);
    expect_unharmed(servers, client).await;
}

async fn text_that_is_not_utf8(servers: &Servers) {
    let server = servers.hello_world();
    for wrong in [
        b"[\"CLOSE\",\"\xff\"]".as_slice(),
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\xc0\x80",
        b"[\"CLOSE\",\"\xf0\x9f\xa6\"]",
    ] {
        let mut client = Client::connect(&server.url()).await;
        client.send_fragments(&[wrong]).await;
        match (servers.host(), client.receive_text_within(PATIENCE).await) {
            // RFC 6455 (8.1) requires an endpoint to fail the connection; workerd does so before the relay sees the
            // message.
            (Host::Workerd, None) => {}
            (_, Some(received)) => {
                Answer::Notice.assert("invalid", &received, "text that is not UTF-8");
                client.expect_alive().await;
            }
            (host, None) => panic!("{} hung up", host.name()),
        }
    }
    // A character may be split between frames: only the whole message must be UTF-8.
    let mut client = Client::connect(&server.url()).await;
    let text = "[\"REQ\",\"é🦀\",{\"limit\":0}]".as_bytes();
    for cut in 8..16 {
        let (head, tail) = text.split_at(cut);
        client.send_fragments(&[head, tail]).await;
        let received = client.receive_text_within(PATIENCE).await.expect("an answer");
        assert!(received.starts_with("[\"EOSE\",\"é🦀\""), "{received}");
    }
    expect_unharmed(servers, client).await;
}

/// Reads the next text message; counts the pongs.
async fn text(socket: &mut RawSocket, pongs: &mut usize) -> String {
    loop {
        match socket.receive().await {
            Some((opcode::TEXT, payload)) => return String::from_utf8(payload).expect("UTF-8"),
            Some((0xA, _)) => *pongs += 1,
            other => panic!("expected a text, got {other:?}"),
        }
    }
}

async fn a_message_in_many_fragments_with_pings_between(servers: &Servers) {
    let mut socket = RawSocket::connect(servers.hello_world().address()).await;
    let message = b"[\"REQ\",\"in pieces\",{\"limit\":0}]";
    let (mut bytes, mut pings) = (Vec::new(), 0);
    for (number, byte) in message.iter().enumerate() {
        let opcode = if number == 0 { opcode::TEXT } else { opcode::CONTINUATION };
        bytes.extend(frame(number + 1 == message.len(), opcode, &[*byte]));
        if number % 10 == 0 && number + 1 < message.len() {
            bytes.extend(frame(true, opcode::PING, b"in the middle"));
            pings += 1;
        }
    }
    socket.send(&bytes).await;
    let mut pongs = 0;
    assert!(text(&mut socket, &mut pongs).await.starts_with("[\"EOSE\",\"in pieces\""));
    // RFC 6455 (5.5.3) allows answering only the last of several pings, as workerd does.
    assert!(
        pongs == pings || (servers.host() == Host::Workerd && pongs > 0),
        "{pongs} pongs for {pings} pings"
    );
}

async fn an_empty_fragment(servers: &Servers) {
    let mut socket = RawSocket::connect(servers.hello_world().address()).await;
    let message = b"[\"REQ\",\"a\",{\"limit\":0}]";
    let bytes = [
        frame(false, opcode::TEXT, b""),
        frame(false, opcode::CONTINUATION, message),
        frame(false, opcode::CONTINUATION, b""),
        frame(true, opcode::CONTINUATION, b""),
    ];
    socket.send(&bytes.concat()).await;
    assert!(text(&mut socket, &mut 0).await.starts_with("[\"EOSE\",\"a\""));
    // Any number of empty fragments is an empty message.
    socket.send(&[frame(false, opcode::TEXT, b""), frame(true, opcode::CONTINUATION, b"")].concat()).await;
    Answer::Notice.assert("invalid", &text(&mut socket, &mut 0).await, "");
}

async fn a_frame_that_breaks_the_protocol_ends_the_connection(servers: &Servers) {
    let server = servers.hello_world();
    let close = b"[\"CLOSE\",\"a\"]";
    let mut unmasked = vec![0x81, close.len() as u8];
    unmasked.extend(close);
    let masked = frame(true, opcode::TEXT, close);
    let with_first = |first: u8| [&[first], &masked[1..]].concat();
    let broken = [
        ("a reserved bit", with_first(0xC1)),
        ("two reserved bits", with_first(0xB1)),
        ("an unknown data opcode", with_first(0x83)),
        ("an unknown control opcode", with_first(0x8B)),
        ("a fragment of nothing", frame(true, opcode::CONTINUATION, close)),
        ("a message inside of another", [frame(false, opcode::TEXT, close), masked.clone()].concat()),
        ("a ping in fragments", frame(false, opcode::PING, b"")),
        ("an unmasked frame", unmasked),
        ("a ping that is too long", frame(true, opcode::PING, &[0; 126])),
        ("half a closing code", frame(true, opcode::CLOSE, b"x")),
        ("a closing code that is only for reports", frame(true, opcode::CLOSE, &1005_u16.to_be_bytes())),
        ("a closing code that nobody has defined", frame(true, opcode::CLOSE, &2000_u16.to_be_bytes())),
        ("a closing code that is none", frame(true, opcode::CLOSE, &65_535_u16.to_be_bytes())),
        ("a closing reason that is not UTF-8", frame(true, opcode::CLOSE, b"\x03\xe8\xff")),
    ];
    // workerd accepts the last seven.
    let objected = if servers.host() == Host::Workerd { broken.len() - 7 } else { broken.len() };
    for (what, bytes) in broken.into_iter().take(objected) {
        let mut socket = RawSocket::connect(server.address()).await;
        socket.send(&bytes).await;
        assert_eq!(socket.end().await, Some(1002), "{what}");
    }
    expect_unharmed(servers, servers.client().await).await;
}

async fn a_frame_that_is_never_finished_disturbs_nobody(servers: &Servers) {
    let server = servers.hello_world();
    let mut sockets = Vec::new();
    for number in 0..20 {
        let mut socket = RawSocket::connect(server.address()).await;
        let bytes = frame(true, opcode::TEXT, &[b'x'; 40_000]);
        socket.send(&bytes[..number * 2_000 + 1]).await;
        sockets.push(socket);
    }
    expect_unharmed(servers, servers.client().await).await;
}

async fn a_frame_of_an_absurd_length(servers: &Servers) {
    let server = servers.hello_world();
    for length in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let mut socket = RawSocket::connect(server.address()).await;
        let mut bytes = vec![0x81, 0xFF];
        bytes.extend(length.to_be_bytes());
        bytes.extend([1, 2, 3, 4]);
        bytes.extend([b'x'; 1_000]);
        socket.send(&bytes).await;
        match (servers.host(), socket.receive().await) {
            // The announced payload is skipped and never kept: the connection stays open, if the client ever
            // completes its frame.
            (Host::Native | Host::NativeForgetful, Some((opcode::TEXT, payload))) => {
                Answer::Notice.assert("invalid", &String::from_utf8_lossy(&payload), "a frame without end");
            }
            // workerd buffers messages of up to 32 MiB and closes the connection for longer ones.
            (Host::Workerd, None | Some((opcode::CLOSE, _))) => {}
            (host, other) => panic!("{}: {other:?}", host.name()),
        }
    }
    expect_unharmed(servers, servers.client().await).await;
}

async fn a_ping_with_every_payload_it_can_have(servers: &Servers) {
    let mut socket = RawSocket::connect(servers.hello_world().address()).await;
    for length in [0, 1, 124, 125] {
        let payload = vec![0xFF; length];
        socket.send(&frame(true, opcode::PING, &payload)).await;
        assert_eq!(socket.receive().await, Some((0xA, payload)));
    }
    // An unsolicited pong needs no answer.
    socket.send(&[frame(true, 0xA, b"unasked"), frame(true, opcode::PING, b"x")].concat()).await;
    assert_eq!(socket.receive().await, Some((0xA, b"x".to_vec())));
}
