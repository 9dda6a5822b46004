//! How fast a relay answers questions, and whether it answers them rightly.

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

/// What was measured of one shape.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) count: usize,
    /// The events of all answers together.
    pub(crate) events: usize,
    /// In nanoseconds.
    pub(crate) latencies: Vec<u64>,
    pub(crate) cost: Cost,
    /// What is wrong with the answers; nothing when they are right.
    pub(crate) fault: Option<String>,
}

/// A question under way.
#[derive(Debug, Clone, Copy)]
struct Open {
    question: usize,
    sent: Instant,
    events: usize,
}

/// Asks the questions over and over, for so long, on some connections with some subscriptions each.
pub(crate) fn measure(
    target: &Target,
    server: &Watched,
    questions: &[Question],
    depth: Depth,
    time: Duration,
) -> Result<Asked, String> {
    let mut asked = Asked { fault: check(target, questions)?, ..Asked::default() };
    let slots = depth.in_flight.min(10);
    // A subscription is closed by what opens the next one.
    let frames: Vec<Vec<Vec<u8>>> = (0..slots)
        .map(|slot| {
            let close = frames::text(&format!(r#"["CLOSE","q{slot}"]"#));
            let ask = |question: &Question| {
                [close.as_slice(), &frames::text(&format!(r#"["REQ","q{slot}",{}]"#, question.filter))]
                    .concat()
            };
            questions.iter().map(ask).collect()
        })
        .collect();
    let mut swarm = Swarm::open(target, depth.connections)?;
    let began = Instant::now();
    let mut open = vec![vec![Open { question: 0, sent: began, events: 0 }; slots]; depth.connections];
    let mut next = 0;
    let mut ask = |open: &mut Open, slot: usize, outbox: &mut Vec<u8>, now: Instant| {
        let question = next % questions.len();
        next += 1;
        *open = Open { question, sent: now, events: 0 };
        outbox.extend_from_slice(&frames[slot][question]);
    };
    let meter = Meter::start(server);
    for (connection, open) in swarm.connections.iter_mut().zip(&mut open) {
        for (slot, open) in open.iter_mut().enumerate() {
            ask(open, slot, &mut connection.outbox, began);
        }
    }
    swarm.flush()?;
    let mut under_way = depth.connections * slots;
    while under_way > 0 {
        let answered = swarm.turn(PATIENCE, |index, message, outbox| {
            let (name, refused) = match read(message)? {
                Message::Event(name) => {
                    if let Some(open) = slot(name).and_then(|slot| open[index].get_mut(slot)) {
                        open.events += 1;
                    }
                    return Ok(());
                }
                Message::EndOfStored(name) => (name, None),
                Message::Closed(name, reason) => (name, Some(reason)),
                Message::Notice(text) => return Err(format!("the relay complains: {text}")),
                _ => return Ok(()),
            };
            let Some((slot, open)) = slot(name).and_then(|slot| Some((slot, open[index].get_mut(slot)?)))
            else {
                return Err(format!("an answer to no question: {}", String::from_utf8_lossy(message)));
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
                ask(open, slot, outbox, now);
            } else {
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

/// The subscription with a name that ends in this digit.
fn slot(name: u8) -> Option<usize> {
    name.checked_sub(b'0').map(usize::from)
}

/// Whether the questions whose events are known are answered with just these, newest first. It warms up, too.
fn check(target: &Target, questions: &[Question]) -> Result<Option<String>, String> {
    let mut connection = super::connection::Connection::open(target)?;
    for question in questions.iter().filter(|question| !question.ids.is_empty()) {
        let request = format!(r#"["REQ","check0",{}]"#, question.filter);
        connection.outbox.extend(frames::text(&request));
        let mut answer: Vec<Value> = Vec::new();
        let mut refused = None;
        let mut over = false;
        while !over {
            connection.turn(|message, _| {
                match read(message)? {
                    Message::Event(_) => {
                        let event: Value =
                            serde_json::from_slice(message).map_err(|error| error.to_string())?;
                        answer.push(event[2].clone());
                    }
                    Message::EndOfStored(_) => over = true,
                    Message::Closed(_, reason) => refused = Some(reason),
                    Message::Notice(text) => return Err(format!("the relay complains: {text}")),
                    _ => {}
                }
                over |= refused.is_some();
                Ok(())
            })?;
        }
        connection.outbox.extend(frames::text(r#"["CLOSE","check0"]"#));
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
