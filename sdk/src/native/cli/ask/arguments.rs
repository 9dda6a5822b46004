//! The command line arguments of `ask`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use openagents_host::nostr::keys::parse_public_key;
use openagents_host::{EventId, PublicKey};

#[derive(Debug, Args)]
#[command(after_help = "The result goes to standard output, the job's progress to standard error.\n\
        Exit codes: 0 a result; 1 the job failed, or the agent cannot be reached;\n\
        2 a mistake in the command line; 3 refused before anything was done: by the\n\
        relay, for lack of payment, or since the agent has no such jobs; 4 no result\n\
        in time.\n\n\
        Examples:\n  \
        ask Ada\n  \
        ask --file report.txt --kind 5001 --param max_sentences=3\n  \
        ask --file photo.jpg --param width=320 --output small.jpg\n  \
        cat report.txt | AGENT ask - --json")]
pub(in crate::native) struct Ask {
    /// The text input of the job; `-` reads standard input
    pub(super) input: Option<String>,
    /// A file as an input: its text, or, for jobs that take files, uploaded to the agent's blob server, where anybody can
    /// read it; may be repeated, as may the next three
    #[arg(long, value_name = "PATH")]
    pub(super) file: Vec<PathBuf>,
    /// A URL as an input, which the agent fetches
    #[arg(long, value_name = "URL", value_parser = web_address)]
    pub(super) url: Vec<String>,
    /// An event as an input, by its id in hex
    #[arg(long, value_name = "ID", value_parser = event_id)]
    pub(super) event: Vec<EventId>,
    /// The output of another job as an input, by the id of its request in hex
    #[arg(long, value_name = "ID", value_parser = event_id)]
    pub(super) job: Vec<EventId>,
    /// The blob server to which files are uploaded [default: the one at the relay's address]
    #[arg(long, value_name = "URL", value_parser = web_address)]
    pub(super) blossom: Option<String>,
    /// Save the result in this file; if it is a file on a blob server, that one
    #[arg(long, value_name = "PATH")]
    pub(super) output: Option<PathBuf>,
    /// A parameter of the job; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parameter)]
    pub(super) param: Vec<(String, String)>,
    /// The job kind, 5000 to 5999 [default: this agent's first]
    #[arg(long, value_parser = clap::value_parser!(u16).range(5000..=5999))]
    pub(super) kind: Option<u16>,
    /// The relay to send the request to
    #[arg(
        long,
        env = "OPENAGENTS_RELAY",
        hide_env_values = true,
        default_value = "ws://127.0.0.1:8787",
        value_name = "URL"
    )]
    pub(super) relay: String,
    /// The agent that should do the job; without it, any agent may, and the first result counts
    #[arg(long, value_name = "NPUB", value_parser = provider)]
    pub(super) to: Option<PublicKey>,
    /// Encrypt inputs, parameters and answers for the agent given with --to, by nip44, or =nip04 for agents without it
    #[arg(
        long,
        value_enum,
        hide_possible_values = true,
        value_name = "SCHEME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "nip44",
        requires = "to"
    )]
    pub(super) encrypt: Option<Scheme>,
    /// The most that the job may cost, in msat: an agent that wants more refuses
    #[arg(long, value_name = "MSAT")]
    pub(super) bid: Option<u64>,
    /// Pay what the agent asks, up to so many msat, from the wallet in OPENAGENTS_CUSTOMER_WALLET
    /// (lnbits+https://ADMIN_KEY@SERVER). Without it the invoice is shown, for a wallet of yours
    #[arg(long, value_name = "MSAT")]
    pub(super) pay: Option<u64>,
    /// The most that all payments of 24 hours may be, in msat; they are recorded beside your key
    #[arg(long, value_name = "MSAT", requires = "pay")]
    pub(super) pay_per_day: Option<u64>,
    /// Your key, made and kept if missing, so that an agent knows you again [default: openagents/customer.nsec in your
    /// configuration folder]
    #[arg(long, env = "OPENAGENTS_CUSTOMER_KEY", hide_env_values = true, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Ask as somebody new, with a key that is not kept
    #[arg(long, conflicts_with = "key")]
    pub(super) new_key: bool,
    /// How long to wait for the result, in seconds
    #[arg(long, default_value = "120", value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Duration,
    /// Cancel the job if there is no result after this many seconds, and wait for the agent's answer to that
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) cancel_after: Option<Duration>,
    /// Print the outcome as one JSON object, also if there is no result
    #[arg(long)]
    pub(super) json: bool,
}

/// The encryption scheme of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scheme {
    /// NIP-44
    Nip44,
    /// NIP-04, for agents without NIP-44
    Nip04,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn web_address(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(text.to_owned()),
        Ok(_) => Err("expected http:// or https://".to_owned()),
        Err(error) => Err(format!("{error}; expected a URL such as https://example.com/page")),
    }
}

fn event_id(text: &str) -> Result<EventId, String> {
    EventId::from_hex(text).map_err(|error| format!("{error}; expected an id of 64 hex digits"))
}

fn provider(text: &str) -> Result<PublicKey, String> {
    parse_public_key(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| "expected a whole number of seconds".to_owned())
}
