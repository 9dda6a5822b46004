//! The command line of a deployment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use openagents_host::PublicKey;
use openagents_host::nostr::keys::parse_public_key;

use super::relay::arguments::Relay;

#[derive(Debug, Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Without a command, serves the agent and its relay until interrupted.\n\n\
        Variables, from the environment or a .dev.vars file (the names a Worker has them under):\n  \
        NOSTR_PRIVATE_KEY   the agent's key, nsec1… or hex [default: DATA/agent.nsec, made when missing]\n  \
        RELAY_NAME, RELAY_DESCRIPTION, RELAY_ICON, RELAY_PUBKEY, RELAY_CONTACT, RELAY_PRIVATE_KEY, SUPPORTED_NIPS\n                      \
        what the relay says about itself (NIP-11)\n  \
        ADMIN_PUBKEYS       who may read what is on record beside the agent, and manage the relay (NIP-86):\n                      \
        npub1… or hex, separated by commas\n  \
        AGENT_RELAYS        outside relays that the agent serves too, separated by commas [default: those it declares]\n  \
        AGENT_ANNOUNCE      false keeps the agent from announcing itself, and takes back what it announced\n  \
        RELAY_URL           the public address of the agent's own relay: for relay hints, and what clients sign (NIP-42)\n  \
        ALLOW_PRIVATE_ADDRESSES\n                      \
        true lets the agent reach out to addresses that are not public, without encryption\n\n\
        Whom the relay serves, and how much:\n  \
        RELAY_AUTH          who has to identify themselves (NIP-42): none, write, read or all [default: none]\n  \
        RELAY_PRIVATE_KINDS the kinds that only their parties can read, or none [default: 4,1059,21059]\n  \
        RELAY_ALLOWED_PUBKEYS, RELAY_BLOCKED_PUBKEYS\n                      \
        who may write; who may not\n  \
        RELAY_ALLOWED_KINDS, RELAY_BLOCKED_KINDS\n                      \
        the kinds that are taken; those that are not: 1,7 or 5000-7000\n  \
        RELAY_BLOCKED_ADDRESSES\n                      \
        from where nobody may connect: IP addresses, of which an IPv6 one means its /64\n  \
        RELAY_MIN_POW       how many leading zero bits an event's id must have (NIP-13) [default: 0]\n  \
        RELAY_CREATED_AT_PAST, RELAY_CREATED_AT_FUTURE\n                      \
        how many seconds an event may be old, or ahead [default: any, 900]\n  \
        RELAY_RETENTION     how long events of certain kinds are kept from when they come in, as KINDS=TIME with the\n                      \
        units s, m, h, d; 0 is not at all, as with ephemeral ones: 7000=7d,5000-5999=12h,1984=0\n  \
        RELAY_MAX_MESSAGE_LENGTH, RELAY_MAX_CONTENT_LENGTH, RELAY_MAX_EVENT_TAGS, RELAY_MAX_SUBSCRIPTIONS,\n  \
        RELAY_MAX_FILTERS, RELAY_MAX_LIMIT\n                      \
        other limits; the relay's document (NIP-11) shows what holds\n  \
        RELAY_MAX_CONNECTIONS, RELAY_MAX_CONNECTIONS_PER_ADDRESS\n                      \
        how many clients there can be [default: 10000, 64]\n  \
        RELAY_MAX_EVENTS_PER_MINUTE, RELAY_MAX_REQUESTS_PER_MINUTE, RELAY_MAX_AUTHS_PER_MINUTE\n                      \
        what a connection can do, and an address four times; 0 for any number [default: 1200, 1200, 60]\n  \
        RELAY_LIMIT_LOOPBACK\n                      \
        true holds clients on this machine to that as well\n  \
        RELAY_TRUSTED_PROXIES\n                      \
        the addresses of proxies whose X-Forwarded-For says where a client is; only where there is one"
)]
pub(in crate::native) struct Arguments {
    #[command(subcommand)]
    pub(in crate::native) command: Option<Command>,
    #[command(flatten)]
    pub(in crate::native) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum Command {
    /// Ask an agent through a relay, and follow the job until its result
    Ask(Ask),
    /// Show what is on record at a running agent, here or on Cloudflare
    #[command(
        after_help = "The agent is asked over HTTP, with its own key: NOSTR_PRIVATE_KEY (environment or .dev.vars), \
            or else DATA/agent.nsec. A key that the deployment names in ADMIN_PUBKEYS does as well."
    )]
    Inspect(Inspect),
    /// Work on the relay's database: import, export, sync, stats, compact, check
    Relay(Relay),
}

/// The command line of a deployment without agents.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::native) struct RelayOnlyArguments {
    #[command(subcommand)]
    pub(in crate::native) command: Option<RelayOnlyCommand>,
    #[command(flatten)]
    pub(in crate::native) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum RelayOnlyCommand {
    /// Work on the relay's database: import, export, sync, stats, compact, check
    Relay(Relay),
}

