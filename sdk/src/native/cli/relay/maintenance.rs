//! `relay compact` and `relay check`.

use std::path::Path;
use std::process::ExitCode;

use openagents_relay::native::tools::database::{DatabaseError, open_to_read};
use openagents_relay::native::tools::maintenance::{self, Compaction};

use super::progress::{bytes, number};
use super::{DATABASE, RelayCommandError, take};
use crate::native::cli::terminal::{foreign_output, say};
use crate::native::data_folder::AGENT_DATABASE;

pub(super) fn check(data: &Path) -> Result<ExitCode, RelayCommandError> {
    let health = maintenance::check(&data.join(DATABASE))?;
    let events = number(health.events);
    if health.is_sound() {
        say(format_args!("ok: {events} events, indexes agree"));
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &health.problems {
        say(format_args!("{}", foreign_output(problem)));
    }
    say(format_args!("damaged: {events} events, {} problems", health.problems.len()));
    Ok(ExitCode::FAILURE)
}

pub(super) fn compact(data: &Path) -> Result<ExitCode, RelayCommandError> {
    let database = data.join(DATABASE);
    // Must not create a missing folder.
    if let Err(error @ DatabaseError::Missing { .. }) = open_to_read(&database) {
        return Err(error.into());
    }
    let _folder = take(data, "")?;
    let relay = maintenance::compact(&database)?;
    let agent = data.join(AGENT_DATABASE);
    let agent =
        if agent.exists() { maintenance::rewrite(&agent)? } else { Compaction { before: 0, after: 0 } };
    let [before, after] = [(relay.before, agent.before), (relay.after, agent.after)]
        .map(|(relay, agent)| bytes(relay.saturating_add(agent)));
    say(format_args!("compacted: {before} before, {after} now"));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use openagents_host::Sql;
    use openagents_host::native::{Durability, Sqlite};
    use openagents_relay::native::tools::database::open_to_write;

    use super::*;

    #[test]
    fn gives_back_the_space_of_the_agents_database_too() {
        let folder = tempfile::tempdir().unwrap();
        drop(open_to_write(&folder.path().join(DATABASE), Durability::Process).unwrap());
        let agent = folder.path().join(AGENT_DATABASE);
        let sql = Sqlite::open(&agent, Durability::Process).unwrap();
        sql.batch("CREATE TABLE a (b BLOB); INSERT INTO a VALUES (zeroblob(1000000)); DELETE FROM a")
            .unwrap();
        drop(sql);
        let size = || std::fs::metadata(&agent).unwrap().len();
        assert!(size() > 1_000_000);
        compact(folder.path()).unwrap();
        assert!(size() < 100_000, "{}", size());
    }
}
