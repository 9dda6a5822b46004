use openagents_sdk::prelude::*;

#[agent(name = "broken", variables("RETRIES" = 3))]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
