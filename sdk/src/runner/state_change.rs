//! Makes the state after an operator's change of one field, or of all of them.

use serde_json::{Map, Value};

use crate::author::agent::Jobs;
use crate::engine::{NewState, StateChange, StateSnapshot};

/// Why the state cannot be changed in this way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateChangeError {
    #[error("this agent has no field `{field}`; it has: {known}")]
    UnknownField { field: String, known: String },
    #[error("the field `{field}` cannot have this value: {reason}")]
    Unfit { field: String, reason: String },
    #[error("the stored state is not an object with fields; it can only be reset")]
    NotFields,
}

/// The state after a change. A field that is set must be known and fit; others need not, so that several can be repaired
/// one by one.
pub(crate) fn changed_state<A: Jobs>(
    snapshot: &StateSnapshot,
    change: &StateChange,
) -> Result<NewState, StateChangeError> {
    let form = snapshot.json.as_ref().map_or(A::DECLARATION.state_version, |_| snapshot.form);
    Ok(match change {
        StateChange::Set { field, value } => Some((form, with_field::<A>(snapshot, field, value)?)),
        StateChange::ResetField { field } => {
            let mut fields = fields(snapshot)?;
            if fields.remove(field).is_none() {
                return Err(unknown(field, fields.keys()));
            }
            Some((form, Value::Object(fields).to_string()))
        }
        StateChange::Reset => None,
    })
}

fn fields(snapshot: &StateSnapshot) -> Result<Map<String, Value>, StateChangeError> {
    match &snapshot.json {
        Some(json) => serde_json::from_str(json).map_err(|_| StateChangeError::NotFields),
        None => Ok(Map::new()),
    }
}

fn unknown<'a>(field: &str, known: impl Iterator<Item = &'a String>) -> StateChangeError {
    let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
    StateChangeError::UnknownField { field: field.to_owned(), known }
}

fn with_field<A: Jobs>(
    snapshot: &StateSnapshot,
    field: &str,
    value: &Value,
) -> Result<String, StateChangeError> {
    let mut fields = fields(snapshot)?;
    let default =
        A::STATE.write(&A::STATE.initial()).and_then(|json| serde_json::from_str(&json)).unwrap_or_default();
    let is_of_this_form = snapshot.json.is_none() || snapshot.form == A::DECLARATION.state_version;
    if let Value::Object(known) = &default
        && is_of_this_form
        && !known.contains_key(field)
        && !fields.contains_key(field)
    {
        return Err(unknown(field, known.keys()));
    }
    fields.insert(field.to_owned(), value.clone());
    let alone = Value::Object(Map::from_iter([(field.to_owned(), value.clone())]));
    match A::STATE.read(&alone.to_string()) {
        Err(error) if is_of_this_form => {
            Err(StateChangeError::Unfit { field: field.to_owned(), reason: error.to_string() })
        }
        // A field of an earlier form is read by `#[migrate]`.
        _ => Ok(Value::Object(fields).to_string()),
    }
}
