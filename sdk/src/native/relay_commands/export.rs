use std::io;
use std::path::Path;
use std::process::ExitCode;

use openagents_host::native::now;
use openagents_relay::Filter;
use openagents_relay::native::database::open_to_read;
use openagents_relay::native::export::{Export, ExportError, Target, export};

use super::super::terminal::tell;
use super::progress::{Progress, bytes, number};
use super::{DATABASE, INTERRUPTED, RelayCommandError, arguments, stop_when_interrupted};

pub(super) fn run(arguments: &arguments::Export, data: &Path) -> Result<ExitCode, RelayCommandError> {
    let database = data.join(DATABASE);
    let store = open_to_read(&database)?;
    let filters = filters(arguments);
    let stop = stop_when_interrupted()?;
    let is_output = arguments.file.as_os_str() == "-";
    let unwritable = |error| RelayCommandError::Target { path: arguments.file.clone(), error };
    let mut target = match is_output {
        true => Target::stream(io::stdout()),
        false => Target::file(&arguments.file, &database).map_err(unwritable)?,
    };
    let mut progress = if is_output { Progress::beside_output() } else { Progress::begin() };
    let exported = export(&store, &filters, now(), &mut target, &stop, &mut |export| {
        progress.show(|progress| line(export, progress));
    });
    progress.end();
    let exported = match exported {
        // Whoever read it has enough.
        Err(ExportError::Write(error)) if is_output && error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(ExitCode::SUCCESS);
        }
        Err(ExportError::Write(error)) => return Err(unwritable(error)),
        Err(error) => return Err(RelayCommandError::Export(error)),
        Ok(exported) => exported,
    };
    if let Some(events) = exported.resumed_after {
        tell(format_args!("went on after {} events of the run before", number(events)));
    }
    if !exported.is_complete {
        tell(format_args!("interrupted after {} events", number(exported.written)));
        if !is_output {
            tell(format_args!("the same command goes on from here"));
        }
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let (events, size) = (number(exported.written), bytes(exported.bytes));
    let seconds = progress.elapsed().as_secs_f64();
    tell(format_args!("exported {events} events, {size}, in {seconds:.1} s"));
    Ok(ExitCode::SUCCESS)
}

fn filters(arguments: &arguments::Export) -> Vec<Filter> {
    let times = arguments.times;
    let is_bare = arguments.filter.is_empty();
    let filters: Vec<Filter> = arguments.filter.iter().cloned().map(|filter| times.narrow(filter)).collect();
    match is_bare && (times.since.is_some() || times.until.is_some()) {
        true => vec![times.narrow(Filter::new())],
        false => filters,
    }
}

fn line(export: &Export, progress: &Progress) -> String {
    let rate = number(progress.rate(export.looked_at));
    let bar = progress.bar(export.looked_at, export.stored);
    format!("{bar}  {rate}/s  {} events  {}", number(export.written), bytes(export.bytes))
}
