//! The variables of a deployment, with the same names on both hosts: a Worker's `[vars]` and secrets there, the
//! environment or a `.dev.vars` file natively.

mod agent;
mod blossom;
mod error;
mod gateway;
pub(crate) mod known_variables;
#[cfg(target_arch = "wasm32")]
mod log;
pub(crate) mod names;
mod operators;
mod relay;
mod relay_information;
mod relay_urls;
mod unknown_names;
mod variables;
mod wallet;

pub(crate) use agent::{AgentSettings, agent_keys, agent_settings};
pub(crate) use blossom::blossom_config;
pub(crate) use error::SettingError;
pub(crate) use gateway::{gateway_config, unused_gateway_variables};
#[cfg(target_arch = "wasm32")]
pub(crate) use log::log_settings;
pub(crate) use operators::Operators;
pub(crate) use relay::RelaySettings;
#[cfg(target_arch = "wasm32")]
pub(crate) use relay::rate_limits;
#[cfg(any(target_arch = "wasm32", feature = "testing"))]
pub(crate) use relay::relay_config;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use relay::{retention_rules, trusted_proxies};
pub(crate) use unknown_names::{NameSource, check_names};

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent};

    use super::SettingError;
    use super::names::RELAY_VISIT_SECONDS;
    use super::relay::handover;
    use super::variables::seconds;
    use crate::declaration::{AgentDeclaration, DeployedAgent, DeploymentDeclaration};

    #[test]
    fn a_time_is_a_whole_number_of_seconds_and_not_none() {
        assert_eq!(seconds(RELAY_VISIT_SECONDS, "90").unwrap().as_secs(), 90);
        for wrong in ["0", "-1", "1.5", "1m", "", "99999999999"] {
            let error = SettingError::Seconds { name: RELAY_VISIT_SECONDS };
            assert_eq!(seconds(RELAY_VISIT_SECONDS, wrong), Err(error), "{wrong}");
        }
    }

    #[test]
    fn the_agent_gets_its_requests_deletions_that_may_be_of_one_and_requests_to_vanish() {
        let agent = AgentDeclaration::new("scribe");
        let deployed = DeployedAgent { job_kinds: vec![5050], ..DeployedAgent::default() };
        let handover = handover(&DeploymentDeclaration::with_agent(&agent, deployed));
        let keys = Keys::from_secret(&[1; 32]).unwrap();
        let id = "ab".repeat(32);
        for (kind, tag, wanted) in [
            (5050, ["t", "a"], true),
            (5051, ["t", "a"], false),
            (6050, ["e", &id], false),
            (5, ["e", &id], true),
            (5, ["k", "5050"], false),
            (62, ["relay", "ALL_RELAYS"], true),
        ] {
            let event = UnsignedEvent::new(Kind(kind), "").tag(tag).sign(&keys, Timestamp::from_seconds(1));
            assert_eq!(handover.wants(&event), wanted, "{kind} {tag:?}");
        }
    }

    #[test]
    fn a_relay_without_agents_hands_over_requests_to_vanish_only() {
        let handover = handover(&DeploymentDeclaration::relay_only("relay", "1.0.0", ""));
        let keys = Keys::from_secret(&[1; 32]).unwrap();
        for (kind, tag, wanted) in [
            (5050, ["t", "a"], false),
            (5, ["e", &"ab".repeat(32)], false),
            (62, ["relay", "ALL_RELAYS"], true),
        ] {
            let event = UnsignedEvent::new(Kind(kind), "").tag(tag).sign(&keys, Timestamp::from_seconds(1));
            assert_eq!(handover.wants(&event), wanted, "{kind}");
        }
    }
}
