//! The text of `help variables`, at most 80 columns wide.

use crate::declaration::AgentDeclaration;

/// How the variables are given.
macro_rules! introduction {
    () => {
        "\
Variables, from the environment or a .dev.vars file in the working directory.
The same names are variables and secrets of a Worker.

"
    };
}

/// The options of `serve` as variables.
macro_rules! options {
    () => {
        "
The log:
  LOG_LEVEL              off, error, warn, info, debug or trace; natively also a
                         filter such as warn,my_agent=debug [default: info]
  LOG_FORMAT             text or json [default: text]

This process (natively only; each is an option too):
  OPENAGENTS_LISTEN      address and port to listen on
  OPENAGENTS_DATA        folder for the databases and the key
  OPENAGENTS_DURABILITY  what an acknowledged event survives
"
    };
}

/// Through which wallet the agent is paid.
macro_rules! wallet {
    () => {
        "
Payments (without a wallet, jobs with a price are refused):
  WALLET                 the provider: lnbits, lnurl or nwc (if built in)
  LIGHTNING_ADDRESS      for lnurl, such as me@example.com
  LNBITS_URL             the LNbits server, such as https://lnbits.example.com
  LNBITS_INVOICE_KEY     a secret: the invoice key of a wallet there
  NWC_URL                a secret: nostr+walletconnect://…, from the wallet
"
    };
}

