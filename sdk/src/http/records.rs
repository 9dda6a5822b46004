//! `GET /agent/…/{history,sessions,memory,state.json}`: the agent's records as JSON, for operators.

use openagents_host::EventId;
use openagents_host::keys::parse_public_key;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::response::HttpResponse;
use crate::engine::StateQuery;

/// How many entries of a list are given when the operator does not say.
const DEFAULT_LIMIT: usize = 50;

/// How many entries of a list are given at most.
const MAX_LIMIT: usize = 500;

/// How many turns of a conversation are given: all that are kept.
const MAX_TURNS: usize = 1_000;

/// The longest key in memory that is looked for, in bytes.
const MAX_KEY_LENGTH: usize = 512;

/// Something on record. Names are as the client wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// The jobs, the newest first.
    History,
    /// One job, with its request and its answer.
    Job { id: &'a str },
    /// The customers with a conversation.
    Sessions,
    /// The conversation with one customer.
    Conversation { customer: &'a str },
    /// The keys in memory.
    Memory,
    /// The value under one of them.
    MemoryEntry { key: &'a str },
    /// The agent's struct.
    State,
}

impl<'a> Record<'a> {
    /// The record at this path below the agent's.
    pub(super) fn at(path: &'a str) -> Option<Self> {
        let file =
            |name: &'a str| name.strip_suffix(".json").filter(|name| !name.is_empty() && !name.contains('/'));
        Some(match path.split_once('/') {
            None => match path {
                "history" => Self::History,
                "sessions" => Self::Sessions,
                "memory" => Self::Memory,
                "state.json" => Self::State,
                _ => return None,
            },
            Some(("history", name)) => Self::Job { id: file(name)? },
            Some(("sessions", name)) => Self::Conversation { customer: file(name)? },
            // A key may have slashes.
            Some(("memory", key)) => Self::MemoryEntry { key },
            Some(_) => return None,
        })
    }

    /// What to ask the agent's database, and how to show its answer.
    pub(super) fn state_query(self, query: &str) -> Result<(StateQuery, RecordFormat), HttpResponse> {
        let limit = |usual| limit(query, usual);
        Ok(match self {
            Self::History => {
                let before = number(query, "before")?;
                let limit = limit(DEFAULT_LIMIT)?;
                (
                    StateQuery::History { before, limit: limit.saturating_add(1) },
                    RecordFormat::List { name: "jobs", limit },
                )
            }
            Self::Job { id } => {
                let id = EventId::from_hex(id)
                    .map_err(|_| missing("A job has the id of its request: 64 hex characters."))?;
                (
                    StateQuery::Job { id },
                    RecordFormat::Entry {
                        missing: "This job is not on record; jobs that ended long ago are forgotten.",
                    },
                )
            }
            Self::Sessions => {
                let limit = limit(DEFAULT_LIMIT)?;
                (
                    StateQuery::Sessions { limit: limit.saturating_add(1) },
                    RecordFormat::List { name: "sessions", limit },
                )
            }
            Self::Conversation { customer } => {
                let customer = parse_public_key(customer)
                    .map_err(|_| missing("A customer is named by npub1… or 64 hex characters."))?;
                (StateQuery::Turns { customer, limit: MAX_TURNS }, RecordFormat::Turns)
            }
            Self::Memory => {
                let limit = limit(DEFAULT_LIMIT)?;
                let prefix = value(query, "prefix").unwrap_or_default();
                let after = value(query, "after").unwrap_or_default();
                let query = StateQuery::MemoryEntries { prefix, after, limit: limit.saturating_add(1) };
                (query, RecordFormat::List { name: "entries", limit })
            }
            Self::MemoryEntry { key } => {
                let nothing = "There is nothing under this key.";
                let key = percent_decode_str(key).decode_utf8().map_err(|_| missing(nothing))?;
                if key.len() > MAX_KEY_LENGTH {
                    return Err(missing(nothing));
                }
                (StateQuery::MemoryEntry { key: key.into_owned() }, RecordFormat::Entry { missing: nothing })
            }
            Self::State => (StateQuery::State, RecordFormat::State),
        })
    }
}

/// How an answer of the database is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordFormat {
    /// A list under a name. One entry more than `limit` was asked for, to see whether there are more.
    List { name: &'static str, limit: usize },
    /// One thing, or nothing.
    Entry { missing: &'static str },
    /// A conversation.
    Turns,
    /// The agent's struct, which is its default as long as nothing was stored.
    State,
}

impl RecordFormat {
    pub(super) fn page(self, answer: Value, default_state: &str) -> HttpResponse {
        match (self, answer) {
            (Self::List { name, limit }, Value::Array(mut entries)) => {
                let more = entries.len() > limit;
                entries.truncate(limit);
                let mut list = Map::new();
                list.insert(name.to_owned(), Value::Array(entries));
                list.insert("more".to_owned(), Value::Bool(more));
                HttpResponse::value(&Value::Object(list))
            }
            (Self::Entry { missing: reason }, Value::Null) => missing(reason),
            (Self::Turns, Value::Array(turns)) if turns.is_empty() => {
                missing("There is no conversation with this customer.")
            }
            (Self::Turns, turns) => HttpResponse::value(&json!({ "turns": turns })),
            (Self::State, Value::Null) => HttpResponse::json(default_state.to_owned()),
            (_, answer) => HttpResponse::value(&answer),
        }
    }
}

fn missing(reason: &str) -> HttpResponse {
    HttpResponse::failure(404, reason)
}

/// The first value of this name in a query.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

fn number(query: &str, name: &str) -> Result<Option<u64>, HttpResponse> {
    let Some(text) = value(query, name) else { return Ok(None) };
    // What the database can compare.
    let number = text.parse().ok().filter(|number| *number < 1 << 53);
    number
        .map(Some)
        .ok_or_else(|| HttpResponse::failure(400, &format!("`{name}` must be a whole number below 2^53.")))
}

fn limit(query: &str, usual: usize) -> Result<usize, HttpResponse> {
    let asked = number(query, "limit")?;
    Ok(asked.map_or(usual, |asked| usize::try_from(asked).unwrap_or(MAX_LIMIT).clamp(1, MAX_LIMIT)))
}

#[cfg(test)]
mod tests {
    use openagents_host::Keys;
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Record, RecordFormat};
    use crate::engine::StateQuery;

    fn state_query(path: &str, query: &str) -> Result<StateQuery, u16> {
        let question = Record::at(path).expect("a record").state_query(query);
        question.map(|(query, _)| query).map_err(|page| page.status)
    }

    #[test]
    fn reads_keys_with_slashes_and_signs() {
        for (path, key) in [
            ("memory/a", "a"),
            ("memory/a/b", "a/b"),
            ("memory/a%2Fb%20c+d", "a/b c+d"),
            ("memory/", ""),
            ("memory/%C3%A9.json", "é.json"),
        ] {
            assert_eq!(state_query(path, ""), Ok(StateQuery::MemoryEntry { key: key.to_owned() }), "{path}");
        }
        assert_eq!(state_query("memory/%ff", ""), Err(404));
        assert_eq!(state_query(&format!("memory/{}", "a".repeat(513)), ""), Err(404));
    }

    #[test]
    fn asks_for_one_more_than_it_gives() {
        for (query, before, limit) in [
            ("", None, 51),
            ("limit=3", None, 4),
            ("limit=3&before=17", Some(17), 4),
            ("limit=0", None, 2),
            ("limit=100000", None, 501),
            ("other=x", None, 51),
        ] {
            assert_eq!(state_query("history", query), Ok(StateQuery::History { before, limit }), "{query}");
        }
        let shown = RecordFormat::List { name: "jobs", limit: 2 };
        assert_eq!(shown.page(json!([1, 2, 3]), "").body, r#"{"jobs":[1,2],"more":true}"#);
        assert_eq!(shown.page(json!([1, 2]), "").body, r#"{"jobs":[1,2],"more":false}"#);
    }

    #[test]
    fn says_which_number_is_none() {
        for query in ["limit=many", "limit=-1", "limit=", "before=1.5", "before=9007199254740992"] {
            assert_eq!(state_query("history", query), Err(400), "{query}");
        }
    }

    #[test]
    fn names_customers_either_way() {
        let keys = Keys::from_secret(&[1; 32]).unwrap();
        for name in [keys.npub(), keys.public_key().to_hex()] {
            let asked = state_query(&format!("sessions/{name}.json"), "").unwrap();
            assert!(matches!(asked, StateQuery::Turns { customer, .. } if customer == keys.public_key()));
        }
        assert_eq!(state_query("sessions/somebody.json", ""), Err(404));
        assert_eq!(state_query("history/1234.json", ""), Err(404));
    }

    #[test]
    fn finds_nothing_elsewhere() {
        for path in [
            "",
            "history/",
            "history/ab",
            "sessions/a/b.json",
            "sessions/.json",
            "state",
            "states/x",
            "other",
        ] {
            assert_eq!(Record::at(path), None, "{path}");
        }
    }

    #[test]
    fn shows_the_default_as_long_as_no_state_is_stored() {
        assert_eq!(RecordFormat::State.page(json!(null), r#"{"count":0}"#).body, r#"{"count":0}"#);
        assert_eq!(RecordFormat::State.page(json!({"count": 3}), r#"{"count":0}"#).body, r#"{"count":3}"#);
    }

    proptest! {
        #[test]
        fn no_path_or_query_makes_it_panic(path in "(history|sessions|memory|.*)/?.*", query in any::<String>()) {
            if let Some(record) = Record::at(&path) {
                let _ = record.state_query(&query);
            }
        }
    }
}
