use openagents_sdk::prelude::*;

#[agent(name = "broken", nip05 = "agent")]
#[derive(Default, Serialize, Deserialize)]
struct Broken;

fn main() {}
