use openagents_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
#[agent(name = "broken")]
struct Broken {
    greeted: u64,
}

fn main() {}
