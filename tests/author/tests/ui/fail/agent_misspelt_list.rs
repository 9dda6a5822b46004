use openagents_sdk::prelude::*;

#[agent(name = "broken", topic("greeting"))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
