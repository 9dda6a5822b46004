//! `relay sync`: exchanges events with another relay (NIP-77).

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::ExitCode;

use openagents_host::native::now;
use openagents_relay::native::tools::database::open_to_read;
use openagents_relay::native::tools::sync::{Direction, Method, Sink, Synchronization, sync};

use super::import::details;
use super::progress::{Progress, number};
use super::stats::date;
use super::{
    DATABASE, INTERRUPTED, RelayCommandError, arguments, connect, open_to_write, own_access, own_key,
    stop_when_interrupted, take, variables,
};
use crate::native::cli::terminal::{say, tell};

/// How many of the times are shown at which events may be missing.
const TIMES: usize = 10;

pub(super) async fn run(
    arguments: &arguments::SyncArguments,
    data: &Path,
) -> Result<ExitCode, RelayCommandError> {
    let direction = match arguments.direction {
        arguments::Direction::Both => Direction::Both,
        arguments::Direction::Down => Direction::Down,
        arguments::Direction::Up => Direction::Up,
    };
    let filter = arguments.times.narrow(arguments.filter.clone().unwrap_or_default(), now());
    let (database, variables) = (data.join(DATABASE), variables()?);
    // Keeps the folder locked while this process writes to the database.
    let mut _folder = None;
    let store = if arguments.relay.is_some() || direction == Direction::Up {
        open_to_read(&database)?
    } else {
        let hint = ", or send missing events to it with --relay ws://127.0.0.1:8787";
        _folder = Some(take(data, hint)?);
        open_to_write(&database, &variables)?
    };
    let stop = stop_when_interrupted()?;
    let (key, access) = (own_key(data, &variables)?, own_access(&variables));
    let mut remote = connect(&arguments.url, key.as_ref()).await?;
    let mut own = match &arguments.relay {
        Some(url) => Some(connect(url, key.as_ref()).await?),
        None => None,
    };
    let sink = own.as_mut().map_or(Sink::Store(&access), Sink::Relay);
    let mut progress = Progress::begin();
    let mut show = |sync: &Synchronization| progress.show(|progress| line(sync, direction, progress));
    let synced = sync(&store, sink, &mut remote, &filter, direction, &stop, &mut show).await?;
    for relay in own.into_iter().chain([remote]) {
        relay.close().await;
    }
    progress.end();
    report(&synced, direction, &progress);
    Ok(exit_code(&synced))
}

fn exit_code(sync: &Synchronization) -> ExitCode {
    match (sync.is_interrupted, sync.is_complete()) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    }
}

fn line(sync: &Synchronization, direction: Direction, progress: &Progress) -> String {
    let done = sync.down.total().saturating_add(sync.up.total());
    let rate = number(progress.rate(done));
    let expected = [
        sync.to_fetch.filter(|_| direction != Direction::Up),
        sync.to_send.filter(|_| direction != Direction::Down),
    ];
    let how_far = match (sync.method, expected) {
        (Method::Unknown, _) => return "comparing".to_owned(),
        (Method::Reconciliation, [fetch, send]) => {
            progress.bar(done, fetch.unwrap_or(0).saturating_add(send.unwrap_or(0)))
        }
        (Method::Paging, [_, Some(send)]) => progress.bar(sync.up.total(), send),
        (Method::Paging, _) => format!("{} examined", number(sync.looked_at)),
    };
    format!("{how_far}  {rate}/s  {} fetched  {} sent", number(sync.down.accepted), number(sync.up.accepted))
}

fn report(sync: &Synchronization, direction: Direction, progress: &Progress) {
    let seconds = progress.elapsed().as_secs_f64();
    let verb = match (sync.is_interrupted, sync.is_complete()) {
        (true, _) => "interrupted",
        (false, true) => "synchronized",
        (false, false) => "partly synchronized",
    };
    say(format_args!("{verb} in {seconds:.1} s, {}", method(sync)));
    if direction != Direction::Up {
        say(format_args!("fetched {} events", number(sync.down.accepted)));
        details(&sync.down);
    }
    if direction != Direction::Down {
        say(format_args!("sent {} events", number(sync.up.accepted)));
        details(&sync.up);
    }
    if sync.withheld > 0 {
        tell(format_args!("{} events were announced by the relay but not sent", number(sync.withheld)));
    }
    for times in sync.unreached.iter().take(TIMES) {
        tell(format_args!("the relay may have more events created {} than it returned", description(times)));
    }
    if let Some(more) = sync.unreached.len().checked_sub(TIMES).filter(|more| *more > 0) {
        tell(format_args!("the same is true for {more} other times"));
    }
    if !sync.unreached.is_empty() {
        tell(format_args!("a --filter for some of their kinds or authors may reach the others"));
    }
    if sync.is_interrupted {
        tell(format_args!("the same command continues from here"));
    }
}

fn method(sync: &Synchronization) -> String {
    let examined = number(sync.looked_at);
    match sync.method {
        Method::Unknown => "nothing was compared".to_owned(),
        Method::Reconciliation if sync.looked_at == 0 => "by reconciliation".to_owned(),
        Method::Reconciliation => {
            format!("by reconciliation; where the relay refuses that, {examined} of its events were examined")
        }
        Method::Paging => {
            format!("the relay does not reconcile (NIP-77); {examined} of its events were examined")
        }
    }
}

fn description(times: &RangeInclusive<u64>) -> String {
    match (times.start(), times.end()) {
        (first, last) if first == last => format!("at {}", date(*first)),
        (0, last) => format!("until {}", date(*last)),
        (first, last) => format!("from {} to {}", date(*first), date(*last)),
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use super::{Synchronization, description, exit_code};

    #[test]
    fn only_a_complete_synchronization_succeeds() {
        let code = |sync: Synchronization| format!("{:?}", exit_code(&sync));
        let right = |code: ExitCode| format!("{code:?}");
        let complete = Synchronization::default;
        assert_eq!(code(complete()), right(ExitCode::SUCCESS));
        let unreached = vec![7..=7];
        assert_eq!(code(Synchronization { unreached, ..complete() }), right(ExitCode::FAILURE));
        assert_eq!(code(Synchronization { withheld: 1, ..complete() }), right(ExitCode::FAILURE));
        let interrupted = Synchronization { is_interrupted: true, withheld: 1, ..complete() };
        assert_eq!(code(interrupted), right(ExitCode::from(130)));
    }

    #[test]
    fn says_which_times_were_not_reached() {
        assert_eq!(description(&(7..=7)), "at 1970-01-01 00:00:07");
        assert_eq!(description(&(0..=7)), "until 1970-01-01 00:00:07");
        assert_eq!(description(&(7..=60)), "from 1970-01-01 00:00:07 to 1970-01-01 00:01:00");
    }
}
