//! A relay to synchronize with, whose behaviour a test chooses.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use openagents_host::nostr::filter::Filter;
use openagents_host::{PublicKey, VerifiedEvent};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::nip77::{Records, answer};

/// The behaviour of a test relay.
#[derive(Clone)]
pub(super) struct RelayBehaviour {
    /// Its answer to `NEG-OPEN` if it does not support reconciliation. It is silent if that is `null`.
    pub(super) instead_of_reconciling: Option<fn(&str) -> Value>,
    /// How many of every three requests it refuses as too many.
    pub(super) refused_of_three: u32,
    /// How many reconciliations it was asked for.
    pub(super) asked_to_reconcile: Arc<AtomicU32>,
    /// Whether it ignores the `until` of filters.
    pub(super) ignores_until: bool,
    /// How many events it compares in a reconciliation.
    pub(super) most_compared: usize,
    /// How many events it returns per request.
    pub(super) most_given: usize,
    /// Its answer to every second event.
    pub(super) refusal: Option<&'static str>,
    /// A kind that it never returns.
    pub(super) withholds: u16,
    /// Whether it alters the events it returns.
    pub(super) forges: bool,
    /// The only keys that it serves, unless it serves everybody (NIP-42).
    pub(super) members: Option<Vec<PublicKey>>,
    /// How many requests it answers before it forgets an authentication.
    pub(super) answers_before_it_forgets: u32,
}

impl Default for RelayBehaviour {
    fn default() -> Self {
        Self {
            instead_of_reconciling: None,
            refused_of_three: 0,
            asked_to_reconcile: Arc::default(),
            ignores_until: false,
            most_compared: usize::MAX,
            most_given: 100,
            refusal: None,
            withholds: 9_999,
            forges: false,
            members: None,
            answers_before_it_forgets: u32::MAX,
        }
    }
}

pub(super) type Events = Arc<Mutex<Vec<VerifiedEvent>>>;

/// A test relay on a port of its own.
pub(super) async fn relay(events: &[VerifiedEvent], manner: RelayBehaviour) -> (String, Events) {
    let events: Events = Arc::new(Mutex::new(events.to_vec()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let served = Arc::clone(&events);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            let events = Arc::clone(&served);
            let mut server = Server {
                events,
                manner: manner.clone(),
                records: None,
                came: 0,
                is_known: false,
                answered: 0,
                requests: 0,
            };
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else { continue };
                let answers = server.answer(&serde_json::from_str(text.as_str()).unwrap());
                for answer in answers.into_iter().filter(|answer| !answer.is_null()) {
                    socket.send(Message::text(answer.to_string())).await.unwrap();
                }
            }
        }
    });
    (url, events)
}

struct Server {
    events: Events,
    manner: RelayBehaviour,
    records: Option<Records>,
    came: u32,
    is_known: bool,
    /// How many requests it has answered since the authentication.
    answered: u32,
    requests: u32,
}

impl Server {
    fn matching(&self, filter: &Value) -> Vec<VerifiedEvent> {
        let filter = Filter::from_json(&filter.to_string()).unwrap();
        let events = self.events.lock().unwrap();
        let mut found: Vec<_> = events.iter().filter(|event| filter.matches(event)).cloned().collect();
        found.sort_by_key(|event| (std::cmp::Reverse(event.created_at), event.id));
        found.truncate(filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()));
        found
    }

    fn answer(&mut self, message: &Value) -> Vec<Value> {
        let name = message[1].clone();
        let verb = message[0].as_str().unwrap();
        if matches!(verb, "REQ" | "NEG-OPEN") {
            self.is_known &= self.answered < self.manner.answers_before_it_forgets;
            self.answered = self.answered.saturating_add(1);
            let is_reconciling = verb == "NEG-OPEN";
            self.manner.asked_to_reconcile.fetch_add(u32::from(is_reconciling), Ordering::Relaxed);
            self.requests = self.requests.wrapping_add(1);
            if self.requests % 3 < self.manner.refused_of_three {
                let refusal = if is_reconciling { "NEG-ERR" } else { "CLOSED" };
                return vec![json!([refusal, name, "blocked: too many requests, try again in a minute"])];
            }
        }
        if self.manner.members.is_some() && !self.is_known && verb != "AUTH" && verb != "CLOSE" {
            let refused = "auth-required: members only";
            let refusal = match verb {
                "EVENT" => json!(["OK", name["id"], false, refused]),
                "REQ" => json!(["CLOSED", name, refused]),
                _ => json!(["NEG-ERR", name, refused]),
            };
            // The challenge may come before or after the refusal.
            return match self.came.is_multiple_of(2) {
                true => vec![json!(["AUTH", "who are you?"]), refusal],
                false => vec![refusal, json!(["AUTH", "who are you?"])],
            };
        }
        match message[0].as_str().unwrap() {
            "NEG-OPEN" => {
                if let Some(answer) = self.manner.instead_of_reconciling {
                    return vec![answer(name.as_str().unwrap())];
                }
                let found = self.matching(&message[2]);
                if found.len() > self.manner.most_compared {
                    return vec![json!(["NEG-ERR", name, "blocked: this query is too big", 10])];
                }
                self.records = Some(found.iter().map(|event| (event.created_at, event.id)).collect());
                vec![self.step(&name, &message[3])]
            }
            "NEG-MSG" => vec![self.step(&name, &message[2])],
            "REQ" => {
                let mut filter = message[2].clone();
                if self.manner.ignores_until {
                    filter.as_object_mut().unwrap().remove("until");
                }
                let mut found = self.matching(&filter);
                found.truncate(self.manner.most_given);
                found.retain(|event| event.kind.0 != self.manner.withholds);
                let event = |event: &VerifiedEvent| {
                    let mut json: Value = serde_json::from_str(event.json()).unwrap();
                    if self.manner.forges {
                        json["content"] = json!("forged");
                    }
                    json!(["EVENT", name, json])
                };
                found.iter().map(event).chain([json!(["EOSE", name])]).collect()
            }
            "EVENT" => {
                let event = openagents_host::Event::from_json(&name.to_string()).unwrap().verify().unwrap();
                self.came = self.came.saturating_add(1);
                if let Some(refusal) = self.manner.refusal.filter(|_| self.came.is_multiple_of(2)) {
                    return vec![json!(["OK", event.id, false, refusal])];
                }
                let id = event.id;
                let mut events = self.events.lock().unwrap();
                if events.contains(&event) {
                    return vec![json!(["OK", id, true, "duplicate: known"])];
                }
                events.push(event);
                vec![json!(["OK", id, true, ""])]
            }
            "AUTH" => {
                let event = openagents_host::Event::from_json(&name.to_string()).unwrap().verify().unwrap();
                assert_eq!(
                    (event.kind.0, event.tag_values("challenge").next()),
                    (22_242, Some("who are you?"))
                );
                assert!(event.tag_values("relay").next().unwrap().starts_with("ws://127.0.0.1:"));
                if !self.manner.members.as_ref().is_some_and(|members| members.contains(&event.pubkey)) {
                    return vec![json!(["OK", event.id, false, "restricted: you are no member"])];
                }
                self.is_known = true;
                self.answered = 0;
                vec![json!(["OK", event.id, true, ""])]
            }
            _ => vec![],
        }
    }

    fn step(&self, name: &Value, message: &Value) -> Value {
        let message = base16ct::lower::decode_vec(message.as_str().unwrap()).unwrap();
        let answer = answer(self.records.as_ref().unwrap(), &message).unwrap();
        json!(["NEG-MSG", name, base16ct::lower::encode_string(&answer)])
    }
}
