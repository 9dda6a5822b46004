use openagents_sdk::prelude::*;

#[agent(name = "broken", relays = "wss://relay.example")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
