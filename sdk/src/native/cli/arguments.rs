//! The command-line arguments of a deployment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use openagents_host::PublicKey;
use openagents_host::nostr::keys::parse_public_key;

use super::new::New;
use super::relay::arguments::Relay;

/// The variables of the relay's access and limits, for `--help` with and without an agent.
macro_rules! relay_limits {
    () => {
        "Access to the relay, and its limits:\n  \
        RELAY_AUTH          who must authenticate (NIP-42): none, write, read or all [default: none]\n  \
        RELAY_PRIVATE_KINDS kinds that only author and recipients can read, or none [default: 4,1059,21059]\n  \
        RELAY_ALLOWED_PUBKEYS, RELAY_BLOCKED_PUBKEYS\n                      \
        keys that may write (and no others); keys that may not\n  \
        RELAY_ALLOWED_KINDS, RELAY_BLOCKED_KINDS\n                      \
        kinds that are accepted (and no others); kinds that are rejected: 1,7 or 5000-7000\n  \
        RELAY_BLOCKED_ADDRESSES\n                      \
        IP addresses that may not connect; an IPv6 address stands for its /56 network\n  \
        RELAY_MIN_POW       leading zero bits that an event's id must have (NIP-13) [default: 0]\n  \
        RELAY_CREATED_AT_PAST, RELAY_CREATED_AT_FUTURE\n                      \
        how old, and how far in the future, an event may be, in seconds [default: any, 900]\n  \
        RELAY_RETENTION     how long events of some kinds are kept after their arrival, as KINDS=TIME with the\n                      \
        units s, m, h, d; 0 means not stored, only forwarded: 7000=7d,5000-5999=12h,1984=0\n  \
        RELAY_MAX_MESSAGE_LENGTH, RELAY_MAX_CONTENT_LENGTH, RELAY_MAX_EVENT_TAGS, RELAY_MAX_SUBSCRIPTIONS,\n  \
        RELAY_MAX_FILTERS, RELAY_MAX_LIMIT\n                      \
        other limits; the information document (NIP-11) shows the current values\n  \
        RELAY_MAX_CONNECTIONS, RELAY_MAX_CONNECTIONS_PER_ADDRESS\n                      \
        the most client connections, in all and per network address [default: 10000, 64]\n  \
        RELAY_MAX_EVENTS_PER_MINUTE, RELAY_MAX_REQUESTS_PER_MINUTE, RELAY_MAX_AUTHS_PER_MINUTE\n                      \
        limits per connection; four times as much per network address; 0 for no limit [default: 1200, 1200, 60]\n  \
        RELAY_MAX_LOOK_UPS_PER_MINUTE\n                      \
        how many stored rows the requests of a network address may read; 0 for no limit [default: 3000000]\n  \
        RELAY_LIMIT_LOOPBACK\n                      \
        true applies these limits to clients on this machine too\n  \
        RELAY_TRUSTED_PROXIES\n                      \
        IP addresses of your reverse proxies, whose X-Forwarded-For header gives the client's address"
    };
}

#[derive(Debug, Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = concat!(
        "Without a command, serves the agent and its relay until interrupted.\n\n\
        Variables, from the environment or a .dev.vars file (the same names as in a Worker):\n  \
        NOSTR_PRIVATE_KEY   the agent's key, nsec1… or hex [default: DATA/agent.nsec, generated if missing]\n  \
        RELAY_NAME, RELAY_DESCRIPTION, RELAY_ICON, RELAY_PUBKEY, RELAY_CONTACT, RELAY_PRIVATE_KEY, SUPPORTED_NIPS\n                      \
        the relay's information document (NIP-11)\n  \
        ADMIN_PUBKEYS       operators, who may read the agent's records and manage the relay (NIP-86):\n                      \
        npub1… or hex, separated by commas\n  \
        AGENT_RELAYS        external relays that the agent serves, separated by commas [default: the declared ones]\n  \
        AGENT_ANNOUNCE      false stops the agent from announcing itself, and deletes earlier announcements\n  \
        RELAY_URL           public URL of the agent's own relay, for relay hints and the URL that clients sign (NIP-42)\n  \
        ALLOW_PRIVATE_ADDRESSES\n                      \
        true lets the agent connect to private addresses, also those that customers name, and without TLS:\n                      \
        for development\n\n\
        ",
        relay_limits!()
    )
)]
pub(in crate::native) struct Arguments {
    #[command(subcommand)]
    pub(in crate::native) command: Option<Command>,
    #[command(flatten)]
    pub(in crate::native) serve: Serve,
}