#[derive(Debug, Args)]
pub(in crate::native) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "OPENAGENTS_LISTEN", default_value = "127.0.0.1:8787", value_name = "ADDR:PORT")]
    pub(in crate::native) listen: SocketAddr,
    /// The folder for databases and key [default: ./data/<agent name>]
    #[arg(long, env = "OPENAGENTS_DATA", value_name = "DIR")]
    pub(in crate::native) data: Option<PathBuf>,
    /// How much to log: off, error, warn, info, debug, trace, or a filter such as `warn,openagents_relay=debug`
    #[arg(long, env = "OPENAGENTS_LOG", default_value = "info", value_name = "LEVEL")]
    pub(in crate::native) log_level: String,
    /// What an acknowledged event survives
    #[arg(long, env = "OPENAGENTS_DURABILITY", value_enum, default_value_t = Durability::Power)]
    pub(in crate::native) durability: Durability,
    /// Forget everything that is only in memory after each batch of work, as a hibernating Durable Object does
    #[arg(long, env = "OPENAGENTS_FORGET_MEMORY", hide = true)]
    pub(in crate::native) forget_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::native) enum Durability {
    /// The loss of power: it is on the disk before it is acknowledged
    Power,
    /// The end of the process; faster
    Process,
}

#[derive(Debug, Args)]
pub(in crate::native) struct Ask {
    /// The text input of the job
    pub(in crate::native) input: Option<String>,
    /// The relay to ask through
    #[arg(long, env = "OPENAGENTS_RELAY", default_value = "ws://127.0.0.1:8787", value_name = "URL")]
    pub(in crate::native) relay: String,
    /// The kind of job request, 5000 to 5999 [default: this agent's first]
    #[arg(long, value_parser = clap::value_parser!(u16).range(5000..=5999))]
    pub(in crate::native) kind: Option<u16>,
    /// A parameter; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parameter)]
    pub(in crate::native) param: Vec<(String, String)>,
    /// The agent to ask; without it any may answer, and the first result counts
    #[arg(long, value_name = "NPUB", value_parser = provider)]
    pub(in crate::native) to: Option<PublicKey>,
    /// Encrypt inputs, parameters and answers for the agent that --to names
    #[arg(
        long,
        value_enum,
        value_name = "SCHEME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "nip44",
        requires = "to"
    )]
    pub(in crate::native) encrypt: Option<Scheme>,
    /// The most you would pay, in msat. This client pays nothing; an agent that wants more says so
    #[arg(long, value_name = "MSAT")]
    pub(in crate::native) bid: Option<u64>,
    /// How long to wait for the result, in seconds
    #[arg(long, default_value = "120", value_name = "SECONDS", value_parser = seconds)]
    pub(in crate::native) timeout: Duration,
    /// Cancel the job when there is no result after this many seconds, and wait for what the agent says to that
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(in crate::native) cancel_after: Option<Duration>,
}

/// How a request is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::native) enum Scheme {
    /// NIP-44
    Nip44,
    /// NIP-04, for agents that know nothing newer
    Nip04,
}

#[derive(Debug, Args)]
pub(in crate::native) struct Inspect {
    #[command(subcommand)]
    pub(in crate::native) record: InspectedRecord,
    /// Where the agent listens
    #[arg(
        long,
        global = true,
        env = "OPENAGENTS_URL",
        default_value = "http://127.0.0.1:8787",
        value_name = "URL"
    )]
    pub(in crate::native) url: String,
    /// The folder with the agent's key [default: ./data/<agent name>]
    #[arg(long, global = true, env = "OPENAGENTS_DATA", value_name = "DIR")]
    pub(in crate::native) data: Option<PathBuf>,
    /// Print the answer as it is, as JSON
    #[arg(long, global = true)]
    pub(in crate::native) json: bool,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum InspectedRecord {
    /// The jobs, the newest first
    History {
        #[command(flatten)]
        page: ListPage,
        /// Only jobs before this one; the number is the first column
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
    },
    /// One job, with its request and its answer
    Job {
        /// The id of its request, in hex
        id: String,
    },
    /// The customers with a conversation, or what was said with one of them
    Sessions {
        /// npub1… or hex
        customer: Option<String>,
        #[command(flatten)]
        page: ListPage,
    },
    /// The keys in memory, or what is under one of them
    Memory {
        /// The whole key
        key: Option<String>,
        /// Only keys that begin so
        #[arg(long, conflicts_with = "key", value_name = "PREFIX")]
        prefix: Option<String>,
        /// Only keys that come after this one
        #[arg(long, conflicts_with = "key", value_name = "KEY")]
        after: Option<String>,
        #[command(flatten)]
        page: ListPage,
    },
    /// What came of the jobs, by kind
    Metrics,
    /// The agent's struct
    State,
}

#[derive(Clone, Copy, Debug, Args)]
pub(in crate::native) struct ListPage {
    /// How many to show, at most 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(in crate::native) limit: u16,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn provider(text: &str) -> Result<PublicKey, String> {
    parse_public_key(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| "write a whole number of seconds".to_owned())
}
