use openagents_sdk::prelude::*;

#[agent(name = "broken")]
#[derive(Serialize, Deserialize)]
struct Broken {
    greeted: u64,
}

fn main() {}