#[derive(Debug, Subcommand)]
pub(in crate::native) enum Command {
    /// Send a job request to an agent through a relay, and follow the job until its result
    Ask(Ask),
    /// Show the jobs, conversations, memory, metrics or state of a running agent, here or on Cloudflare
    #[command(
        after_help = "Requests are signed with the agent's own key: NOSTR_PRIVATE_KEY (environment or .dev.vars), \
            or else DATA/agent.nsec. Any key in the deployment's ADMIN_PUBKEYS works too."
    )]
    Inspect(Inspect),
    /// Work on the relay's database: import, export, sync, stats, compact, check
    Relay(Relay),
    /// Make a crate for an agent of your own
    New(New),
}

/// The command line of a deployment without agents.
#[derive(Debug, Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = concat!(
        "Without a command, serves the relay until interrupted.\n\n\
        Variables, from the environment or a .dev.vars file (the same names as in a Worker):\n  \
        RELAY_NAME, RELAY_DESCRIPTION, RELAY_ICON, RELAY_PUBKEY, RELAY_CONTACT, RELAY_PRIVATE_KEY, SUPPORTED_NIPS\n                      \
        the relay's information document (NIP-11)\n  \
        ADMIN_PUBKEYS       operators, who may manage the relay (NIP-86): npub1… or hex, separated by commas\n  \
        RELAY_URL           public URL of the relay, which clients sign (NIP-42)\n\n",
        relay_limits!()
    )
)]
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
    /// Make a crate for an agent of your own
    New(New),
}

#[derive(Debug, Args)]
pub(in crate::native) struct Serve {
    /// Address and port to listen on; port 0 picks a free one
    #[arg(long, env = "OPENAGENTS_LISTEN", default_value = "127.0.0.1:8787", value_name = "ADDR:PORT")]
    pub(in crate::native) listen: SocketAddr,
    /// Folder for the databases and the key [default: ./data/<agent name>]
    #[arg(long, env = "OPENAGENTS_DATA", value_name = "DIR")]
    pub(in crate::native) data: Option<PathBuf>,
    /// Log level: off, error, warn, info, debug, trace, or a filter such as `warn,openagents_relay=debug`
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
    /// Loss of power: an event is on the disk before it is acknowledged
    Power,
    /// Only the end of the process; faster
    Process,
}

#[derive(Debug, Args)]
pub(in crate::native) struct Ask {
    /// The text input of the job
    pub(in crate::native) input: Option<String>,
    /// The relay to send the request to
    #[arg(long, env = "OPENAGENTS_RELAY", default_value = "ws://127.0.0.1:8787", value_name = "URL")]
    pub(in crate::native) relay: String,
    /// The job kind, 5000 to 5999 [default: this agent's first]
    #[arg(long, value_parser = clap::value_parser!(u16).range(5000..=5999))]
    pub(in crate::native) kind: Option<u16>,
    /// A parameter of the job; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parameter)]
    pub(in crate::native) param: Vec<(String, String)>,
    /// The agent that should do the job; without it, any agent may, and the first result counts
    #[arg(long, value_name = "NPUB", value_parser = provider)]
    pub(in crate::native) to: Option<PublicKey>,
    /// Encrypt inputs, parameters and answers for the agent given with --to
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
    /// The most that you would pay, in msat. This command cannot pay; an agent that requires payment says so
    #[arg(long, value_name = "MSAT")]
    pub(in crate::native) bid: Option<u64>,
    /// How long to wait for the result, in seconds
    #[arg(long, default_value = "120", value_name = "SECONDS", value_parser = seconds)]
    pub(in crate::native) timeout: Duration,
    /// Cancel the job if there is no result after this many seconds, and wait for the agent's answer to that
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(in crate::native) cancel_after: Option<Duration>,
}

/// The encryption scheme of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::native) enum Scheme {
    /// NIP-44
    Nip44,
    /// NIP-04, for agents without NIP-44
    Nip04,
}

#[derive(Debug, Args)]
pub(in crate::native) struct Inspect {
    #[command(subcommand)]
    pub(in crate::native) record: InspectedRecord,
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
    /// Print the response as JSON
    #[arg(long, global = true)]
    pub(in crate::native) json: bool,
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
    /// Number and duration of finished jobs, by kind
    Metrics,
    /// The agent's state: the fields of its struct
    State,
}

#[derive(Clone, Copy, Debug, Args)]
pub(in crate::native) struct ListPage {
    /// The most entries to show, up to 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(in crate::native) limit: u16,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn provider(text: &str) -> Result<PublicKey, String> {
    parse_public_key(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| "expected a whole number of seconds".to_owned())
}
