use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use openagents_host::native::now;
use openagents_relay::Filter;
use openagents_relay::native::database::open_to_read;
use openagents_relay::native::export::{Export, ExportError, export};

use super::super::terminal::tell;
use super::progress::{Progress, bytes, number};
use super::{DATABASE, INTERRUPTED, RelayCommandError, arguments, stop_when_interrupted};

pub(super) fn run(arguments: &arguments::Export, data: &Path) -> Result<ExitCode, RelayCommandError> {
    let store = open_to_read(&data.join(DATABASE))?;
    let filters = filters(arguments);
    let stop = stop_when_interrupted()?;
    let mut target = Target::open(&arguments.file)?;
    let mut progress = if target.is_output() { Progress::beside_output() } else { Progress::begin() };
    let exported = export(&store, &filters, now(), target.writer(), &stop, &mut |export| {
        progress.show(|progress| line(export, progress));
    });
    progress.end();
    let exported = match exported {
        // Whoever read it has enough.
        Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(ExitCode::SUCCESS);
        }
        Err(ExportError::Write(error)) => {
            return Err(RelayCommandError::Target { path: arguments.file.clone(), error });
        }
        Err(error) => return Err(RelayCommandError::Export(error)),
        Ok(exported) => exported,
    };
    if !exported.is_complete {
        tell(format_args!("interrupted after {} events", number(exported.written)));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    target.complete()?;
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

/// Where the events go. A file has another name until it is complete; if that does not come about, it is removed.
enum Target {
    Output(BufWriter<io::Stdout>),
    File { path: PathBuf, partial: PathBuf, writer: BufWriter<File>, is_complete: bool },
}

impl Target {
    fn open(file: &Path) -> Result<Self, RelayCommandError> {
        if file.as_os_str() == "-" {
            return Ok(Self::Output(BufWriter::with_capacity(1 << 16, io::stdout())));
        }
        let mut partial = file.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        match File::create(&partial) {
            Ok(new) => {
                let writer = BufWriter::with_capacity(1 << 16, new);
                Ok(Self::File { path: file.to_owned(), partial, writer, is_complete: false })
            }
            Err(error) => Err(RelayCommandError::Target { path: partial, error }),
        }
    }

    const fn is_output(&self) -> bool {
        matches!(self, Self::Output(_))
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Output(writer) => writer,
            Self::File { writer, .. } => writer,
        }
    }

    /// Gives the file its name, once it is on the disk.
    fn complete(&mut self) -> Result<(), RelayCommandError> {
        let Self::File { path, partial, writer, is_complete } = self else { return Ok(()) };
        let named = writer
            .flush()
            .and_then(|()| writer.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&*partial, &*path));
        named.map_err(|error| RelayCommandError::Target { path: path.clone(), error })?;
        *is_complete = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Self::File { partial, is_complete: false, .. } = self {
            let _ = std::fs::remove_file(partial);
        }
    }
}
