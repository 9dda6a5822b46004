//! `relay export`: writes events as JSON lines.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use openagents_host::native::now;
use openagents_relay::native::tools::database::open_to_read;
use openagents_relay::native::tools::export::{Export, ExportError, Target, export};

use super::progress::{Progress, bytes, number};
use super::{DATABASE, INTERRUPTED, RelayCommandError, arguments, stop_when_interrupted};
use crate::native::cli::terminal::tell;

pub(super) fn run(arguments: &arguments::Export, data: &Path) -> Result<ExitCode, RelayCommandError> {
    let database = data.join(DATABASE);
    let store = open_to_read(&database)?;
    let now = now();
    let stop = stop_when_interrupted()?;
    let is_output = arguments.file.as_os_str() == "-";
    let unwritable = |error| RelayCommandError::Target { path: arguments.file.clone(), error };
    let mut target = match is_output {
        true => Target::stream(io::stdout()),
        false => Target::file(&arguments.file, &database, &arguments.description()).map_err(unwritable)?,
    };
    let mut progress = if is_output { Progress::beside_output() } else { Progress::begin() };
    let mut is_begun = false;
    let exported = export(&store, &arguments.filters(now), now, &mut target, &stop, &mut |export| {
        if !std::mem::replace(&mut is_begun, true) {
            say_where_it_begins(export);
        }
        progress.show(|progress| line(export, progress));
    });
    progress.end();
    let exported = match exported {
        // The reader of the pipe has seen enough.
        Err(ExportError::Write(error)) if is_output && error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(ExitCode::SUCCESS);
        }
        Err(ExportError::Write(error)) => return Err(unwritable(error)),
        Err(error) => return Err(RelayCommandError::Export(error)),
        Ok(exported) => exported,
    };
    if !exported.is_complete {
        tell(format_args!("interrupted after {} events", number(exported.written)));
        if !is_output {
            tell(format_args!("the same command continues from here, within a day"));
        }
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let (events, size) = (number(exported.written), bytes(exported.bytes));
    let seconds = progress.elapsed().as_secs_f64();
    tell(format_args!("exported {events} events, {size}, in {seconds:.1} s"));
    Ok(ExitCode::SUCCESS)
}

/// Says whether an earlier run is resumed.
fn say_where_it_begins(export: &Export) {
    if let Some(events) = export.resumed_after {
        tell(format_args!("resuming after {} events of the interrupted run", number(events)));
    }
    if let Some(why) = export.not_resumed_because {
        tell(format_args!("starting over; the partial file of an earlier run is discarded: {why}"));
    }
}

fn line(export: &Export, progress: &Progress) -> String {
    let rate = number(progress.rate(export.looked_at));
    let bar = progress.bar(export.looked_at, export.stored);
    format!("{bar}  {rate}/s  {} events  {}", number(export.written), bytes(export.bytes))
}
