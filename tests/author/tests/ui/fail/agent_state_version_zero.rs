use openagents_sdk::prelude::*;

#[agent(name = "broken", state_version = 0)]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
