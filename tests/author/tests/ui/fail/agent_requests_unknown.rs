use openagents_sdk::prelude::*;

#[agent(name = "broken", requests = "everyone")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
