use openagents_sdk::prelude::*;

#[agent(name = "broken", heartbeat = "30s")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
