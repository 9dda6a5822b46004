//! Fan-out: how fast an event reaches its subscribers, among many others.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{EventBuilder, Keys, Kind, Tag, Timestamp};

use super::batch::{self, Batch};
use super::connection::{PATIENCE, Swarm, Target};
use super::cost::{Cost, Meter, Watched};
use super::dataset::BEGINNING;
use super::frames;
use super::messages::{Message, read};

/// The number of subscribers, and of those to which the events are delivered.
const SOCKETS: usize = 500;
pub(crate) const MATCHING: usize = 100;

/// The number of events published at once in a round, and the number of rounds.
pub(crate) const EVENTS: usize = 100;
const ROUNDS: usize = 10;

/// The pause between events that are published one by one.
const PACE: Duration = Duration::from_millis(20);

/// The results.
#[derive(Debug, Default)]
pub(crate) struct FannedOut {
    pub(crate) deliveries: usize,
    /// Of the rounds at full speed.
    pub(crate) cost: Cost,
    /// The time from publishing an event to its last delivery, in nanoseconds, of events published one by one.
    pub(crate) latencies: Vec<u64>,
    /// The first error, if there was one.
    pub(crate) fault: Option<String>,
}

/// The subscribers, followed by the publisher.
struct Crowd {
    swarm: Swarm,
    /// The number of events delivered to each.
    delivered: Vec<usize>,
}

pub(crate) fn measure(target: &Target, server: &Watched) -> Result<FannedOut, String> {
    let author = Keys::generate();
    // The events are unique to this run, and so old that no other query returns them.
    let topic = format!("fan-{}", &author.public_key().to_hex()[..16]);
    let events = |round: usize, count: usize| {
        batch::now((0..count).map(|number| {
            let second = Timestamp::from(BEGINNING - 1 - (round * EVENTS + number) as u64);
            let tag = Tag::parse(["t", &topic]).expect("a tag");
            let content = format!("{round} {number} {}", "lorem ipsum ".repeat(15));
            let event = EventBuilder::new(Kind::from(1), content).tags([tag]).custom_created_at(second);
            event.sign_with_keys(&author).expect("signing cannot fail")
        }))
    };
    let mut crowd = Crowd::gather(target, &topic)?;
    let mut fanned = FannedOut { fault: crowd.publish_checked(&events(0, EVENTS))?, ..FannedOut::default() };
    for round in 1..=ROUNDS {
        let batch = events(round, EVENTS);
        let meter = Meter::start(server);
        let (_, fault) = crowd.publish(&batch, |_| Ok(()))?;
        fanned.cost += meter.stop();
        fanned.deliveries += crowd.delivered.iter().sum::<usize>();
        if fault.is_some() {
            fanned.fault = fanned.fault.or(fault);
            return Ok(fanned);
        }
    }
    for number in 0..EVENTS {
        let event = events(ROUNDS + 1 + number, 1);
        let began = Instant::now();
        let (latency, fault) = crowd.publish(&event, |_| Ok(()))?;
        fanned.latencies.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if fault.is_some() {
            fanned.fault = fanned.fault.or(fault);
            return Ok(fanned);
        }
        std::thread::sleep(PACE.saturating_sub(began.elapsed()));
    }
    Ok(fanned)
}

impl Crowd {
    /// Connects everyone and subscribes.
    fn gather(target: &Target, topic: &str) -> Result<Self, String> {
        let mut swarm = Swarm::open(target, SOCKETS + 1)?;
        for (index, connection) in swarm.connections.iter_mut().take(SOCKETS).enumerate() {
            // The subscribers to the events are spread among the others.
            let wanted =
                if index % (SOCKETS / MATCHING) == 0 { topic.to_owned() } else { format!("{topic}-{index}") };
            let request = format!(r##"["REQ","f",{{"kinds":[1],"#t":["{wanted}"]}}]"##);
            connection.outbox.extend(frames::text(&request));
        }
        swarm.flush()?;
        let mut subscribed = 0;
        while subscribed < SOCKETS {
            let answered = swarm.turn(PATIENCE, |_, message, _| match read(message)? {
                Message::EndOfStored(_) => {
                    subscribed += 1;
                    Ok(())
                }
                Message::Closed(_, reason) => Err(format!("a subscription was refused: {reason}")),
                _ => Ok(()),
            })?;
            if !answered {
                return Err(format!("{} subscriptions have no EOSE", SOCKETS - subscribed));
            }
        }
        Ok(Self { swarm, delivered: vec![0; SOCKETS] })
    }

    /// Publishes events and waits for all deliveries. Returns the time, and the first error.
    fn publish(
        &mut self,
        events: &Batch,
        mut look: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(Duration, Option<String>), String> {
        self.delivered.fill(0);
        let publisher = &mut self.swarm.connections[SOCKETS].outbox;
        (0..events.len()).filter_map(|index| events.get(index)).for_each(|(_, frame)| {
            publisher.extend_from_slice(frame);
        });
        let began = Instant::now();
        let (mut deliveries, mut seen, mut taken, mut last) = (0, 0, 0, began);
        self.swarm.flush()?;
        while deliveries < MATCHING * events.len() || taken < events.len() {
            let delivered = &mut self.delivered;
            let answered = self.swarm.turn(Duration::from_secs(10), |index, message, _| {
                match read(message)? {
                    Message::Event(_) if index < SOCKETS => {
                        delivered[index] += 1;
                        deliveries += 1;
                        look(message)?;
                    }
                    Message::Taken { duplicate: false, .. } => taken += 1,
                    Message::Taken { .. } => return Err("a new event is called a duplicate".to_owned()),
                    Message::Refused(reason) => return Err(format!("the relay refused an event: {reason}")),
                    Message::Closed(_, reason) => return Err(format!("a subscription was closed: {reason}")),
                    _ => {}
                }
                Ok(())
            })?;
            if !answered {
                let expected = MATCHING * events.len();
                return Ok((last - began, Some(format!("{deliveries} of {expected} deliveries"))));
            }
            if deliveries > seen {
                (seen, last) = (deliveries, Instant::now());
            }
        }
        let right =
            self.delivered.iter().enumerate().all(|(index, count)| {
                *count == if index % (SOCKETS / MATCHING) == 0 { events.len() } else { 0 }
            });
        Ok((last - began, (!right).then(|| "deliveries to the wrong sockets".to_owned())))
    }

    /// The same, but checks each delivered event.
    fn publish_checked(&mut self, events: &Batch) -> Result<Option<String>, String> {
        let known: HashSet<String> = (0..events.len())
            .filter_map(|index| Some(String::from_utf8_lossy(events.get(index)?.0).into_owned()))
            .collect();
        let (_, fault) = self.publish(events, |message| {
            let event: serde_json::Value =
                serde_json::from_slice(message).map_err(|error| error.to_string())?;
            let id = event[2]["id"].as_str().unwrap_or_default();
            if known.contains(id) { Ok(()) } else { Err(format!("an event that nobody published: {id}")) }
        })?;
        Ok(fault)
    }
}
