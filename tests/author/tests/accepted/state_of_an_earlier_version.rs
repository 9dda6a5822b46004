//! An agent whose stored state was written before a field was added.

use openagents_sdk::prelude::*;

#[agent(name = "earlier-version")]
#[derive(Serialize, Deserialize)]
struct EarlierVersion {
    greeted: u64,
    /// Added after the agent was first deployed.
    greeting: String,
}

impl Default for EarlierVersion {
    fn default() -> Self {
        Self { greeted: 0, greeting: "Hello".to_owned() }
    }
}

#[test]
fn is_accepted() {
    let stored = r#"{"greeted": 7, "removed": true}"#;
    let agent: EarlierVersion = openagents_sdk::serde_json::from_str(stored).unwrap();
    assert_eq!((agent.greeted, agent.greeting.as_str()), (7, "Hello"));
}
