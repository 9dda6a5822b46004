use openagents_sdk::prelude::*;

#[agent(name = "broken")]
struct Broken {
    greeted: u64,
}

fn main() {}
