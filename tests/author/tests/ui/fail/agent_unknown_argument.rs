use openagents_sdk::prelude::*;

#[agent(name = "broken", wallet = "agent@example.com")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
