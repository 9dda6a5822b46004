//! Every variable and secret of a deployment that the SDK reads, with its default and its meaning: for the manifest, for
//! `docs/configuration.md`, and to find names that nobody reads.

use super::names::NOSTR_PRIVATE_KEY;

/// A variable that the SDK reads on both hosts, unless its meaning says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownVariable {
    pub(crate) name: &'static str,
    pub(crate) is_secret: bool,
    /// What holds without it; empty if that is nothing.
    #[cfg_attr(not(test), allow(dead_code, reason = "for docs/configuration.md"))]
    pub(crate) default: &'static str,
    /// What it sets, and in which unit.
    pub(crate) about: &'static str,
}

const fn variable(name: &'static str, default: &'static str, about: &'static str) -> KnownVariable {
    KnownVariable { name, is_secret: false, default, about }
}

const fn secret(name: &'static str, default: &'static str, about: &'static str) -> KnownVariable {
    KnownVariable { name, is_secret: true, default, about }
}

/// The agent.
pub(crate) const AGENT: &[KnownVariable] = &[
    secret(NOSTR_PRIVATE_KEY, "generated and kept", "the agent's secret key, as nsec (NIP-19) or hex"),
    variable(
        "ADMIN_PUBKEYS",
        "",
        "operators besides the agent itself, who may read its records and manage the relay (NIP-86): `npub1…` or hex, separated by commas; may be a secret as well",
    ),
    variable(
        "AGENT_RELAYS",
        "the declared ones",
        "external relays that the agent serves and is announced on: `wss://…`, separated by commas, or `none`",
    ),
    variable(
        "AGENT_ANNOUNCE",
        "true",
        "`false` stops the agent from announcing itself (NIP-89), and deletes earlier announcements",
    ),
    variable(
        "AGENT_HTTP_ALLOWED_ORIGINS",
        "",
        "private or unencrypted servers that handlers may reach by HTTP, such as `http://127.0.0.1:11434`, separated by commas",
    ),
    variable(
        "ALLOW_PRIVATE_ADDRESSES",
        "false",
        "`true` lets the agent connect to private addresses, also those that customers name, and without TLS: for development",
    ),
    variable(
        "RELAY_VISIT_SECONDS",
        "60",
        "how often a Worker polls external relays while requests come from them, in seconds",
    ),
];

/// What the relay says about itself (NIP-11), and where it is.
pub(crate) const RELAY: &[KnownVariable] = &[
    variable(
        "RELAY_URL",
        "",
        "public URL of the deployment's relay, `wss://…`: for relay hints, announcements, URLs of blobs, and the URL that clients sign (NIP-42, NIP-98)",
    ),
    variable("RELAY_NAME", "the deployment's name", "the relay's name"),
    variable("RELAY_DESCRIPTION", "that of the deployment", "a description of the relay"),
    variable("RELAY_ICON", "", "URL of the relay's icon"),
    variable("RELAY_PUBKEY", "", "public key of the relay's operator, `npub1…` or hex"),
    variable("RELAY_CONTACT", "", "another contact of the relay's operator"),
    variable(
        "SUPPORTED_NIPS",
        "all that it supports",
        "the NIPs that the information document lists, such as `[1,11,90]`; others than those that the relay supports are left out",
    ),
    secret(
        "RELAY_PRIVATE_KEY",
        "",
        "the relay's own secret key; the information document shows its public key",
    ),
];

