//! The names of the variables of a deployment, the same on both hosts.

/// The agent's secret key (`nsec1…` or hex).
pub(crate) const NOSTR_PRIVATE_KEY: &str = "NOSTR_PRIVATE_KEY";
/// The relay's own secret key, of which only the public one is shown.
pub(crate) const RELAY_PRIVATE_KEY: &str = "RELAY_PRIVATE_KEY";
pub(crate) const RELAY_NAME: &str = "RELAY_NAME";
pub(crate) const RELAY_DESCRIPTION: &str = "RELAY_DESCRIPTION";
pub(crate) const RELAY_PUBKEY: &str = "RELAY_PUBKEY";
pub(crate) const RELAY_CONTACT: &str = "RELAY_CONTACT";
pub(crate) const RELAY_ICON: &str = "RELAY_ICON";
pub(crate) const SUPPORTED_NIPS: &str = "SUPPORTED_NIPS";
/// The public address of the agent's own relay, for those who are told where to find it.
pub(crate) const RELAY_URL: &str = "RELAY_URL";
/// The external relays that the agent serves, separated by commas, in place of those that it declares.
pub(crate) const AGENT_RELAYS: &str = "AGENT_RELAYS";
/// How often a Worker looks for requests on external relays while some come from there, in seconds.
pub(crate) const RELAY_VISIT_SECONDS: &str = "RELAY_VISIT_SECONDS";
/// Whether the agent announces itself.
pub(crate) const AGENT_ANNOUNCE: &str = "AGENT_ANNOUNCE";
/// The public keys, separated by commas, that may read what is on record, beside the agent's own, and manage the relay.
pub(crate) const ADMIN_PUBKEYS: &str = "ADMIN_PUBKEYS";
/// Whether the agent may reach out to addresses that are not public.
pub(crate) const ALLOW_PRIVATE_ADDRESSES: &str = "ALLOW_PRIVATE_ADDRESSES";
/// Who has to identify themselves (NIP-42): `none`, `write`, `read` or `all`.
pub(crate) const RELAY_AUTH: &str = "RELAY_AUTH";
/// The kinds that only their author and those whom they name can read; `none` for none.
pub(crate) const RELAY_PRIVATE_KINDS: &str = "RELAY_PRIVATE_KINDS";
/// If there are any, only they may write.
pub(crate) const RELAY_ALLOWED_PUBKEYS: &str = "RELAY_ALLOWED_PUBKEYS";
/// Whose events are refused.
pub(crate) const RELAY_BLOCKED_PUBKEYS: &str = "RELAY_BLOCKED_PUBKEYS";
/// If there are any, only these kinds are taken.
pub(crate) const RELAY_ALLOWED_KINDS: &str = "RELAY_ALLOWED_KINDS";
/// The kinds that are not taken.
pub(crate) const RELAY_BLOCKED_KINDS: &str = "RELAY_BLOCKED_KINDS";
/// From where nobody may connect.
pub(crate) const RELAY_BLOCKED_ADDRESSES: &str = "RELAY_BLOCKED_ADDRESSES";
/// How many leading zero bits an event's id must have (NIP-13).
pub(crate) const RELAY_MIN_POW: &str = "RELAY_MIN_POW";
/// How many seconds an event may be old.
pub(crate) const RELAY_CREATED_AT_PAST: &str = "RELAY_CREATED_AT_PAST";
/// How many seconds the clock of an event may be ahead.
pub(crate) const RELAY_CREATED_AT_FUTURE: &str = "RELAY_CREATED_AT_FUTURE";
/// For how long events of certain kinds are kept.
pub(crate) const RELAY_RETENTION: &str = "RELAY_RETENTION";
pub(crate) const RELAY_MAX_MESSAGE_LENGTH: &str = "RELAY_MAX_MESSAGE_LENGTH";
pub(crate) const RELAY_MAX_CONTENT_LENGTH: &str = "RELAY_MAX_CONTENT_LENGTH";
pub(crate) const RELAY_MAX_EVENT_TAGS: &str = "RELAY_MAX_EVENT_TAGS";
pub(crate) const RELAY_MAX_SUBSCRIPTIONS: &str = "RELAY_MAX_SUBSCRIPTIONS";
pub(crate) const RELAY_MAX_FILTERS: &str = "RELAY_MAX_FILTERS";
pub(crate) const RELAY_MAX_LIMIT: &str = "RELAY_MAX_LIMIT";
pub(crate) const RELAY_MAX_CONNECTIONS: &str = "RELAY_MAX_CONNECTIONS";
pub(crate) const RELAY_MAX_CONNECTIONS_PER_ADDRESS: &str = "RELAY_MAX_CONNECTIONS_PER_ADDRESS";
pub(crate) const RELAY_MAX_EVENTS_PER_MINUTE: &str = "RELAY_MAX_EVENTS_PER_MINUTE";
pub(crate) const RELAY_MAX_REQUESTS_PER_MINUTE: &str = "RELAY_MAX_REQUESTS_PER_MINUTE";
pub(crate) const RELAY_MAX_AUTHS_PER_MINUTE: &str = "RELAY_MAX_AUTHS_PER_MINUTE";
/// Whether rates hold for the relay's own machine too.
pub(crate) const RELAY_LIMIT_LOOPBACK: &str = "RELAY_LIMIT_LOOPBACK";
/// The proxies that say where a client is, natively. On Cloudflare the platform says so.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const RELAY_TRUSTED_PROXIES: &str = "RELAY_TRUSTED_PROXIES";
