//! The `state` commands: show, set and reset the stored state of an agent that is not running.

use std::path::{Path, PathBuf};

use openagents_host::SqlError;
use openagents_host::native::{Durability, OpenError, Sqlite, now};
use openagents_host::sql::SchemaError;
use serde_json::{Map, Value};

use super::arguments::{StateArguments, StateCommand};
use super::terminal::{foreign_output, say, tell};
use crate::author::agent::Jobs;
use crate::engine::{self, StateSnapshot};
use crate::native::data_folder::{AGENT_DATABASE, DataFolder, DataFolderError};
use crate::runner;

/// Why a `state` command failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum StateCommandError {
    #[error("there is no agent's database {}. Name its folder with --data DIR", path.display())]
    Missing { path: PathBuf },
    #[error("the agent of {} is running: stop it first. `inspect state` shows its state while it runs", path.display())]
    Running { path: PathBuf },
    #[error(transparent)]
    DataFolder(DataFolderError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Database(#[from] SqlError),
    #[error("cannot read {}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("the value is not JSON: {0}. Text is written with quotes, as in '\"Ada\"'")]
    NotJson(serde_json::Error),
    #[error("this agent has no field `{field}`; it has: {known}")]
    UnknownField { field: String, known: String },
    #[error("the field `{field}` cannot have this value: {reason}")]
    Unfit { field: String, reason: String },
    #[error("the stored state is not an object with fields; `state reset` replaces it")]
    NotFields,
}

/// Runs the command on the data folder of the agent `A`.
pub(in crate::native) fn run<A: Jobs>(arguments: &StateArguments) -> Result<(), StateCommandError> {
    let data = arguments.data.clone().unwrap_or_else(|| DataFolder::default_path(A::DECLARATION.name));
    let database = data.join(AGENT_DATABASE);
    if !database.exists() {
        return Err(StateCommandError::Missing { path: database });
    }
    let _folder = take(&data)?;
    let sql = Sqlite::open(&database, Durability::Full)?;
    let mut stored = engine::stored_state(sql, A::DECLARATION.state_version)?;
    let snapshot = stored.snapshot();
    match &arguments.command {
        StateCommand::Show => {
            say(format_args!("{}", foreign_output(&shown(&snapshot))));
            note_unfit::<A>(&snapshot);
            return Ok(());
        }
        StateCommand::Set { field, value, file } => {
            let changed = with_field::<A>(&snapshot, field, &new_value(value.as_deref(), file.as_deref())?)?;
            let form = snapshot.json.as_ref().map_or(A::DECLARATION.state_version, |_| snapshot.form);
            stored.replace(Some((form, &changed)), now())?;
        }
        StateCommand::Reset { field: Some(field) } => {
            let mut fields = fields(&snapshot)?;
            if fields.remove(field).is_none() {
                return Err(unknown(field, fields.keys()));
            }
            stored.replace(Some((snapshot.form, &Value::Object(fields).to_string())), now())?;
        }
        StateCommand::Reset { field: None } => stored.replace(None, now())?,
    }
    say(format_args!("stored: {}", foreign_output(&shown(&stored.snapshot()))));
    note_unfit::<A>(&stored.snapshot());
    Ok(())
}

fn take(data: &Path) -> Result<DataFolder, StateCommandError> {
    DataFolder::take(data).map_err(|error| match error {
        DataFolderError::InUse { path } => StateCommandError::Running { path },
        error => StateCommandError::DataFolder(error),
    })
}

fn shown(snapshot: &StateSnapshot) -> String {
    match &snapshot.json {
        Some(json) => serde_json::from_str::<Value>(json)
            .and_then(|state| serde_json::to_string_pretty(&state))
            .unwrap_or_else(|_| json.to_string()),
        None => "nothing: the agent starts with its default state".to_owned(),
    }
}

/// Says what does not fit, if the agent could not start.
fn note_unfit<A: Jobs>(snapshot: &StateSnapshot) {
    if let Err(error) = runner::check_snapshot::<A>(snapshot) {
        tell(format_args!("\nThe agent cannot start with this: {error}.\n"));
        tell(format_args!(
            "`state set FIELD JSON` changes a field, `state reset FIELD` makes it the default's,"
        ));
        tell(format_args!("`state reset` makes all of them the default's."));
    }
}

fn fields(snapshot: &StateSnapshot) -> Result<Map<String, Value>, StateCommandError> {
    match &snapshot.json {
        Some(json) => serde_json::from_str(json).map_err(|_| StateCommandError::NotFields),
        None => Ok(Map::new()),
    }
}

fn unknown<'a>(field: &str, known: impl Iterator<Item = &'a String>) -> StateCommandError {
    let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
    StateCommandError::UnknownField { field: field.to_owned(), known }
}