/// Who may do what at the relay, and how much of it.
pub(crate) const RELAY_ACCESS: &[KnownVariable] = &[
    variable("RELAY_AUTH", "none", "who must authenticate (NIP-42): `none`, `write`, `read` or `all`"),
    variable(
        "RELAY_PRIVATE_KINDS",
        "4,1059,21059",
        "kinds that only author and recipients can read, or `none`",
    ),
    variable("RELAY_ALLOWED_PUBKEYS", "all", "the only keys that may write"),
    variable("RELAY_BLOCKED_PUBKEYS", "", "keys whose events are rejected"),
    variable("RELAY_ALLOWED_KINDS", "all", "the only kinds that are accepted: `1,7` or `5000-7000`"),
    variable("RELAY_BLOCKED_KINDS", "", "kinds that are rejected"),
    variable(
        "RELAY_BLOCKED_ADDRESSES",
        "",
        "IP addresses that may not connect; an IPv6 address stands for its /56 network",
    ),
    variable(
        "RELAY_RETENTION",
        "for ever",
        "how long events of some kinds are kept, such as `7000=7d,5000-5999=12h`, with the units s, m, h and d; `0` means not stored, only forwarded",
    ),
    variable("RELAY_MIN_POW", "0", "the leading zero bits that an event's id must have (NIP-13), up to 64"),
    variable("RELAY_CREATED_AT_PAST", "any", "how old an event may be, in seconds"),
    variable("RELAY_CREATED_AT_FUTURE", "900", "how far in the future an event may be, in seconds"),
    variable("RELAY_MAX_MESSAGE_LENGTH", "262144", "the longest message, in bytes: 1,024 to 1,048,576"),
    variable("RELAY_MAX_CONTENT_LENGTH", "131072", "the longest content, in characters"),
    variable("RELAY_MAX_EVENT_TAGS", "2500", "the most tags in an event"),
    variable("RELAY_MAX_SUBSCRIPTIONS", "64", "the most subscriptions on a connection"),
    variable("RELAY_MAX_FILTERS", "16", "the most filters in a subscription"),
    variable("RELAY_MAX_LIMIT", "1000", "the most stored events returned for a filter, up to 5,000"),
    variable("RELAY_MAX_CONNECTIONS", "10000", "the most client connections, up to 30,000"),
    variable("RELAY_MAX_CONNECTIONS_PER_ADDRESS", "64", "the most connections from one network address"),
    variable(
        "RELAY_MAX_EVENTS_PER_MINUTE",
        "1200",
        "the most events per connection and minute; four times as much per network address; `0` for no limit",
    ),
    variable(
        "RELAY_MAX_REQUESTS_PER_MINUTE",
        "1200",
        "the most requests (`REQ`, `COUNT`, `NEG-OPEN`) per connection and minute; four times as much per network address, and so for an agent's HTTP routes; `0` for no limit",
    ),
    variable(
        "RELAY_MAX_LOOK_UPS_PER_MINUTE",
        "3000000",
        "how many stored rows the requests of a network address may read per minute; `0` for no limit",
    ),
    variable(
        "RELAY_MAX_AUTHS_PER_MINUTE",
        "60",
        "the most authentications per connection and minute; `0` for no limit",
    ),
    variable(
        "RELAY_LIMIT_LOOPBACK",
        "false",
        "`true` applies rates and connection limits also to clients on the same machine",
    ),
    variable(
        "RELAY_TRUSTED_PROXIES",
        "",
        "IP addresses of reverse proxies, whose header `X-Forwarded-For` gives the client's address; natively only",
    ),
];

/// Through which wallet the agent is paid.
pub(crate) const PAYMENTS: &[KnownVariable] = &[
    variable(
        "WALLET",
        "none",
        "the provider of the wallet through which the agent is paid: `lnbits`, `lnurl` or `nwc`",
    ),
    variable(
        "LIGHTNING_ADDRESS",
        "",
        "for `WALLET=lnurl`: the Lightning address to which the agent is paid, such as `me@example.com`",
    ),
    variable("LNBITS_URL", "", "for `WALLET=lnbits`: the URL of the LNbits server"),
    secret(
        "LNBITS_INVOICE_KEY",
        "",
        "for `WALLET=lnbits`: the invoice key of a wallet there, which cannot spend",
    ),
    secret("NWC_URL", "", "for `WALLET=nwc`: the connection URI of a wallet (Nostr Wallet Connect, NIP-47)"),
];

