//! `relay compact` and `relay check`.

use std::path::Path;
use std::process::ExitCode;

use openagents_relay::native::tools::database::{DatabaseError, open_to_read};
use openagents_relay::native::tools::maintenance;

use super::progress::{bytes, number};
use super::{DATABASE, RelayCommandError, take};
use crate::native::cli::terminal::{foreign_output, say};

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
    let compaction = maintenance::compact(&database)?;
    say(format_args!("compacted: {} before, {} now", bytes(compaction.before), bytes(compaction.after)));
    Ok(ExitCode::SUCCESS)
}
