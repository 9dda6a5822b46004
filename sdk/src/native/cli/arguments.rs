//! The command-line arguments of a deployment.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::ask::arguments::Ask;
use super::blobs::arguments::BlobsArguments;
use super::new::New;
use super::relay::arguments::Relay;
use crate::log::LogFormat;

/// What `--help` says at its end.
const AFTER_HELP: &str = "Without a command, serves until interrupted. `help variables` lists the variables that are read \
    from the environment or a .dev.vars file; `help ask` shows the options of a command.";

/// What the help of commands for operators says at its end.
const SIGNED: &str = "Requests are signed with the agent's own key: NOSTR_PRIVATE_KEY (environment or .dev.vars), \
    or else DATA/agent.nsec. Any key in the deployment's ADMIN_PUBKEYS works too.";

#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, max_term_width = 80, after_help = AFTER_HELP)]
pub(in crate::native) struct Arguments {
    #[command(subcommand)]
    pub(in crate::native) command: Option<Command>,
    #[command(flatten)]
    pub(in crate::native) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum Command {
    /// Send a job request to an agent, and follow the job until its result
    Ask(Ask),
    /// Check a deployment from outside, and say what to fix
    Doctor(Doctor),
    /// Show the jobs, conversations, memory, metrics or state of a running agent, here or on Cloudflare
    #[command(after_help = SIGNED)]
    Inspect(Inspect),
    /// List the schedules of a running agent, or run one now
    #[command(after_help = SIGNED)]
    Schedules(SchedulesArguments),
    /// List the records of a running gateway's audit, or show one
    #[command(after_help = SIGNED)]
    Audit(AuditArguments),
    /// Show, set or reset the stored state of an agent, stopped or (with --url) running
    #[command(after_help = SIGNED)]
    State(StateArguments),
    /// Work on the relay's database: import, export, sync, stats, compact, check
    Relay(Relay),
    /// Work on the stored blobs: list, import, export, check, stats
    Blobs(BlobsArguments),
    /// Make a crate for an agent of your own
    New(New),
    /// Show the variables that this program reads
    Variables,
}

/// The command line of a deployment without agents.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, max_term_width = 80, after_help = AFTER_HELP)]
pub(in crate::native) struct RelayOnlyArguments {
    #[command(subcommand)]
    pub(in crate::native) command: Option<RelayOnlyCommand>,
    #[command(flatten)]
    pub(in crate::native) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum RelayOnlyCommand {
    /// Check a deployment from outside, and say what to fix
    Doctor(Doctor),
    /// Work on the relay's database: import, export, sync, stats, compact, check
    Relay(Box<Relay>),
    /// Work on the stored blobs: list, import, export, check, stats
    Blobs(BlobsArguments),
    /// Make a crate for an agent of your own
    New(New),
    /// Show the variables that this program reads
    Variables,
}

#[derive(Debug, Args)]
pub(in crate::native) struct Serve {
    /// Address and port to listen on, or a port of this machine alone; port 0 picks a free one, 0.0.0.0:8787 serves others
    #[arg(
        long,
        env = "OPENAGENTS_LISTEN",
        hide_env = true,
        default_value = "127.0.0.1:8787",
        value_name = "ADDR:PORT",
        value_parser = listening_address
    )]
    pub(in crate::native) listen: SocketAddr,
    /// Folder for the databases and the key [default: ./data/<agent name>]
    #[arg(long, env = "OPENAGENTS_DATA", hide_env = true, value_name = "DIR")]
    pub(in crate::native) data: Option<PathBuf>,
    /// Log level: off, error, warn, info, debug, trace, or a filter such as `warn,openagents_relay=debug`
    /// [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(in crate::native) log_level: Option<String>,
    /// How log lines are written: text (default) or json
    #[arg(long, value_enum, hide_possible_values = true, value_name = "FORMAT")]
    pub(in crate::native) log_format: Option<LogFormatArgument>,
    /// What an acknowledged event survives: loss of `power`, or only the end of the `process`, which is faster
    #[arg(
        long,
        env = "OPENAGENTS_DURABILITY",
        hide_env = true,
        value_enum,
        hide_possible_values = true,
        value_name = "WHAT",
        default_value_t = Durability::Power
    )]
    pub(in crate::native) durability: Durability,
    /// Forget everything that is only in memory after each batch of work, as a hibernating Durable Object does
    #[arg(long, env = "OPENAGENTS_FORGET_MEMORY", hide = true)]
    pub(in crate::native) forget_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::native) enum LogFormatArgument {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

impl From<LogFormatArgument> for LogFormat {
    fn from(format: LogFormatArgument) -> Self {
        match format {
            LogFormatArgument::Text => Self::Text,
            LogFormatArgument::Json => Self::Json,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::native) enum Durability {
    /// Loss of power: an event is on the disk before it is acknowledged
    Power,
    /// Only the end of the process; faster
    Process,
}

#[derive(Debug, Args)]
pub(in crate::native) struct Inspect {
    #[command(subcommand)]
    pub(in crate::native) record: InspectedRecord,
    #[command(flatten)]
    pub(in crate::native) agent: RunningAgent,
    /// Print the response as JSON
    #[arg(long, global = true)]
    pub(in crate::native) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "With the agent's own key (NOSTR_PRIVATE_KEY, or else DATA/agent.nsec), or that\n\
        of another who may upload, a blob is also uploaded, read and deleted.\n\n\
        Exit codes: 0 nothing failed; 1 something did; 2 a mistake in the command line.")]
pub(in crate::native) struct Doctor {
    /// URL of the deployment
    #[arg(env = "OPENAGENTS_URL", default_value = "http://127.0.0.1:8787", value_name = "URL")]
    pub(in crate::native) url: String,
    /// Folder with the agent's key [default: ./data/<agent name>]
    #[arg(long, env = "OPENAGENTS_DATA", value_name = "DIR")]
    pub(in crate::native) data: Option<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    pub(in crate::native) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::native) struct SchedulesArguments {
    #[command(subcommand)]
    pub(in crate::native) command: SchedulesCommand,
    #[command(flatten)]
    pub(in crate::native) agent: RunningAgent,
    /// Print the response as JSON
    #[arg(long, global = true)]
    pub(in crate::native) json: bool,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum SchedulesCommand {
    /// The schedules and scheduled runs, and when each is due
    List {
        #[command(flatten)]
        page: ListPage,
    },
    /// Make a schedule due now
    Run {
        /// The schedule's name
        name: String,
        /// The key of a scheduled run, for a function that runs once
        #[arg(long, default_value = "", hide_default_value = true)]
        key: String,
    },
}

#[derive(Debug, Args)]
pub(in crate::native) struct AuditArguments {
    #[command(subcommand)]
    pub(in crate::native) command: AuditCommand,
    #[command(flatten)]
    pub(in crate::native) agent: RunningAgent,
    /// Print the response as JSON
    #[arg(long, global = true)]
    pub(in crate::native) json: bool,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum AuditCommand {
    /// The keys of the records, oldest first
    List {
        /// Only keys with this prefix
        #[arg(long, default_value = "audit/", value_name = "PREFIX")]
        prefix: String,
        /// Only records from this time on, in Unix milliseconds
        #[arg(long, value_name = "MILLISECONDS")]
        from: Option<u64>,
        /// Only records before this time, in Unix milliseconds
        #[arg(long, value_name = "MILLISECONDS")]
        to: Option<u64>,
        /// Only keys after this one
        #[arg(long, value_name = "KEY")]
        after: Option<String>,
        #[command(flatten)]
        page: ListPage,
    },
    /// One record
    Get {
        /// Its key, such as audit/1706745600000.json
        key: String,
    },
}

/// An agent that is asked over HTTP, and the key with which that is signed.
#[derive(Debug, Args)]
pub(in crate::native) struct RunningAgent {
    /// URL of the agent
    #[arg(
        long,
        global = true,
        env = "OPENAGENTS_URL",
        default_value = "http://127.0.0.1:8787",
        value_name = "URL"
    )]
    pub(in crate::native) url: String,
    /// Folder with the agent's key [default: ./data/<agent name>]
    #[arg(long, global = true, env = "OPENAGENTS_DATA", value_name = "DIR")]
    pub(in crate::native) data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum InspectedRecord {
    /// The jobs, newest first
    History {
        #[command(flatten)]
        page: ListPage,
        /// Only jobs before this one: a number from the first column
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
    },
    /// One job with its request and answer
    Job {
        /// The id of the job request, in hex
        id: String,
    },
    /// The customers with a conversation, or the conversation with one of them
    Sessions {
        /// The customer's key: npub1… or hex
        customer: Option<String>,
        #[command(flatten)]
        page: ListPage,
    },
    /// The keys in memory, or the value under one key
    Memory {
        /// The key
        key: Option<String>,
        /// Only keys with this prefix
        #[arg(long, conflicts_with = "key", value_name = "PREFIX")]
        prefix: Option<String>,
        /// Only keys after this one
        #[arg(long, conflicts_with = "key", value_name = "KEY")]
        after: Option<String>,
        #[command(flatten)]
        page: ListPage,
    },
    /// The ledger: payments and what became of them, newest first
    Payments {
        #[command(flatten)]
        page: ListPage,
        /// Only rows before this one: a number from the first column
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
    },
    /// Number and duration of finished jobs, by kind
    Metrics,
    /// The agent's state: the fields of its struct
    State,
}

#[derive(Debug, Args)]
pub(in crate::native) struct StateArguments {
    #[command(subcommand)]
    pub(in crate::native) command: StateCommand,
    /// URL of an agent that is running, here or on Cloudflare, even if it cannot start with its state
    #[arg(long, global = true, value_name = "URL")]
    pub(in crate::native) url: Option<String>,
    /// Folder of the agent's database, or key [default: ./data/<agent name>]
    #[arg(long, global = true, env = "OPENAGENTS_DATA", value_name = "DIR")]
    pub(in crate::native) data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum StateCommand {
    /// The stored fields, and whether the agent can start with them
    Show,
    /// Change one field
    Set {
        /// The field's name
        field: String,
        /// Its new value as JSON: 3, '"text"', '[1, 2]'
        #[arg(value_name = "JSON", required_unless_present = "file")]
        value: Option<String>,
        /// Read the JSON from a file
        #[arg(long, conflicts_with = "value", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Make one field, or all of them, those of a new agent
    Reset {
        /// The field's name
        field: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, Args)]
pub(in crate::native) struct ListPage {
    /// The most entries to show, up to 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(in crate::native) limit: u16,
}

/// An address to listen on. A port by itself means this machine alone.
fn listening_address(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected an address and a port (127.0.0.1:8787, localhost:8787) or a port (8787)";
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    match text.rsplit_once(':') {
        // Not what a resolver prefers: a client of `ws://127.0.0.1` and of `ws://localhost` finds this one.
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => listening_address(port),
        Some((_, port)) if port.parse::<u16>().is_ok() => {
            let mut found = text.to_socket_addrs().map_err(|error| format!("{error}; {expected}"))?;
            found.next().ok_or_else(|| format!("this name has no address; {expected}"))
        }
        _ => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::{Arguments, RelayOnlyArguments, listening_address};

    #[test]
    fn a_port_alone_is_for_this_machine() {
        for text in ["8787", ":8787", "localhost:8787", "127.0.0.1:8787"] {
            assert_eq!(listening_address(text).unwrap().to_string(), "127.0.0.1:8787", "{text}");
        }
        for text in ["0.0.0.0:0", "[::1]:8787", "[::]:80"] {
            assert_eq!(listening_address(text).unwrap().to_string(), text);
        }
        for text in
            ["", ":", "127.0.0.1", "localhost", "localhost:", "99999", ":99999", "a:b", "127.0.0.1:99999"]
        {
            assert!(
                listening_address(text).unwrap_err().contains("expected an address and a port"),
                "{text}"
            );
        }
    }

    #[test]
    fn help_fits_a_terminal_of_80_columns() {
        let agent = Arguments::command().name("hello-world").about("Greets whoever asks.");
        let relay = RelayOnlyArguments::command().name("relay").about("A relay without an agent.");
        for command in [agent, relay] {
            let text = help(&command, &["--help"]);
            assert!(text.lines().count() <= 40, "{} lines:\n{text}", text.lines().count());
            assert!(text.contains("variables") && text.contains("--listen"), "{text}");
            assert_fits(&command, &mut Vec::new());
        }
    }

    fn help(command: &Command, arguments: &[&str]) -> String {
        let arguments = std::iter::once("agent").chain(arguments.iter().copied());
        command.clone().try_get_matches_from(arguments).unwrap_err().to_string()
    }

    /// Checks the help of a command and all of its commands, whose names lead to it.
    fn assert_fits<'a>(command: &'a Command, names: &mut Vec<&'a str>) {
        let mut inner = command;
        for name in names.iter() {
            inner = inner.find_subcommand(name).unwrap();
        }
        for option in ["-h", "--help"] {
            let text = help(command, &[names.as_slice(), &[option]].concat());
            let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{names:?}: {wide:#?}");
        }
        for next in inner.get_subcommands() {
            names.push(next.get_name());
            assert_fits(command, names);
            names.pop();
        }
    }
}
