//! Ingest: how fast a relay accepts events.

use std::collections::VecDeque;
use std::time::Instant;

use super::batch::Batch;
use super::connection::{PATIENCE, Swarm, Target};
use super::cost::{Cost, Meter, Watched};
use super::messages::{Message, read};

/// How events are published: the number of connections, and of events in flight on each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
}

/// One event in flight, for latency.
pub(crate) const ONE: Depth = Depth { connections: 1, in_flight: 1 };

/// Many events in flight, for throughput.
pub(crate) const MANY: Depth = Depth { connections: 8, in_flight: 16 };

/// Enough to fill a database.
pub(crate) const FLOOD: Depth = Depth { connections: 8, in_flight: 64 };

impl std::fmt::Display for Depth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}×{}", self.connections, self.in_flight)
    }
}

/// What counts as an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The `OK` of an event.
    Ok,
    /// Any message, for the event that has waited longest: an echo does not know ids.
    Anything,
}

/// The results.
#[derive(Debug, Default)]
pub(crate) struct Ingested {
    pub(crate) count: usize,
    /// In nanoseconds.
    pub(crate) latencies: Vec<u64>,
    pub(crate) cost: Cost,
}

/// Publishes all events; each must be accepted, and not as a duplicate.
pub(crate) fn measure(
    target: &Target,
    server: &Watched,
    events: &Batch,
    depth: Depth,
) -> Result<Ingested, String> {
    let mut swarm = Swarm::open(target, depth.connections)?;
    publish(&mut swarm, server, events, depth.in_flight, Answer::Ok)
}

/// The same over open connections.
pub(crate) fn publish(
    swarm: &mut Swarm,
    server: &Watched,
    events: &Batch,
    in_flight: usize,
    answer: Answer,
) -> Result<Ingested, String> {
    let count = events.len();
    let mut latencies = Vec::with_capacity(count);
    let mut duplicates = 0;
    let mut unanswered = vec![VecDeque::with_capacity(in_flight); swarm.connections.len()];
    let mut next = 0;
    let mut send = |unanswered: &mut VecDeque<(usize, Instant)>, outbox: &mut Vec<u8>, now: Instant| {
        if let Some((_, frame)) = events.get(next) {
            outbox.extend_from_slice(frame);
            unanswered.push_back((next, now));
            next += 1;
        }
    };
    let meter = Meter::start(server);
    let began = Instant::now();
    for _ in 0..in_flight {
        for (connection, unanswered) in swarm.connections.iter_mut().zip(&mut unanswered) {
            send(unanswered, &mut connection.outbox, began);
        }
    }
    swarm.flush()?;
    while latencies.len() < count {
        let answered = swarm.turn(PATIENCE, |index, message, outbox| {
            let waiting = &mut unanswered[index];
            let place = match (answer, read(message)?) {
                (Answer::Anything, _) => Some(0),
                (Answer::Ok, Message::Taken { id, duplicate }) => {
                    duplicates += usize::from(duplicate);
                    // Relays mostly answer in order.
                    waiting.iter().position(|(sent, _)| events.get(*sent).is_some_and(|(of, _)| *of == id))
                }
                (Answer::Ok, Message::Refused(reason)) => return Err(refused(&reason)),
                (Answer::Ok, Message::Notice(text)) => return Err(format!("the relay complains: {text}")),
                (Answer::Ok, _) => return Ok(()),
            };
            let Some((_, sent)) = place.and_then(|place| waiting.remove(place)) else {
                return Err(format!("an answer to what was not sent: {}", String::from_utf8_lossy(message)));
            };
            let now = Instant::now();
            latencies.push(u64::try_from((now - sent).as_nanos()).unwrap_or(u64::MAX));
            send(waiting, outbox, now);
            Ok(())
        })?;
        if !answered {
            return Err(format!(
                "{} of {count} events have no OK after {PATIENCE:?}",
                count - latencies.len()
            ));
        }
    }
    let cost = meter.stop();
    if duplicates > 0 {
        return Err(format!(
            "the relay had {duplicates} of {count} events before: start with an empty database, or measure with \
             another --seed"
        ));
    }
    Ok(Ingested { count, latencies, cost })
}

fn refused(reason: &str) -> String {
    let limited = reason.starts_with("rate-limited:");
    let hint = if limited { " (raise its limits for the measurement)" } else { "" };
    format!("the relay rejected an event: {reason}{hint}")
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use nostr_sdk::nostr::Keys;

    use super::super::{batch, frames};
    use super::{Batch, Depth, Target, Watched, measure};

    /// A relay with one connection, which answers the message with this number in this way.
    fn relay(mut answer: impl FnMut(usize) -> String + Send + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut serve = move |mut stream: TcpStream| -> std::io::Result<()> {
            let (mut inbox, mut buffer, mut number) = (Vec::new(), [0; 4096], 0);
            assert!(stream.read(&mut buffer)? > 0, "no handshake");
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                inbox.extend_from_slice(&buffer[..count]);
                while let Some(length) = frames::length(&inbox).filter(|length| *length <= inbox.len()) {
                    inbox.drain(..length);
                    let text = answer(number);
                    number += 1;
                    stream.write_all(&[0x81, u8::try_from(text.len()).unwrap()])?;
                    stream.write_all(text.as_bytes())?;
                }
            }
        };
        std::thread::spawn(move || listener.accept().and_then(|(stream, _)| serve(stream)));
        Target::parse(&format!("ws://{address}")).unwrap()
    }

    fn events() -> (Batch, Vec<String>) {
        let author = Keys::generate();
        let note = |number: usize| openagents_tests::events::note(&author, &number.to_string());
        let notes: Vec<_> = (0..20).map(note).collect();
        let ids = notes.iter().map(|note| note.id.to_hex()).collect();
        (batch::now(notes.into_iter()), ids)
    }

    /// The error if the eleventh answer is this one; `ID` and `OTHER` stand for the event's id and another.
    fn eleventh(answer: &'static str) -> Result<usize, String> {
        let (events, ids) = events();
        let target = relay(move |number| match number {
            10 => answer.replace("ID", &ids[number]).replace("OTHER", &ids[0]),
            _ => format!(r#"["OK","{}",true,""]"#, ids[number]),
        });
        let depth = Depth { connections: 1, in_flight: 4 };
        measure(&target, &Watched::default(), &events, depth).map(|ingested| ingested.latencies.len())
    }

    #[test]
    fn every_event_must_be_taken() {
        assert_eq!(eleventh(r#"["OK","ID",true,""]"#), Ok(20));
        let cases = [
            (r#"["OK","ID",false,"rate-limited: slow down"]"#, "raise its limits"),
            (r#"["OK","ID",true,"duplicate: known"]"#, "had 1 of 20 events before"),
            (r#"["OK","OTHER",true,""]"#, "an answer to what was not sent"),
            (r#"["NOTICE","no"]"#, "complains: no"),
            ("nonsense", "not a message of a relay"),
        ];
        for (answer, error) in cases {
            let told = eleventh(answer);
            assert!(told.as_ref().is_err_and(|told| told.contains(error)), "{answer}: {told:?}");
        }
    }
}
