//! `GET /agent/{npub}/…`: the agent's jobs, conversations, memory and state, for its operators.

use openagents_host::EventId;
use openagents_host::http::response::{self, private};
use openagents_host::http::{Response, StatusCode};
use openagents_host::nostr::keys::parse_public_key;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::RouteAnswer;
use super::operator::Operator;
use super::parameters::{self, number, value};
use crate::engine::{
    JobDetails, JobSummary, MemoryKey, MemoryValue, PaymentMovement, ScheduleSummary, SessionSummary,
    SessionTurn, StateQuery, StateReply,
};

/// The number of list entries if the request has no limit.
const DEFAULT_LIMIT: usize = 50;

/// The highest limit of a list.
const MAX_LIMIT: usize = 500;

/// The most turns of a conversation in a response: more than are kept.
const MAX_TURNS: usize = 1_000;

/// The longest accepted key in memory, in bytes.
const MAX_KEY_LENGTH: usize = 512;

/// A record, with names as in the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentRecord<'a> {
    /// The jobs, newest first.
    History,
    /// One job with its request and answer.
    Job { id: &'a str },
    /// The customers with a conversation.
    Sessions,
    /// The conversation with one customer.
    Conversation { customer: &'a str },
    /// The keys in memory.
    Memory,
    /// The value under one key.
    MemoryEntry { key: &'a str },
    /// The agent's struct.
    State,
    /// The schedules and the scheduled runs.
    Schedules,
    /// The ledger: payments, newest first.
    Payments,
}

impl<'a> AgentRecord<'a> {
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
                "schedules" => Self::Schedules,
                "payments" => Self::Payments,
                _ => return None,
            },
            Some(("history", name)) => Self::Job { id: file(name)? },
            Some(("sessions", name)) => Self::Conversation { customer: file(name)? },
            // A key may contain slashes.
            Some(("memory", key)) => Self::MemoryEntry { key },
            Some(_) => return None,
        })
    }

    /// Queries the record. `default_state` is the state of an agent that has not stored one, as JSON.
    pub(super) fn answer(self, _: &Operator, query: &str, default_state: &str) -> RouteAnswer {
        self.ask(query, default_state).unwrap_or_else(RouteAnswer::Response)
    }

    fn ask(self, query: &str, default_state: &str) -> Result<RouteAnswer, Response> {
        let limit = || parameters::limit(query, DEFAULT_LIMIT, MAX_LIMIT);
        Ok(match self {
            Self::History => {
                let before = number(query, "before")?;
                list::<JobSummary>("jobs", limit()?, |limit| StateQuery::History { before, limit })
            }
            Self::Job { id } => {
                let id = EventId::from_hex(id)
                    .map_err(|_| missing("A job is named by its request's id: 64 hex characters."))?;
                entry::<JobDetails>(
                    StateQuery::Job { id },
                    "This job is unknown. Jobs that ended long ago are deleted.",
                )
            }
            Self::Sessions => {
                list::<SessionSummary>("sessions", limit()?, |limit| StateQuery::Sessions { limit })
            }
            Self::Conversation { customer } => {
                let customer = parse_public_key(customer)
                    .map_err(|_| missing("A customer is named by npub1… or 64 hex characters."))?;
                RouteAnswer::ask(
                    StateQuery::Turns { customer, limit: MAX_TURNS },
                    |turns: Vec<SessionTurn>| private(show_turns(&turns)),
                )
            }
            Self::Schedules => {
                list::<ScheduleSummary>("schedules", limit()?, |limit| StateQuery::Schedules { limit })
            }
            Self::Payments => {
                let before = number(query, "before")?;
                list::<PaymentMovement>("payments", limit()?, |limit| StateQuery::Payments { before, limit })
            }
            Self::Memory => {
                let prefix = value(query, "prefix").unwrap_or_default();
                let after = value(query, "after").unwrap_or_default();
                list::<MemoryKey>("entries", limit()?, |limit| StateQuery::MemoryEntries {
                    prefix,
                    after,
                    limit,
                })
            }
            Self::MemoryEntry { key } => {
                let nothing = "There is no value under this key.";
                let key = percent_decode_str(key).decode_utf8().map_err(|_| missing(nothing))?;
                if key.len() > MAX_KEY_LENGTH {
                    return Err(missing(nothing));
                }
                entry::<MemoryValue>(StateQuery::MemoryEntry { key: key.into_owned() }, nothing)
            }
            Self::State => {
                let default_state = default_state.to_owned();
                RouteAnswer::ask(StateQuery::State, |state: Value| private(show_state(&state, default_state)))
            }
        })
    }
}

