use openagents_sdk::prelude::*;

#[agent(name = "broken", relays("https://relay.example.com"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