fn new_value(value: Option<&str>, file: Option<&Path>) -> Result<Value, StateCommandError> {
    let text = match (value, file) {
        (_, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| StateCommandError::File { path: path.to_owned(), error })?,
        (value, None) => value.unwrap_or_default().to_owned(),
    };
    serde_json::from_str(&text).map_err(StateCommandError::NotJson)
}

/// The state with one field changed. The field must be known and fit; others need not, so that several can be repaired
/// one by one.
fn with_field<A: Jobs>(
    snapshot: &StateSnapshot,
    field: &str,
    value: &Value,
) -> Result<String, StateCommandError> {
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
    let changed = Value::Object(fields).to_string();
    let alone = Value::Object(Map::from_iter([(field.to_owned(), value.clone())]));
    match A::STATE.read(&alone.to_string()) {
        Err(error) if is_of_this_form => {
            Err(StateCommandError::Unfit { field: field.to_owned(), reason: error.to_string() })
        }
        // A field of an earlier form is read by `#[migrate]`.
        _ => Ok(changed),
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::native::{Durability, Sqlite};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::author::agent::{Agent, StateJson};
    use crate::author::handler::Handler;
    use crate::declaration::AgentDeclaration;

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Meter {
        count: u64,
        ratio: f64,
    }

    impl Agent for Meter {
        const DECLARATION: AgentDeclaration = AgentDeclaration::new("meter");
        const STATE: StateJson<Self> = StateJson::by_serde();
    }

    impl Jobs for Meter {
        const HANDLERS: &'static [Handler<Self>] = &[];
    }

    /// A data folder with this stored state.
    fn folder(json: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let sql = Sqlite::open(&folder.path().join(AGENT_DATABASE), Durability::Process).unwrap();
        engine::stored_state(sql, 1).unwrap().replace(Some((1, json)), now()).unwrap();
        folder
    }

    fn stored(folder: &tempfile::TempDir) -> Option<String> {
        let sql = Sqlite::open(&folder.path().join(AGENT_DATABASE), Durability::Process).unwrap();
        engine::stored_state(sql, 1).unwrap().snapshot().json.map(|json| json.to_string())
    }

    fn run_on(folder: &tempfile::TempDir, command: StateCommand) -> Result<(), String> {
        let arguments = StateArguments { command, data: Some(folder.path().to_owned()) };
        run::<Meter>(&arguments).map_err(|error| error.to_string())
    }

    fn set(field: &str, value: &str) -> StateCommand {
        StateCommand::Set { field: field.to_owned(), value: Some(value.to_owned()), file: None }
    }

    #[test]
    fn repairs_fields_one_by_one() {
        let folder = folder(r#"{"count":-1,"ratio":null}"#);
        run_on(&folder, StateCommand::Show).unwrap();
        run_on(&folder, set("ratio", "0.25")).unwrap();
        assert_eq!(stored(&folder).unwrap(), r#"{"count":-1,"ratio":0.25}"#);
        run_on(&folder, StateCommand::Reset { field: Some("count".to_owned()) }).unwrap();
        assert_eq!(stored(&folder).unwrap(), r#"{"ratio":0.25}"#);
        run_on(&folder, StateCommand::Reset { field: None }).unwrap();
        assert_eq!(stored(&folder), None);
        run_on(&folder, set("count", "3")).unwrap();
        assert_eq!(stored(&folder).unwrap(), r#"{"count":3}"#);
    }

    #[test]
    fn refuses_what_the_agent_could_not_read() {
        let folder = folder(r#"{"count":1,"ratio":null}"#);
        for (field, value, told) in [
            ("ratio", "null", "the field `ratio` cannot have this value: invalid type: null"),
            ("count", "seven", "the value is not JSON"),
            ("other", "1", "this agent has no field `other`; it has: count, ratio"),
        ] {
            let error = run_on(&folder, set(field, value)).unwrap_err();
            assert!(error.starts_with(told), "{error}");
        }
        assert_eq!(stored(&folder).unwrap(), r#"{"count":1,"ratio":null}"#);
        let _running = DataFolder::take(folder.path()).unwrap();
        assert!(run_on(&folder, StateCommand::Show).unwrap_err().contains("is running: stop it first"));
        let empty = tempfile::tempdir().unwrap();
        assert!(run_on(&empty, StateCommand::Show).unwrap_err().starts_with("there is no agent's database"));
    }
}
