//! `GET /.well-known/nostr.json`: the public key for the agent's name (NIP-05).

use openagents_host::http::{Response, StatusCode, response};

use super::parameters;
use crate::discovery::{Profile, nip05_document};

/// The name for the domain itself.
const DOMAIN: &str = "_";

/// The public key for the queried name, which must be the agent's own or `_`. Without a name in the query, the
/// agent's own.
pub(super) fn nip05(profile: &Profile, query: &str) -> Response {
    let name = parameters::value(query, "name");
    response::json(StatusCode::OK, document(profile, name.as_deref()))
}

fn document(profile: &Profile, asked: Option<&str>) -> String {
    let own = profile.nip05_name();
    let name = asked.unwrap_or(own);
    if name != own && name != DOMAIN {
        return r#"{"names":{}}"#.to_owned();
    }
    nip05_document(name, &profile.key(), &profile.relays())
}

#[cfg(test)]
mod tests {
    use openagents_host::Keys;

    use super::document;
    use crate::declaration::AgentDeclaration;
    use crate::discovery::Profile;

    #[test]
    fn names_the_agent_and_the_domain_and_nobody_else() {
        let key = Keys::from_secret(&[1; 32]).unwrap().public_key();
        let profile = Profile::new(AgentDeclaration::new("scribe"), Vec::new(), key);
        assert_eq!(document(&profile, None), format!(r#"{{"names":{{"scribe":"{key}"}}}}"#));
        assert_eq!(document(&profile, Some("scribe")), document(&profile, None));
        assert_eq!(document(&profile, Some("_")), format!(r#"{{"names":{{"_":"{key}"}}}}"#));
        for name in ["", "someone", "Scribe", "\"}"] {
            assert_eq!(document(&profile, Some(name)), r#"{"names":{}}"#, "{name}");
        }
    }

    #[test]
    fn prefers_the_name_that_the_agent_declares() {
        let key = Keys::from_secret(&[1; 32]).unwrap().public_key();
        let agent = AgentDeclaration { nip05: "writer@example.com", ..AgentDeclaration::new("scribe") };
        let profile = Profile::new(agent, Vec::new(), key).at_relay("wss://example.com");
        let expected =
            format!(r#"{{"names":{{"writer":"{key}"}},"relays":{{"{key}":["wss://example.com"]}}}}"#);
        assert_eq!(document(&profile, Some("writer")), expected);
        assert_eq!(document(&profile, Some("scribe")), r#"{"names":{}}"#);
    }
}
