//! `POST /agent/{npub}/schedules/{name}`: an operator runs a schedule now.

use openagents_host::http::response::{self, private};
use openagents_host::http::{Response, StatusCode};
use openagents_relay::management::{Token, UsedToken};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::answer::RouteAnswer;
use super::operator::Operator;
use super::parameters::value;
use crate::engine::{ManualRun, StateQuery};

/// Makes the schedule due. `name` is as in the URL, whose query may have the `key` of a scheduled run.
pub(super) fn run(_: &Operator, token: Token, name: &str, query: &str) -> RouteAnswer {
    let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
    let key = value(query, "key").unwrap_or_default();
    let asked = StateQuery::RunSchedule { name: name.clone(), key: key.clone(), token: Some(token) };
    RouteAnswer::ask(asked, move |run: ManualRun| private(respond(&run, &name, &key)))
}

fn respond(run: &ManualRun, name: &str, key: &str) -> Response {
    let error = |status, reason: &str| response::error(status, reason);
    match run {
        ManualRun::Due => {
            let due = json!({ "name": name, "key": key, "state": "due" });
            response::json(StatusCode::ACCEPTED, due.to_string())
        }
        ManualRun::Running => error(StatusCode::CONFLICT, "This schedule is running."),
        ManualRun::UsedToken => error(StatusCode::UNAUTHORIZED, &format!("{UsedToken}")),
        ManualRun::UnknownSchedule { names } => {
            let reason = format!("There is no such schedule; {}.", those("this agent has", names));
            error(StatusCode::NOT_FOUND, &reason)
        }
        ManualRun::UnknownKey { keys } => {
            let reason = format!("No run of it has this key; {}.", those("there are", keys));
            error(StatusCode::NOT_FOUND, &reason)
        }
    }
}

fn those(what: &str, names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { format!("{what} none") } else { format!("{what} {}", names.join(", ")) }
}
