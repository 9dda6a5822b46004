//! The names of the variables of a deployment, the same on both hosts.

/// The agent's secret key (`nsec1…` or hex).
pub(crate) const NOSTR_PRIVATE_KEY: &str = "NOSTR_PRIVATE_KEY";
/// Which log lines are written: a level, natively also a filter.
pub(crate) const LOG_LEVEL: &str = "LOG_LEVEL";
/// How log lines are written: `text` or `json`.
pub(crate) const LOG_FORMAT: &str = "LOG_FORMAT";
/// The relay's own secret key; its public key is in the information document.
pub(crate) const RELAY_PRIVATE_KEY: &str = "RELAY_PRIVATE_KEY";
pub(crate) const RELAY_NAME: &str = "RELAY_NAME";
pub(crate) const RELAY_DESCRIPTION: &str = "RELAY_DESCRIPTION";
pub(crate) const RELAY_PUBKEY: &str = "RELAY_PUBKEY";
pub(crate) const RELAY_CONTACT: &str = "RELAY_CONTACT";
pub(crate) const RELAY_ICON: &str = "RELAY_ICON";
pub(crate) const SUPPORTED_NIPS: &str = "SUPPORTED_NIPS";
/// The public URL of the agent's own relay.
pub(crate) const RELAY_URL: &str = "RELAY_URL";
/// The external relays that the agent serves in place of the declared ones, separated by commas.
pub(crate) const AGENT_RELAYS: &str = "AGENT_RELAYS";
/// How often a Worker polls external relays while requests come from them, in seconds.
pub(crate) const RELAY_VISIT_SECONDS: &str = "RELAY_VISIT_SECONDS";
/// Whether the agent announces itself.
pub(crate) const AGENT_ANNOUNCE: &str = "AGENT_ANNOUNCE";
/// The operators' public keys, separated by commas. Operators may read the agent's records and manage the relay.
pub(crate) const ADMIN_PUBKEYS: &str = "ADMIN_PUBKEYS";
/// Whether the agent may connect to private addresses.
pub(crate) const ALLOW_PRIVATE_ADDRESSES: &str = "ALLOW_PRIVATE_ADDRESSES";
/// Servers that handlers may reach by HTTP although they are private or unencrypted: origins, separated by commas.
pub(crate) const AGENT_HTTP_ALLOWED_ORIGINS: &str = "AGENT_HTTP_ALLOWED_ORIGINS";
/// The provider of the wallet through which the agent is paid: `lnbits`, `lnurl` or `nwc`.
pub(crate) const WALLET: &str = "WALLET";
/// The URL of the LNbits server.
pub(crate) const LNBITS_URL: &str = "LNBITS_URL";
/// A secret: the key with which invoices are created at the LNbits server.
pub(crate) const LNBITS_INVOICE_KEY: &str = "LNBITS_INVOICE_KEY";
/// The Lightning address to which the agent is paid, or the URL of an LNURL-pay server.
pub(crate) const LIGHTNING_ADDRESS: &str = "LIGHTNING_ADDRESS";
/// A secret: the connection URI of the wallet (NIP-47).
pub(crate) const NWC_URL: &str = "NWC_URL";
/// Who may upload blobs: `agent`, `allowed` or `any`.
pub(crate) const BLOSSOM_UPLOAD: &str = "BLOSSOM_UPLOAD";
/// Who may upload blobs besides the agent and the operators.
pub(crate) const BLOSSOM_ALLOWED_PUBKEYS: &str = "BLOSSOM_ALLOWED_PUBKEYS";
/// The types of blobs that are accepted.
pub(crate) const BLOSSOM_ALLOWED_TYPES: &str = "BLOSSOM_ALLOWED_TYPES";
/// The size of the largest blob.
pub(crate) const BLOSSOM_MAX_SIZE: &str = "BLOSSOM_MAX_SIZE";
/// How many bytes one key may own.
pub(crate) const BLOSSOM_QUOTA: &str = "BLOSSOM_QUOTA";
/// How long an upload is kept.
pub(crate) const BLOSSOM_TTL: &str = "BLOSSOM_TTL";
/// The URL of the backend to which the gateway forwards requests.
pub(crate) const AUMOS_API_URL: &str = "AUMOS_API_URL";
/// The secret that the gateway sends to the backend as bearer token.
pub(crate) const AUMOS_API_KEY: &str = "AUMOS_API_KEY";
/// How many requests each client may send to the gateway.
pub(crate) const GATEWAY_MAX_REQUESTS_PER_MINUTE: &str = "GATEWAY_MAX_REQUESTS_PER_MINUTE";
/// Whether the gateway's audit has the payloads of requests, and not only their hashes.
pub(crate) const GATEWAY_AUDIT_PAYLOADS: &str = "GATEWAY_AUDIT_PAYLOADS";
/// How long the backend may take for a request, in seconds.
pub(crate) const GATEWAY_TIMEOUT_SECONDS: &str = "GATEWAY_TIMEOUT_SECONDS";
/// Who must authenticate (NIP-42): `none`, `write`, `read` or `all`.
pub(crate) const RELAY_AUTH: &str = "RELAY_AUTH";
/// The kinds that only author and recipients can read, or `none`.
pub(crate) const RELAY_PRIVATE_KINDS: &str = "RELAY_PRIVATE_KINDS";
/// If set, the only keys that may write.
pub(crate) const RELAY_ALLOWED_PUBKEYS: &str = "RELAY_ALLOWED_PUBKEYS";
/// Keys whose events are rejected.
pub(crate) const RELAY_BLOCKED_PUBKEYS: &str = "RELAY_BLOCKED_PUBKEYS";
/// If set, the only accepted kinds.
pub(crate) const RELAY_ALLOWED_KINDS: &str = "RELAY_ALLOWED_KINDS";
/// Rejected kinds.
pub(crate) const RELAY_BLOCKED_KINDS: &str = "RELAY_BLOCKED_KINDS";
/// Network addresses that may not connect.
pub(crate) const RELAY_BLOCKED_ADDRESSES: &str = "RELAY_BLOCKED_ADDRESSES";
/// The leading zero bits that an event's id must have (NIP-13).
pub(crate) const RELAY_MIN_POW: &str = "RELAY_MIN_POW";
/// How old an event may be, in seconds.
pub(crate) const RELAY_CREATED_AT_PAST: &str = "RELAY_CREATED_AT_PAST";
/// How far in the future an event may be, in seconds.
pub(crate) const RELAY_CREATED_AT_FUTURE: &str = "RELAY_CREATED_AT_FUTURE";
/// How long events of some kinds are kept.
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
/// How much the requests of a network address may read.
pub(crate) const RELAY_MAX_LOOK_UPS_PER_MINUTE: &str = "RELAY_MAX_LOOK_UPS_PER_MINUTE";
pub(crate) const RELAY_MAX_AUTHS_PER_MINUTE: &str = "RELAY_MAX_AUTHS_PER_MINUTE";
/// Whether rate limits and connection limits also apply to clients on the same machine.
pub(crate) const RELAY_LIMIT_LOOPBACK: &str = "RELAY_LIMIT_LOOPBACK";
/// Proxies whose client address header is trusted, natively. On Cloudflare, the platform gives the client's address.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const RELAY_TRUSTED_PROXIES: &str = "RELAY_TRUSTED_PROXIES";
