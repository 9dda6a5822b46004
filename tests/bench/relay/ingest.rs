//! How fast a relay takes events.

use std::collections::VecDeque;
use std::time::Instant;

use super::batch::Batch;
use super::connection::{PATIENCE, Swarm, Target};
use super::cost::{Cost, Meter, Watched};
use super::messages::{Message, read};

/// How events go in: over some connections, with some unanswered events on each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
}

/// One at a time shows latency.
pub(crate) const ONE: Depth = Depth { connections: 1, in_flight: 1 };

/// Many show throughput.
pub(crate) const MANY: Depth = Depth { connections: 8, in_flight: 16 };

/// Enough for a database to be filled.
pub(crate) const FLOOD: Depth = Depth { connections: 8, in_flight: 64 };

impl std::fmt::Display for Depth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}×{}", self.connections, self.in_flight)
    }
}

/// What is taken for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The `OK` of an event.
    Ok,
    /// Any message, for the event that waits longest: an echo knows nothing of events.
    Anything,
}

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Ingested {
    pub(crate) count: usize,
    /// In nanoseconds.
    pub(crate) latencies: Vec<u64>,
    pub(crate) cost: Cost,
}

/// Publishes all events; every one has to be taken, for the first time.
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
                    // Relays answer in order, mostly.
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
    format!("the relay refused an event: {reason}{hint}")
}
