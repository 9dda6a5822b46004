use openagents_sdk::prelude::*;

#[agent(name = "broken", relays("wss://relay.example.com", "wss://Relay.example.com/"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
