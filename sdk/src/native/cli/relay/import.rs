//! `relay import`: reads events from JSON lines.

use std::path::Path;
use std::process::ExitCode;

use openagents_relay::native::tools::bulk_insert::{ImportCounts, Refusal};
use openagents_relay::native::tools::import::{Import, Source, import, import_over};

use super::progress::{Progress, bytes, number};
use super::{
    DATABASE, INTERRUPTED, RelayCommandError, arguments, connect, open_to_write, own_access, own_key,
    stop_when_interrupted, take, variables,
};
use crate::native::cli::terminal::{foreign, say, tell};

pub(super) async fn run(arguments: &arguments::Import, data: &Path) -> Result<ExitCode, RelayCommandError> {
    let source = source(&arguments.file)?;
    let length = source.length();
    let stop = stop_when_interrupted()?;
    let mut progress = Progress::begin();
    let mut show = |import: &Import| progress.show(|progress| line(import, length, progress));
    let import = match &arguments.relay {
        Some(url) => {
            let mut relay = connect(url, own_key(data, &variables()?)?.as_ref()).await?;
            let import = import_over(&mut relay, source, &stop, &mut show).await?;
            relay.close().await;
            import
        }
        None => {
            let folder = take(data, ", or send the events to it with --relay ws://127.0.0.1:8787")?;
            let variables = variables()?;
            let store = open_to_write(&folder.path().join(DATABASE), &variables)?;
            import(&store, &own_access(&variables), source, &stop, &mut show)?
        }
    };
    progress.end();
    report(&import, &progress);
    Ok(match import.is_complete {
        false => ExitCode::from(INTERRUPTED),
        true if arguments.strict && import.bad_lines > 0 => ExitCode::FAILURE,
        true if import.bad_lines > 0 && import.bad_lines == import.counts.total() => ExitCode::FAILURE,
        true => ExitCode::SUCCESS,
    })
}

fn source(file: &Path) -> Result<Source, RelayCommandError> {
    if file.as_os_str() == "-" {
        return Ok(Source::stream(std::io::stdin()));
    }
    Source::file(file).map_err(|error| RelayCommandError::Source { path: file.to_owned(), error })
}

fn line(import: &Import, length: Option<u64>, progress: &Progress) -> String {
    let counts = &import.counts;
    let how_far = match length {
        Some(length) => progress.bar(import.bytes, length),
        None => bytes(import.bytes),
    };
    let mut line =
        format!("{how_far}  {}/s  {} new", number(progress.rate(counts.total())), number(counts.accepted));
    for (count, word) in [(counts.duplicates, "known"), (counts.all_refused(), "refused")] {
        if count > 0 {
            line.push_str(&format!("  {} {word}", number(count)));
        }
    }
    line
}

fn report(import: &Import, progress: &Progress) {
    let counts = &import.counts;
    if let Some(lines) = import.resumed_after {
        say(format_args!("resumed after line {} of the interrupted run", number(lines)));
    }
    let (verb, rate) = match import.is_complete {
        true => ("imported", number(progress.rate(counts.total()))),
        false => ("interrupted after", number(progress.rate(counts.total()))),
    };
    let seconds = progress.elapsed().as_secs_f64();
    say(format_args!("{verb} {} events in {seconds:.1} s ({rate} lines/s)", number(counts.accepted)));
    details(counts);
    if import.bad_lines > 0 {
        let shown = match import.bad_lines {
            1 => "1 bad line:".to_owned(),
            count => format!("{} bad lines, the first ones:", number(count)),
        };
        tell(format_args!("{shown}"));
        for line in &import.first_bad {
            tell(format_args!("  {}", foreign(&line.to_string())));
        }
    }
    if !import.is_complete {
        tell(format_args!("the same command continues from here"));
    }
}

/// Counts of the events that were not new.
pub(super) fn details(counts: &ImportCounts) {
    let known = (counts.duplicates > 0).then(|| ("already stored".to_owned(), counts.duplicates));
    let refused = counts.refused.iter().map(|(refusal, count)| (words(refusal), *count));
    for (words, count) in known.into_iter().chain(refused) {
        say(format_args!("  {:>12}  {}", number(count), foreign(&words)));
    }
    for reason in &counts.reasons {
        say(format_args!("  {:>12}  {}", "for example", foreign(reason)));
    }
}

fn words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::ByRelay(reason) => format!("refused by the relay: {reason}"),
        other => other.to_string(),
    }
}
