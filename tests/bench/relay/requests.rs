//! Queries: how fast a relay answers them, and whether the answers are right.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::connection::{PATIENCE, Swarm, Target};
use super::cost::{Cost, Meter, Watched};
use super::dataset::Id;
use super::frames;
use super::ingest::Depth;
use super::messages::{Message, read};
use super::shapes::Question;

/// The results for one shape.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) count: usize,
    /// The total number of events in the answers.
    pub(crate) events: usize,
    /// In nanoseconds.
    pub(crate) latencies: Vec<u64>,
    pub(crate) cost: Cost,
    /// The first wrong answer; `None` if all are right.
    pub(crate) fault: Option<String>,
}

/// A query in progress, and which of its two subscription ids it uses: while one is closed, the other is opened. Some
/// relays send a `CLOSED` after the `EOSE`, which must not be taken for an answer to the next query.
#[derive(Debug, Clone, Copy)]
struct Open {
    question: usize,
    name: u8,
    sent: Instant,
    events: usize,
}

/// Repeats the queries for this time, on some connections with some subscriptions each.
pub(crate) fn measure(
    target: &Target,
    server: &Watched,
    questions: &[Question],
    depth: Depth,
    time: Duration,
) -> Result<Asked, String> {
    let mut asked = Asked { fault: check(target, questions)?, ..Asked::default() };
    let slots = depth.in_flight.min(10);
    // A message that opens a subscription also closes the previous one.
    let request = |name: u8, question: &Question| {
        let (this, other) = (char::from(name), char::from(other(name)));
        let close = frames::text(&format!(r#"["CLOSE","q{other}"]"#));
        [close, frames::text(&format!(r#"["REQ","q{this}",{}]"#, question.filter))].concat()
    };
    let frames: Vec<Vec<Vec<u8>>> = (0..slots * 2)
        .map(|name| questions.iter().map(|question| request(b'0' + name as u8, question)).collect())
        .collect();
    let mut swarm = Swarm::open(target, depth.connections)?;
    let began = Instant::now();
    let first = |slot: usize| Open { question: 0, name: b'0' + slot as u8 * 2, sent: began, events: 0 };
    let mut open: Vec<Vec<Open>> = vec![(0..slots).map(first).collect(); depth.connections];
    let mut next = 0;
    let mut ask = |open: &mut Open, outbox: &mut Vec<u8>, now: Instant| {
        let (question, name) = (next % questions.len(), other(open.name));
        next += 1;
        *open = Open { question, name, sent: now, events: 0 };
        outbox.extend_from_slice(&frames[usize::from(name - b'0')][question]);
    };
    let meter = Meter::start(server);
    for (connection, open) in swarm.connections.iter_mut().zip(&mut open) {
        open.iter_mut().for_each(|open| ask(open, &mut connection.outbox, began));
    }
    swarm.flush()?;
    let mut under_way = depth.connections * slots;
    while under_way > 0 {
        let answered = swarm.turn(PATIENCE, |index, message, outbox| {
            let (name, refused) = match read(message)? {
                Message::Event(name) => {
                    let open = open[index].iter_mut().find(|open| open.name == name);
                    open.ok_or("an event for no question")?.events += 1;
                    return Ok(());
                }
                Message::EndOfStored(name) => (name, None),
                Message::Closed(name, reason) => (name, Some(reason)),
                Message::Notice(text) => return Err(format!("the relay complains: {text}")),
                _ => return Ok(()),
            };
            let Some(open) = open[index].iter_mut().find(|open| open.name == name) else {
                return Ok(());
            };
            let now = Instant::now();
            asked.latencies.push(u64::try_from((now - open.sent).as_nanos()).unwrap_or(u64::MAX));
            asked.events += open.events;
            let expected = questions[open.question].expected;
            if let Some(reason) = refused {
                asked.fault.get_or_insert(format!("refused: {reason}"));
            } else if open.events != expected {
                asked.fault.get_or_insert_with(|| format!("{} events instead of {expected}", open.events));
            }
            if now - began < time {
                ask(open, outbox, now);
            } else {
                open.name = 0;
                under_way -= 1;
            }
            Ok(())
        })?;
        if !answered {
            return Err(format!("{under_way} questions have no answer after {PATIENCE:?}"));
        }
    }
    asked.cost = meter.stop();
    asked.count = asked.latencies.len();
    Ok(asked)
}

/// The last byte of the other id of the same subscription.
fn other(name: u8) -> u8 {
    name ^ 1
}

/// Checks that queries with known results return exactly these, newest first. This also warms up the relay.
fn check(target: &Target, questions: &[Question]) -> Result<Option<String>, String> {
    let mut connection = super::connection::Connection::open(target)?;
    for (index, question) in questions.iter().filter(|question| !question.ids.is_empty()).enumerate() {
        let asked = b'0' + (index % 2) as u8;
        let request = format!(r#"["REQ","check{}",{}]"#, char::from(asked), question.filter);
        connection.outbox.extend(frames::text(&request));
        let mut answer: Vec<Value> = Vec::new();
        let mut refused = None;
        let mut over = false;
        while !over {
            connection.turn(|message, _| {
                match read(message)? {
                    Message::Event(name) if name == asked => {
                        let event: Value =
                            serde_json::from_slice(message).map_err(|error| error.to_string())?;
                        answer.push(event[2].clone());
                    }
                    Message::EndOfStored(name) => over = name == asked,
                    Message::Closed(name, reason) if name == asked && !over => refused = Some(reason),
                    Message::Notice(text) => return Err(format!("the relay complains: {text}")),
                    _ => {}
                }
                over |= refused.is_some();
                Ok(())
            })?;
        }
        connection.outbox.extend(frames::text(&format!(r#"["CLOSE","check{}"]"#, char::from(asked))));
        let fault = refused.map(|reason| format!("refused: {reason}")).or_else(|| fault(question, &answer));
        if fault.is_some() {
            return Ok(fault);
        }
    }
    connection.flush()?;
    Ok(None)
}

fn fault(question: &Question, answer: &[Value]) -> Option<String> {
    let id = |event: &Value| event["id"].as_str().and_then(|id| Id::try_from(id.as_bytes()).ok());
    let found: HashSet<Id> = answer.iter().filter_map(id).collect();
    let expected: HashSet<Id> = question.ids.iter().copied().collect();
    let times: Vec<u64> = answer.iter().filter_map(|event| event["created_at"].as_u64()).collect();
    if answer.is_empty() {
        Some("no events".to_owned())
    } else if found.len() != answer.len() {
        Some("an event twice".to_owned())
    } else if found != expected {
        let right = found.intersection(&expected).count();
        Some(format!("{right} right and {} other events instead of {}", found.len() - right, expected.len()))
    } else if !times.is_sorted_by(|one, other| one >= other) {
        Some("not newest first".to_owned())
    } else {
        None
    }
}
