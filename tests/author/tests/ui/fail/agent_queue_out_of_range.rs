use openagents_sdk::prelude::*;

#[agent(name = "broken", queue = 1_000_001)]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