/// A list. One entry more than the limit is queried, to see whether there are more.
fn list<T: Serialize>(
    name: &'static str,
    limit: usize,
    query: impl FnOnce(usize) -> StateQuery,
) -> RouteAnswer
where
    Vec<T>: TryFrom<StateReply>,
{
    RouteAnswer::ask(query(limit.saturating_add(1)), move |entries: Vec<T>| {
        private(show_list(name, limit, entries))
    })
}

fn show_list<T: Serialize>(name: &str, limit: usize, mut entries: Vec<T>) -> Response {
    let more = entries.len() > limit;
    entries.truncate(limit);
    json(&json!({ name: entries, "more": more }))
}

/// A single record, or 404 if it does not exist.
fn entry<T: Serialize>(query: StateQuery, nothing: &'static str) -> RouteAnswer
where
    Option<T>: TryFrom<StateReply>,
{
    RouteAnswer::ask(query, move |entry: Option<T>| {
        private(entry.map_or_else(|| missing(nothing), |entry| json(&json!(entry))))
    })
}

fn show_turns(turns: &[SessionTurn]) -> Response {
    if turns.is_empty() {
        return missing("There is no conversation with this customer.");
    }
    json(&json!({ "turns": turns }))
}

/// The agent's struct; the default if none is stored.
fn show_state(state: &Value, default_state: String) -> Response {
    if state.is_null() { response::json(StatusCode::OK, default_state) } else { json(state) }
}

fn json(value: &Value) -> Response {
    response::json(StatusCode::OK, value.to_string())
}

fn missing(reason: &str) -> Response {
    response::error(StatusCode::NOT_FOUND, reason)
}

#[cfg(test)]
mod tests {
    use openagents_host::Keys;
    use proptest::prelude::*;
    use serde_json::json;

    use super::{AgentRecord, show_list, show_state};
    use crate::engine::StateQuery;
    use crate::http::answer::RouteAnswer;
    use crate::http::fixtures::text;

    fn state_query(path: &str, query: &str) -> Result<StateQuery, u16> {
        match AgentRecord::at(path).expect("a record").ask(query, "") {
            Ok(RouteAnswer::Ask(pending)) => Ok(pending.query),
            Ok(RouteAnswer::Response(response)) | Err(response) => Err(response.status().as_u16()),
            Ok(other) => panic!("{other:?}"),
        }
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
        for (entries, shown) in
            [(vec![1, 2, 3], r#"{"jobs":[1,2],"more":true}"#), (vec![1, 2], r#"{"jobs":[1,2],"more":false}"#)]
        {
            assert_eq!(text(show_list("jobs", 2, entries)), shown);
        }
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
            assert_eq!(AgentRecord::at(path), None, "{path}");
        }
    }

    #[test]
    fn shows_the_default_as_long_as_no_state_is_stored() {
        for (stored, shown) in [(json!(null), r#"{"count":0}"#), (json!({"count": 3}), r#"{"count":3}"#)] {
            assert_eq!(text(show_state(&stored, r#"{"count":0}"#.to_owned())), shown);
        }
    }

    proptest! {
        #[test]
        fn no_path_or_query_makes_it_panic(path in "(history|sessions|memory|.*)/?.*", query in any::<String>()) {
            if let Some(record) = AgentRecord::at(&path) {
                let _ = record.ask(&query, "");
            }
        }
    }
}
