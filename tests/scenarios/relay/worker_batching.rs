//! Many sockets that send at the same time: the Worker's relay batches their messages and commits them together. Each
//! is answered once, in order, and sees the effects of those before it, whatever happens meanwhile.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{as_json, event, fresh_author};
use openagents_tests::server::{Host, Object, Server};
use openagents_tests::wire::{Client, PATIENCE, SILENCE};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![each_of_many_messages_at_once_is_answered_in_its_turn, what_a_crowd_was_told_is_true_after_a_kill,];

const SOCKETS: usize = 40;
/// How often each socket sends its messages; half of them before the relay is evicted.
const ROUNDS: usize = 8;

/// The subscription to all notes.
const ALL: &str = "all";

/// What a client sends in one round, and the answers it expects.
struct Round {
    note: Event,
    messages: Vec<Value>,
    answers: Vec<Value>,
}

/// A client.
struct Speaker {
    client: Client,
    rounds: Vec<Round>,
}

impl Speaker {
    async fn connect(server: &Server, topic: &str) -> Self {
        let author = fresh_author();
        let mut client = Client::connect(&server.url()).await;
        let everything = json!({"#t": [topic], "kinds": [1], "limit": 0});
        assert!(client.subscribe(ALL, &[everything]).await.is_empty());
        let rounds = (0..ROUNDS).map(|number| round(&author, topic, number)).collect();
        Self { client, rounds }
    }

    /// Sends the messages of some rounds, without waiting.
    async fn say(&mut self, round: usize) {
        for message in &self.rounds[round].messages {
            self.client.send(message).await;
        }
    }

    /// The answers, and the notes received by the subscription.
    async fn listen(&mut self, notes: usize) -> (Vec<Value>, Vec<String>) {
        let expected: usize = self.rounds.iter().map(|round| round.answers.len()).sum();
        let (mut answers, mut heard) = (Vec::new(), Vec::new());
        while answers.len() < expected || heard.len() < notes {
            let Some(text) = self.client.receive_text_within(PATIENCE).await else { break };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message[0] == "EVENT" && message[1] == ALL {
                heard.push(message[2]["id"].as_str().expect("an id").to_owned());
            } else {
                answers.push(brief(&message));
            }
        }
        (answers, heard)
    }
}

/// The part of an answer that is known beforehand.
fn brief(message: &Value) -> Value {
    match message[0].as_str() {
        Some("EVENT") => json!(["EVENT", message[1], message[2]["id"]]),
        Some("EOSE") => json!(["EOSE", message[1]]),
        Some("COUNT") => json!(["COUNT", message[1], message[2]["count"]]),
        Some("OK") => {
            let word = message[3].as_str().and_then(|why| why.split_once(':')).map_or("", |(word, _)| word);
            json!(["OK", message[1], message[2], word])
        }
        _ => message.clone(),
    }
}

/// Alternates between two rounds: a note that is published, queried, published again and counted; and a note that is
/// published, deleted, queried without result and rejected. Each answer depends on all earlier messages; later ones
/// may have taken effect already.
fn round(author: &Keys, topic: &str, number: usize) -> Round {
    let name = |what: &str| format!("{what} {number}");
    let note = event(author, 1, &[&["t", topic]], &name("note"));
    let id = note.id.to_hex();
    let of_another = event(author, 1, &[], &name("another"));
    let mut forged = as_json(&of_another);
    forged["content"] = json!("something else");
    let mut messages = vec![
        json!(["EVENT", as_json(&note)]),
        json!(["REQ", name("found"), {"ids": [id]}]),
        json!(["CLOSE", name("found")]),
        json!(["EVENT", as_json(&note)]),
        json!(["EVENT", forged]),
        json!(["COUNT", name("count"), {"ids": [id]}]),
    ];
    let mut answers = vec![
        json!(["OK", id, true, ""]),
        json!(["EVENT", name("found"), id]),
        json!(["EOSE", name("found")]),
        json!(["OK", id, true, "duplicate"]),
        json!(["OK", of_another.id.to_hex(), false, "invalid"]),
        json!(["COUNT", name("count"), 1]),
    ];
    if number % 2 == 1 {
        let brief = event(author, 1, &[], &name("brief"));
        let deletion = event(author, 5, &[&["e", &brief.id.to_hex()]], &name("deletion"));
        messages.extend([
            json!(["EVENT", as_json(&brief)]),
            json!(["EVENT", as_json(&deletion)]),
            json!(["REQ", name("gone"), {"ids": [brief.id]}]),
            json!(["EVENT", as_json(&brief)]),
        ]);
        answers.extend([
            json!(["OK", brief.id, true, ""]),
            json!(["OK", deletion.id, true, ""]),
            json!(["EOSE", name("gone")]),
            json!(["OK", brief.id, false, "blocked"]),
        ]);
    }
    Round { note, messages, answers }
}

