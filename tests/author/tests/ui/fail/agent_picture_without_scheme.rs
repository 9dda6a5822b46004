use openagents_sdk::prelude::*;

#[agent(name = "broken", picture = "example.com/agent.png")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
