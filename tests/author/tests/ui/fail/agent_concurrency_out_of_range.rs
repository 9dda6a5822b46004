use openagents_sdk::prelude::*;

#[agent(name = "broken", concurrency = 0)]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
