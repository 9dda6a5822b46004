use openagents_sdk::prelude::*;

#[jobs]
#[agent(name = "broken")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
