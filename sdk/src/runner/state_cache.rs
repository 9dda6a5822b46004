//! The agent's state in memory, read from the stored state and migrated if necessary.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::author::agent::Jobs;
use crate::engine::StateSnapshot;
use crate::error::JobError;

/// The agent's state as it was last read, so that the next run need not parse it again. It is kept with its source: a
/// version number is not enough, since a run whose lease has ended leaves a state that is never committed.
pub(crate) struct StateCache<A>(Mutex<Option<(Stored, Arc<A>)>>);

/// A stored state.
#[derive(PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) form: u32,
    pub(super) json: Option<Arc<str>>,
}

impl Stored {
    pub(super) fn of(snapshot: &StateSnapshot) -> Self {
        Self { form: snapshot.form, json: snapshot.json.clone() }
    }
}

impl<A> Default for StateCache<A> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

/// Why this release of the agent cannot read the stored state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(
        "the stored state does not fit the agent's fields: {0}. Fields can be added and removed, but a field that is \
         stored keeps its type: give the field another name, or increase `state_version` and add a `#[migrate]` function"
    )]
    Form(#[from] UnreadableState),
    #[error(
        "the state has version {stored}, from a newer release of this agent; this release reads up to version {known}"
    )]
    Newer { stored: u32, known: u32 },
    #[error("the stored state of version {stored} could not be migrated: {error}")]
    Migration { stored: u32, error: JobError },
}

/// A state as JSON that does not fit the agent's fields.
#[derive(Debug, thiserror::Error)]
#[error("{}{error}", self.place())]
pub(crate) struct UnreadableState {
    /// The fields that do not fit, if that can be told.
    fields: Vec<String>,
    error: serde_json::Error,
}

impl From<serde_json::Error> for UnreadableState {
    fn from(error: serde_json::Error) -> Self {
        Self { fields: Vec::new(), error }
    }
}

impl UnreadableState {
    fn place(&self) -> String {
        match self.fields.as_slice() {
            [] => String::new(),
            [field] => format!("the field `{field}`: "),
            fields => format!("the fields `{}`: ", fields.join("`, `")),
        }
    }
}

impl<A: Jobs> StateCache<A> {
    /// The state for a run that only reads it.
    pub(crate) fn shared(&self, snapshot: &StateSnapshot) -> Result<Arc<A>, StateError> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stored, agent)) = &*cached
            && *stored == Stored::of(snapshot)
        {
            return Ok(Arc::clone(agent));
        }
        let agent = Arc::new(read(snapshot)?);
        *cached = Some((Stored::of(snapshot), Arc::clone(&agent)));
        Ok(agent)
    }

    /// A copy of the state for a run that may change it, so that a failed run changes nothing.
    pub(super) fn owned(&self, snapshot: &StateSnapshot) -> Result<A, StateError> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match cached {
            Some((stored, agent)) if stored == Stored::of(snapshot) => {
                Arc::try_unwrap(agent).or_else(|_| read(snapshot))
            }
            _ => read(snapshot),
        }
    }

    /// Caches the state after a run; used only if the engine commits it.
    pub(super) fn keep(&self, stored: Stored, agent: A) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((stored, Arc::new(agent)));
    }
}

fn read<A: Jobs>(snapshot: &StateSnapshot) -> Result<A, StateError> {
    let Some(json) = snapshot.json.as_deref() else { return Ok(A::STATE.initial()) };
    let (stored, known) = (snapshot.form, A::DECLARATION.state_version);
    if stored > known {
        return Err(StateError::Newer { stored, known });
    }
    match A::HOOKS.migrate {
        Some(migrate) if stored < known => {
            let value = migrate(stored, serde_json::from_str(json).map_err(UnreadableState::from)?);
            let value = value.map_err(|error| StateError::Migration { stored, error })?;
            Ok(parse_state(&value.to_string())?)
        }
        _ => Ok(parse_state(json)?),
    }
}

fn parse_state<A: Jobs>(json: &str) -> Result<A, UnreadableState> {
    A::STATE.read(json).map_err(|error| UnreadableState { fields: unfit_fields::<A>(json), error })
}

/// Fails if a state in the current form could not be read back.
pub(crate) fn check_readable<A: Jobs>(json: &str) -> Result<(), UnreadableState> {
    parse_state::<A>(json).map(drop)
}

/// Fails if this snapshot cannot be read.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn check_snapshot<A: Jobs>(snapshot: &StateSnapshot) -> Result<(), StateError> {
    read::<A>(snapshot).map(drop)
}

/// The fields that cannot be read, each by itself: `#[agent]` lets all others take their defaults.
fn unfit_fields<A: Jobs>(json: &str) -> Vec<String> {
    let fields: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let is_unfit = |(name, value): &(String, Value)| {
        let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        A::STATE.read(&alone.to_string()).is_err()
    };
    fields.into_iter().filter(is_unfit).map(|(name, _)| name).collect()
}