/// Who may upload blobs, and how much.
macro_rules! blob_limits {
    () => {
        "
The blob server (Blossom):
  BLOSSOM_UPLOAD         who may upload: agent (the agent and the operators),
                         allowed (also BLOSSOM_ALLOWED_PUBKEYS), any
                         [default: agent]
  BLOSSOM_ALLOWED_PUBKEYS
                         who else may upload: npub1… or hex, separated by commas
  BLOSSOM_ALLOWED_TYPES  media types that are accepted, such as
                         image/*,application/pdf [default: all]
  BLOSSOM_MAX_SIZE       the size of the largest blob [default: 100MiB]
  BLOSSOM_QUOTA          how much one key may own, such as 1GiB; operators have
                         no quota [default: any]
  BLOSSOM_TTL            how long an upload is kept, such as 30d [default: until
                         it is deleted]
"
    };
}

/// What the gateway forwards, and how much of it.
macro_rules! gateway {
    () => {
        "
The gateway, where the deployment has one:
  AUMOS_API_URL          URL of the backend to which requests are forwarded
  AUMOS_API_KEY          the bearer token for the backend, a secret
  GATEWAY_MAX_REQUESTS_PER_MINUTE
                         how many requests a client may send; 0 for no limit
                         [default: 600]
  GATEWAY_TIMEOUT_SECONDS
                         how long the backend may take [default: 30]
  GATEWAY_AUDIT_PAYLOADS true keeps the payloads of requests in the audit, not
                         only their hashes
"
    };
}

/// Who may do what at the relay, and how much of it.
macro_rules! relay_limits {
    () => {
        "
Access to the relay, and its limits:
  RELAY_AUTH             who must authenticate (NIP-42): none, write, read, all
                         [default: none]
  RELAY_PRIVATE_KINDS    kinds that only author and recipients can read, or none
                         [default: 4,1059,21059]
  RELAY_ALLOWED_PUBKEYS, RELAY_BLOCKED_PUBKEYS
                         keys that may write (and no others); that may not
  RELAY_ALLOWED_KINDS, RELAY_BLOCKED_KINDS
                         kinds that are accepted (and no others); that are not:
                         1,7 or 5000-7000
  RELAY_BLOCKED_ADDRESSES
                         IP addresses that may not connect; an IPv6 address
                         stands for its /56 network
  RELAY_MIN_POW          leading zero bits that an event's id must have (NIP-13)
                         [default: 0]
  RELAY_CREATED_AT_PAST, RELAY_CREATED_AT_FUTURE
                         how old, and how far in the future, an event may be, in
                         seconds [default: any, 900]
  RELAY_RETENTION        how long events of some kinds are kept after their
                         arrival, as KINDS=TIME with the units s, m, h, d; 0
                         means not stored, only forwarded:
                         7000=7d,5000-5999=12h,1984=0
  RELAY_MAX_MESSAGE_LENGTH, RELAY_MAX_CONTENT_LENGTH, RELAY_MAX_EVENT_TAGS,
  RELAY_MAX_SUBSCRIPTIONS, RELAY_MAX_FILTERS, RELAY_MAX_LIMIT
                         other limits; the information document (NIP-11) shows
                         the current values
  RELAY_MAX_CONNECTIONS, RELAY_MAX_CONNECTIONS_PER_ADDRESS
                         the most client connections, in all and per network
                         address [default: 10000, 64]
  RELAY_MAX_EVENTS_PER_MINUTE, RELAY_MAX_REQUESTS_PER_MINUTE,
  RELAY_MAX_AUTHS_PER_MINUTE
                         limits per connection; four times as much per network
                         address; 0 for no limit [default: 1200, 1200, 60]
  RELAY_MAX_LOOK_UPS_PER_MINUTE
                         how many stored rows the requests of a network address
                         may read; 0 for no limit [default: 3000000]
  RELAY_LIMIT_LOOPBACK   true applies these limits to clients of this machine
  RELAY_TRUSTED_PROXIES  IP addresses of your reverse proxies, whose
                         X-Forwarded-For header gives the client's address"
    };
}

/// The variables of an agent and its relay, those that its handlers read last.
pub(in crate::native) fn of_agent(agent: &AgentDeclaration) -> String {
    let variables = agent.variables.iter().map(|variable| match variable.default {
        Some(default) => (variable.name, format!("[default: {default}]")),
        None => (variable.name, "must be set".to_owned()),
    });
    let secrets = agent.secrets.iter().map(|name| (*name, "a secret, must be set".to_owned()));
    let lines: String =
        variables.chain(secrets).map(|(name, note)| format!("\n  {name:<22} {note}")).collect();
    match lines.as_str() {
        "" => OF_AN_AGENT.to_owned(),
        lines => format!("{OF_AN_AGENT}\n\nThis agent's handlers:{lines}"),
    }
}

/// The variables of every agent and its relay.
const OF_AN_AGENT: &str = concat!(
    introduction!(),
    "\
The agent:
  NOSTR_PRIVATE_KEY      its key, nsec1… or hex, a secret
                         [default: DATA/agent.nsec, generated if missing]
  ADMIN_PUBKEYS          operators, who may read the agent's records and manage
                         the relay (NIP-86): npub1… or hex, separated by commas
  AGENT_RELAYS           external relays that the agent serves, separated by
                         commas, or none [default: the declared ones]
  AGENT_ANNOUNCE         false stops the agent from announcing itself, and
                         deletes earlier announcements
  RELAY_URL              public URL of the agent's own relay, for relay hints
                         and the URL that clients sign (NIP-42)
  AGENT_HTTP_ALLOWED_ORIGINS
                         private or unencrypted servers that handlers may reach
                         by HTTP, such as http://127.0.0.1:11434, separated by
                         commas
  ALLOW_PRIVATE_ADDRESSES
                         true lets the agent connect to private addresses, also
                         those that customers name, and without TLS: for
                         development

The relay's information document (NIP-11):
  RELAY_NAME, RELAY_DESCRIPTION, RELAY_ICON, RELAY_PUBKEY, RELAY_CONTACT,
  SUPPORTED_NIPS         what it says
  RELAY_PRIVATE_KEY      the relay's own key, a secret; the document shows its
                         public key
",
    options!(),
    wallet!(),
    gateway!(),
    blob_limits!(),
    relay_limits!()
);

/// The variables of a relay without an agent.
pub(in crate::native) const OF_A_RELAY: &str = concat!(
    introduction!(),
    "\
The relay:
  RELAY_NAME, RELAY_DESCRIPTION, RELAY_ICON, RELAY_PUBKEY, RELAY_CONTACT,
  SUPPORTED_NIPS         its information document (NIP-11)
  RELAY_PRIVATE_KEY      the relay's own key, a secret; the document shows its
                         public key
  RELAY_URL              public URL of the relay, which clients sign (NIP-42)
  ADMIN_PUBKEYS          operators, who may manage the relay (NIP-86): npub1… or
                         hex, separated by commas
",
    options!(),
    blob_limits!(),
    relay_limits!()
);

#[cfg(test)]
mod tests {
    use super::{OF_A_RELAY, OF_AN_AGENT, of_agent};
    use crate::declaration::{AgentDeclaration, VariableDeclaration};

    #[test]
    fn ends_with_what_the_agent_declares() {
        let none = AgentDeclaration::new("scribe");
        assert_eq!(of_agent(&none), OF_AN_AGENT);
        let some = AgentDeclaration {
            variables: &[
                VariableDeclaration { name: "MODEL", default: Some("small") },
                VariableDeclaration { name: "BASE_URL", default: None },
            ],
            secrets: &["API_KEY"],
            ..none
        };
        let expected = "

This agent's handlers:
  MODEL                  [default: small]
  BASE_URL               must be set
  API_KEY                a secret, must be set";
        assert!(of_agent(&some).ends_with(expected), "{}", of_agent(&some));
    }

    #[test]
    fn names_every_variable_that_settings_know() {
        let quoted = include_str!("../../settings/names.rs").split('"').skip(1).step_by(2);
        let names = quoted.filter(|name| name.contains('_') && *name != "RELAY_VISIT_SECONDS");
        for name in names {
            assert!(OF_AN_AGENT.contains(name), "{name}");
            assert!(
                OF_A_RELAY.contains(name) || !name.starts_with("RELAY_") && !name.starts_with("BLOSSOM_"),
                "{name}"
            );
        }
    }
}
