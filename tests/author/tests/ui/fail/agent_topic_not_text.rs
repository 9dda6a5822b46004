use openagents_sdk::prelude::*;

#[agent(name = "broken", topics(greeting))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