async fn each_of_many_messages_at_once_is_answered_in_its_turn(servers: &Servers) {
    let server = servers.own("hello-world");
    let topic = fresh_author().public_key().to_hex();
    let mut speakers = Vec::new();
    for _ in 0..SOCKETS {
        speakers.push(Speaker::connect(&server, &topic).await);
    }
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 && server.host() == Host::Workerd {
            // While many are still unanswered.
            server.hibernate(Object::Relay).unwrap_or_else(|error| panic!("{error}"));
        }
        for speaker in &mut speakers {
            speaker.say(round).await;
        }
    }
    // The notes of each author, in the order of publication.
    let notes = |speaker: &Speaker| -> Vec<String> {
        speaker.rounds.iter().map(|round| round.note.id.to_hex()).collect()
    };
    let authors: Vec<Vec<String>> = speakers.iter().map(notes).collect();
    let author_of: HashMap<&String, usize> =
        authors.iter().enumerate().flat_map(|(author, ids)| ids.iter().map(move |id| (id, author))).collect();
    for (number, speaker) in speakers.iter_mut().enumerate() {
        let (answers, heard) = speaker.listen(SOCKETS * ROUNDS).await;
        let expected: Vec<&Value> = speaker.rounds.iter().flat_map(|round| &round.answers).collect();
        for (place, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
            assert_eq!(&answer, expected, "socket {number}, answer {place}");
        }
        assert_eq!(answers.len(), expected.len(), "socket {number}");
        let mut by_author = vec![Vec::new(); authors.len()];
        for id in heard {
            by_author[author_of[&id]].push(id);
        }
        assert_eq!(by_author, authors, "socket {number} heard each note once and in its order");
    }
    tokio::time::sleep(SILENCE).await;
    for (number, speaker) in speakers.iter_mut().enumerate() {
        let more = speaker.client.receive_text_within(Duration::from_millis(1)).await;
        assert_eq!(more, None, "socket {number} was told something once more");
    }
}

async fn what_a_crowd_was_told_is_true_after_a_kill(servers: &Servers) {
    let server = servers.own("hello-world");
    let mut acknowledged = 0;
    // The time since the last event was sent.
    for (wave, moment) in [0, 20, 200, 1_000].into_iter().enumerate() {
        let mut speakers = Vec::new();
        for _ in 0..SOCKETS {
            let author = fresh_author();
            let text = |number: usize| format!("wave {wave} note {number}");
            let notes: Vec<Event> = (0..ROUNDS).map(|number| event(&author, 1, &[], &text(number))).collect();
            speakers.push((Client::connect(&server.url()).await, author, notes));
        }
        for number in 0..ROUNDS {
            for (client, _, notes) in &mut speakers {
                client.send(&json!(["EVENT", as_json(&notes[number])])).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
        for (mut client, author, notes) in speakers {
            let mut answered = Vec::new();
            while let Some(text) = client.receive_text_within(SILENCE).await {
                let answer: (String, String, bool, String) = serde_json::from_str(&text).expect("an OK");
                assert!(answer.2, "{answer:?}");
                answered.push(answer.1);
            }
            let sent = notes.iter().map(|note| note.id.to_hex());
            assert_eq!(answered, sent.take(answered.len()).collect::<Vec<_>>(), "in their turn");
            acknowledged += answered.len();
            let mut again = Client::connect(&server.url()).await;
            let stored = again.query(&[json!({"authors": [author.public_key()]})]).await;
            let stored: HashSet<String> = stored.iter().map(|event| event.id.to_hex()).collect();
            let lost = answered.iter().filter(|id| !stored.contains(*id)).count();
            assert_eq!(lost, 0, "of {} acknowledged events", answered.len());
            for note in &notes {
                let answer = again.publish(note).await;
                let is_known = answer.message.starts_with("duplicate:");
                assert!(answer.accepted && is_known == stored.contains(&note.id.to_hex()), "{answer:?}");
            }
        }
    }
    assert!(acknowledged > SOCKETS, "{acknowledged} acknowledged events prove nothing");
}