/// The gateway, where the deployment has one.
pub(crate) const GATEWAY: &[KnownVariable] = &[
    variable(
        "AUMOS_API_URL",
        "",
        "the URL of the backend to which the gateway forwards requests; `http://` only on a private network",
    ),
    secret("AUMOS_API_KEY", "", "what the gateway sends to the backend as bearer token"),
    variable(
        "GATEWAY_MAX_REQUESTS_PER_MINUTE",
        "600",
        "how many requests each network address may send to the gateway per minute; `0` for no limit",
    ),
    variable(
        "GATEWAY_TIMEOUT_SECONDS",
        "30",
        "how long the backend may take for a request, in seconds: 1 to 100",
    ),
    variable(
        "GATEWAY_AUDIT_PAYLOADS",
        "false",
        "`true` keeps the payloads of requests in the gateway's audit, not only their hashes",
    ),
];

/// The blob server.
pub(crate) const BLOBS: &[KnownVariable] = &[
    variable(
        "BLOSSOM_UPLOAD",
        "agent",
        "who may upload blobs: `agent` (the agent, the operators, and customers what their jobs name), `allowed` (`BLOSSOM_ALLOWED_PUBKEYS` instead of customers) or `any`",
    ),
    variable(
        "BLOSSOM_ALLOWED_PUBKEYS",
        "",
        "who may upload blobs besides the agent and the operators: `npub1…` or hex, separated by commas",
    ),
    variable(
        "BLOSSOM_ALLOWED_TYPES",
        "all",
        "the media types that are accepted, such as `image/*,application/pdf`",
    ),
    variable("BLOSSOM_MAX_SIZE", "100MiB", "the size of the largest blob, in bytes or with KiB, MiB or GiB"),
    variable(
        "BLOSSOM_QUOTA",
        "any",
        "how many bytes of blobs one key may own, such as `1GiB`; operators have no quota",
    ),
    variable(
        "BLOSSOM_TTL",
        "until it is deleted",
        "how long an uploaded blob is kept, such as `30d`, with the units s, m, h and d",
    ),
];

/// The log.
pub(crate) const LOG: &[KnownVariable] = &[
    variable(
        "LOG_LEVEL",
        "info",
        "which log lines are written: `off`, `error`, `warn`, `info`, `debug` or `trace`; natively also a filter such as `warn,my_agent=debug`",
    ),
    variable(
        "LOG_FORMAT",
        "text",
        "how log lines are written, natively to standard error, in a Worker to its console: `text` or `json`",
    ),
];

/// All of them, topic by topic.
pub(crate) const TOPICS: [&[KnownVariable]; 7] = [AGENT, RELAY, RELAY_ACCESS, PAYMENTS, GATEWAY, BLOBS, LOG];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static KnownVariable> {
    TOPICS.into_iter().flatten()
}

/// What this program's process reads besides, natively: options of the command line.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const PROCESS: &[KnownVariable] = &[
    variable(
        "OPENAGENTS_LISTEN",
        "127.0.0.1:8787",
        "`--listen`: address and port; a port alone (`8787`, `:8787`) is one of this machine, `0.0.0.0:8787` serves others",
    ),
    variable(
        "OPENAGENTS_DATA",
        "./data/&lt;agent&gt;",
        "`--data`: the folder for databases, blobs and the agent's key",
    ),
    variable(
        "OPENAGENTS_DURABILITY",
        "power",
        "`--durability`: what an acknowledged event survives: loss of `power`, or only the end of the `process` (faster)",
    ),
    variable(
        "OPENAGENTS_URL",
        "http://127.0.0.1:8787",
        "`--url` of `inspect` and `schedules`, and the URL of `doctor`: a running deployment",
    ),
    variable(
        "OPENAGENTS_RELAY",
        "ws://127.0.0.1:8787",
        "`ask --relay`: the relay to which a request is sent",
    ),
    variable(
        "OPENAGENTS_CUSTOMER_KEY",
        "kept in the user's configuration folder",
        "`ask --key`: the file with the customer's key",
    ),
    variable("OPENAGENTS_CUSTOMER_WALLET", "", "the wallet from which `ask --pay` pays"),
    variable(
        "OPENAGENTS_FORGET_MEMORY",
        "false",
        "`--forget-memory`, for tests: forgets what is only in memory after each batch of work",
    ),
];

#[cfg(test)]
mod tests;
