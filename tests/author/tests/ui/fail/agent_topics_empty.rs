use openagents_sdk::prelude::*;

#[agent(name = "broken", topics())]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
