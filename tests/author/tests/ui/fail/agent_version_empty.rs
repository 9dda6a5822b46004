use openagents_sdk::prelude::*;

#[agent(name = "broken", version = "")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
