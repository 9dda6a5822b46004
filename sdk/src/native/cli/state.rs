//! The `state` commands: show, set and reset the stored state of an agent, in its data folder or over HTTP.

use std::path::{Path, PathBuf};

use openagents_host::SqlError;
use openagents_host::http::Method;
use openagents_host::native::{Durability, OpenError, Sqlite, now};
use openagents_host::net::HttpRequest;
use openagents_host::nostr::http_auth::{authorization, authorization_of_body};
use openagents_host::sql::SchemaError;
use serde_json::Value;

use super::arguments::{RunningAgent, StateArguments, StateCommand};
use super::inspect::{self, InspectError};
use super::terminal::{foreign_output, say, tell};
use crate::author::agent::Jobs;
use crate::engine::{self, StateChange, StateSnapshot};
use crate::native::data_folder::{AGENT_DATABASE, DataFolder, DataFolderError};
use crate::runner::{self, StateChangeError};

/// Why a `state` command failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum StateCommandError {
    #[error("there is no agent's database {}. Name its folder with --data DIR", path.display())]
    Missing { path: PathBuf },
    #[error("the agent of {} is running: stop it first. `inspect state` shows its state while it runs", path.display())]
    InUse { path: PathBuf },
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
    #[error(transparent)]
    Change(#[from] StateChangeError),
    #[error(transparent)]
    Running(#[from] InspectError),
}

/// Runs the command on a running agent, or on the data folder of the agent `A`.
pub(in crate::native) async fn run<A: Jobs>(arguments: &StateArguments) -> Result<(), StateCommandError> {
    match &arguments.url {
        Some(url) => run_over_http::<A>(arguments, url).await,
        None => run_on_folder::<A>(arguments),
    }
}

async fn run_over_http<A: Jobs>(arguments: &StateArguments, url: &str) -> Result<(), StateCommandError> {
    let agent = RunningAgent { url: url.to_owned(), data: arguments.data.clone() };
    let (keys, base) = (inspect::keys::<A>(&agent)?, inspect::base(url)?);
    // An agent that cannot start does not tell its key.
    let path = |rest: &str| format!("/agent/{}/{rest}", A::DECLARATION.name);
    let field = |field: &str| inspect::at(&base, &path(&format!("state/{}", inspect::encoded(field))));
    let all = inspect::at(&base, &path("state.json"));
    let change = change(&arguments.command)?;
    let (method, url, body) = match &change {
        None => (Method::GET, all, String::new()),
        Some(StateChange::Set { field: name, value }) => (Method::PUT, field(name), value.to_string()),
        Some(StateChange::ResetField { field: name }) => (Method::DELETE, field(name), String::new()),
        Some(StateChange::Reset) => (Method::DELETE, all, String::new()),
    };
    let header = match change {
        None => authorization(&keys, url.as_str(), "GET", now()),
        Some(_) => authorization_of_body(&keys, url.as_str(), method.as_str(), now(), body.as_bytes()),
    };
    let request = HttpRequest::new(method, url.as_str()).header("authorization", header);
    let json = inspect::accepted(HttpRequest { body: body.into(), ..request }, &url).await?;
    let shown = serde_json::from_str::<Value>(&json).and_then(|json| serde_json::to_string_pretty(&json));
    say(format_args!("{}", foreign_output(shown.as_deref().unwrap_or(&json))));
    Ok(())
}

/// The change that a command makes; none if it shows the state.
fn change(command: &StateCommand) -> Result<Option<StateChange>, StateCommandError> {
    Ok(match command {
        StateCommand::Show => None,
        StateCommand::Set { field, value, file } => {
            let value = new_value(value.as_deref(), file.as_deref())?;
            Some(StateChange::Set { field: field.clone(), value })
        }
        StateCommand::Reset { field: Some(field) } => Some(StateChange::ResetField { field: field.clone() }),
        StateCommand::Reset { field: None } => Some(StateChange::Reset),
    })
}

fn run_on_folder<A: Jobs>(arguments: &StateArguments) -> Result<(), StateCommandError> {
    let data = arguments.data.clone().unwrap_or_else(|| DataFolder::default_path(A::DECLARATION.name));
    let database = data.join(AGENT_DATABASE);
    if !database.exists() {
        return Err(StateCommandError::Missing { path: database });
    }
    let _folder = take(&data)?;
    let sql = Sqlite::open(&database, Durability::Full)?;
    let mut stored = engine::stored_state(sql, A::DECLARATION.state_version)?;
    let snapshot = stored.snapshot();
    let Some(change) = change(&arguments.command)? else {
        say(format_args!("{}", foreign_output(&shown(&snapshot))));
        note_unfit::<A>(&snapshot);
        return Ok(());
    };
    let new = runner::changed_state::<A>(&snapshot, &change)?;
    stored.replace(new.as_ref().map(|(form, json)| (*form, json.as_str())), now())?;
    stored.committed();
    say(format_args!("stored: {}", foreign_output(&shown(&stored.snapshot()))));
    note_unfit::<A>(&stored.snapshot());
    Ok(())
}

fn take(data: &Path) -> Result<DataFolder, StateCommandError> {
    DataFolder::take(data).map_err(|error| match error {
        DataFolderError::InUse { path } => StateCommandError::InUse { path },
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

fn new_value(value: Option<&str>, file: Option<&Path>) -> Result<Value, StateCommandError> {
    let text = match (value, file) {
        (_, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| StateCommandError::File { path: path.to_owned(), error })?,
        (value, None) => value.unwrap_or_default().to_owned(),
    };
    serde_json::from_str(&text).map_err(StateCommandError::NotJson)
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
        let arguments = StateArguments { command, url: None, data: Some(folder.path().to_owned()) };
        run_on_folder::<Meter>(&arguments).map_err(|error| error.to_string())
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
